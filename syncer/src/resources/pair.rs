//! A virtual object and its host copy: which of them exist decides what can be done.

use serde_json::Value;

use super::ownership;
use crate::engine::plan::{Awaited, Note, Place, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Mapping, Reference, Source, claim, host_metadata, keys};
use crate::object::ObjectKey;
use crate::world::World;

/// What exists of a pair.
#[derive(Debug)]
pub enum Pair {
    /// Only the virtual object.
    Virtual(Value),
    /// Only the host copy.
    Host(Value),
    /// Both.
    Both(Value, Value),
    /// A virtual object and the host copy of an earlier object of the same name.
    Replaced(Value, Value),
    /// A virtual object whose host name somebody else uses.
    Taken(Value),
    /// Neither, or another controller's.
    Nothing,
}

/// Looks both sides up. Of a kind that is not synced there is nothing.
pub fn load(world: &World, item: &Reference) -> Pair {
    let Reference { kind, key } = item;
    if !world.settings.is_copied(*kind) {
        return Pair::Nothing;
    }
    let virtual_ = world
        .virtual_side
        .get(*kind, &key.namespace, &key.name)
        .map(|object| object.value());
    if virtual_.as_ref().is_some_and(is_excluded) {
        return Pair::Nothing;
    }
    let host_key = world.host_key(*kind, &key.namespace, &key.name);
    let host = world
        .host
        .get(*kind, &host_key.namespace, &host_key.name)
        .map(|object| object.value());
    let owner = host.as_ref().map(|host| claim(&world.names, &kind.gvk(), host));
    match (virtual_, host, owner) {
        (Some(virtual_), None, _) => Pair::Virtual(virtual_),
        (Some(virtual_), Some(host), Some(Claim::Ours { namespace, name, uid })) => {
            if namespace != key.namespace || name != key.name {
                Pair::Taken(virtual_)
            } else if !uid.is_empty() && uid != json::text(&virtual_, &["metadata", "uid"]) {
                Pair::Replaced(virtual_, host)
            } else {
                Pair::Both(virtual_, host)
            }
        }
        (Some(virtual_), Some(_), _) => Pair::Taken(virtual_),
        (None, Some(host), Some(Claim::Ours { namespace, name, .. }))
            if namespace == key.namespace && name == key.name && may_be_deleted(&host) =>
        {
            Pair::Host(host)
        }
        (None, _, _) => Pair::Nothing,
    }
}

/// Whether another controller of the product keeps the object. That of a virtual cluster within this one is none of ours.
fn is_excluded(object: &Value) -> bool {
    if !json::text(object, &["metadata", "labels", keys::MARKER]).is_empty() {
        return false;
    }
    !json::text(object, &["metadata", "labels", keys::CONTROLLED_BY]).is_empty()
        || !json::text(object, &["metadata", "annotations", keys::CONTROLLED_BY]).is_empty()
}

/// A host object without a virtual one is deleted only when it states in full whose copy it is.
fn may_be_deleted(host: &Value) -> bool {
    let annotation = |key| json::text(host, &["metadata", "annotations", key]);
    let namespaced = !key_of(host).namespace.is_empty();
    let stated = |key| !annotation(key).is_empty();
    stated(keys::OBJECT_KIND)
        && stated(keys::OBJECT_HOST_NAME)
        && (stated(keys::OBJECT_HOST_NAMESPACE) || !namespaced)
        && annotation(keys::SKIP_BACKSYNC) != "true"
}

/// The answer to a host name that is taken.
pub fn taken(world: &World, item: &Reference) -> Plan {
    let host = world.host_key(item.kind, &item.key.namespace, &item.key.name);
    Plan::refuse(Note::error(taken_text(item, &host)))
}

/// Says that the host name of an object is in use by an object that is not its copy.
pub fn taken_text(item: &Reference, host: &ObjectKey) -> String {
    format!(
        "Error syncing to host cluster: {} {host} already exists there and does not belong to {}; it is left as it is",
        item.kind, item.key
    )
}

/// The key of an object, as its metadata states it.
pub fn key_of(object: &Value) -> ObjectKey {
    ObjectKey::new(
        json::text(object, &["metadata", "namespace"]),
        json::text(object, &["metadata", "name"]),
    )
}

/// Whether an object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    !json::text(object, &["metadata", "deletionTimestamp"]).is_empty()
}

/// Deletes an object of a pair, unless that has been asked for already.
pub fn delete(side: Side, item: &Reference, object: &Value) -> Plan {
    if is_deleting(object) {
        Plan::nothing()
    } else {
        Plan::step(delete_step(side, item, object, None))
    }
}

/// The deletion of exactly this object.
pub fn delete_step(side: Side, item: &Reference, object: &Value, grace: Option<i64>) -> Step {
    Step::Delete {
        side,
        kind: item.kind,
        key: key_of(object),
        uid: json::text(object, &["metadata", "uid"]).to_owned(),
        grace,
    }
}

/// A mapping without references.
pub fn mapping(world: &World, item: &Reference) -> Mapping {
    let host = world.host_key(item.kind, &item.key.namespace, &item.key.name);
    Mapping {
        host,
        references: Default::default(),
    }
}

/// What the metadata of a host copy is made from.
pub fn source<'a>(
    world: &'a World,
    gvk: &'a str,
    host_name: &'a str,
    object: &'a Value,
    excluded: &'a [&'a str],
) -> Source<'a> {
    Source {
        names: &world.names,
        kind: gvk,
        host_name,
        object,
        excluded,
        host_labels: json::Strings::new(),
        host_annotations: json::Strings::new(),
        agreed: &world.agreed,
    }
}

/// Creates an object of our own in the virtual cluster, as soon as its namespace is there.
pub fn create_virtual(world: &World, kind: Kind, object: Value) -> Plan {
    let namespace = json::text(&object, &["metadata", "namespace"]);
    if world.virtual_side.get(Kind::Namespace, "", namespace).is_none() {
        let key = ObjectKey::new("", namespace);
        return Plan::wait(Awaited {
            place: Place::Virtual,
            kind: Kind::Namespace,
            key,
        });
    }
    Plan::step(Step::Create {
        side: Side::Virtual,
        kind,
        object,
    })
}

/// Creates an object of our own in the virtual cluster, and its namespace before it.
pub fn create_in_namespace(world: &World, kind: Kind, object: Value) -> Plan {
    create_in_labelled_namespace(world, kind, object, &json::Strings::new())
}

/// The same with labels for a new namespace.
pub fn create_in_labelled_namespace(world: &World, kind: Kind, object: Value, labels: &json::Strings) -> Plan {
    let namespace = json::text(&object, &["metadata", "namespace"]);
    let existing = world.virtual_side.get(Kind::Namespace, "", namespace);
    let awaited = Awaited {
        place: Place::Virtual,
        kind: Kind::Namespace,
        key: ObjectKey::new("", namespace),
    };
    match existing.map(|existing| is_deleting(&existing.value())) {
        Some(false) => Plan::step(Step::Create {
            side: Side::Virtual,
            kind,
            object,
        }),
        Some(true) => Plan::wait(awaited),
        None => {
            let mut namespace =
                serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            if !labels.is_empty() {
                namespace["metadata"]["labels"] = serde_json::json!(labels);
            }
            Plan::wait(awaited).and([Step::Create {
                side: Side::Virtual,
                kind: Kind::Namespace,
                object: namespace,
            }])
        }
    }
}

/// Adds the owner reference to the metadata of a new host object.
pub fn set_owner(world: &World, metadata: &mut Value, object: &Value) {
    let controlled = json::items(object, &["metadata", "ownerReferences"])
        .iter()
        .any(|owner| json::flag(owner, &["controller"]) == Some(true));
    let owner = world.owner_reference(json::text(metadata, &["namespace"]), controlled);
    json::put(metadata, "ownerReferences", owner);
}

/// Creates the host copy of a virtual object: metadata from `source`, everything else from `content`.
pub fn create_copy(
    world: &World,
    item: &Reference,
    mapping: &Mapping,
    source: &Source<'_>,
    mut content: serde_json::Map<String, Value>,
) -> Plan {
    let mut metadata = host_metadata(source);
    if item.kind.is_namespaced() {
        set_owner(world, &mut metadata, source.object);
    } else {
        // Who lies in no namespace cannot be owned by somebody who does.
        json::put(&mut metadata, "ownerReferences", world.reference_outside());
    }
    content.insert("apiVersion".to_owned(), Value::from(item.kind.api_version()));
    content.insert("kind".to_owned(), Value::from(item.kind.name()));
    content.insert("metadata".to_owned(), metadata);
    let step = Step::Create {
        side: Side::Host,
        kind: item.kind,
        object: Value::Object(content),
    };
    Plan {
        mapping: Some(mapping.clone()),
        ..Plan::step(step)
    }
}

/// One merge patch of an object, if there is anything to change.
pub fn patch_step(
    side: Side,
    item: &Reference,
    object: &Value,
    metadata: Option<Value>,
    rest: Option<Value>,
) -> Option<Step> {
    let mut body = rest.unwrap_or_else(|| serde_json::json!({}));
    json::put(&mut body, "metadata", metadata);
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return None;
    }
    // The uid makes the server refuse the patch when the object was replaced meanwhile.
    if let Some(metadata) = json::object_mut(&mut body, "metadata") {
        metadata.insert("uid".to_owned(), object["metadata"]["uid"].clone());
    }
    Some(Step::Patch {
        side,
        kind: item.kind,
        key: key_of(object),
        subresource: "",
        patch: crate::clusters::Patch::Merge,
        body,
    })
}

/// Brings the status of the host's object up, if it differs.
pub fn status_step(world: &World, item: &Reference, object: &Value, host: &Value) -> Option<Step> {
    let empty = serde_json::json!({});
    let actual = object.get("status").unwrap_or(&empty);
    let wanted = ownership::shown_status(world, item.kind, host.get("status"));
    let status = json::merge_diff(actual, &wanted)?;
    Some(Step::Patch {
        side: Side::Virtual,
        kind: item.kind,
        key: item.key.clone(),
        subresource: if item.kind.has_status() { "status" } else { "" },
        patch: crate::clusters::Patch::Merge,
        body: serde_json::json!({"metadata": {"uid": object["metadata"]["uid"]}, "status": status}),
    })
}
