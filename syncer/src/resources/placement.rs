//! Which nodes run pods of this cluster, and what the pods tell about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::clusters::Change;
use crate::json;
use crate::kinds::Side;
use crate::names::keys;
use crate::object::ObjectKey;

type PodKey = (Side, ObjectKey);

/// An index of pods by node, of both sides.
#[derive(Debug, Default)]
pub struct Placement {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pods: BTreeMap<PodKey, Placed>,
    nodes: BTreeMap<String, Counts>,
}

/// How many pods are on a node. Counted, because every pod that comes or goes asks.
#[derive(Debug, Default)]
struct Counts {
    virtual_: usize,
    host: usize,
    /// Those of them that tell something.
    alive: usize,
    lost: usize,
}

impl Counts {
    fn of(&mut self, side: Side, sign: Sign, change: impl Fn(&mut usize)) {
        change(match side {
            Side::Virtual => &mut self.virtual_,
            Side::Host => &mut self.host,
        });
        match sign {
            Sign::None => {}
            Sign::Life => change(&mut self.alive),
            Sign::Loss => change(&mut self.lost),
        }
    }
}

/// A pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    node: String,
    sign: Sign,
}

/// What a host pod tells about its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// Nothing.
    None,
    /// The node reports that the pod is ready.
    Life,
    /// The host's controllers have taken the pod out of service because the node is silent or gone.
    Loss,
}

impl Placement {
    /// Takes over a change of a pod; returns the nodes for which it matters.
    pub fn observe(&self, side: Side, change: &Change) -> Vec<String> {
        let Some(object) = change.object() else {
            return Vec::new();
        };
        let key = (side, object.key().clone());
        let new = change.new_value().and_then(|pod| assigned(side, pod));
        let mut inner = self.inner();
        let old = match &new {
            Some(placed) => inner.pods.insert(key.clone(), placed.clone()),
            None => inner.pods.remove(&key),
        };
        if old == new {
            return Vec::new();
        }
        let mut nodes = BTreeSet::new();
        if let Some(Placed { node, sign }) = old {
            if let Some(counts) = inner.nodes.get_mut(&node) {
                counts.of(side, sign, |count| *count = count.saturating_sub(1));
                if counts.virtual_ + counts.host == 0 {
                    inner.nodes.remove(&node);
                }
            }
            nodes.insert(node);
        }
        if let Some(Placed { node, sign }) = new {
            let counts = inner.nodes.entry(node.clone()).or_default();
            counts.of(side, sign, |count| *count += 1);
            nodes.insert(node);
        }
        nodes.into_iter().collect()
    }

    /// The nodes with pods.
    pub fn nodes(&self) -> Vec<String> {
        self.inner().nodes.keys().cloned().collect()
    }

    /// Whether any pod is on the node.
    pub fn is_used(&self, node: &str) -> bool {
        self.inner().nodes.contains_key(node)
    }

    /// Whether the host runs any on the node.
    pub fn runs_on(&self, node: &str) -> bool {
        self.inner().nodes.get(node).is_some_and(|counts| counts.host > 0)
    }

    /// Whether the pods on the node say that it is lost: one does, and none says that it is alive.
    pub fn is_lost(&self, node: &str) -> bool {
        let inner = self.inner();
        inner
            .nodes
            .get(node)
            .is_some_and(|counts| counts.lost > 0 && counts.alive == 0)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a pod is; pods of DaemonSets follow nodes and are no reason to keep one.
fn assigned(side: Side, pod: &Value) -> Option<Placed> {
    let node = json::text(pod, &["spec", "nodeName"]);
    let by_daemon_set = json::text(pod, &["metadata", "annotations", keys::OWNER_SET_KIND]) == "DaemonSet"
        || json::items(pod, &["metadata", "ownerReferences"])
            .iter()
            .any(|owner| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1");
    let sign = match side {
        Side::Virtual => Sign::None,
        Side::Host => sign(pod),
    };
    (!node.is_empty() && !by_daemon_set).then(|| Placed {
        node: node.to_owned(),
        sign,
    })
}

/// When a node falls silent, the host's node lifecycle controller makes its pods not ready without a word about their
/// containers, which no kubelet does; later the pods are deleted for that reason.
fn sign(pod: &Value) -> Sign {
    let condition = |kind: &str| {
        let conditions = json::items(pod, &["status", "conditions"]);
        conditions.iter().find(|condition| condition["type"] == kind)
    };
    let status = |kind: &str| condition(kind).map(|condition| json::text(condition, &["status"]));
    let orphaned = condition("DisruptionTarget").is_some_and(|target| {
        target["status"] == "True"
            && (target["reason"] == "DeletionByPodGC" || target["reason"] == "DeletionByTaintManager")
    });
    let gated = !json::items(pod, &["spec", "readinessGates"]).is_empty();
    match (status("Ready"), status("ContainersReady")) {
        _ if orphaned => Sign::Loss,
        (Some("True"), _) => Sign::Life,
        (Some("False"), Some("True")) if !gated => Sign::Loss,
        _ => Sign::None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::Object;

    fn pod(name: &str, node: &str, ready: &str, containers: &str) -> Change {
        let pod = json!({
            "metadata": {"namespace": "host", "name": name},
            "spec": {"nodeName": node},
            "status": {"conditions": [
                {"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers},
            ]},
        });
        Change::new(None, Some(Arc::new(Object::new(pod))))
    }

    #[test]
    fn a_node_is_lost_when_its_pods_say_so_and_none_contradicts() {
        let placement = Placement::default();
        let observe = |change: &Change| placement.observe(Side::Host, change);
        assert_eq!(observe(&pod("a", "n", "True", "True")), ["n"]);
        assert!(observe(&pod("a", "n", "True", "True")).is_empty());
        assert!(!placement.is_lost("n"));
        observe(&pod("b", "n", "False", "False"));
        assert_eq!(observe(&pod("a", "n", "False", "True")), ["n"]);
        assert!(placement.is_lost("n") && !placement.is_lost("m"));
        observe(&pod("c", "n", "True", "True"));
        assert!(!placement.is_lost("n"), "one pod is alive");
        assert_eq!(observe(&pod("c", "m", "False", "True")), ["m", "n"]);
        assert!(placement.is_lost("n") && placement.is_lost("m"));
    }

    #[test]
    fn a_node_is_used_until_its_last_pod_is_gone() {
        let placement = Placement::default();
        let here = pod("a", "n", "True", "True");
        placement.observe(Side::Virtual, &here);
        placement.observe(Side::Host, &here);
        let gone = Change::new(here.new.clone(), None);
        placement.observe(Side::Host, &gone);
        assert!(placement.is_used("n"));
        assert_eq!(placement.observe(Side::Virtual, &gone), ["n"]);
        assert!(!placement.is_used("n"));
    }
}
