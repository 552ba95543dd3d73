//! Objects of the host in namespaces that virtual ones have to themselves, and that no copy made: they are shown in the virtual
//! cluster, and from then on are copies like all others (vCluster `pkg/syncer/syncer.go`, `Importer`). In the end they stay, without
//! our marks.
//!
//! The virtual object is made first, with the uid of the host's; then that one is marked. Whoever is stopped in between finds in the
//! uid what is left to do, and an object that merely has the same name is nobody's.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::copied::fields;
use super::{claims, namespaces, pair};
use crate::clusters::Change;
use crate::engine::plan::{Awaited, Place, Plan, Step};
use crate::json::{self, Strings};
use crate::kinds::{Kind, Side};
use crate::names::{Reference, host_metadata, keys};
use crate::object::ObjectKey;
use crate::settings::Settings;
use crate::world::World;

/// The kinds that are shown, those of them that have copies (`NewImporter` in `pkg/controllers/resources`).
const KINDS: [Kind; 7] = [
    Kind::Pod,
    Kind::Service,
    Kind::ConfigMap,
    Kind::Secret,
    Kind::PersistentVolumeClaim,
    Kind::ServiceAccount,
    Kind::Ingress,
];

/// Fields of a pod that the virtual cluster decides about, or that only a pod which runs has.
const OF_POD: &[&str] = &[
    "nodeName",
    "serviceAccount",
    "priority",
    "preemptionPolicy",
    "overhead",
    "ephemeralContainers",
];
/// Fields of a Service that follow the host's later.
const OF_SERVICE: &[&str] = &["clusterIP", "clusterIPs", "healthCheckNodePort"];
/// Fields of a claim that follow the host's later, or name what the virtual cluster has under other names.
const OF_CLAIM: &[&str] = &["volumeName", "selector", "dataSource", "dataSourceRef"];

/// Written by kubelets on what they run without an API server.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The tokens of accounts of the host; the virtual cluster would delete them as those of accounts that it does not have.
const TOKEN: &str = "kubernetes.io/service-account-token";

/// When to look again if what is known of the host contradicts itself.
const BEHIND: Duration = Duration::from_secs(1);

/// The kinds of which such objects are looked for.
pub fn kinds(settings: &Settings) -> impl Iterator<Item = Kind> {
    let on = settings.namespaces.is_some();
    let copied = |kind: &Kind| settings.to_host.contains(kind);
    KINDS.into_iter().filter(move |kind| on && copied(kind))
}

/// The virtual object that an object of the host is, or can become. What cannot is not kept, nor what is a copy already.
pub(super) fn affected(world: &World, kind: Kind, change: &Change) -> Option<Reference> {
    let key = change.object()?.key();
    let namespace = world.names.virtual_of(&key.namespace);
    let item = namespace.map(|namespace| Reference::new(kind, &namespace, &key.name));
    let item = item.filter(|item| world.names.place(kind, &item.key.namespace, &key.name) == *key);
    let marked = change
        .new_value()
        .is_some_and(|object| !json::text(object, &["metadata", "labels", keys::MARKER]).is_empty());
    if item.is_none() || marked {
        world.strangers.of(kind).release(key);
    }
    item
}

/// What is to be done about a virtual object that is shown for one of the host, or will be; `None` for all others.
pub(super) fn plan(world: &World, item: &Reference) -> Option<Plan> {
    let Reference { kind, key } = item;
    let own = world.names.own(&key.namespace)?;
    if !kinds(&world.settings).any(|shown| shown == *kind) || world.is_ending() {
        return None;
    }
    let place = world.names.place(*kind, &key.namespace, &key.name);
    let shown = world.virtual_side.get(*kind, &key.namespace, &key.name);
    let shown = shown.map(|object| object.value());
    let made_for = shown.as_ref().and_then(|object| made_for(object, &place));
    let there = world.strangers.get(*kind, &place.namespace, &place.name);
    let copied = world.host.get(*kind, &place.namespace, &place.name).is_some();
    let going = shown.as_ref().is_some_and(pair::is_deleting);
    if copied || going || place.namespace != own {
        return None;
    }
    if let (Some(object), Some(uid)) = (&shown, &made_for)
        && there.as_ref().is_none_or(|there| there.uid() != *uid)
    {
        // It goes with the one that it was made for; of a pod, nothing is left to end.
        let grace = (*kind == Kind::Pod).then_some(0);
        return Some(Plan::step(pair::delete_step(Side::Virtual, item, object, grace)));
    }
    let host = there?.value();
    if !host.is_object() && made_for.is_some() {
        // Marked, and no copy any more: one of two watches is behind.
        return Some(Plan {
            again_after: Some(BEHIND),
            ..Plan::nothing()
        });
    }
    if !is_for_us(*kind, &host) || pair::is_deleting(&host) {
        return None;
    }
    if world.virtual_namespace(&own).as_ref() != Some(&key.namespace) {
        let awaited = Awaited {
            place: Place::Host,
            kind: Kind::Namespace,
            key: ObjectKey::new("", &own),
        };
        return shown.is_none().then(|| Plan::wait(awaited));
    }
    match shown {
        None => Some(pair::create_virtual(world, *kind, virtual_object(world, item, &host))),
        Some(object) => made_for.map(|_| mark(world, item, &object, &host)),
    }
}

/// The uid of the host's object of this name that a virtual one was made for. What a copy of that says somewhere else is nothing.
pub(super) fn made_for(object: &Value, place: &ObjectKey) -> Option<String> {
    let stated = json::text(object, &["metadata", "annotations", keys::MADE_FOR]);
    let uid = stated.strip_prefix(&place.to_string())?.strip_prefix('/')?;
    Some(uid.to_owned())
}

/// What is stated of an object of the host in the virtual one that is made for it.
pub(super) fn stated(host: &Value) -> String {
    format!("{}/{}", pair::key_of(host), json::text(host, &["metadata", "uid"]))
}

/// Whether an object of the host was there before its virtual one.
pub(super) fn is_marked(host: &Value) -> bool {
    json::text(host, &["metadata", "annotations", keys::IMPORTED]) == "true"
}

/// Whether an object is nobody's. Of copies that were released nothing is known but that they are there.
fn is_for_us(kind: Kind, host: &Value) -> bool {
    let label = |key| json::text(host, &["metadata", "labels", key]);
    let annotation = |key| json::text(host, &["metadata", "annotations", key]);
    host.is_object()
        && label(keys::MARKER).is_empty()
        && label(keys::CONTROLLED_BY).is_empty()
        && annotation(keys::CONTROLLED_BY).is_empty()
        && annotation(keys::SKIP_BACKSYNC) != "true"
        && match kind {
            Kind::Pod => annotation(MIRROR).is_empty(),
            Kind::Secret => json::text(host, &["type"]) != TOKEN,
            _ => true,
        }
}

/// The virtual object for one of the host: what says something there, without what the virtual cluster says itself.
fn virtual_object(world: &World, item: &Reference, host: &Value) -> Value {
    let mut annotations = json::strings(host, &["metadata", "annotations"]);
    annotations.retain(|key, _| {
        let of_binding = item.kind == Kind::PersistentVolumeClaim && claims::BINDING.contains(&key.as_str());
        !key.starts_with(keys::PREFIX) && !of_binding
    });
    annotations.insert(keys::MADE_FOR.to_owned(), stated(host));
    let labels: Strings = json::strings(host, &["metadata", "labels"])
        .into_iter()
        .filter(|(key, _)| !key.starts_with(keys::PREFIX))
        .collect();
    let mut object = json!({
        "apiVersion": item.kind.api_version(),
        "kind": item.kind.name(),
        "metadata": {
            "namespace": item.key.namespace, "name": item.key.name, "labels": labels, "annotations": annotations,
        },
    });
    for (field, value) in content(world, item.kind, host) {
        json::put(&mut object, &field, Some(value));
    }
    object
}

fn content(world: &World, kind: Kind, host: &Value) -> Map<String, Value> {
    let without = |dropped: &[&str]| {
        let mut spec = host["spec"].clone();
        json::remove(&mut spec, dropped);
        spec
    };
    let spec = |spec| Map::from_iter([("spec".to_owned(), spec)]);
    match kind {
        Kind::Pod => spec(of_pod(world, without(OF_POD))),
        Kind::Service => {
            let mut shown = without(OF_SERVICE);
            if json::text(host, &["spec", "clusterIP"]) == "None" {
                json::put(&mut shown, "clusterIP", Some(json!("None")));
            }
            for port in json::items_mut(&mut shown, "ports") {
                json::remove(port, &["nodePort"]);
            }
            spec(shown)
        }
        Kind::PersistentVolumeClaim => spec(without(OF_CLAIM)),
        Kind::ServiceAccount => Map::new(),
        _ => fields(host, &["type", "data", "binaryData", "immutable", "spec"]),
    }
}

/// Names of classes mean something only where the virtual cluster shows those of the host.
fn of_pod(world: &World, mut spec: Value) -> Value {
    let settings = &world.settings;
    let shows = |kind| settings.from_host.contains_key(&kind);
    for (field, known) in [
        ("priorityClassName", shows(Kind::PriorityClass)),
        ("runtimeClassName", shows(Kind::RuntimeClass)),
        ("serviceAccountName", settings.to_host.contains(&Kind::ServiceAccount)),
    ] {
        if !known {
            json::remove(&mut spec, &[field]);
        }
    }
    spec
}

/// Makes the host's object the copy of the virtual one.
fn mark(world: &World, item: &Reference, object: &Value, host: &Value) -> Plan {
    let (gvk, mapping) = (item.kind.gvk(), pair::mapping(world, item));
    let mut source = pair::source(world, &gvk, &mapping.host.name, object, &[]);
    source
        .host_annotations
        .insert(keys::IMPORTED.to_owned(), "true".to_owned());
    let metadata = host_metadata(&source);
    let marks = json!({"labels": metadata["labels"], "annotations": metadata["annotations"]});
    let step = pair::patch_step(Side::Host, item, host, Some(marks), None);
    Plan {
        mapping: Some(mapping),
        ..Plan::nothing().and(step)
    }
}

/// The patch that takes our marks off a copy that was there before.
pub(super) fn unmark(item: &Reference, host: &Value) -> Option<Step> {
    let marks = namespaces::without_marks(host, &Strings::new());
    pair::patch_step(Side::Host, item, host, Some(marks), None)
}

#[cfg(test)]
mod tests;
