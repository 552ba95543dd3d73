//! Kinds without a namespace whose objects belong to an object in one: volumes to claims, contents to snapshots.
//!
//! What the host makes for a copy of ours is shown in the virtual cluster under its own name, and is never changed. What
//! somebody makes in the virtual cluster has a copy on the host, under a name of ours. Nothing else is touched.

use serde_json::{Value, json};

use super::copied::{self, Copied};
use super::imports::metadata;
use super::{pair, volumes};
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim};
use crate::world::World;

/// What differs between kinds.
pub(super) struct Bound {
    /// Annotation of a virtual object with the name of the host's object that it shows.
    pub shows: &'static str,
    /// Field of the spec that names the object which it belongs to.
    pub reference: &'static str,
    /// The kind of that object.
    pub owner: Kind,
    /// Gives a shown spec what else it has of its virtual owner.
    pub complete: fn(&mut Value, &Value),
    /// Whether the host's object goes when the tenant deletes what shows it; otherwise it goes with its owner.
    pub goes: fn(&Value) -> bool,
    /// How those that somebody made are copied.
    pub copied: Copied,
}

/// The item of a host object: its virtual name if it is a copy of ours, its own if it may belong to one.
pub(super) fn item(world: &World, kind: Kind, bound: &Bound, host: &Value) -> Option<Reference> {
    match claim(&world.names, &kind.gvk(), host) {
        Claim::Ours { name, .. } => Some(Reference::new(kind, "", &name)),
        Claim::Foreign => {
            let namespace = json::text(host, &["spec", bound.reference, "namespace"]);
            let near = world.holds_copies(namespace);
            near.then(|| Reference::new(kind, "", json::text(host, &["metadata", "name"])))
        }
    }
}

/// The virtual object whose copy a host object belongs to.
pub(super) fn owner(world: &World, bound: &Bound, host: &Value) -> Option<Value> {
    let reference = |field| json::text(host, &["spec", bound.reference, field]);
    let copy = world.host.get(bound.owner, reference("namespace"), reference("name"))?;
    if !reference("uid").is_empty() && reference("uid") != copy.uid() {
        return None;
    }
    match claim(&world.names, &bound.owner.gvk(), &copy.value()) {
        Claim::Ours { namespace, name, .. } => {
            let owner = world.virtual_side.get(bound.owner, &namespace, &name)?;
            Some(owner.value())
        }
        Claim::Foreign => None,
    }
}

/// The reference to a virtual owner.
pub(super) fn reference_to(kind: Kind, owner: &Value) -> Value {
    let key = pair::key_of(owner);
    json!({
        "apiVersion": kind.api_version(), "kind": kind.name(),
        "namespace": key.namespace, "name": key.name, "uid": owner["metadata"]["uid"],
    })
}

/// Decides about one object.
pub(super) fn plan(world: &World, item: &Reference, bound: &Bound) -> Plan {
    let name = item.key.name.as_str();
    let actual = world.virtual_side.get(item.kind, "", name).map(|object| object.value());
    let Some(actual) = actual else {
        return match unshown(world, item, bound) {
            Some((host, owner)) => Plan::step(Step::Create {
                side: Side::Virtual,
                kind: item.kind,
                object: shown(item, bound, &host, &owner),
            }),
            None => copied::plan(world, item, &bound.copied),
        };
    };
    match json::text(&actual, &["metadata", "annotations", bound.shows]) {
        "" => copied::plan(world, item, &bound.copied),
        shows => plan_shown(world, item, bound, &actual, shows),
    }
}

/// The host's object of this name that belongs to a copy of ours, with the virtual owner.
fn unshown(world: &World, item: &Reference, bound: &Bound) -> Option<(Value, Value)> {
    let host = world.host.get(item.kind, "", &item.key.name)?.value();
    let foreign = claim(&world.names, &item.kind.gvk(), &host) == Claim::Foreign;
    let owner = owner(world, bound, &host).filter(|_| foreign && !pair::is_deleting(&host))?;
    Some((host, owner))
}

fn shown_spec(bound: &Bound, host: &Value, owner: &Value) -> Value {
    let mut spec = host["spec"].clone();
    spec[bound.reference] = reference_to(bound.owner, owner);
    (bound.complete)(&mut spec, owner);
    spec
}

fn shown_metadata(bound: &Bound, host: &Value) -> Value {
    let mut metadata = Value::Object(metadata(host));
    metadata["annotations"][bound.shows] = host["metadata"]["name"].clone();
    metadata
}

fn shown(item: &Reference, bound: &Bound, host: &Value, owner: &Value) -> Value {
    let mut metadata = shown_metadata(bound, host);
    metadata["name"] = json!(item.key.name);
    json!({
        "apiVersion": item.kind.api_version(), "kind": item.kind.name(), "metadata": metadata,
        "spec": shown_spec(bound, host, owner),
    })
}

/// What shows an object of the host follows it, and goes when it is gone or belongs to somebody else.
fn plan_shown(world: &World, item: &Reference, bound: &Bound, actual: &Value, shows: &str) -> Plan {
    let host = world.host.get(item.kind, "", shows).map(|object| object.value());
    let owned = host.and_then(|host| {
        let owner = owner(world, bound, &host);
        (owner.is_some() || belonged(world, bound, &host, actual)).then_some((host, owner))
    });
    let Some((host, owner)) = owned else {
        return volumes::remove(item, actual);
    };
    if pair::is_deleting(actual) {
        let step = ((bound.goes)(&host) && !pair::is_deleting(&host))
            .then(|| pair::delete_step(Side::Host, item, &host, None));
        return Plan::nothing().and(step);
    }
    let spec = owner.and_then(|owner| json::merge_diff(&actual["spec"], &shown_spec(bound, &host, &owner)));
    let spec = spec.map(|spec| json!({"spec": spec}));
    let maps = |object: &Value| {
        let map = |name: &str| (name.to_owned(), json!(json::strings(object, &["metadata", name])));
        Value::Object(["labels", "annotations"].map(map).into_iter().collect())
    };
    let metadata = json::merge_diff(&maps(actual), &shown_metadata(bound, &host));
    Plan::nothing()
        .and(pair::patch_step(Side::Virtual, item, actual, metadata, spec))
        .and(pair::status_step(world, item, actual, &host))
}

/// Whether a host object still names the copy of the virtual object that what shows it belongs to, which may be gone.
fn belonged(world: &World, bound: &Bound, host: &Value, actual: &Value) -> bool {
    let of = |object, field| json::text(object, &["spec", bound.reference, field]);
    let key = world.host_key(bound.owner, of(actual, "namespace"), of(actual, "name"));
    !of(actual, "name").is_empty() && of(host, "namespace") == key.namespace && of(host, "name") == key.name
}
