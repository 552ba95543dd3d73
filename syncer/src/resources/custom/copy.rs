//! Custom resources of which the host has copies.
//!
//! The host's controllers may fill in what the virtual object leaves open, so a field that only the host object has is not
//! a difference, until the virtual object changes: then it says anew what there should be. A digest on the host object
//! tells one from the other.

use serde_json::{Map, Value};

use super::content;
use crate::engine::plan::{Note, Plan};
use crate::json;
use crate::kinds::Side;
use crate::names::{Reference, Source, hex_digest, keys, reconcile_metadata};
use crate::patches::{Rewriting, Way};
use crate::resources::Direction;
use crate::resources::pair::{self, Pair};
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let decided = match pair::load(world, item) {
        Pair::Nothing => Ok(Plan {
            forget: true,
            ..Plan::nothing()
        }),
        Pair::Taken(_) => Ok(pair::taken(world, item)),
        Pair::Host(host) | Pair::Replaced(_, host) => Ok(pair::delete(Side::Host, item, &host)),
        Pair::Virtual(object) if pair::is_deleting(&object) => Ok(Plan::nothing()),
        Pair::Virtual(object) => create(world, item, &object),
        Pair::Both(object, host) if pair::is_deleting(&object) => Ok(pair::delete(Side::Host, item, &host)),
        Pair::Both(object, host) => update(world, item, &object, &host),
    };
    decided.unwrap_or_else(Plan::refuse)
}

fn create(world: &World, item: &Reference, object: &Value) -> Result<Plan, Note> {
    let rewriting = Rewriting::of(world, item, Direction::ToHost);
    let seen = seen(rewriting.as_ref(), object)?;
    let mapping = pair::mapping(world, item);
    let gvk = item.kind.gvk();
    let source = source(world, &gvk, &mapping.host.name, object, &seen);
    let mut plan = pair::create_copy(world, item, &mapping, &source, content(&seen));
    refer(&mut plan, rewriting.as_ref());
    Ok(plan)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value) -> Result<Plan, Note> {
    let rewriting = Rewriting::of(world, item, Direction::ToHost);
    let seen = seen(rewriting.as_ref(), object)?;
    let gvk = item.kind.gvk();
    let name = pair::key_of(host).name;
    let source = source(world, &gvk, &name, object, &seen);
    let metadata = reconcile_metadata(&source, host);

    let unchanged = json::text(host, &["metadata", "annotations", keys::APPLIED]) == digest(object);
    let [actual, mut wanted, own] = [host, &seen, object].map(|object| Value::Object(content(object)));
    let mut back = own.clone();
    if unchanged {
        wanted = overlay(&actual, &wanted);
        if let Some(rewriting) = &rewriting {
            for (pointer, value) in rewriting.brought_back(&actual)? {
                // The host's value is taken over, not overwritten.
                put(
                    &mut wanted,
                    &pointer,
                    actual.pointer(&pointer).cloned().unwrap_or_default(),
                );
                put(&mut back, &pointer, value);
            }
        }
    }
    let down = pair::patch_step(
        Side::Host,
        item,
        host,
        metadata.host,
        json::merge_diff(&actual, &wanted),
    );
    let up = json::merge_diff(&own, &back);
    let up = pair::patch_step(Side::Virtual, item, object, metadata.virtual_, up);
    let mut plan = Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::nothing()
    };
    refer(&mut plan, rewriting.as_ref());
    let mut plan = plan.and(down).and(up);
    // Until the host's controllers say something, what stands there is the virtual object's own.
    let told = host
        .get("status")
        .and_then(|_| pair::status_step(world, item, object, host));
    if let Some(status) = told {
        let status = match &rewriting {
            Some(rewriting) => rewriting.step(item, status)?,
            None => Some(status),
        };
        plan = plan.and(status);
    }
    Ok(plan)
}

/// The object as the host should see it.
fn seen(rewriting: Option<&Rewriting<'_>>, object: &Value) -> Result<Value, Note> {
    let mut seen = object.clone();
    if let Some(rewriting) = rewriting {
        rewriting.rewrite(Way::Forward, &mut seen)?;
    }
    Ok(seen)
}

fn source<'a>(world: &'a World, gvk: &'a str, host_name: &'a str, object: &Value, seen: &'a Value) -> Source<'a> {
    Source {
        host_annotations: json::Strings::from([(keys::APPLIED.to_owned(), digest(object))]),
        ..pair::source(world, gvk, host_name, seen, &[keys::APPLIED])
    }
}

fn refer(plan: &mut Plan, rewriting: Option<&Rewriting<'_>>) {
    if let (Some(mapping), Some(rewriting)) = (&mut plan.mapping, rewriting) {
        mapping.references.extend(rewriting.references());
    }
}

fn digest(object: &Value) -> String {
    hex_digest(Value::Object(content(object)).to_string().as_bytes())[..16].to_owned()
}

/// What is wanted, with what only the actual value has.
fn overlay(actual: &Value, wanted: &Value) -> Value {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => {
            let mut all = actual.clone();
            for (key, value) in wanted {
                let value = actual
                    .get(key)
                    .map_or_else(|| value.clone(), |below| overlay(below, value));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(actual), Value::Array(wanted)) if actual.len() >= wanted.len() => {
            let mut all = actual.clone();
            for (slot, value) in all.iter_mut().zip(wanted) {
                *slot = overlay(slot, value);
            }
            Value::Array(all)
        }
        _ => wanted.clone(),
    }
}

/// Sets the value at a JSON pointer; objects on the way are made.
fn put(value: &mut Value, pointer: &str, new: Value) {
    let mut slot = value;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        slot = match slot {
            Value::Object(fields) => fields.entry(token).or_insert(Value::Null),
            Value::Array(items) => match token.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                Some(item) => item,
                None => return,
            },
            _ => return,
        };
    }
    *slot = new;
}
