//! ConfigMaps, Secrets and custom resources of the host that the virtual cluster has copies of, by the mappings of vcluster.yaml. Who changes
//! a copy gets it back as it was; the host's object is never written to.

use config::ObjectMapping;
use serde_json::{Map, Value, json};

use super::copied::{Fields, fields};
use super::{custom, pair};
use crate::clusters::Change;
use crate::engine::plan::Plan;
use crate::json::{self, Strings};
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::object::ObjectKey;
use crate::world::World;

/// What differs between kinds.
struct Content {
    /// What follows the host's object.
    fields: fn(&Value) -> Fields,
    /// Top-level fields that cannot change: another value makes another object.
    fixed: &'static [&'static str],
    /// An object of this name is never copied: every namespace has its own.
    never: &'static str,
}

fn content(kind: Kind) -> Content {
    match kind {
        Kind::Secret => Content {
            fields: |object| fields(object, &["data"]),
            fixed: &["type", "immutable"],
            never: "",
        },
        Kind::Custom(_) => Content {
            fields: custom::content,
            fixed: &[],
            never: "",
        },
        _ => Content {
            fields: |object| fields(object, &["data", "binaryData"]),
            fixed: &["immutable"],
            never: "kube-root-ca.crt",
        },
    }
}

/// Decides about one copy.
pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let content = content(item.kind);
    let actual = world
        .virtual_side
        .get(item.kind, &item.key.namespace, &item.key.name)
        .map(|object| object.value());
    let origin = actual.as_ref().and_then(origin);
    match (source(world, item, origin.as_ref()), actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) => {
            // Only what was copied goes, and only when the host is known to have no such object any more.
            let orphaned = origin.is_some_and(|origin| {
                world.foreign.is_known(item.kind, &origin) && targets(world, item.kind, &origin).contains(&item.key)
            });
            if orphaned {
                pair::delete(Side::Virtual, item, &actual)
            } else {
                Plan::nothing()
            }
        }
        (Some((from, host)), None) => pair::create_in_namespace(world, item.kind, copy(item, &from, &host, &content)),
        (Some(_), Some(actual)) if pair::is_deleting(&actual) => Plan::nothing(),
        (Some((from, host)), Some(actual)) => {
            let status = match item.kind {
                Kind::Custom(_) => pair::status_step(world, item, &actual, &host),
                _ => None,
            };
            update(item, &actual, &copy(item, &from, &host, &content), &content).and(status)
        }
    }
}

/// The host's object that a copy says it was made of.
fn origin(copy: &Value) -> Option<ObjectKey> {
    let from = json::text(copy, &["metadata", "annotations", keys::IMPORTED_FROM]);
    from.split_once('/')
        .map(|(namespace, name)| ObjectKey::new(namespace, name))
}

/// The host's object that has this name in the virtual cluster. Of several, the one that the copy was made of stays.
fn source(world: &World, item: &Reference, origin: Option<&ObjectKey>) -> Option<(ObjectKey, Value)> {
    let mappings = world.settings.imports.get(&item.kind)?;
    let names = mappings.iter().filter_map(|mapping| {
        let wanted = mapping.to_name.as_ref();
        let fits = mapping.to_namespace == item.key.namespace && wanted.is_none_or(|name| *name == item.key.name);
        // A mapping without a name of its own on the virtual side keeps the host's.
        let name = match (&mapping.from_name, wanted) {
            (Some(name), Some(_)) => name,
            (Some(name), None) if *name != item.key.name => return None,
            _ => &item.key.name,
        };
        fits.then(|| ObjectKey::new(from_namespace(world, mapping), name))
    });
    let mut found: Vec<(ObjectKey, Value)> = names
        // A more exact mapping may lead elsewhere.
        .filter(|key| targets(world, item.kind, key).contains(&item.key))
        .filter_map(|key| {
            let object = world.foreign.caches.get(item.kind, &key.namespace, &key.name)?.value();
            Some((key, object))
        })
        .collect();
    let kept = found
        .iter()
        .position(|(key, _)| Some(key) == origin)
        .unwrap_or_default();
    (!found.is_empty()).then(|| found.swap_remove(kept))
}

fn from_namespace<'a>(world: &'a World, mapping: &'a ObjectMapping) -> &'a str {
    mapping
        .from_namespace
        .as_deref()
        .unwrap_or(world.names.host_namespace())
}

/// The host's object that a copy is made of.
pub(crate) fn of(world: &World, item: &Reference) -> Option<Value> {
    let actual = world.virtual_side.get(item.kind, &item.key.namespace, &item.key.name);
    let origin = actual.and_then(|actual| origin(&actual.value()));
    source(world, item, origin.as_ref()).map(|(_, host)| host)
}

/// What an object of the host is called in the virtual cluster: by the mappings of its name, or else of its namespace.
pub(super) fn targets(world: &World, kind: Kind, host: &ObjectKey) -> Vec<ObjectKey> {
    let Some(mappings) = world.settings.imports.get(&kind) else {
        return Vec::new();
    };
    if host.name == content(kind).never {
        return Vec::new();
    }
    let of_name = |name: Option<&str>| -> Vec<ObjectKey> {
        let fitting = mappings
            .iter()
            .filter(|mapping| from_namespace(world, mapping) == host.namespace && mapping.from_name.as_deref() == name);
        fitting
            .map(|mapping| ObjectKey::new(&mapping.to_namespace, mapping.to_name.as_ref().unwrap_or(&host.name)))
            .collect()
    };
    let exact = of_name(Some(&host.name));
    if exact.is_empty() { of_name(None) } else { exact }
}

/// The copies of an object of the host that changed.
pub(super) fn affected(world: &World, kind: Kind, change: &Change) -> Vec<Reference> {
    let Some(object) = change.object() else {
        return Vec::new();
    };
    let keys = targets(world, kind, object.key());
    keys.into_iter().map(|key| Reference { kind, key }).collect()
}

/// Labels and annotations without the product's own.
pub(super) fn metadata(object: &Value) -> Map<String, Value> {
    let map = |name: &str| {
        let mut map: Strings = json::strings(object, &["metadata", name]);
        // The product's own marks say something about the object that has them, not about its copies.
        map.retain(|key, _| !key.starts_with(keys::PREFIX) || key == keys::FORCE_SYNC);
        (name.to_owned(), json!(map))
    };
    ["labels", "annotations"].map(map).into_iter().collect()
}

fn copy(item: &Reference, from: &ObjectKey, host: &Value, content: &Content) -> Value {
    let mut metadata = metadata(host);
    metadata["annotations"][keys::IMPORTED_FROM] = json!(from.to_string());
    metadata.insert("name".to_owned(), json!(item.key.name));
    metadata.insert("namespace".to_owned(), json!(item.key.namespace));
    let mut copy = (content.fields)(host);
    copy.extend(fields(host, content.fixed));
    copy.insert("apiVersion".to_owned(), json!(item.kind.api_version()));
    copy.insert("kind".to_owned(), json!(item.kind.name()));
    copy.insert("metadata".to_owned(), Value::Object(metadata));
    Value::Object(copy)
}

fn update(item: &Reference, actual: &Value, wanted: &Value, content: &Content) -> Plan {
    let of = |object: &Value| Value::Object((content.fields)(object));
    let rest = json::merge_diff(&of(actual), &of(wanted));
    let is_another = fields(actual, content.fixed) != fields(wanted, content.fixed);
    if is_another || (rest.is_some() && json::flag(actual, &["immutable"]) == Some(true)) {
        return pair::delete(Side::Virtual, item, actual);
    }
    let maps = |object: &Value| {
        let map = |name: &str| (name.to_owned(), json!(json::strings(object, &["metadata", name])));
        Value::Object(["labels", "annotations"].map(map).into_iter().collect())
    };
    let metadata = json::merge_diff(&maps(actual), &maps(wanted));
    Plan::nothing().and(pair::patch_step(Side::Virtual, item, actual, metadata, rest))
}
