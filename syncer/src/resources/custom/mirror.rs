//! Custom resources of the host, without namespaces, that the virtual cluster shows. Who changes the virtual object gets it
//! back as it was.

use serde_json::{Value, json};

use super::content;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::Side;
use crate::names::Reference;
use crate::resources::pair;
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let name = item.key.name.as_str();
    let find = |side| world.side(side).get(item.kind, "", name).map(|object| object.value());
    match (find(Side::Host), find(Side::Virtual)) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) => pair::delete(Side::Virtual, item, &actual),
        (Some(host), None) => Plan::step(Step::Create {
            side: Side::Virtual,
            kind: item.kind,
            object: shown(item, &host),
        }),
        (Some(_), Some(actual)) if pair::is_deleting(&actual) => Plan::nothing(),
        (Some(host), Some(actual)) => update(world, item, &actual, &host),
    }
}

fn metadata(object: &Value) -> Value {
    let strings = |map| json!(json::strings(object, &["metadata", map]));
    json!({"labels": strings("labels"), "annotations": strings("annotations")})
}

/// The host's object without what ties it to the host.
fn shown(item: &Reference, host: &Value) -> Value {
    let mut object = Value::Object(content(host));
    object["apiVersion"] = item.kind.api_version().into();
    object["kind"] = item.kind.name().into();
    object["metadata"] = metadata(host);
    object["metadata"]["name"] = item.key.name.as_str().into();
    object
}

fn update(world: &World, item: &Reference, actual: &Value, host: &Value) -> Plan {
    let content = |object| Value::Object(content(object));
    let metadata = json::merge_diff(&metadata(actual), &metadata(host));
    let rest = json::merge_diff(&content(actual), &content(host));
    Plan::nothing()
        .and(pair::patch_step(Side::Virtual, item, actual, metadata, rest))
        .and(pair::status_step(world, item, actual, host))
}
