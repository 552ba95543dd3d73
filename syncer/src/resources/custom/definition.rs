//! What the definition of a custom resource on the host says about its objects, and what the virtual cluster gets of it.

use serde_json::{Value, json};

use crate::json;
use crate::kinds::CustomKind;
use crate::resources::HostRule;

/// What it takes to read definitions.
pub const RIGHT: HostRule =
    super::super::cluster_rule("apiextensions.k8s.io", "customresourcedefinitions", super::super::GET);

/// A key of `customResources`: the resource, its group, and the version if one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the definition, `<plural>.<group>`.
    pub definition: String,
    /// The version; the stored one when absent.
    pub version: Option<String>,
}

impl Wanted {
    /// Reads `<plural>.<group>[/<version>]`.
    pub fn parse(key: &str) -> Self {
        let (definition, version) = match key.split_once('/') {
            Some((definition, version)) => (definition, Some(version.to_owned())),
            None => (key, None),
        };
        Self {
            definition: definition.to_owned(),
            version,
        }
    }
}

impl Wanted {
    /// What can be said of the kind without its definition: all that rights are about.
    pub fn without_definition(self, namespaced: bool) -> CustomKind {
        let (plural, group) = self.definition.split_once('.').unwrap_or((&self.definition, ""));
        CustomKind {
            group: group.to_owned(),
            version: self.version.unwrap_or_default(),
            plural: plural.to_owned(),
            kind: String::new(),
            namespaced,
            status: false,
        }
    }
}

/// The kind that a definition describes; the problem is a clause.
pub fn kind(wanted: &Wanted, definition: &Value) -> Result<CustomKind, String> {
    let spec = &definition["spec"];
    let served = |version: &&Value| json::flag(version, &["served"]) == Some(true);
    let versions = json::items(spec, &["versions"]);
    let version = match &wanted.version {
        Some(name) => versions
            .iter()
            .filter(served)
            .find(|version| version["name"] == name.as_str()),
        None => {
            let stored = |version: &&Value| json::flag(version, &["storage"]) == Some(true);
            let mut all = versions.iter().filter(served);
            all.clone().find(stored).or_else(|| all.next())
        }
    };
    let Some(version) = version else {
        let names: Vec<&str> = versions
            .iter()
            .filter(served)
            .map(|version| json::text(version, &["name"]))
            .collect();
        return Err(format!(
            "the host does not serve this version, but {}",
            names.join(", ")
        ));
    };
    Ok(CustomKind {
        group: json::text(spec, &["group"]).to_owned(),
        version: json::text(version, &["name"]).to_owned(),
        plural: json::text(spec, &["names", "plural"]).to_owned(),
        kind: json::text(spec, &["names", "kind"]).to_owned(),
        namespaced: json::text(spec, &["scope"]) == "Namespaced",
        status: json::at(version, &["subresources", "status"]).is_some(),
    })
}

/// The definition for the virtual cluster: the one version that is synced, stored and without conversion, which would call
/// a Service of the host.
pub fn for_virtual(kind: &CustomKind, definition: &Value) -> Value {
    let mut spec = definition["spec"].clone();
    let mut versions: Vec<Value> = json::items(&spec, &["versions"]).to_vec();
    versions.retain(|version| version["name"] == kind.version.as_str());
    for version in &mut versions {
        version["served"] = true.into();
        version["storage"] = true.into();
    }
    spec["versions"] = Value::Array(versions);
    json::remove(&mut spec, &["conversion", "preserveUnknownFields"]);
    let mut annotations = json::strings(definition, &["metadata", "annotations"]);
    annotations.retain(|key, _| key != "kubectl.kubernetes.io/last-applied-configuration");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": definition["metadata"]["name"],
            "labels": json::strings(definition, &["metadata", "labels"]),
            "annotations": annotations,
        },
        "spec": spec,
    })
}
