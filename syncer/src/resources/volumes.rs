//! PersistentVolumes of the virtual cluster: what stands for the host's volume behind each bound claim. Volumes of the host
//! belong to no namespace, and reading them would take more rights than the virtual cluster needs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::pair;
use crate::clusters::{Change, Patch};
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
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

/// Nobody else lets go of a volume that does not exist.
fn remove(item: &Reference, actual: &Value) -> Plan {
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
