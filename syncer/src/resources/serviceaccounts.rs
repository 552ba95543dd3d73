//! Service accounts, to the host: names for pods to run under. What they may do there is the host's business, so no token
//! and no Secret goes with them.

use serde_json::json;

use super::copied::{self, BARE, Copied, Fields};
use crate::engine::plan::Plan;
use crate::names::Reference;
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        initial: |_, _| Fields::from_iter([("automountServiceAccountToken".to_owned(), json!(false))]),
        ..BARE
    };
    copied::plan(world, item, &copied)
}
