//! StorageClasses: copies of the virtual cluster's on the host, or the host's as they are.

use super::copied::{self, BARE, Copied};
use super::mirrored::{self, Mirrored, PLAIN};
use crate::engine::plan::Plan;
use crate::names::Reference;
use crate::world::World;

/// Fields of a class that can change.
const CHANGING: &[&str] = &["mountOptions", "allowVolumeExpansion", "allowedTopologies"];
/// Fields that cannot.
const FIXED: &[&str] = &["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"];

pub(super) fn plan_copy(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        // The default class of the host is the host's choice.
        excluded: &["storageclass.kubernetes.io/is-default-class"],
        initial: |_, object| copied::fields(object, FIXED),
        wanted: |_, object, _| copied::fields(object, CHANGING),
        actual: |host| copied::fields(host, CHANGING),
        ..BARE
    };
    copied::plan(world, item, &copied)
}

pub(super) fn plan_mirror(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: CHANGING,
        fixed: FIXED,
        ..PLAIN
    };
    mirrored::plan(world, item, &mirrored)
}
