//! What the host's cluster writes and the virtual one shows.

use serde_json::{Map, Value};

use super::ALWAYS;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::world::World;

/// A field that may come up: of a status, or of the spec of a kind that is shown as it is on the host.
struct Shown {
    kind: Kind,
    path: &'static str,
    since: u32,
}

const fn field(kind: Kind, path: &'static str, since: u32) -> Shown {
    Shown { kind, path, since }
}

/// What may come up. A pod's `qosClass` is missing on purpose: each server computes it once, and refuses another.
#[rustfmt::skip]
const TABLE: &[Shown] = &[
    field(Kind::Pod, "phase", ALWAYS),
    field(Kind::Pod, "message", ALWAYS),
    field(Kind::Pod, "reason", ALWAYS),
    field(Kind::Pod, "startTime", ALWAYS),
    field(Kind::Pod, "hostIP", ALWAYS),
    field(Kind::Pod, "hostIPs", 29),
    field(Kind::Pod, "podIP", ALWAYS),
    field(Kind::Pod, "podIPs", ALWAYS),
    field(Kind::Pod, "nominatedNodeName", ALWAYS),
    field(Kind::Pod, "observedGeneration", 34),
    field(Kind::Pod, "resize", 33),
    field(Kind::Pod, "resources", 36),
    field(Kind::Pod, "allocatedResources", 36),
    field(Kind::Pod, "resourceClaimStatuses", 34),
    field(Kind::Pod, "extendedResourceClaimStatus", 36),
    field(Kind::Pod, "conditions[].type", ALWAYS),
    field(Kind::Pod, "conditions[].status", ALWAYS),
    field(Kind::Pod, "conditions[].reason", ALWAYS),
    field(Kind::Pod, "conditions[].message", ALWAYS),
    field(Kind::Pod, "conditions[].lastProbeTime", ALWAYS),
    field(Kind::Pod, "conditions[].lastTransitionTime", ALWAYS),
    field(Kind::Pod, "conditions[].observedGeneration", 34),
    field(Kind::Pod, "*Statuses[].name", ALWAYS),
    field(Kind::Pod, "*Statuses[].state", ALWAYS),
    field(Kind::Pod, "*Statuses[].lastState", ALWAYS),
    field(Kind::Pod, "*Statuses[].ready", ALWAYS),
    field(Kind::Pod, "*Statuses[].started", ALWAYS),
    field(Kind::Pod, "*Statuses[].restartCount", ALWAYS),
    field(Kind::Pod, "*Statuses[].image", ALWAYS),
    field(Kind::Pod, "*Statuses[].imageID", ALWAYS),
    field(Kind::Pod, "*Statuses[].containerID", ALWAYS),
    field(Kind::Pod, "*Statuses[].volumeMounts", 31),
    field(Kind::Pod, "*Statuses[].resources", 33),
    field(Kind::Pod, "*Statuses[].allocatedResources", 33),
    field(Kind::Pod, "*Statuses[].user", 33),
    field(Kind::Pod, "*Statuses[].allocatedResourcesStatus", 36),
    field(Kind::Service, "loadBalancer", ALWAYS),
    field(Kind::Service, "conditions", ALWAYS),
    field(Kind::Ingress, "loadBalancer", ALWAYS),
    field(Kind::PersistentVolumeClaim, "phase", ALWAYS),
    field(Kind::PersistentVolumeClaim, "accessModes", ALWAYS),
    field(Kind::PersistentVolumeClaim, "capacity", ALWAYS),
    field(Kind::PersistentVolumeClaim, "conditions", ALWAYS),
    field(Kind::PersistentVolumeClaim, "allocatedResources", 32),
    field(Kind::PersistentVolumeClaim, "allocatedResourceStatuses", 32),
    field(Kind::PersistentVolumeClaim, "currentVolumeAttributesClassName", 34),
    field(Kind::PersistentVolumeClaim, "modifyVolumeStatus", 34),
    field(Kind::PersistentVolume, "phase", ALWAYS),
    field(Kind::PersistentVolume, "message", ALWAYS),
    field(Kind::PersistentVolume, "reason", ALWAYS),
    field(Kind::PersistentVolume, "lastPhaseTransitionTime", 29),
    field(Kind::Node, "capacity", ALWAYS),
    field(Kind::Node, "allocatable", ALWAYS),
    field(Kind::Node, "phase", ALWAYS),
    field(Kind::Node, "conditions", ALWAYS),
    field(Kind::Node, "addresses", ALWAYS),
    field(Kind::Node, "daemonEndpoints", ALWAYS),
    field(Kind::Node, "nodeInfo.machineID", ALWAYS),
    field(Kind::Node, "nodeInfo.systemUUID", ALWAYS),
    field(Kind::Node, "nodeInfo.bootID", ALWAYS),
    field(Kind::Node, "nodeInfo.kernelVersion", ALWAYS),
    field(Kind::Node, "nodeInfo.osImage", ALWAYS),
    field(Kind::Node, "nodeInfo.containerRuntimeVersion", ALWAYS),
    field(Kind::Node, "nodeInfo.kubeletVersion", ALWAYS),
    field(Kind::Node, "nodeInfo.kubeProxyVersion", ALWAYS),
    field(Kind::Node, "nodeInfo.operatingSystem", ALWAYS),
    field(Kind::Node, "nodeInfo.architecture", ALWAYS),
    field(Kind::Node, "nodeInfo.swap", 34),
    field(Kind::Node, "images", ALWAYS),
    field(Kind::Node, "volumesInUse", ALWAYS),
    field(Kind::Node, "volumesAttached", ALWAYS),
    field(Kind::Node, "config", ALWAYS),
    field(Kind::Node, "runtimeHandlers", 31),
    field(Kind::Node, "features", 33),
    field(Kind::Node, "declaredFeatures", 36),
    field(Kind::CsiDriver, "attachRequired", ALWAYS),
    field(Kind::CsiDriver, "podInfoOnMount", ALWAYS),
    field(Kind::CsiDriver, "volumeLifecycleModes", ALWAYS),
    field(Kind::CsiDriver, "storageCapacity", ALWAYS),
    field(Kind::CsiDriver, "fsGroupPolicy", ALWAYS),
    field(Kind::CsiDriver, "tokenRequests", ALWAYS),
    field(Kind::CsiDriver, "requiresRepublish", ALWAYS),
    field(Kind::CsiDriver, "seLinuxMount", 28),
    field(Kind::CsiDriver, "nodeAllocatableUpdatePeriodSeconds", 35),
    field(Kind::CsiDriver, "serviceAccountTokenInSecrets", 35),
    field(Kind::CsiNode, "drivers[].name", ALWAYS),
    field(Kind::CsiNode, "drivers[].nodeID", ALWAYS),
    field(Kind::CsiNode, "drivers[].topologyKeys", ALWAYS),
    field(Kind::CsiNode, "drivers[].allocatable", ALWAYS),
    field(Kind::DeviceClass, "selectors", ALWAYS),
    field(Kind::DeviceClass, "config", ALWAYS),
    field(Kind::DeviceClass, "extendedResourceName", 36),
];

/// Lists of containers' statuses, which have the same fields: `*Statuses` above.
const CONTAINER_STATUSES: [&str; 3] = [
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

/// What of a host object's status the virtual cluster shows.
pub(in crate::resources) fn shown_status(world: &World, kind: Kind, status: Option<&Value>) -> Value {
    let empty = Value::Object(Map::new());
    shown(world, kind, status.unwrap_or(&empty))
}

/// What of a part of a host object the virtual cluster shows: of its status, or its spec where that is the host's.
pub(in crate::resources) fn shown(world: &World, kind: Kind, part: &Value) -> Value {
    let minor = world.versions.minor(Side::Virtual);
    let of_kind = || TABLE.iter().filter(|field| field.kind == kind);
    if of_kind().next().is_none() {
        // Custom resources and what is younger than the table: both sides have the same definition.
        return part.clone();
    }
    let mut shown = Value::Object(Map::new());
    for Shown { path, .. } in of_kind().filter(|field| field.since <= minor) {
        match path.strip_prefix("*Statuses") {
            None => carry(&mut shown, part, path),
            Some(inner) => {
                for list in CONTAINER_STATUSES {
                    carry(&mut shown, part, &format!("{list}{inner}"));
                }
            }
        }
    }
    shown
}

/// Copies the field at a path; `name[]` stands for each element of a list.
fn carry(to: &mut Value, from: &Value, path: &str) {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, rest),
        None => return json::put(to, path, from.get(path).cloned()),
    };
    let name = first.strip_suffix("[]").unwrap_or(first);
    match from.get(name) {
        Some(Value::Array(elements)) => {
            if to.get(name).is_none() {
                let empty = vec![Value::Object(Map::new()); elements.len()];
                json::put(to, name, Some(Value::Array(empty)));
            }
            for (element, copy) in elements.iter().zip(json::items_mut(to, name)) {
                carry(copy, element, rest);
            }
        }
        Some(inner @ Value::Object(_)) => {
            if to.get(name).is_none() {
                json::put(to, name, Some(Value::Object(Map::new())));
            }
            if let Some(copy) = to.get_mut(name) {
                carry(copy, inner, rest);
            }
        }
        _ => {}
    }
}
