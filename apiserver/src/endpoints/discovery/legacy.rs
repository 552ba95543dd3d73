//! The original documents: one list per group and version (apimachinery `metav1.APIResourceList`).

use crate::registry::catalog::Served;
use crate::registry::resource::Resource;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::gvk::GroupVersion;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// `/api`; `address` is where clients reach this server, from everywhere.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub fn group_list(groups: &[(String, Vec<String>)]) -> Value {
    let groups: Vec<Value> = groups
        .iter()
        .map(|(name, versions)| group(name, versions, false))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`, or an entry of `/apis`, which does not say what it is.
pub fn group(name: &str, versions: &[String], typed: bool) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": GroupVersion::new(name, version).to_string(), "version": version}))
        .collect();
    let mut group = json!({"name": name, "versions": versions, "preferredVersion": versions.first()});
    if typed {
        group["kind"] = "APIGroup".into();
        group["apiVersion"] = "v1".into();
    }
    group
}

/// `/api/{version}` and `/apis/{group}/{version}`.
pub fn resource_list(served: &Served, group: &str, version: &str) -> Value {
    let mut resources: Vec<Value> = Vec::new();
    for store in super::stores(served, group, version) {
        resources.extend(entries(&store.resource));
    }
    if served.is_builtin(group) {
        resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": GroupVersion::new(group, version).to_string(),
        "resources": resources,
    });
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list
}

/// A resource and its subresources.
fn entries(resource: &Resource) -> Vec<Value> {
    let mut entry = Map::new();
    let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
    put("name", (*resource.plural).into());
    put("singularName", (*resource.singular).into());
    put("namespaced", resource.namespaced().into());
    put("kind", resource.gvk.kind.clone().into());
    put("verbs", json!(resource.verbs));
    if let Some(words) = resource.short_names.to_json() {
        put("shortNames", words);
    }
    if let Some(words) = resource.categories.to_json() {
        put("categories", words);
    }
    if let Some(hash) = storage_version_hash(resource) {
        put("storageVersionHash", hash.into());
    }
    let mut entries = vec![Value::Object(entry)];
    for subresource in resource
        .subresources
        .iter()
        .filter(|subresource| !subresource.name.is_empty())
    {
        let mut entry = json!({
            "name": format!("{}/{}", &*resource.plural, subresource.name),
            "singularName": "",
            "namespaced": resource.namespaced(),
            "kind": subresource.gvk.kind,
            "verbs": subresource.verbs,
        });
        if subresource.gvk.group_version() != resource.gvk.group_version() {
            entry["group"] = subresource.gvk.group.clone().into();
            entry["version"] = subresource.gvk.version.clone().into();
        }
        entries.push(entry);
    }
    entries
}

/// The kinds that upstream still writes in a former version, which 1.36 reads as well as the stable one.
const STORED_AS_BETA: [&str; 3] = [
    "CustomResourceDefinition",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// What tells clients that the stored version has changed (apiserver `discovery.StorageVersionHash`).
fn storage_version_hash(resource: &Resource) -> Option<String> {
    let kind = match &resource.custom {
        _ if resource.storage_key.is_empty() => return None,
        Some(custom) => custom.stored.as_ref()?,
        None => resource.storage_gvk(),
    };
    let former = STORED_AS_BETA.contains(&kind.kind.as_str());
    let version = if former { "v1beta1" } else { kind.version.as_str() };
    let digest = Sha256::digest(format!("{}/{version}/{}", kind.group, kind.kind));
    Some(STANDARD.encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_versions_hash_as_upstream() {
        let resources = crate::resources::all();
        let hash = |plural: &str| {
            resources
                .iter()
                .find(|r| *r.plural == *plural)
                .and_then(storage_version_hash)
        };
        assert_eq!(hash("configmaps").as_deref(), Some("qFsyl6wFWjQ="));
        assert_eq!(hash("deployments").as_deref(), Some("8aSe+NMegvE="));
        assert_eq!(hash("customresourcedefinitions").as_deref(), Some("jfWCUB31mvA="));
    }
}
