//! PersistentVolumeClaims, to the host, which binds them. The virtual claim takes over what the host has made of its copy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use super::{mirrored, pair, pair::Pair, usable, volumes};
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::world::World;

/// Annotations by which the host's controllers say how a claim was bound.
pub(super) const BINDING: &[&str] = &[
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
];
/// What a claim can be filled from.
const SOURCES: [&str; 2] = ["dataSource", "dataSourceRef"];
const CLAIM: &str = "PersistentVolumeClaim";

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        excluded: BINDING,
        annotations: class_annotation,
        initial: |world, object| Fields::from_iter([("spec".to_owned(), host_spec(world, object))]),
        // All that can change is how much is asked for.
        wanted: |_, object, _| requests(object),
        actual: requests,
        up: taken_over,
        status: Some(copied::whole_status),
        refusal: |world, object| class_not_selected(world, object).or_else(|| ambiguous_source(world, object)),
        references: sources,
        inherits: true,
        ..BARE
    };
    match pair::load(world, item) {
        Pair::Both(object, host) if pair::is_deleting(&host) && !pair::is_deleting(&object) => {
            // Whoever deletes the copy deletes the claim: its data is going.
            pair::delete(Side::Virtual, item, &object)
        }
        // A deletion of ours that somebody held up is gone on with.
        Pair::Both(object, host)
            if is_bound_to_another(world, &object, &host) && (!pair::is_deleting(&object) || is_kept(&host)) =>
        {
            recreate(item, &object, &host, &volume_of(world, &host))
        }
        // Nothing is kept from deletion any longer than it takes to make the claim anew.
        Pair::Both(_, host) | Pair::Replaced(_, host) if is_kept(&host) => {
            let release = Some(json!({"annotations": {keys::SKIP_BACKSYNC: null}}));
            Plan::nothing().and(pair::patch_step(Side::Host, item, &host, release, None))
        }
        // The copy of an earlier claim is taken over for its data. As long as it has none, it is in the way: what an unbound
        // claim asks for can never be changed.
        Pair::Replaced(_, host) if json::text(&host, &["spec", "volumeName"]).is_empty() => {
            pair::delete(Side::Host, item, &host)
        }
        _ => copied::plan(world, item, &copied),
    }
}

/// The virtual name of the volume that the host has bound a copy to; empty when there is none yet.
fn volume_of(world: &World, host: &Value) -> String {
    match json::text(host, &["spec", "volumeName"]) {
        "" => String::new(),
        name => volumes::in_virtual(world, name),
    }
}

fn is_bound_to_another(world: &World, object: &Value, host: &Value) -> bool {
    let (shown, bound) = (json::text(object, &["spec", "volumeName"]), volume_of(world, host));
    !shown.is_empty() && !bound.is_empty() && shown != bound
}

fn is_kept(host: &Value) -> bool {
    json::text(host, &["metadata", "annotations", keys::SKIP_BACKSYNC]) == "true"
}

/// Makes a claim anew with the volume that its copy is bound to: of a bound claim this cannot be changed. The copy, and the
/// data, must not go with the claim as it was: whatever comes between the steps, it is kept.
fn recreate(item: &Reference, object: &Value, host: &Value, volume: &str) -> Plan {
    let shown = json::text(object, &["spec", "volumeName"]);
    let text = format!("the claim is bound to volume {shown}, but its copy on the host to {volume}; it is made anew");
    let note = Note {
        reason: "VolumeNameDiffers",
        text,
    };
    let mut spec = object["spec"].clone();
    spec["volumeName"] = json!(volume);
    let fresh = json!({
        "apiVersion": item.kind.api_version(),
        "kind": item.kind.name(),
        "metadata": {
            "namespace": item.key.namespace,
            "name": item.key.name,
            "labels": json::strings(object, &["metadata", "labels"]),
            "annotations": json::strings(object, &["metadata", "annotations"]),
        },
        "spec": spec,
    });
    let keep = Some(json!({"annotations": {keys::SKIP_BACKSYNC: "true"}}));
    let held = !json::items(object, &["metadata", "finalizers"]).is_empty();
    let release = held.then(|| json!({"finalizers": null}));
    Plan::nothing()
        .and(pair::patch_step(Side::Host, item, host, keep, None))
        .and([pair::delete_step(Side::Virtual, item, object, None)])
        // Deleted first: what protects claims would put its finalizer back.
        .and(pair::patch_step(Side::Virtual, item, object, release, None))
        .and([Step::Create {
            side: Side::Virtual,
            kind: item.kind,
            object: fresh,
        }])
        .note(note)
}

fn class_not_selected(world: &World, object: &Value) -> Option<Note> {
    let name = json::text(object, &["metadata", "name"]);
    mirrored::limit(
        world,
        "persistent volume claim",
        name,
        Kind::StorageClass,
        "storage class",
        volumes::class(object),
    )
}

/// The name of a class on the host.
fn host_class(world: &World, name: &str) -> String {
    if world.settings.to_host.contains(&Kind::StorageClass) && !name.is_empty() {
        world.host_name(Kind::StorageClass, "", name)
    } else {
        name.to_owned()
    }
}

fn class_annotation(world: &World, _: &Value, annotations: &mut json::Strings) {
    if let Some(class) = annotations.get_mut(volumes::CLASS_ANNOTATION) {
        *class = host_class(world, class);
    }
}

/// What a claim is filled from: the kind, as it is called there, and the name.
fn filled_from(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let sources = SOURCES.iter().filter_map(|field| json::at(object, &["spec", field]));
    sources.map(|source| (json::text(source, &["kind"]), json::text(source, &["name"])))
}

/// The kind of a source that can have copies on the host.
fn kind_of_source(kind: &str) -> Option<Kind> {
    let known = [Kind::PersistentVolumeClaim, Kind::VolumeSnapshot];
    known.into_iter().find(|known| known.name() == kind)
}

/// The claims and snapshots that a claim is filled from.
fn sources(_: &World, object: &Value) -> BTreeSet<Reference> {
    let namespace = json::text(object, &["metadata", "namespace"]);
    filled_from(object)
        .filter_map(|(kind, name)| Some(Reference::new(kind_of_source(kind)?, namespace, name)))
        .collect()
}

/// Why a claim is not filled from something else.
fn ambiguous_source(world: &World, object: &Value) -> Option<Note> {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let mut others = filled_from(object).filter(|(kind, _)| kind_of_source(kind).is_none());
    others.find_map(|(kind, name)| usable::ambiguous(world, kind, namespace, name))
}

/// Whether a source is a snapshot that has a copy of its own name's making.
fn names_snapshot(world: &World, kind: &str) -> bool {
    kind == Kind::VolumeSnapshot.name()
        && world.names.single_namespace().is_none()
        && world.settings.is_copied(Kind::VolumeSnapshot)
}

fn host_spec(world: &World, object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    let namespace = json::text(object, &["metadata", "namespace"]);
    for source in SOURCES {
        let Some(source) = spec.get_mut(source) else { continue };
        let name = json::text(source, &["name"]);
        // Also of kinds that are not synced, which then do not exist there: the same name would be somebody else's.
        let name = match json::text(source, &["kind"]) {
            CLAIM => world.host_name(Kind::PersistentVolumeClaim, namespace, name),
            kind if names_snapshot(world, kind) => world.host_name(Kind::VolumeSnapshot, namespace, name),
            _ => world.names.host_name(name, namespace),
        };
        json::put(source, "name", Some(json!(name)));
        // Everything lies in one namespace there.
        json::remove(source, &["namespace"]);
    }
    if json::text(object, &["metadata", "annotations", keys::SKIP_TRANSLATE]) == "true" {
        return spec;
    }
    if let Some(class) = spec.get("storageClassName").and_then(Value::as_str) {
        let class = host_class(world, class);
        json::put(&mut spec, "storageClassName", Some(json!(class)));
    }
    if world.settings.to_host.contains(&Kind::PersistentVolume) {
        bind_by_host_names(world, &mut spec);
    }
    spec
}

/// A claim that asks for certain volumes asks for their copies, which have the copy of their class.
fn bind_by_host_names(world: &World, spec: &mut Value) {
    let volume = json::text(spec, &["volumeName"]).to_owned();
    let selector = spec.get("selector").filter(|selector| selector.is_object()).cloned();
    if !volume.is_empty() {
        json::put(spec, "volumeName", Some(json!(volumes::on_host(world, &volume))));
    }
    if let Some(selector) = &selector {
        json::put(spec, "selector", Some(world.names.label_selector_to_host(selector)));
    }
    let class = json::text(spec, &["storageClassName"]).to_owned();
    let asks_for_copies = match volume.as_str() {
        "" => selector.is_some(),
        volume => volumes::is_copied(world, volume),
    };
    // A class that has a copy itself has its name by now.
    let has_copy = world.settings.to_host.contains(&Kind::StorageClass) && !class.is_empty();
    if asks_for_copies && !has_copy {
        json::put(
            spec,
            "storageClassName",
            Some(json!(volumes::class_of_copies(world, &class))),
        );
    }
}

fn requests(claim: &Value) -> Fields {
    let requests = json::at(claim, &["spec", "resources", "requests"]).cloned();
    let spec = requests.map(|requests| ("spec".to_owned(), json!({"resources": {"requests": requests}})));
    spec.into_iter().collect()
}

fn taken_over(world: &World, object: &Value, host: &Value) -> Option<Value> {
    let mut change = json!({});
    let volume = volume_of(world, host);
    if !volume.is_empty() && json::text(object, &["spec", "volumeName"]).is_empty() {
        change["spec"] = json!({"volumeName": volume});
    }
    for key in BINDING {
        let value = json::at(host, &["metadata", "annotations", key]);
        if value.is_some() && value != json::at(object, &["metadata", "annotations", key]) {
            change["metadata"]["annotations"][*key] = json!(value);
        }
    }
    (change != json!({})).then_some(change)
}
