//! Which objects belong to which node (kubernetes `plugin/pkg/auth/authorizer/node/graph.go`): a pod leads to the node it
//! runs on, what it uses leads to it, and a volume leads to its claim.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What can belong to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A pod.
    Pod,
    /// A volume claim.
    Claim,
    /// A resource claim.
    ResourceClaim,
    /// A resource slice.
    ResourceSlice,
    /// A secret.
    Secret,
    /// A service account.
    ServiceAccount,
    /// A persistent volume.
    Volume,
    /// An attachment of a volume.
    VolumeAttachment,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vertex {
    kind: Kind,
    namespace: Box<str>,
    name: Box<str>,
}

impl Vertex {
    /// An object; no namespace for cluster-scoped kinds.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Vertex {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// What an object leads to.
#[derive(Debug)]
pub enum Target {
    /// To a node.
    Node(String),
    /// To another object.
    Vertex(Vertex),
}

/// An object that was seen.
#[derive(Debug, Default)]
struct Seen {
    node: Option<Box<str>>,
    /// The objects that lead to others because of this one: from, to.
    edges: Vec<(Arc<Vertex>, Arc<Vertex>)>,
}

/// Relations between objects and nodes.
#[derive(Debug, Default)]
pub struct Graph {
    edges: HashMap<Arc<Vertex>, HashSet<Arc<Vertex>>>,
    seen: HashMap<Arc<Vertex>, Seen>,
}

impl Graph {
    /// Takes note of an object that leads to `target`, and that all of `used` lead to; replaces what it was before.
    pub fn set(&mut self, object: Vertex, target: Target, used: Vec<Vertex>) {
        self.remove(&object);
        let object = Arc::new(object);
        let mut seen = Seen::default();
        match target {
            Target::Node(node) => seen.node = Some(node.into()),
            Target::Vertex(to) => seen.edges.push((object.clone(), Arc::new(to))),
        }
        let used = used.into_iter().map(|from| (Arc::new(from), object.clone()));
        seen.edges.extend(used);
        for (from, to) in &seen.edges {
            self.edges.entry(from.clone()).or_default().insert(to.clone());
        }
        self.seen.insert(object, seen);
    }

    /// Forgets an object.
    pub fn remove(&mut self, object: &Vertex) {
        let Some(seen) = self.seen.remove(object) else { return };
        for (from, to) in seen.edges {
            if let Some(targets) = self.edges.get_mut(&from) {
                targets.remove(&to);
                if targets.is_empty() {
                    self.edges.remove(&from);
                }
            }
        }
    }

    /// Whether an object leads to a node. Kinds only ever lead to others in the order secret, volume, claim, pod, so that
    /// the way is short.
    pub fn leads_to(&self, object: &Vertex, node: &str) -> bool {
        let own = self.seen.get(object).and_then(|seen| seen.node.as_deref());
        let mut targets = self.edges.get(object).into_iter().flatten();
        own == Some(node) || targets.any(|target| self.leads_to(target, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_lead_to_nodes_over_others() {
        let mut graph = Graph::default();
        let pod = |name: &str| Vertex::new(Kind::Pod, "n", name);
        let secret = |name: &str| Vertex::new(Kind::Secret, "n", name);
        let claim = || Vertex::new(Kind::Claim, "n", "c");
        let volume = || Vertex::new(Kind::Volume, "", "v");
        let on = |node: &str| Target::Node(node.to_owned());
        graph.set(pod("a"), on("one"), vec![secret("s"), claim()]);
        graph.set(pod("b"), on("two"), vec![secret("s")]);
        graph.set(volume(), Target::Vertex(claim()), vec![secret("driver")]);
        for (object, one, two) in [
            (pod("a"), true, false),
            (secret("s"), true, true),
            (secret("driver"), true, false),
            (volume(), true, false),
            (secret("other"), false, false),
        ] {
            assert_eq!(
                (graph.leads_to(&object, "one"), graph.leads_to(&object, "two")),
                (one, two),
                "{object:?}"
            );
        }
        graph.remove(&pod("a"));
        assert!(!graph.leads_to(&secret("s"), "one") && !graph.leads_to(&volume(), "one"));
        assert!(graph.leads_to(&secret("s"), "two"));
        graph.remove(&pod("b"));
        graph.remove(&volume());
        assert!(graph.edges.is_empty() && graph.seen.is_empty());
    }
}
