//! Names of Gateways and Services on both sides. A Gateway of the host has the name that its mapping gives it; everything else
//! has the usual one.

use super::imported;
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, claim};
use crate::object::ObjectKey;
use crate::world::World;

/// The name of a virtual object on the host; `None` when its kind, or its namespace, has no copies there.
pub(super) fn to_host(world: &World, kind: Kind, key: &ObjectKey) -> Option<ObjectKey> {
    let source = (kind == Kind::Gateway).then(|| imported::source(world, key)).flatten();
    source.or_else(|| {
        let copied = world.settings.is_copied(kind);
        copied.then(|| world.host_key(kind, &key.namespace, &key.name))
    })
}

/// Whether a virtual name is that of a Gateway of the host.
pub(super) fn is_imported(world: &World, kind: Kind, key: &ObjectKey) -> bool {
    kind == Kind::Gateway && imported::source(world, key).is_some()
}

/// The virtual name of an object of the host.
pub(super) fn to_virtual(world: &World, kind: Kind, host: &ObjectKey) -> Option<ObjectKey> {
    let imported = (kind == Kind::Gateway).then(|| imported::target(world, host)).flatten();
    let copy = || {
        let object = world.host.get(kind, &host.namespace, &host.name)?.value();
        match claim(&world.names, &kind.gvk(), &object) {
            Claim::Ours { namespace, name, .. } => Some(ObjectKey::new(&namespace, &name)),
            Claim::Foreign => None,
        }
    };
    // A status may still name what is gone.
    let recorded = || {
        let mappings = world.mappings();
        let mut pairs = mappings.iter();
        let (item, _) = pairs.find(|(item, mapping)| item.kind == kind && mapping.host == *host)?;
        Some(item.key.clone())
    };
    imported.or_else(copy).or_else(recorded)
}

/// Why a virtual object that others name is not usable on the host yet; `None` when it is.
pub(super) fn missing(world: &World, kind: Kind, key: &ObjectKey, host: &ObjectKey) -> Option<String> {
    let (name, namespace) = (&key.name, &key.namespace);
    let absent = || {
        format!(
            "referenced {kind} {name:?} in namespace {namespace:?} has no synced host object {:?} in namespace {:?}",
            host.name, host.namespace
        )
    };
    if is_imported(world, kind, key) {
        return match imported::find(world, host) {
            imported::Found::Shown(gateway) => deleting(kind, host, &gateway),
            imported::Found::Unselected => Some(foreign(kind, host)),
            imported::Found::Missing | imported::Found::Unknown => Some(absent()),
        };
    }
    let Some(object) = world.host.get(kind, &host.namespace, &host.name) else {
        return Some(absent());
    };
    let object = object.value();
    match claim(&world.names, &kind.gvk(), &object) {
        Claim::Ours { .. } => deleting(kind, host, &object),
        Claim::Foreign => Some(foreign(kind, host)),
    }
}

fn foreign(kind: Kind, host: &ObjectKey) -> String {
    let (name, namespace) = (&host.name, &host.namespace);
    format!("referenced host {kind} {name:?} in namespace {namespace:?} is not managed by vCluster")
}

fn deleting(kind: Kind, host: &ObjectKey, object: &serde_json::Value) -> Option<String> {
    let (name, namespace) = (&host.name, &host.namespace);
    let goes = !json::text(object, &["metadata", "deletionTimestamp"]).is_empty();
    goes.then(|| format!("referenced host {kind} {name:?} in namespace {namespace:?} is being deleted"))
}
