//! The nodes with what runs on them, including pods whose binding is still on its way. A snapshot shares everything that
//! does not change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::pod::{PodInfo, Resources};

/// A node and the pods on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    pub(crate) name: String,
    pub(crate) node: Arc<Node>,
    pub(crate) allocatable: Resources,
    pub(crate) requested: Resources,
    pub(crate) assumed_requested: Resources,
    pub(crate) pods: Vec<Arc<PodInfo>>,
}

impl NodeInfo {
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.assumed_requested.add(&pod.assumed_requests);
        self.pods.push(pod);
    }

    fn remove(&mut self, uid: &str) {
        if let Some(index) = self.pods.iter().position(|pod| pod.uid == uid) {
            let pod = self.pods.swap_remove(index);
            self.requested.subtract(&pod.requests);
            self.assumed_requested.subtract(&pod.assumed_requests);
        }
    }
}

/// The state of the cluster at the start of a cycle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<Arc<NodeInfo>>,
    pub(crate) namespaces: Arc<BTreeMap<String, BTreeMap<String, String>>>,
}

/// Kept current by the informers.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// Where each pod is, by UID.
    places: HashMap<String, String>,
    namespaces: Arc<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Cache {
    pub(crate) fn snapshot(&self) -> Snapshot {
        // Pods may be known before their node is; such a node is no candidate.
        let nodes = self.nodes.values().filter(|info| info.node.metadata.name.is_some());
        Snapshot {
            nodes: nodes.cloned().collect(),
            namespaces: self.namespaces.clone(),
        }
    }

    pub(crate) fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let info = Arc::make_mut(self.nodes.entry(name.clone()).or_default());
        info.allocatable = Resources::parse(node.status.as_ref().and_then(|status| status.allocatable.as_ref()));
        info.name = name;
        info.node = node;
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some(entry) = self.nodes.get_mut(name) {
            let info = Arc::make_mut(entry);
            info.node = Arc::default();
            if info.pods.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Puts a pod on its node; one that is there already, for example because it was assumed, is replaced.
    pub(crate) fn put_pod(&mut self, pod: Arc<PodInfo>) {
        self.remove_pod(&pod.uid);
        self.places.insert(pod.uid.clone(), pod.node.clone());
        let entry = self.nodes.entry(pod.node.clone()).or_default();
        Arc::make_mut(entry).add(pod);
    }

    pub(crate) fn remove_pod(&mut self, uid: &str) {
        let Some(node) = self.places.remove(uid) else { return };
        if let Some(entry) = self.nodes.get_mut(&node) {
            let info = Arc::make_mut(entry);
            info.remove(uid);
            if info.pods.is_empty() && info.node.metadata.name.is_none() {
                self.nodes.remove(&node);
            }
        }
    }

    pub(crate) fn has_pod(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    pub(crate) fn set_namespace(&mut self, name: String, labels: Option<BTreeMap<String, String>>) {
        let namespaces = Arc::make_mut(&mut self.namespaces);
        match labels {
            Some(labels) => namespaces.insert(name, labels),
            None => namespaces.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(uid: u8, node: u8, cpu: i64) -> Arc<PodInfo> {
        let requests = Resources([("cpu".to_owned(), cpu)].into());
        Arc::new(PodInfo {
            uid: format!("u{uid}"),
            node: format!("n{node}"),
            requests,
            ..PodInfo::default()
        })
    }

    proptest! {
        /// The running sums always equal the sum over the pods, and a pod is on one node only.
        #[test]
        fn sums_never_drift(steps in prop::collection::vec((0..6u8, 0..3u8, 0..100i64, any::<bool>()), 0..60)) {
            let mut cache = Cache::default();
            for (uid, node, cpu, remove) in steps {
                if remove { cache.remove_pod(&format!("u{uid}")) } else { cache.put_pod(pod(uid, node, cpu)) }
            }
            let mut seen = std::collections::HashSet::new();
            for info in cache.nodes.values() {
                let sum: i64 = info.pods.iter().map(|pod| pod.requests.get("cpu")).sum();
                prop_assert_eq!(info.requested.get("cpu"), sum);
                for pod in &info.pods {
                    prop_assert!(seen.insert(pod.uid.clone()));
                }
            }
            prop_assert_eq!(seen.len(), cache.places.len());
        }
    }
}
