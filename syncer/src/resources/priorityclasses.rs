//! PriorityClasses: copies of the virtual cluster's on the host, or the host's as they are.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied};
use super::mirrored::{self, Mirrored, PLAIN};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::Reference;
use crate::world::World;

/// The highest priority that users may give; above are the system's.
pub(super) const HIGHEST: i64 = 1_000_000_000;
/// The classes that every cluster has.
pub(super) const SYSTEM: &[&str] = &["system-node-critical", "system-cluster-critical"];

pub(super) fn plan_copy(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        initial: |_, object| {
            let mut fields = copied::fields(object, &["preemptionPolicy"]);
            fields.insert("value".to_owned(), json!(value(object)));
            // Pods of others on the host are none of ours.
            fields.insert("globalDefault".to_owned(), json!(false));
            fields
        },
        // Nothing else of a class can change.
        wanted: |_, object, _| copied::fields(object, &["description"]),
        actual: |host| copied::fields(host, &["description"]),
        ..BARE
    };
    copied::plan(world, item, &copied)
}

fn value(object: &Value) -> i64 {
    json::integer(object, &["value"]).unwrap_or_default().min(HIGHEST)
}

pub(super) fn plan_mirror(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["description"],
        fixed: &["value", "globalDefault", "preemptionPolicy"],
        exempt: SYSTEM,
        ..PLAIN
    };
    mirrored::plan(world, item, &mirrored)
}
