//! CSIStorageCapacities of the host, which say where there is room for volumes of a class. They lie in any namespace there,
//! and all in one here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::copied::fields;
use super::imports::metadata;
use super::pair;
use crate::clusters::Change;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim, keys, safe_concat};
use crate::object::ObjectKey;
use crate::world::World;

const NAMESPACE: &str = "kube-system";
/// Fields that can change.
const CHANGING: &[&str] = &["capacity", "maximumVolumeSize"];
/// Fields that cannot.
const FIXED: &[&str] = &["nodeTopology", "storageClassName"];

/// The host's object behind each virtual name.
#[derive(Debug, Default)]
pub struct Capacities {
    names: Mutex<BTreeMap<String, ObjectKey>>,
}

impl Capacities {
    /// Notes a change on the host; returns the virtual object that it concerns.
    pub fn observe(&self, change: &Change) -> Vec<Reference> {
        let Some(object) = change.object() else {
            return Vec::new();
        };
        let host = object.key();
        let name = safe_concat(&[&host.name, "x", &host.namespace]);
        let item = Reference::new(Kind::CsiStorageCapacity, NAMESPACE, &name);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match change.new {
            Some(_) => names.insert(name, host.clone()),
            None => names.remove(&name),
        };
        vec![item]
    }

    /// The host's object behind a virtual one.
    pub(super) fn of_host(&self, world: &World, item: &Reference) -> Option<Value> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let key = names.get(&item.key.name)?;
        Some(world.host.get(item.kind, &key.namespace, &key.name)?.value())
    }
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    if item.key.namespace != NAMESPACE {
        return Plan::nothing();
    }
    let actual = world
        .virtual_side
        .get(item.kind, NAMESPACE, &item.key.name)
        .map(|object| object.value());
    let host = world.capacities.of_host(world, item);
    match (host.and_then(|host| copy(world, item, &host)), actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) if !is_copy(&actual) => Plan::nothing(),
        (None, Some(actual)) => pair::delete(Side::Virtual, item, &actual),
        (Some(copy), None) => Plan::step(Step::Create {
            side: Side::Virtual,
            kind: item.kind,
            object: copy,
        }),
        (Some(_), Some(actual)) if pair::is_deleting(&actual) || !is_copy(&actual) => Plan::nothing(),
        (Some(copy), Some(actual)) if fields(&copy, FIXED) != fields(&actual, FIXED) => {
            pair::delete(Side::Virtual, item, &actual)
        }
        (Some(copy), Some(actual)) => {
            let content = |object: &Value| Value::Object(fields(object, CHANGING));
            let content = json::merge_diff(&content(&actual), &content(&copy));
            Plan::nothing().and(pair::patch_step(Side::Virtual, item, &actual, None, content))
        }
    }
}

fn is_copy(object: &Value) -> bool {
    !json::text(object, &["metadata", "annotations", keys::OBJECT_NAME]).is_empty()
}

/// What the virtual cluster should have of a capacity; nothing when it is about classes or nodes that it does not know.
fn copy(world: &World, item: &Reference, host: &Value) -> Option<Value> {
    let mut copy = fields(host, CHANGING);
    copy.extend(fields(host, FIXED));
    if world.settings.to_host.contains(&Kind::StorageClass) {
        let class = world
            .host
            .get(Kind::StorageClass, "", json::text(host, &["storageClassName"]))?;
        let Claim::Ours { name, .. } = claim(&world.names, &Kind::StorageClass.gvk(), &class.value()) else {
            return None;
        };
        copy.insert("storageClassName".to_owned(), json!(name));
        if let Some(topology) = host.get("nodeTopology").filter(|topology| topology.is_object()) {
            let selector = Selector::of(Some(topology));
            let mut nodes = world.virtual_side.of(Kind::Node).list().into_iter();
            nodes.find(|node| selector.matches_labels(json::at(&node.value(), &["metadata", "labels"])))?;
        }
    }
    let key = pair::key_of(host);
    let mut metadata = Value::Object(metadata(host));
    metadata["name"] = json!(item.key.name);
    metadata["namespace"] = json!(NAMESPACE);
    metadata["annotations"][keys::OBJECT_NAME] = json!(key.name);
    metadata["annotations"][keys::OBJECT_NAMESPACE] = json!(key.namespace);
    copy.insert("apiVersion".to_owned(), json!(item.kind.api_version()));
    copy.insert("kind".to_owned(), json!(item.kind.name()));
    copy.insert("metadata".to_owned(), metadata);
    Some(Value::Object(copy))
}

/// The copies to look at again when a node comes or goes: a capacity is shown only where there are nodes for it.
pub(super) fn of_nodes(world: &World) -> Vec<Reference> {
    if !world.settings.to_host.contains(&Kind::StorageClass) {
        return Vec::new();
    }
    let names = world.capacities.names.lock().unwrap_or_else(PoisonError::into_inner);
    names
        .keys()
        .map(|name| Reference::new(Kind::CsiStorageCapacity, NAMESPACE, name))
        .collect()
}
