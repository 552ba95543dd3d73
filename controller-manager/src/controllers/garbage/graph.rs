//! Who owns whom, as far as the watches have shown it (`pkg/controller/garbagecollector/graph_builder.go`). Pure: every
//! change returns what has to be looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

pub(crate) type Uid = Arc<str>;

/// Group and kind; the version does not matter for what an object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupKind {
    pub(crate) group: String,
    pub(crate) kind: String,
}

impl GroupKind {
    pub(crate) fn of(reference: &OwnerReference) -> Self {
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        Self {
            group: group.to_owned(),
            kind: reference.kind.clone(),
        }
    }
}

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: Arc<GroupKind>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Uid,
}

/// An owner as its dependent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    uid: Uid,
    blocks: bool,
}

#[derive(Debug)]
struct Node {
    identity: Identity,
    owners: Vec<Owner>,
    dependents: HashSet<Uid>,
    deleting: bool,
    /// Waits for its dependents to be deleted.
    foreground: bool,
    /// Waits for its dependents to be orphaned.
    orphaning: bool,
    /// Known from references only; may not exist.
    is_virtual: bool,
}

/// What has to be done after a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Todo {
    /// Find out whether the object may stay.
    Examine(Uid),
    /// Take the object out of its dependents' owner references.
    Orphan(Uid),
}

/// What a decision about one object needs to know of it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) identity: Identity,
    pub(crate) deleting: bool,
    pub(crate) foreground: bool,
    pub(crate) is_virtual: bool,
    pub(crate) dependents: Vec<Uid>,
    /// Dependents that hold its deletion up.
    pub(crate) blocking: Vec<Uid>,
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: HashMap<Uid, Node>,
}

impl Graph {
    /// An object was seen. `scope` tells whether a kind is namespaced; an unknown one is taken for namespaced.
    pub(crate) fn observe(
        &mut self,
        kind: &Arc<GroupKind>,
        meta: &ObjectMeta,
        namespaced: impl Fn(&GroupKind) -> bool,
    ) -> Vec<Todo> {
        let Some(uid) = meta.uid.as_deref().map(Uid::from) else {
            return Vec::new();
        };
        let mut todo = Vec::new();
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|one| one == finalizer);
        let deleting = meta.deletion_timestamp.is_some();
        let identity = Identity {
            kind: kind.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: uid.clone(),
        };
        let references = meta.owner_references.as_deref().unwrap_or_default();
        let owners: Vec<Owner> = references
            .iter()
            .map(|reference| Owner {
                uid: reference.uid.as_str().into(),
                blocks: reference.block_owner_deletion == Some(true),
            })
            .collect();
        let foreground = deleting && has(FOREGROUND);
        let orphaning = deleting && has(ORPHAN);

        let node = self
            .nodes
            .entry(uid.clone())
            .or_insert_with(|| Node::known_by_name(identity.clone()));
        let before = std::mem::replace(&mut node.owners, owners.clone());
        let starts_foreground = foreground && !node.foreground;
        let starts_orphaning = orphaning && !node.orphaning;
        node.identity = identity.clone();
        node.is_virtual = false;
        (node.deleting, node.foreground, node.orphaning) = (deleting, foreground, orphaning);
        if starts_orphaning {
            todo.push(Todo::Orphan(uid.clone()));
        }
        if starts_foreground {
            todo.extend(node.dependents.iter().cloned().map(Todo::Examine));
            todo.push(Todo::Examine(uid.clone()));
        }

        for old in &before {
            match owners.iter().find(|owner| owner.uid == old.uid) {
                None => self.unlink(&uid, &old.uid, &mut todo),
                // No longer in the way of its owner's deletion.
                Some(now) if old.blocks && !now.blocks => todo.extend(self.waiting(&old.uid)),
                Some(_) => {}
            }
        }
        for (owner, reference) in owners.iter().zip(references) {
            let kind = GroupKind::of(reference);
            let namespace = if namespaced(&kind) {
                identity.namespace.clone()
            } else {
                String::new()
            };
            let target = self.nodes.entry(owner.uid.clone()).or_insert_with(|| {
                // Nobody has shown this owner: it is either still to come or long gone.
                todo.push(Todo::Examine(owner.uid.clone()));
                let name = reference.name.clone();
                Node::known_by_name(Identity {
                    kind: Arc::new(kind),
                    namespace,
                    name,
                    uid: owner.uid.clone(),
                })
            });
            let is_new = target.dependents.insert(uid.clone());
            if is_new && target.foreground {
                todo.push(Todo::Examine(uid.clone()));
            }
        }
        todo
    }

    /// An object is gone.
    pub(crate) fn forget(&mut self, uid: &str) -> Vec<Todo> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let mut todo: Vec<Todo> = node.dependents.into_iter().map(Todo::Examine).collect();
        for owner in &node.owners {
            self.unlink(&node.identity.uid, &owner.uid, &mut todo);
        }
        todo
    }

    /// Everything known of a kind but these is gone; for a list that replaces what was known before.
    pub(crate) fn retain(&mut self, kind: &GroupKind, seen: &HashSet<Uid>) -> Vec<Todo> {
        let gone: Vec<Uid> = self
            .nodes
            .values()
            .filter(|node| !node.is_virtual && *node.identity.kind == *kind && !seen.contains(&node.identity.uid))
            .map(|node| node.identity.uid.clone())
            .collect();
        gone.iter().flat_map(|uid| self.forget(uid)).collect()
    }

    pub(crate) fn view(&self, uid: &str) -> Option<View> {
        let node = self.nodes.get(uid)?;
        let blocks = |dependent: &&Uid| {
            self.nodes
                .get(*dependent)
                .is_some_and(|dependent| dependent.owners.iter().any(|owner| *owner.uid == *uid && owner.blocks))
        };
        Some(View {
            identity: node.identity.clone(),
            deleting: node.deleting,
            foreground: node.foreground,
            is_virtual: node.is_virtual,
            dependents: node.dependents.iter().cloned().collect(),
            blocking: node.dependents.iter().filter(blocks).cloned().collect(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn unlink(&mut self, dependent: &Uid, owner: &Uid, todo: &mut Vec<Todo>) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.dependents.remove(dependent);
            if node.is_virtual && node.dependents.is_empty() {
                self.nodes.remove(owner);
                return;
            }
        }
        todo.extend(self.waiting(owner));
    }

    /// An owner that waits for its dependents has to be looked at when there is one less.
    fn waiting(&self, owner: &Uid) -> Option<Todo> {
        self.nodes
            .get(owner)
            .filter(|node| node.foreground)
            .map(|_| Todo::Examine(owner.clone()))
    }
}

impl Node {
    fn known_by_name(identity: Identity) -> Self {
        Self {
            identity,
            owners: Vec::new(),
            dependents: HashSet::new(),
            deleting: false,
            foreground: false,
            orphaning: false,
            is_virtual: true,
        }
    }
}
