//! PersistentVolumeClaims, to the host, which binds them. The virtual claim takes over what the host has made of its copy.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use super::{mirrored, pair, pair::Pair};
use crate::engine::plan::{Note, Plan};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::world::World;

/// Annotations by which the host's controllers say how a claim was bound.
const BINDING: &[&str] = &[
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
];
/// What `spec.storageClassName` was once.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

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
        refusal: class_not_selected,
        inherits: true,
        ..BARE
    };
    match pair::load(world, item) {
        Pair::Both(object, host) if pair::is_deleting(&host) && !pair::is_deleting(&object) => {
            // Whoever deletes the copy deletes the claim: its data is going.
            pair::delete(Side::Virtual, item, &object)
        }
        Pair::Both(object, host) if is_bound_to_another(&object, &host) => {
            let text = format!(
                "Error syncing: the claim is bound to volume {}, but its copy on the host to {}; it is deleted",
                json::text(&object, &["spec", "volumeName"]),
                json::text(&host, &["spec", "volumeName"]),
            );
            let note = Note {
                reason: "VolumeNameDiffers",
                text,
            };
            pair::delete(Side::Virtual, item, &object).note(note)
        }
        _ => copied::plan(world, item, &copied),
    }
}

fn is_bound_to_another(object: &Value, host: &Value) -> bool {
    let volume = |claim| json::text(claim, &["spec", "volumeName"]);
    !volume(object).is_empty() && !volume(host).is_empty() && volume(object) != volume(host)
}

fn class(object: &Value) -> &str {
    match json::text(object, &["metadata", "annotations", CLASS_ANNOTATION]) {
        "" => json::text(object, &["spec", "storageClassName"]),
        class => class,
    }
}

fn class_not_selected(world: &World, object: &Value) -> Option<Note> {
    let name = json::text(object, &["metadata", "name"]);
    mirrored::limit(
        world,
        "persistent volume claim",
        name,
        Kind::StorageClass,
        "storage class",
        class(object),
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
    if let Some(class) = annotations.get_mut(CLASS_ANNOTATION) {
        *class = host_class(world, class);
    }
}

fn host_spec(world: &World, object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if json::text(object, &["metadata", "annotations", keys::SKIP_TRANSLATE]) == "true" {
        return spec;
    }
    if let Some(class) = spec.get("storageClassName").and_then(Value::as_str) {
        let class = host_class(world, class);
        json::put(&mut spec, "storageClassName", Some(json!(class)));
    }
    let namespace = json::text(object, &["metadata", "namespace"]);
    for source in ["dataSource", "dataSourceRef"] {
        let Some(source) = spec.get_mut(source) else { continue };
        if json::text(source, &["kind"]) == "PersistentVolumeClaim" {
            let name = world.host_name(Kind::PersistentVolumeClaim, namespace, json::text(source, &["name"]));
            json::put(source, "name", Some(json!(name)));
            // Everything lies in one namespace there.
            json::remove(source, &["namespace"]);
        }
    }
    spec
}

fn requests(claim: &Value) -> Fields {
    let requests = json::at(claim, &["spec", "resources", "requests"]).cloned();
    let spec = requests.map(|requests| ("spec".to_owned(), json!({"resources": {"requests": requests}})));
    spec.into_iter().collect()
}

fn taken_over(_: &World, object: &Value, host: &Value) -> Option<Value> {
    let mut change = json!({});
    let volume = json::text(host, &["spec", "volumeName"]);
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
