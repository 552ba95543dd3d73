//! ConfigMaps and Secrets: on the host only while something there needs them.

use serde_json::{Map, Value};

use super::pair::{self, Pair};
use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::Side;
use crate::names::{Reference, keys, reconcile_metadata};
use crate::world::World;

/// What differs between the two kinds.
pub(super) struct Content {
    /// Top-level fields that are kept equal.
    pub fields: &'static [&'static str],
    /// Top-level fields that only a new object gets, because they cannot change.
    pub initial: &'static [&'static str],
    /// Whether every object is synced.
    pub all: bool,
    /// Changes the content for the host.
    pub convert: fn(&mut Map<String, Value>),
}

/// Decides about one ConfigMap or Secret.
pub(super) fn plan(world: &World, item: &Reference, content: &Content) -> Plan {
    match pair::load(world, item) {
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Replaced(_, host) | Pair::Host(host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if is_used(world, item, &object, content) && !pair::is_deleting(&object) => {
            create(world, item, &object, content)
        }
        Pair::Virtual(_) => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Both(object, host) => {
            if pair::is_deleting(&object) || !is_used(world, item, &object, content) {
                return pair::delete(Side::Host, item, &host);
            }
            update(world, item, &object, &host, content)
        }
    }
}

fn is_used(world: &World, item: &Reference, object: &Value, content: &Content) -> bool {
    content.all
        || json::text(object, &["metadata", "annotations", keys::FORCE_SYNC]) == "true"
        || world.mappings().is_referenced(item)
}

fn wanted(object: &Value, fields: &[&str], convert: fn(&mut Map<String, Value>)) -> Map<String, Value> {
    let mut wanted: Map<String, Value> = fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), object.get(*field)?.clone())))
        .collect();
    convert(&mut wanted);
    wanted
}

fn create(world: &World, item: &Reference, object: &Value, content: &Content) -> Plan {
    let gvk = item.kind.gvk();
    let mapping = pair::mapping(world, item);
    let mut host = wanted(object, content.fields, content.convert);
    host.extend(wanted(object, content.initial, content.convert));
    let source = pair::source(world, &gvk, &mapping.host.name, object, &[]);
    pair::create_copy(world, item, &mapping, &source, host)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value, content: &Content) -> Plan {
    let gvk = item.kind.gvk();
    let name = &pair::key_of(host).name;
    // What cannot change any more has to be made anew.
    if json::flag(host, &["immutable"]) == Some(true)
        && wanted(object, content.fields, content.convert) != wanted(host, content.fields, |_| ())
    {
        return pair::delete(Side::Host, item, host);
    }
    let change = reconcile_metadata(&pair::source(world, &gvk, name, object, &[]), host);
    let target = Value::Object(wanted(object, content.fields, content.convert));
    let actual = Value::Object(wanted(host, content.fields, |_| ()));
    let down = pair::patch_step(Side::Host, item, host, change.host, json::merge_diff(&actual, &target));
    let up = pair::patch_step(Side::Virtual, item, object, change.virtual_, None);
    Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::nothing()
    }
    .and(down)
    .and(up)
}
