//! Kinds of which the host has plain copies: some fields follow the virtual object, some come back.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::pair::{self, Pair};
use super::{ownership, usable};
use crate::engine::plan::{Note, Plan};
use crate::json::{self, Strings};
use crate::kinds::Side;
use crate::names::{Mapping, Reference, Source, reconcile_metadata};
use crate::world::World;

/// Top-level fields of an object, without its metadata.
pub(super) type Fields = Map<String, Value>;

/// What differs between kinds.
pub(super) struct Copied {
    /// Annotations that stay where they are.
    pub excluded: &'static [&'static str],
    /// Gives the annotations of an object the form that they have on the host.
    pub annotations: fn(&World, &Value, &mut Strings),
    /// Labels that only the host object has, or that mean something else there.
    pub labels: fn(&World, &Value) -> Strings,
    /// What the host object should have of the fields that follow the virtual one, given the host object if it is there.
    pub wanted: fn(&World, &Value, Option<&Value>) -> Fields,
    /// What a host object has of these fields.
    pub actual: fn(&Value) -> Fields,
    /// What a new host object has besides, or instead, because it cannot change.
    pub initial: fn(&World, &Value) -> Fields,
    /// What the virtual object takes over from the host's, as a merge patch.
    pub up: fn(&World, &Value, &Value) -> Option<Value>,
    /// What of the host's status the virtual object shows.
    pub status: Option<fn(&World, &Value) -> Option<Value>>,
    /// The objects that it uses, which are synced for that.
    pub references: fn(&World, &Value) -> BTreeSet<Reference>,
    /// Why an object is not synced.
    pub refusal: fn(&World, &Value) -> Option<Note>,
    /// Whether a new object takes over the copy of an earlier one of its name.
    pub inherits: bool,
}

/// A kind of which nothing but metadata is copied.
pub(super) const BARE: Copied = Copied {
    excluded: &[],
    annotations: |_, _, _| (),
    labels: |_, _| Strings::new(),
    wanted: |_, _, _| Fields::new(),
    actual: |_| Fields::new(),
    initial: |_, _| Fields::new(),
    up: |_, _, _| None,
    status: None,
    references: |_, _| BTreeSet::new(),
    refusal: |_, _| None,
    inherits: false,
};

/// The host's status as it is.
pub(super) fn whole_status(_: &World, host: &Value) -> Option<Value> {
    host.get("status").cloned()
}

/// Some top-level fields of an object, those that are there.
pub(super) fn fields(object: &Value, names: &[&str]) -> Fields {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), object.get(*name)?.clone())))
        .collect()
}

/// Decides about one object.
pub(super) fn plan(world: &World, item: &Reference, copied: &Copied) -> Plan {
    let pair = pair::load(world, item);
    if !item.kind.is_namespaced() && world.is_ending() {
        return match pair {
            Pair::Host(host) | Pair::Both(_, host) | Pair::Replaced(_, host) => pair::delete(Side::Host, item, &host),
            Pair::Virtual(_) | Pair::Taken(_) | Pair::Nothing => Plan::nothing(),
        };
    }
    match pair {
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Host(host) => pair::delete(Side::Host, item, &host),
        Pair::Replaced(_, host) if !copied.inherits => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if pair::is_deleting(&object) => Plan::nothing(),
        Pair::Virtual(object) => match obstacles(world, item, &object, copied) {
            Some(obstacles) => obstacles,
            None => create(world, item, &object, copied),
        },
        Pair::Both(object, host) | Pair::Replaced(object, host) => {
            if pair::is_deleting(&object) {
                pair::delete(Side::Host, item, &host)
            } else if let Some(obstacles) = obstacles(world, item, &object, copied) {
                obstacles
            } else {
                update(world, item, &object, &host, copied)
            }
        }
    }
}

/// What has to happen before an object is synced; `None` when nothing has to.
fn obstacles(world: &World, item: &Reference, object: &Value, copied: &Copied) -> Option<Plan> {
    if let Some(note) = (copied.refusal)(world, object) {
        return Some(Plan::refuse(note));
    }
    let references = (copied.references)(world, object);
    let obstacles = usable::obstacles(world, &references)?;
    Some(Plan {
        // What it uses is not synced before that is known.
        mapping: Some(mapping(world, item, object, copied)),
        ..obstacles
    })
}

fn mapping(world: &World, item: &Reference, object: &Value, copied: &Copied) -> Mapping {
    let references = (copied.references)(world, object);
    Mapping {
        references: references
            .into_iter()
            .map(|target| {
                let host = world.host_key(target.kind, &target.key.namespace, &target.key.name);
                (target, host)
            })
            .collect(),
        ..pair::mapping(world, item)
    }
}

/// The object with the annotations that the host should see.
fn seen(world: &World, object: &Value, copied: &Copied) -> Value {
    let mut seen = object.clone();
    let mut annotations = json::strings(object, &["metadata", "annotations"]);
    (copied.annotations)(world, object, &mut annotations);
    if let Some(metadata) = json::object_mut(&mut seen, "metadata") {
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    seen
}

fn create(world: &World, item: &Reference, object: &Value, copied: &Copied) -> Plan {
    let gvk = item.kind.gvk();
    let mapping = mapping(world, item, object, copied);
    let seen = seen(world, object, copied);
    let source = Source {
        host_labels: (copied.labels)(world, object),
        ..pair::source(world, &gvk, &mapping.host.name, &seen, copied.excluded)
    };
    let mut content = (copied.wanted)(world, object, None);
    content.extend((copied.initial)(world, object));
    let notes = ownership::fit_fields(world, item.kind, &mut content);
    let plan = pair::create_copy(world, item, &mapping, &source, content);
    notes.into_iter().fold(plan, Plan::note)
}

fn update(world: &World, item: &Reference, object: &Value, host: &Value, copied: &Copied) -> Plan {
    let gvk = item.kind.gvk();
    let name = &pair::key_of(host).name;
    let seen = seen(world, object, copied);
    let source = Source {
        host_labels: (copied.labels)(world, object),
        ..pair::source(world, &gvk, name, &seen, copied.excluded)
    };
    let change = reconcile_metadata(&source, host);
    let (actual, mut wanted) = ((copied.actual)(host), (copied.wanted)(world, object, Some(host)));
    // The owner was told when the copy was made.
    ownership::fit_fields(world, item.kind, &mut wanted);
    let content = json::merge_diff(&Value::Object(actual), &Value::Object(wanted));
    let down = pair::patch_step(Side::Host, item, host, change.host, content);
    let mut up = json!({});
    json::put(&mut up, "metadata", change.virtual_);
    if let Some(more) = (copied.up)(world, object, host) {
        json::merge_patch(&mut up, &more);
    }
    let metadata = up.as_object_mut().and_then(|up| up.remove("metadata"));
    let up = pair::patch_step(Side::Virtual, item, object, metadata.filter(|m| !m.is_null()), Some(up));
    let status = copied.status.and_then(|status| {
        let mut shown = host.clone();
        json::put(&mut shown, "status", status(world, host));
        pair::status_step(world, item, object, &shown)
    });
    Plan {
        mapping: Some(mapping(world, item, object, copied)),
        ..Plan::nothing()
    }
    .and(down)
    .and(up)
    .and(status)
}
