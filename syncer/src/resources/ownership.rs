//! Which fields both clusters know, and which of them may be carried from one to the other.
//!
//! Servers of different versions know different fields. One that a server does not know is dropped without a word, so that
//! whoever sends it sends it for ever; one that a server sets by itself is refused, or overwritten, just as often. So of the kinds that
//! are named here, nothing is carried that is not named, too, or that is newer than the server that is to store it.
//!
//! The numbers are minor versions in which a field works without a feature gate being set
//! (`pkg/features/kube_features.go`). What is only there with such a gate has no line.

use serde_json::Value;

use crate::engine::plan::Note;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::world::World;

/// A field of a status that the host's cluster writes and the virtual one shows.
struct Shown {
    kind: Kind,
    path: &'static str,
    since: u32,
}

const fn shown(kind: Kind, path: &'static str, since: u32) -> Shown {
    Shown { kind, path, since }
}

/// Versions that are older than everything here.
const ALWAYS: u32 = 0;

/// What may come up. A pod's `qosClass` is missing on purpose: each server computes it once, and refuses another.
#[rustfmt::skip]
const STATUS: &[Shown] = &[
    shown(Kind::Pod, "phase", ALWAYS),
    shown(Kind::Pod, "message", ALWAYS),
    shown(Kind::Pod, "reason", ALWAYS),
    shown(Kind::Pod, "startTime", ALWAYS),
    shown(Kind::Pod, "hostIP", ALWAYS),
    shown(Kind::Pod, "hostIPs", 29),
    shown(Kind::Pod, "podIP", ALWAYS),
    shown(Kind::Pod, "podIPs", ALWAYS),
    shown(Kind::Pod, "nominatedNodeName", ALWAYS),
    shown(Kind::Pod, "observedGeneration", 34),
    shown(Kind::Pod, "resize", 33),
    shown(Kind::Pod, "resources", 36),
    shown(Kind::Pod, "allocatedResources", 36),
    shown(Kind::Pod, "resourceClaimStatuses", 34),
    shown(Kind::Pod, "extendedResourceClaimStatus", 36),
    shown(Kind::Pod, "conditions[].type", ALWAYS),
    shown(Kind::Pod, "conditions[].status", ALWAYS),
    shown(Kind::Pod, "conditions[].reason", ALWAYS),
    shown(Kind::Pod, "conditions[].message", ALWAYS),
    shown(Kind::Pod, "conditions[].lastProbeTime", ALWAYS),
    shown(Kind::Pod, "conditions[].lastTransitionTime", ALWAYS),
    shown(Kind::Pod, "conditions[].observedGeneration", 34),
    shown(Kind::Pod, "*Statuses[].name", ALWAYS),
    shown(Kind::Pod, "*Statuses[].state", ALWAYS),
    shown(Kind::Pod, "*Statuses[].lastState", ALWAYS),
    shown(Kind::Pod, "*Statuses[].ready", ALWAYS),
    shown(Kind::Pod, "*Statuses[].started", ALWAYS),
    shown(Kind::Pod, "*Statuses[].restartCount", ALWAYS),
    shown(Kind::Pod, "*Statuses[].image", ALWAYS),
    shown(Kind::Pod, "*Statuses[].imageID", ALWAYS),
    shown(Kind::Pod, "*Statuses[].containerID", ALWAYS),
    shown(Kind::Pod, "*Statuses[].volumeMounts", 31),
    shown(Kind::Pod, "*Statuses[].resources", 33),
    shown(Kind::Pod, "*Statuses[].allocatedResources", 33),
    shown(Kind::Pod, "*Statuses[].user", 33),
    shown(Kind::Pod, "*Statuses[].allocatedResourcesStatus", 36),
    shown(Kind::Service, "loadBalancer", ALWAYS),
    shown(Kind::Service, "conditions", ALWAYS),
    shown(Kind::Ingress, "loadBalancer", ALWAYS),
    shown(Kind::PersistentVolumeClaim, "phase", ALWAYS),
    shown(Kind::PersistentVolumeClaim, "accessModes", ALWAYS),
    shown(Kind::PersistentVolumeClaim, "capacity", ALWAYS),
    shown(Kind::PersistentVolumeClaim, "conditions", ALWAYS),
    shown(Kind::PersistentVolumeClaim, "allocatedResources", 32),
    shown(Kind::PersistentVolumeClaim, "allocatedResourceStatuses", 32),
    shown(Kind::PersistentVolumeClaim, "currentVolumeAttributesClassName", 34),
    shown(Kind::PersistentVolumeClaim, "modifyVolumeStatus", 34),
    shown(Kind::PersistentVolume, "phase", ALWAYS),
    shown(Kind::PersistentVolume, "message", ALWAYS),
    shown(Kind::PersistentVolume, "reason", ALWAYS),
    shown(Kind::PersistentVolume, "lastPhaseTransitionTime", 29),
];

/// Lists of containers' statuses, which have the same fields: `*Statuses` above.
const CONTAINER_STATUSES: [&str; 3] = [
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

/// What becomes of a pod that uses a field which the host does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// It does what it should all the same; servers set it by themselves.
    Nothing,
    /// It lacks something that its owner should know of.
    Warning,
    /// It would be another pod.
    Refusal,
}

/// A field of a pod's spec that the virtual cluster's owner writes.
struct Sent {
    path: &'static str,
    since: u32,
    without: Without,
}

const fn sent(path: &'static str, since: u32, without: Without) -> Sent {
    Sent { path, since, without }
}

/// What not every host knows.
#[rustfmt::skip]
const SPEC: &[Sent] = &[
    sent("topologySpreadConstraints[].nodeAffinityPolicy", 26, Without::Warning),
    sent("topologySpreadConstraints[].nodeTaintsPolicy", 26, Without::Warning),
    sent("topologySpreadConstraints[].matchLabelKeys", 27, Without::Warning),
    sent("schedulingGates", 27, Without::Refusal),
    sent("initContainers[].restartPolicy", 29, Without::Refusal),
    sent("*ontainers[].lifecycle.preStop.sleep", 30, Without::Warning),
    sent("*ontainers[].lifecycle.postStart.sleep", 30, Without::Warning),
    sent("*ontainers[].volumeMounts[].recursiveReadOnly", 31, Without::Refusal),
    sent("hostUsers", 33, Without::Refusal),
    sent("securityContext.supplementalGroupsPolicy", 33, Without::Warning),
    sent("securityContext.seLinuxChangePolicy", 33, Without::Warning),
    sent("*ontainers[].resizePolicy", 33, Without::Nothing),
    sent("resources", 34, Without::Warning),
    sent("resourceClaims", 34, Without::Refusal),
    sent("*ontainers[].resources.claims", 34, Without::Refusal),
    sent("hostnameOverride", 35, Without::Refusal),
    sent("containers[].restartPolicy", 35, Without::Refusal),
    sent("*ontainers[].restartPolicyRules", 35, Without::Refusal),
    sent("*ontainers[].env[].valueFrom.fileKeyRef", 35, Without::Refusal),
    sent("volumes[].image", 35, Without::Refusal),
];

/// Lists of containers, which have the same fields: `*ontainers` above.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// What of a host object's status the virtual cluster shows.
pub(super) fn shown_status(world: &World, kind: Kind, status: Option<&Value>) -> Value {
    let minor = world.versions.minor(Side::Virtual);
    let mut shown = Value::Object(serde_json::Map::new());
    let Some(status) = status else { return shown };
    let of_kind = || STATUS.iter().filter(|field| field.kind == kind);
    if of_kind().next().is_none() {
        // Custom resources and what is younger than the table: both sides have the same definition.
        return status.clone();
    }
    for field in of_kind().filter(|field| field.since <= minor) {
        match field.path.split_once("[].") {
            None => json::put(&mut shown, field.path, status.get(field.path).cloned()),
            Some(("*Statuses", inner)) => {
                for list in CONTAINER_STATUSES {
                    copy_of_each(&mut shown, status, list, inner);
                }
            }
            Some((list, inner)) => copy_of_each(&mut shown, status, list, inner),
        }
    }
    shown
}

/// Copies one field of each element of a list.
fn copy_of_each(to: &mut Value, from: &Value, list: &str, field: &str) {
    let Some(Value::Array(elements)) = from.get(list) else {
        return;
    };
    if to.get(list).is_none() {
        let empty = vec![Value::Object(serde_json::Map::new()); elements.len()];
        json::put(to, list, Some(Value::Array(empty)));
    }
    for (element, copy) in elements.iter().zip(json::items_mut(to, list)) {
        if let Some(value) = element.get(field) {
            json::put(copy, field, Some(value.clone()));
        }
    }
}

/// Takes what the host does not know out of a pod's spec, and says what that means.
pub(super) fn fit_spec(world: &World, spec: &mut Value) -> Vec<Note> {
    let minor = world.versions.minor(Side::Host);
    let mut notes = Vec::new();
    for field in SPEC.iter().filter(|field| field.since > minor) {
        let lists: &[&str] = if field.path.starts_with('*') {
            &CONTAINERS
        } else {
            &[""]
        };
        for list in lists {
            let path = field.path.replace("*ontainers", list);
            let parts: Vec<&str> = path.split('.').collect();
            if !take(spec, &parts) {
                continue;
            }
            let cause = format!(
                "the host runs Kubernetes 1.{minor}, which does not know spec.{path}: it takes 1.{}",
                field.since
            );
            match field.without {
                Without::Nothing => {}
                Without::Warning => notes.push(Note::warning(format!("{cause}; the field is left out"))),
                Without::Refusal => notes.push(Note::error(format!("Error syncing to host cluster: {cause}"))),
            }
        }
    }
    notes
}

/// Removes a field; `name[]` stands for all elements of a list. Returns whether it was there.
fn take(value: &mut Value, path: &[&str]) -> bool {
    match path {
        [] => false,
        [last] => value.as_object_mut().is_some_and(|map| map.remove(*last).is_some()),
        [first, rest @ ..] => match first.strip_suffix("[]") {
            // Of all of them, not only until the first that has it.
            Some(list) => {
                json::items_mut(value, list)
                    .map(|item| take(item, rest))
                    .filter(|taken| *taken)
                    .count()
                    > 0
            }
            None => value.get_mut(*first).is_some_and(|inner| take(inner, rest)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::world;

    #[test]
    fn only_what_the_virtual_server_knows_comes_up() {
        let world = world();
        let status = json!({
            "phase": "Running", "qosClass": "Burstable", "fromTheFuture": {"a": 1}, "observedGeneration": 2, "hostIPs": [{"ip": "h"}],
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2, "newer": true}, {"type": "Other"}],
            "containerStatuses": [
                {"name": "a", "ready": true, "resources": {}, "stopSignal": "SIGTERM", "newer": 1},
                {"name": "b", "lastState": {}},
            ],
            "initContainerStatuses": [],
        });
        let now = json!({
            "phase": "Running", "observedGeneration": 2, "hostIPs": [{"ip": "h"}],
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}, {"type": "Other"}],
            "containerStatuses": [{"name": "a", "ready": true, "resources": {}}, {"name": "b", "lastState": {}}],
            "initContainerStatuses": [],
        });
        assert_eq!(shown_status(&world, Kind::Pod, Some(&status)), now);
        world.versions.learn(Side::Virtual, 32);
        let then = json!({
            "phase": "Running", "hostIPs": [{"ip": "h"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}],
            "containerStatuses": [{"name": "a", "ready": true}, {"name": "b", "lastState": {}}],
            "initContainerStatuses": [],
        });
        assert_eq!(shown_status(&world, Kind::Pod, Some(&status)), then);
        assert_eq!(
            shown_status(&world, Kind::Service, Some(&json!({"loadBalancer": {}, "x": 1}))),
            json!({"loadBalancer": {}})
        );
        assert_eq!(shown_status(&world, Kind::Service, None), json!({}));
    }

    #[test]
    fn old_hosts_get_no_fields_that_they_do_not_know() {
        let world = world();
        let pod = json!({
            "hostUsers": false, "resources": {"limits": {"cpu": "1"}},
            "containers": [{"name": "a", "resizePolicy": []}, {"name": "b", "resizePolicy": [], "image": "i"}],
            "initContainers": [{"name": "c", "restartPolicy": "Always"}],
            "volumes": [{"name": "v", "image": {"reference": "r"}}],
        });
        let mut spec = pod.clone();
        assert_eq!(fit_spec(&world, &mut spec), []);
        assert_eq!(spec, pod);
        world.versions.learn(Side::Host, 30);
        let notes = fit_spec(&world, &mut spec);
        assert_eq!(
            spec,
            json!({
                "containers": [{"name": "a"}, {"name": "b", "image": "i"}],
                "initContainers": [{"name": "c", "restartPolicy": "Always"}], "volumes": [{"name": "v"}],
            })
        );
        let told: Vec<(&str, &str)> = notes.iter().map(|note| (note.reason, note.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    "SyncError",
                    "Error syncing to host cluster: the host runs Kubernetes 1.30, which does not know spec.hostUsers: it takes 1.33"
                ),
                (
                    "SyncWarning",
                    "the host runs Kubernetes 1.30, which does not know spec.resources: it takes 1.34; the field is left out"
                ),
                (
                    "SyncError",
                    "Error syncing to host cluster: the host runs Kubernetes 1.30, which does not know spec.volumes[].image: it takes 1.35"
                ),
            ]
        );
    }
}
