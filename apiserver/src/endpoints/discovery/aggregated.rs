//! The aggregated document: everything in one answer (`apidiscovery.k8s.io/v2`).

use crate::aggregator::Aggregator;
use crate::registry::catalog::Served;
use crate::registry::resource::{Resource, Subresource};
use machinery::gvk::GroupVersionKind;
use serde_json::{Map, Value, json};

/// `/api`: the core group.
pub fn core(served: &Served) -> Value {
    list(vec![json!({"metadata": {}, "versions": [version(served, "", "v1")]})])
}

/// `/apis`: all other groups.
pub fn groups(served: &Served, aggregator: &Aggregator) -> Value {
    let group = |(name, versions): (String, Vec<String>)| {
        let entry = |v: &String| match aggregator.backend(&name, v) {
            Some(backend) => backend.entry(),
            None => version(served, &name, v),
        };
        let versions: Vec<Value> = versions.iter().map(entry).collect();
        json!({"metadata": {"name": name}, "versions": versions})
    };
    list(super::all_groups(served, aggregator).into_iter().map(group).collect())
}

fn list(items: Vec<Value>) -> Value {
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn version(served: &Served, group: &str, version: &str) -> Value {
    let resources: Vec<Value> = super::stores(served, group, version)
        .into_iter()
        .map(|store| entry(&store.resource))
        .collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("resource", (*resource.plural).into());
    put("responseKind", response_kind(resource, &resource.gvk));
    put(
        "scope",
        if resource.namespaced() { "Namespaced" } else { "Cluster" }.into(),
    );
    put("singularResource", (*resource.singular).into());
    put("verbs", json!(resource.verbs));
    if let Some(words) = resource.short_names.to_json() {
        put("shortNames", words);
    }
    if let Some(words) = resource.categories.to_json() {
        put("categories", words);
    }
    let mut below: Vec<&Subresource> = resource.subresources.iter().filter(|s| !s.name.is_empty()).collect();
    below.sort_by_key(|subresource| subresource.name);
    if !below.is_empty() {
        let subresource = |s: &&Subresource| json!({"subresource": s.name, "responseKind": response_kind(resource, &s.gvk), "verbs": s.verbs});
        put("subresources", below.iter().map(subresource).collect());
    }
    Value::Object(entry)
}

/// A kind, whose group and version are left empty when they are those of the resource.
fn response_kind(resource: &Resource, kind: &GroupVersionKind) -> Value {
    // What is defined at run time says it in full.
    let own = resource.custom.is_none() && kind.group_version() == resource.gvk.group_version();
    let (group, version) = if own {
        ("", "")
    } else {
        (kind.group.as_str(), kind.version.as_str())
    };
    json!({"group": group, "version": version, "kind": kind.kind})
}
