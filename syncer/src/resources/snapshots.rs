//! VolumeSnapshots, to the host, and their contents; classes of snapshots from the host. Their kinds are custom resources of
//! the CSI snapshotter (`github.com/kubernetes-csi/external-snapshotter`, `client/apis/volumesnapshot/v1`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bound::{self, Bound};
use super::copied::{self, BARE, Copied, Fields};
use super::mirrored::{self, Mirrored, PLAIN};
use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, Reference, claim};
use crate::object::ObjectKey;
use crate::world::World;

/// Field of the source with the name of the claim.
const CLAIM_NAME: &str = "persistentVolumeClaimName";
/// Field of the source with the name of a content that is there already.
const CONTENT_NAME: &str = "volumeSnapshotContentName";
/// Field of the status with the name of the content that was made.
const BOUND_NAME: &str = "boundVolumeSnapshotContentName";

pub(super) const CONTENT: Bound = Bound {
    shows: "vcluster.loft.sh/host-volumesnapshotcontent",
    reference: "volumeSnapshotRef",
    owner: Kind::VolumeSnapshot,
    complete: |_, _| (),
    goes: |_| true,
    copied: Copied {
        excluded: &["vcluster.loft.sh/host-volumesnapshotcontent"],
        initial: |world, object| Fields::from_iter([("spec".to_owned(), content_spec(world, object))]),
        wanted: |_, object, _| part_of_spec(object, &["deletionPolicy", "volumeSnapshotClassName"]),
        actual: |host| part_of_spec(host, &["deletionPolicy", "volumeSnapshotClassName"]),
        status: Some(copied::whole_status),
        ..BARE
    },
};

/// Some fields of the spec.
fn part_of_spec(object: &Value, names: &[&str]) -> Fields {
    let fields = copied::fields(&object["spec"], names);
    Fields::from_iter([("spec".to_owned(), Value::Object(fields))])
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        initial: |world, object| Fields::from_iter([("spec".to_owned(), spec(world, object))]),
        wanted: |_, object, _| part_of_spec(object, &["volumeSnapshotClassName"]),
        actual: |host| part_of_spec(host, &["volumeSnapshotClassName"]),
        status: Some(with_virtual_content),
        references,
        ..BARE
    };
    copied::plan(world, item, &copied)
}

/// The claim that a snapshot is taken of, where the host can have another one of its name.
fn references(world: &World, object: &Value) -> BTreeSet<Reference> {
    let claim = json::text(object, &["spec", "source", CLAIM_NAME]);
    let namespace = json::text(object, &["metadata", "namespace"]);
    let named = world.names.own(namespace).is_some() && !claim.is_empty();
    let claim = named.then(|| Reference::new(Kind::PersistentVolumeClaim, namespace, claim));
    claim.into_iter().collect()
}

fn spec(world: &World, object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    // Whatever an annotation says: what is not translated is somebody else's.
    let namespace = json::text(object, &["metadata", "namespace"]);
    if let Some(source) = spec.get_mut("source") {
        if let Some(claim) = source.get(CLAIM_NAME).and_then(Value::as_str) {
            let name = world.host_name(Kind::PersistentVolumeClaim, namespace, claim);
            json::put(source, CLAIM_NAME, Some(json!(name)));
        }
        if let Some(content) = source.get(CONTENT_NAME).and_then(Value::as_str) {
            let name = content_on_host(world, content);
            json::put(source, CONTENT_NAME, Some(json!(name)));
        }
    }
    spec
}

/// The name of a content on the host: that of the one which it shows, or of its copy.
fn content_on_host(world: &World, name: &str) -> String {
    let content = world.virtual_side.get(Kind::VolumeSnapshotContent, "", name);
    let shows =
        content.map(|content| json::text(&content.value(), &["metadata", "annotations", CONTENT.shows]).to_owned());
    match shows {
        Some(shows) if !shows.is_empty() => shows,
        _ => world.host_name(Kind::VolumeSnapshotContent, "", name),
    }
}

/// The host's status, in which the content has its virtual name.
fn with_virtual_content(world: &World, host: &Value) -> Option<Value> {
    let mut status = host.get("status")?.clone();
    let content = world
        .host
        .get(Kind::VolumeSnapshotContent, "", json::text(&status, &[BOUND_NAME]));
    if let Some(content) = content
        && let Claim::Ours { name, .. } = claim(&world.names, &Kind::VolumeSnapshotContent.gvk(), &content.value())
    {
        status[BOUND_NAME] = json!(name);
    }
    Some(status)
}

pub(super) fn plan_content(world: &World, item: &Reference) -> Plan {
    bound::plan(world, item, &CONTENT)
}

/// The name on the host of the snapshot that a content is for.
fn snapshot_on_host(world: &World, content: &Value) -> ObjectKey {
    let reference = |field| json::text(content, &["spec", CONTENT.reference, field]);
    world.host_key(Kind::VolumeSnapshot, reference("namespace"), reference("name"))
}

fn content_spec(world: &World, object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    let snapshot = snapshot_on_host(world, object);
    spec[CONTENT.reference] = json!({"namespace": snapshot.namespace, "name": snapshot.name});
    spec
}

pub(super) fn plan_class(world: &World, item: &Reference) -> Plan {
    let mirrored = Mirrored {
        fields: &["driver", "parameters", "deletionPolicy"],
        ..PLAIN
    };
    mirrored::plan(world, item, &mirrored)
}
