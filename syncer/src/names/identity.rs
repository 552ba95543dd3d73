//! Whose host object is this? The answer decides whether it may be touched.

use serde_json::Value;

use super::{Names, keys};
use crate::json;

/// What a host object is to this virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the copy of this virtual object.
    Ours {
        /// The virtual namespace, empty for cluster-scoped objects.
        namespace: String,
        /// The virtual name.
        name: String,
        /// The virtual uid it was made for; empty when it does not say.
        uid: String,
    },
    /// It belongs to somebody else and is never written to.
    Foreign,
}

/// Reads the identity off a host object's labels and annotations; `kind` is written as `<group>/<version>, Kind=<Kind>`.
///
/// An object counts as ours only when every statement it makes agrees with where and what it is, so that a marker label
/// copied by hand, or another virtual cluster's object in the same namespace, is not mistaken for one of ours.
pub fn claim(names: &Names, kind: &str, host: &Value) -> Claim {
    let metadata = &host["metadata"];
    let annotation = |key: &str| json::text(metadata, &["annotations", key]);
    let marker = json::text(metadata, &["labels", keys::MARKER]);
    let host_name = json::text(metadata, &["name"]);
    let host_namespace = json::text(metadata, &["namespace"]);
    let expected_marker = if host_namespace.is_empty() {
        names.cluster_marker()
    } else {
        names.vcluster().to_owned()
    };
    let (namespace, name) = (annotation(keys::OBJECT_NAMESPACE), annotation(keys::OBJECT_NAME));
    let stated = [keys::VCLUSTER_NAME, keys::VCLUSTER_NAMESPACE];
    let agrees = |key: &str, actual: &str| {
        let stated = annotation(key);
        stated.is_empty() || stated == actual
    };
    let ours = marker == expected_marker
        && (host_namespace.is_empty() || names.namespace_of(kind, namespace, name) == host_namespace)
        && !name.is_empty()
        && json::text(metadata, &["labels", keys::CONTROLLED_BY]).is_empty()
        && agrees(keys::OBJECT_KIND, kind)
        && agrees(keys::OBJECT_HOST_NAME, host_name)
        && agrees(keys::OBJECT_HOST_NAMESPACE, host_namespace)
        && agrees(keys::VCLUSTER_NAME, names.vcluster())
        && agrees(keys::VCLUSTER_NAMESPACE, names.host_namespace())
        // In namespaces that others can have, too, the marker alone says too little.
        && (names.single_namespace().is_some()
            || host_namespace == names.host_namespace()
            || stated.iter().all(|key| !annotation(key).is_empty()));
    if !ours {
        return Claim::Foreign;
    }
    Claim::Ours {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: annotation(keys::OBJECT_UID).to_owned(),
    }
}
