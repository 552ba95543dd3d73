//! PodDisruptionBudgets, to the host: there pods are evicted when nodes are drained.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::Reference;
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        wanted,
        actual: |host| copied::fields(host, &["spec"]),
        ..BARE
    };
    copied::plan(world, item, &copied)
}

/// The spec, with a selector that selects the same pods and nobody else's.
fn wanted(world: &World, object: &Value, _: Option<&Value>) -> Fields {
    let mut spec = object["spec"].clone();
    if let Some(selector) = spec.get_mut("selector").filter(|selector| !selector.is_null()) {
        *selector = world.names.label_selector_to_host(selector);
        world
            .names
            .restrict(selector, Some(json::text(object, &["metadata", "namespace"])));
    }
    Fields::from_iter([("spec".to_owned(), json!(spec))])
}
