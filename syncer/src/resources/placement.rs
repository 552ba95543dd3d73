//! Which nodes run pods of this cluster: a virtual node exists as long as there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::clusters::Change;
use crate::json;
use crate::kinds::Side;
use crate::object::ObjectKey;

/// Host annotation with the kind of the controller of a virtual pod.
pub const OWNER_SET_KIND: &str = "vcluster.loft.sh/owner-set-kind";

/// An index of pods by node, of both sides.
#[derive(Debug, Default)]
pub struct Placement {
    inner: Mutex<BTreeMap<String, BTreeSet<(Side, ObjectKey)>>>,
}

impl Placement {
    /// Takes over a change of a pod; returns the nodes for which it matters.
    pub fn observe(&self, side: Side, change: &Change) -> Vec<String> {
        let node_of = |object: &Option<std::sync::Arc<crate::object::Object>>| {
            object
                .as_ref()
                .and_then(|object| assigned(&object.value()).map(|node| (node, object.key().clone())))
        };
        let (old, new) = (node_of(&change.old), node_of(&change.new));
        if old == new {
            return Vec::new();
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes = Vec::new();
        if let Some((node, key)) = old {
            if let Some(pods) = inner.get_mut(&node) {
                pods.remove(&(side, key));
                if pods.is_empty() {
                    inner.remove(&node);
                }
            }
            nodes.push(node);
        }
        if let Some((node, key)) = new {
            inner.entry(node.clone()).or_default().insert((side, key));
            nodes.push(node);
        }
        nodes
    }

    /// Whether any pod is on the node.
    pub fn is_used(&self, node: &str) -> bool {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(node)
    }
}

/// The node of a pod; pods of DaemonSets follow nodes and are no reason to keep one.
fn assigned(pod: &Value) -> Option<String> {
    let node = json::text(pod, &["spec", "nodeName"]);
    let by_daemon_set = json::text(pod, &["metadata", "annotations", OWNER_SET_KIND]) == "DaemonSet"
        || json::items(pod, &["metadata", "ownerReferences"])
            .iter()
            .any(|owner| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1");
    (!node.is_empty() && !by_daemon_set).then(|| node.to_owned())
}
