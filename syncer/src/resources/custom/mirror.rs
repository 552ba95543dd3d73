//! Custom resources of the host that the virtual cluster shows. Who changes the virtual object gets it back as it was.

use serde_json::{Value, json};

use super::content;
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::Side;
use crate::names::Reference;
use crate::patches::{Rewriting, Way};
use crate::resources::{Direction, pair};
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    decide(world, item).unwrap_or_else(Plan::refuse)
}

fn decide(world: &World, item: &Reference) -> Result<Plan, Note> {
    let name = item.key.name.as_str();
    let find = |side| world.side(side).get(item.kind, "", name).map(|object| object.value());
    match (find(Side::Host), find(Side::Virtual)) {
        (None, None) => Ok(Plan::nothing()),
        (None, Some(actual)) => Ok(pair::delete(Side::Virtual, item, &actual)),
        (Some(host), actual) => {
            let mut shown = shown(item, &host);
            if let Some(rewriting) = Rewriting::of(world, item, Direction::FromHost) {
                rewriting.rewrite(Way::Forward, &mut shown)?;
            }
            Ok(match actual {
                None => Plan::step(Step::Create {
                    side: Side::Virtual,
                    kind: item.kind,
                    object: shown,
                }),
                Some(actual) if pair::is_deleting(&actual) => Plan::nothing(),
                Some(actual) => update(item, &actual, &shown),
            })
        }
    }
}

/// The host's object without what ties it to the host.
fn shown(item: &Reference, host: &Value) -> Value {
    let mut object = host.clone();
    let strings = |map| json!(json::strings(host, &["metadata", map]));
    object["apiVersion"] = item.kind.api_version().into();
    object["kind"] = item.kind.name().into();
    object["metadata"] = json!({
        "name": item.key.name, "labels": strings("labels"), "annotations": strings("annotations"),
    });
    object
}

fn update(item: &Reference, actual: &Value, shown: &Value) -> Plan {
    let metadata = |object| {
        let strings = |map| json!(json::strings(object, &["metadata", map]));
        json!({"labels": strings("labels"), "annotations": strings("annotations")})
    };
    let metadata = json::merge_diff(&metadata(actual), &metadata(shown));
    let rest = json::merge_diff(&content(actual), &content(shown));
    Plan::nothing()
        .and(pair::patch_step(Side::Virtual, item, actual, metadata, rest))
        .and(pair::status_step(item, actual, shown))
}
