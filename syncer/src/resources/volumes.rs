//! PersistentVolumes of the virtual cluster: what stands for the host's volume behind each bound claim. Volumes of the host
//! belong to no namespace, and reading them would take more rights than the virtual cluster needs. Only if vcluster.yaml
//! wants them ([`plan_real`]) they are the host's, and those of the virtual cluster have copies there.

mod sources;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::bound::{self, Bound};
use super::copied::{self, BARE, Copied, Fields};
use super::{mirrored, pair};
use crate::clusters::{Change, Patch};
use crate::engine::plan::{Note, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim};
use crate::object::ObjectKey;
use crate::world::World;

/// Label of volumes that were made up.
const FAKE: &str = "vcluster.loft.sh/fake-pv";
const PROVISIONER: &str = "fake-pv-provisioner";

/// The virtual claim behind the name of each volume.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: Mutex<BTreeMap<String, ObjectKey>>,
}

impl Volumes {
    /// Notes a change of a virtual claim; returns the volumes that it concerns.
    pub fn observe(&self, change: &Change) -> Vec<Reference> {
        let volume = |claim: &Value| json::text(claim, &["spec", "volumeName"]).to_owned();
        let (old, new) = (
            change.old_value().map(volume).unwrap_or_default(),
            change.new_value().map(volume).unwrap_or_default(),
        );
        let Some(claim) = change.object() else {
            return Vec::new();
        };
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if old != new && claims.get(&old) == Some(claim.key()) {
            claims.remove(&old);
        }
        if !new.is_empty() {
            claims.insert(new.clone(), claim.key().clone());
        }
        let mut names = vec![old, new];
        names.dedup();
        names
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| Reference::new(Kind::PersistentVolume, "", name))
            .collect()
    }

    fn claim(&self, volume: &str) -> Option<ObjectKey> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.get(volume).cloned()
    }
}

/// What `spec.storageClassName` was once.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// Stands for having no class; no class has this name.
const NO_CLASS: &str = "-";

/// Fields of a volume's spec that can change.
const CHANGING: &[&str] = &[
    "capacity",
    "accessModes",
    "persistentVolumeReclaimPolicy",
    "mountOptions",
];

/// Volumes of the host and copies of virtual ones.
pub(super) const REAL: Bound = Bound {
    shows: "vcluster.loft.sh/host-pv",
    reference: "claimRef",
    owner: Kind::PersistentVolumeClaim,
    complete: |spec, claim| {
        if let Some(class) = claim["spec"].get("storageClassName") {
            spec["storageClassName"] = class.clone();
        }
    },
    goes: |host| json::text(host, &["spec", "persistentVolumeReclaimPolicy"]) != "Delete",
    copied: Copied {
        excluded: &[
            "vcluster.loft.sh/host-pv",
            "pv.kubernetes.io/bound-by-controller",
            CLASS_ANNOTATION,
        ],
        initial: |world, object| Fields::from_iter([("spec".to_owned(), host_spec(world, object))]),
        wanted: |_, object, _| changing(object),
        actual: changing,
        up: claim_of_host,
        status: Some(copied::whole_status),
        references: |_, object| sources::references(object),
        refusal: |world, object| {
            let name = json::text(object, &["metadata", "name"]);
            let of_class = mirrored::limit(
                world,
                "persistent volume",
                name,
                Kind::StorageClass,
                "storage class",
                class(object),
            );
            of_class.or_else(|| sources::refusal(world, object).map(Note::warning))
        },
        inherits: true,
        ..BARE
    },
};

/// Decides about a volume when the host's are known. One that was made up before has to make way for the real one.
pub(super) fn plan_real(world: &World, item: &Reference) -> Plan {
    let actual = world
        .virtual_side
        .get(item.kind, "", &item.key.name)
        .map(|object| object.value());
    match actual.filter(|actual| json::text(actual, &["metadata", "labels", FAKE]) == "true") {
        Some(made_up) => remove(item, &made_up),
        None => bound::plan(world, item, &REAL),
    }
}

fn changing(object: &Value) -> Fields {
    let fields = copied::fields(&object["spec"], CHANGING);
    Fields::from_iter([("spec".to_owned(), Value::Object(fields))])
}

fn host_spec(world: &World, object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    // The host binds it by itself.
    json::remove(&mut spec, &["claimRef"]);
    spec["storageClassName"] = json!(class_of_copies(world, class(object)));
    sources::translate(world, &mut spec);
    spec
}

/// The class of a volume or a claim: an old annotation counts more than the field.
pub(super) fn class(object: &Value) -> &str {
    match json::text(object, &["metadata", "annotations", CLASS_ANNOTATION]) {
        "" => json::text(object, &["spec", "storageClassName"]),
        class => class,
    }
}

/// The class that copies of volumes have on the host, and the claims which ask for them. Theirs alone, also where they have none
/// in the virtual cluster: the host would give them to any claim of the same class.
pub(super) fn class_of_copies(world: &World, class: &str) -> String {
    world
        .names
        .cluster_host_name(if class.is_empty() { NO_CLASS } else { class })
}

/// Whether a volume of the virtual cluster has, or will have, a copy on the host, rather than showing one of the host's.
pub(super) fn is_copied(world: &World, name: &str) -> bool {
    on_host(world, name) == world.host_name(Kind::PersistentVolume, "", name)
}

/// The virtual claim to which the host has bound the copy.
fn claim_of_host(world: &World, object: &Value, host: &Value) -> Option<Value> {
    let claim = bound::reference_to(REAL.owner, &bound::owner(world, &REAL, host)?);
    let held = &object["spec"][REAL.reference];
    let differs = ["namespace", "name", "uid"]
        .iter()
        .any(|field| held[*field] != claim[*field]);
    differs.then(|| json!({"spec": {REAL.reference: claim}}))
}

/// The name that a volume of the virtual cluster has on the host.
pub(super) fn on_host(world: &World, name: &str) -> String {
    let volume = world.virtual_side.get(Kind::PersistentVolume, "", name);
    let shows = volume.map(|volume| json::text(&volume.value(), &["metadata", "annotations", REAL.shows]).to_owned());
    match shows {
        Some(shows) if !shows.is_empty() => shows,
        _ => world.host_name(Kind::PersistentVolume, "", name),
    }
}

/// The name that a volume of the host has in the virtual cluster.
pub(super) fn in_virtual(world: &World, name: &str) -> String {
    let volume = world
        .host
        .get(Kind::PersistentVolume, "", name)
        .map(|volume| volume.value());
    match volume.map(|volume| claim(&world.names, &Kind::PersistentVolume.gvk(), &volume)) {
        Some(Claim::Ours { name, .. }) => name,
        _ => name.to_owned(),
    }
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let claim = world.volumes.claim(&item.key.name).and_then(|key| {
        let claim = world
            .virtual_side
            .get(Kind::PersistentVolumeClaim, &key.namespace, &key.name)?;
        Some(claim.value())
    });
    let actual = world
        .virtual_side
        .get(Kind::PersistentVolume, "", &item.key.name)
        .map(|object| object.value());
    match (claim, actual) {
        (None, None) => Plan::nothing(),
        (Some(claim), None) => Plan::step(Step::Create {
            side: Side::Virtual,
            kind: Kind::PersistentVolume,
            object: volume(&item.key.name, &claim),
        }),
        (_, Some(actual)) if json::text(&actual, &["metadata", "labels", FAKE]) != "true" => Plan::nothing(),
        (None, Some(actual)) => remove(item, &actual),
        (Some(claim), Some(actual)) => update(item, &claim, &actual),
    }
}

fn claim_reference(claim: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim["metadata"]["namespace"],
        "name": claim["metadata"]["name"],
        "uid": claim["metadata"]["uid"],
    })
}

fn capacity(claim: &Value) -> Value {
    let granted = json::at(claim, &["status", "capacity"]).filter(|capacity| capacity.is_object());
    granted
        .or_else(|| json::at(claim, &["spec", "resources", "requests"]))
        .cloned()
        .unwrap_or_else(|| json!({}))
}

fn volume(name: &str, claim: &Value) -> Value {
    let mut spec = json!({
        "flexVolume": {"driver": "fake"},
        "capacity": capacity(claim),
        "accessModes": claim["spec"]["accessModes"],
        "claimRef": claim_reference(claim),
        "persistentVolumeReclaimPolicy": "Delete",
    });
    for field in ["storageClassName", "volumeMode"] {
        json::put(&mut spec, field, claim["spec"].get(field).cloned());
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": {FAKE: "true"},
            "annotations": {
                "kubernetes.io/createdby": PROVISIONER,
                "pv.kubernetes.io/bound-by-controller": "true",
                "pv.kubernetes.io/provisioned-by": PROVISIONER,
            },
        },
        "spec": spec,
    })
}

/// Nobody else lets go of what does not exist.
pub(super) fn remove(item: &Reference, actual: &Value) -> Plan {
    let held = !json::items(actual, &["metadata", "finalizers"]).is_empty();
    let release = held.then(|| json!({"finalizers": null}));
    let release = pair::patch_step(Side::Virtual, item, actual, release, None);
    let delete = (!pair::is_deleting(actual)).then(|| pair::delete_step(Side::Virtual, item, actual, None));
    // Deleted first: what protects volumes would put its finalizer back.
    Plan::nothing().and(delete).and(release)
}

fn update(item: &Reference, claim: &Value, actual: &Value) -> Plan {
    let mut spec = json!({});
    let capacity = capacity(claim);
    if actual["spec"]["capacity"] != capacity {
        spec["capacity"] = capacity;
    }
    if actual["spec"]["claimRef"]["uid"] != claim["metadata"]["uid"] {
        spec["claimRef"] = claim_reference(claim);
    }
    let spec = (spec != json!({})).then(|| json!({"spec": spec}));
    let bound = json::text(actual, &["status", "phase"]) != "Bound";
    let status = bound.then(|| Step::Patch {
        side: Side::Virtual,
        kind: Kind::PersistentVolume,
        key: item.key.clone(),
        subresource: "status",
        patch: Patch::Merge,
        body: json!({"metadata": {"uid": actual["metadata"]["uid"]}, "status": {"phase": "Bound"}}),
    });
    Plan::nothing()
        .and(pair::patch_step(Side::Virtual, item, actual, None, spec))
        .and(status)
}
