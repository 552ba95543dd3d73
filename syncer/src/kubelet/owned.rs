//! Which virtual object stands behind what the host calls by its own names.

use std::collections::HashMap;

use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, claim};
use crate::world::World;

/// A virtual object and its copy on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// Virtual namespace.
    pub(super) namespace: String,
    /// Virtual name.
    pub(super) name: String,
    /// Uid of the virtual object.
    pub(super) uid: String,
    /// Uid of the host object.
    pub(super) host_uid: String,
}

/// The virtual object behind a host object; `None` for everything that is not a copy of one that exists.
pub(super) fn owned(world: &World, kind: Kind, namespace: &str, name: &str) -> Option<Owned> {
    let host = world.host.get(kind, namespace, name)?;
    let Claim::Ours { namespace, name, .. } = claim(&world.names, &kind.gvk(), &host.value()) else {
        return None;
    };
    let virtual_ = world.virtual_side.get(kind, &namespace, &name)?;
    Some(Owned {
        namespace,
        name,
        uid: virtual_.uid().to_owned(),
        host_uid: host.uid().to_owned(),
    })
}

/// The same for many questions about few objects.
pub(super) struct Owners<'a> {
    world: &'a World,
    known: HashMap<(Kind, String, String), Option<Owned>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self {
            world,
            known: HashMap::new(),
        }
    }

    /// See [`owned`].
    pub(super) fn find(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<&Owned> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let world = self.world;
        self.known
            .entry(key)
            .or_insert_with(|| owned(world, kind, namespace, name))
            .as_ref()
    }
}

/// Whether a virtual pod has a container of this name, of whatever sort.
pub(super) fn has_container(pod: &serde_json::Value, container: &str) -> bool {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let mut containers = lists.iter().flat_map(|list| json::items(pod, &["spec", list]));
    containers.any(|known| json::text(known, &["name"]) == container)
}
