//! What a CustomResourceDefinition says.

use bytes::Bytes;
use machinery::meta;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A definition, but for its schemas: these are read when they are needed.
pub(super) struct Definition {
    /// The group of its resources.
    pub(super) group: String,
    /// Whether objects live in namespaces.
    pub(super) namespaced: bool,
    /// The names that it has got.
    pub(super) names: Value,
    /// Its versions, as they are written, without their schemas.
    pub(super) versions: Vec<Value>,
    /// How objects of one version become those of another.
    pub(super) conversion: Value,
    /// Whether fields that no schema knows are kept.
    pub(super) keeps_unknown: bool,
    /// What may change without anybody noticing who watches its objects.
    pub(super) state: State,
    /// Tells it from itself before a change of spec, names or identity.
    pub(super) digest: [u8; 32],
    /// All of it, as JSON.
    pub(super) text: Bytes,
}

/// The conditions of a definition, as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Discovery shows its resources.
    pub(super) established: bool,
    /// Its objects are being deleted, and no more can be made.
    pub(super) terminating: bool,
}

impl Definition {
    /// Reads a definition; `None` when it has no names yet and nothing is to be served.
    pub(super) fn read(mut definition: Value, text: Bytes) -> Option<Self> {
        let holds = |kind: &str| {
            let conditions = meta::list_at(&definition, &["status", "conditions"]);
            conditions.iter().any(|c| c["type"] == kind && c["status"] == "True")
        };
        let state = State {
            established: holds("Established"),
            terminating: holds("Terminating"),
        };
        if !state.established && !holds("NamesAccepted") {
            return None;
        }
        let uid = meta::uid(&definition).to_owned();
        let names = meta::remove(&mut definition, &["status", "acceptedNames"])?;
        let named = |field: &str| meta::str_at(&names, &[field]).is_some_and(|name| !name.is_empty());
        if !["plural", "singular", "kind", "listKind"].into_iter().all(named) {
            return None;
        }
        let mut spec = meta::remove(&mut definition, &["spec"])?;
        let digest = Sha256::digest(format!("{uid} {names} {spec}")).into();
        let mut versions = match meta::remove(&mut spec, &["versions"]) {
            Some(Value::Array(versions)) => versions,
            _ => return None,
        };
        for version in &mut versions {
            meta::remove(version, &["schema"]);
        }
        let text_at = |path: &[&str]| meta::str_at(&spec, path).unwrap_or_default().to_owned();
        Some(Definition {
            group: text_at(&["group"]),
            namespaced: text_at(&["scope"]) == "Namespaced",
            names,
            versions,
            conversion: spec.get("conversion").cloned().unwrap_or_default(),
            keeps_unknown: meta::bool_at(&spec, &["preserveUnknownFields"]) == Some(true),
            state,
            digest,
            text,
        })
    }

    /// One of its names.
    pub(super) fn named(&self, field: &str) -> &str {
        meta::str_at(&self.names, &[field]).unwrap_or_default()
    }

    /// The version in which objects are stored.
    pub(super) fn storage_version(&self) -> &str {
        let stored = self.versions.iter().find(|version| version["storage"] == true);
        stored.map_or("", version_name)
    }

    /// Group and version as in an object's `apiVersion`.
    pub(super) fn api_version(&self, version: &str) -> String {
        format!("{}/{version}", self.group)
    }
}

/// The name of a version.
pub(super) fn version_name(version: &Value) -> &str {
    meta::str_at(version, &["name"]).unwrap_or_default()
}
