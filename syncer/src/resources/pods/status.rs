//! The status of the host pod, told in the words of the virtual cluster.

use serde_json::{Value, json};

use super::super::{devices, ownership, pair};
use super::names::CONTAINER_LISTS;
use crate::clusters::Patch;
use crate::engine::plan::Step;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Known, Newer, Reference};
use crate::world::World;

/// Lists of container statuses, in the order of [`CONTAINER_LISTS`].
const STATUS_LISTS: [&str; 3] = [
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

/// Conditions that the kubelet and the scheduler set (`pkg/kubelet/types/pod_status.go` of Kubernetes): always the host's.
const OF_NODE: [&str; 8] = [
    "PodScheduled",
    "Initialized",
    "ContainersReady",
    "Ready",
    "PodReadyToStartContainers",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
];

/// The write that brings the virtual status up to date.
pub(super) fn up(world: &World, item: &Reference, pod: &Value, host: &Value) -> Option<Step> {
    if json::text(host, &["status", "phase"]).is_empty() {
        return None;
    }
    let wanted = wanted(world, item, pod, host);
    let empty = json!({});
    let change = json::merge_diff(pod.get("status").unwrap_or(&empty), &wanted)?;
    Some(Step::Patch {
        side: Side::Virtual,
        kind: Kind::Pod,
        key: pair::key_of(pod),
        subresource: "status",
        patch: Patch::Merge,
        body: json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": change}),
    })
}

fn wanted(world: &World, item: &Reference, pod: &Value, host: &Value) -> Value {
    let mut status = ownership::shown_status(world, Kind::Pod, host.get("status"));
    let host_namespace = json::text(host, &["metadata", "namespace"]);
    devices::translate_claim_statuses(world, host_namespace, &mut status);
    json::put(&mut status, "qosClass", pod["status"].get("qosClass").cloned());
    let (copy, own) = (pair::key_of(host), &item.key);
    for (statuses, containers) in STATUS_LISTS.iter().zip(CONTAINER_LISTS) {
        let all_own = keep_own_containers(&mut status, statuses, json::items(pod, &["spec", containers]));
        if !all_own {
            // These are sums over the containers that the host has.
            json::remove(&mut status, &["resources", "allocatedResources"]);
        }
        for container in json::items_mut(&mut status, statuses) {
            // The kubelet names the pod in it.
            if let Some(message) = container.pointer_mut("/state/waiting/message") {
                *message = json!(world.names.retold(message.as_str().unwrap_or_default(), &copy, own));
            }
        }
    }
    translate_generation(&mut status, pod, host);
    for condition in json::items_mut(&mut status, "conditions") {
        translate_generation(condition, pod, host);
    }
    keep_own_conditions(&mut status, own_conditions(world, pod, host));
    if let Some(message) = status.get("message").and_then(Value::as_str) {
        let message = world.names.retold(message, &copy, own);
        json::put(&mut status, "message", Some(json!(message)));
    }
    status
}

/// Containers that only the host has (our own, or a sidecar that it injects) are not shown; whether there are none.
fn keep_own_containers(status: &mut Value, field: &str, containers: &[Value]) -> bool {
    let Some(Value::Array(statuses)) = status.get_mut(field) else {
        return true;
    };
    let all = statuses.len();
    statuses.retain(|status| containers.iter().any(|container| container["name"] == status["name"]));
    let all_own = statuses.len() == all;
    if statuses.is_empty() {
        json::remove(status, &[field]);
    }
    all_own
}

/// Generations count each cluster's own changes: "has seen the newest" is what can be carried over.
fn translate_generation(holder: &mut Value, pod: &Value, host: &Value) {
    let Some(observed) = holder.get("observedGeneration") else {
        return;
    };
    let current = observed == &host["metadata"]["generation"];
    let generation = pod["metadata"].get("generation").cloned().filter(|_| current);
    json::put(holder, "observedGeneration", generation);
}

/// Conditions that are set in the virtual cluster stay; the host hears of them, and does not undo them.
fn keep_own_conditions(status: &mut Value, own: Vec<Value>) {
    if own.is_empty() {
        return;
    }
    if status.get("conditions").is_none() {
        json::put(status, "conditions", Some(json!([])));
    }
    if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
        conditions.retain(|condition| !own.iter().any(|other| other["type"] == condition["type"]));
        conditions.extend(own);
    }
}

/// What a condition says.
fn essence(condition: &Value) -> String {
    let said = ["type", "status", "reason", "message"].map(|field| &condition[field]);
    json!(said).to_string()
}

/// When a condition became what it is; these texts are in order of time.
fn since(condition: &Value) -> &str {
    json::text(condition, &["lastTransitionTime"])
}

/// The conditions of a virtual pod that count more than the host's: those that readiness gates wait for, and of all others that no
/// kubelet sets the ones that are newer here. Such is what says that a pod is evicted, which Jobs go by.
fn own_conditions(world: &World, pod: &Value, host: &Value) -> Vec<Value> {
    let gates = json::items(pod, &["spec", "readinessGates"]);
    let uid = json::text(pod, &["metadata", "uid"]);
    let is_own = |known: &mut Known, condition: &Value| {
        let kind = json::text(condition, &["type"]);
        if gates.iter().any(|gate| gate["conditionType"] == condition["type"]) {
            return true;
        }
        if OF_NODE.contains(&kind) {
            return false;
        }
        let conditions = json::items(host, &["status", "conditions"]);
        let theirs = conditions.iter().find(|other| other["type"] == condition["type"]);
        let said = theirs.map(essence);
        match known.compare(&format!("conditions/{kind}"), Some(&essence(condition)), said.as_ref()) {
            Newer::Neither | Newer::Host => false,
            Newer::Virtual => true,
            Newer::Unknown => theirs.is_none_or(|theirs| since(theirs) < since(condition)),
        }
    };
    let all = json::items(pod, &["status", "conditions"]).iter();
    world.agreed.revise(uid, |known| {
        all.filter(|condition| is_own(known, condition)).cloned().collect()
    })
}

/// The write that tells the host about conditions that are set in the virtual cluster.
pub(super) fn conditions_down(world: &World, pod: &Value, host: &Value) -> Option<Step> {
    let known: Vec<String> = json::items(host, &["status", "conditions"])
        .iter()
        .map(essence)
        .collect();
    let news: Vec<Value> = own_conditions(world, pod, host)
        .into_iter()
        .filter(|condition| !known.contains(&essence(condition)))
        .map(|mut condition| {
            json::remove(&mut condition, &["observedGeneration"]);
            condition
        })
        .collect();
    (!news.is_empty()).then(|| Step::Patch {
        side: Side::Host,
        kind: Kind::Pod,
        key: pair::key_of(host),
        subresource: "status",
        // Conditions are merged by their type.
        patch: Patch::Strategic,
        body: json!({"metadata": {"uid": host["metadata"]["uid"]}, "status": {"conditions": news}}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::world;

    fn item() -> Reference {
        Reference::new(Kind::Pod, "team", "web")
    }

    fn patch(pod: &Value, host: &Value) -> Option<Value> {
        match up(&world(), &item(), pod, host)? {
            Step::Patch {
                body,
                subresource: "status",
                side: Side::Virtual,
                ..
            } => Some(body["status"].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_host_status_comes_up_once() {
        let mut pod = json!({
            "metadata": {"namespace": "team", "name": "web", "uid": "v", "generation": 3},
            "spec": {"containers": [{"name": "app"}]},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        });
        let host = json!({
            "metadata": {"namespace": "host", "name": "web-x-team-x-vc", "uid": "h", "generation": 1},
            "status": {
                "phase": "Running", "podIP": "10.1.0.4", "qosClass": "Burstable", "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}],
                "initContainerStatuses": [{"name": "vcluster-rewrite-hosts"}],
                "containerStatuses": [
                    {"name": "app", "ready": false, "state": {"waiting": {
                        "reason": "CrashLoopBackOff",
                        "message": "back-off 10s restarting failed container=app pod=web-x-team-x-vc_host(h)"}}},
                    {"name": "injected"},
                ],
                "resources": {"requests": {"cpu": "30m"}}, "allocatedResources": {"cpu": "30m"},
                "message": "secret web-token-x-team-x-vc is missing",
            },
        });
        let status = patch(&pod, &host).expect("a change");
        assert_eq!(
            status,
            json!({
                "phase": "Running", "podIP": "10.1.0.4", "observedGeneration": 3,
                "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3}],
                "containerStatuses": [{"name": "app", "ready": false, "state": {"waiting": {
                    "reason": "CrashLoopBackOff",
                    "message": "back-off 10s restarting failed container=app pod=web_team(h)"}}}],
                "message": "secret web-token is missing",
            })
        );
        for (field, value) in status.as_object().expect("an object") {
            pod["status"][field] = value.clone();
        }
        assert_eq!(patch(&pod, &host), None);
    }

    #[test]
    fn readiness_gates_go_down_and_stay() {
        let gate = json!({"type": "lb.example.com/ready", "status": "True"});
        let pod = json!({
            "metadata": {"namespace": "team", "name": "web", "uid": "v"},
            "spec": {"containers": [], "readinessGates": [{"conditionType": "lb.example.com/ready"}]},
            "status": {"conditions": [gate]},
        });
        let mut host = json!({"metadata": {"namespace": "host", "name": "h", "uid": "h"}, "status": {}});
        assert_eq!(patch(&pod, &host), None);
        let Some(Step::Patch {
            body,
            side: Side::Host,
            patch: Patch::Strategic,
            ..
        }) = conditions_down(&world(), &pod, &host)
        else {
            panic!("a patch of the host");
        };
        assert_eq!(body["status"]["conditions"], json!([gate]));
        host["status"]["conditions"] = json!([gate]);
        assert_eq!(conditions_down(&world(), &pod, &host), None);
    }

    /// What an eviction or an operator says about a pod is not undone by the next word of its kubelet.
    #[test]
    fn conditions_of_neither_kubelet_nor_scheduler_follow_who_set_them_last() {
        let condition = |status: &str, minute: u32| {
            json!({
                "type": "DisruptionTarget", "status": status, "reason": "EvictionByEvictionAPI",
                "lastTransitionTime": format!("2026-01-01T00:{minute:02}:00Z"),
            })
        };
        let ready =
            |status: &str| json!({"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let pod = |conditions: Vec<Value>| {
            json!({
                "metadata": {"namespace": "team", "name": "web", "uid": "v"}, "spec": {"containers": []},
                "status": {"phase": "Running", "conditions": conditions},
            })
        };
        // What the virtual pod says besides being ready, what the host says, and what both say in the end.
        let table = [
            (Some(("True", 1)), None, Some(("True", 1))),
            (Some(("True", 2)), Some(("False", 1)), Some(("True", 2))),
            (Some(("True", 1)), Some(("False", 2)), Some(("False", 2))),
            (None, Some(("True", 1)), Some(("True", 1))),
        ];
        for (ours, theirs, both) in table {
            let world = world();
            let of = |said: Option<(&str, u32)>| said.map(|(status, minute)| condition(status, minute));
            let virtual_ = pod([ready("True")].into_iter().chain(of(ours)).collect());
            let host = pod([ready("False")].into_iter().chain(of(theirs)).collect());
            let shown = wanted(&world, &item(), &virtual_, &host);
            let expected: Vec<Value> = [ready("False")].into_iter().chain(of(both)).collect();
            assert_eq!(shown["conditions"], json!(expected), "{ours:?} {theirs:?}");
            let told = conditions_down(&world, &virtual_, &host).is_some();
            assert_eq!(told, both == ours, "{ours:?} {theirs:?}");
        }
        // Once both had it, it goes with the host's.
        let world = world();
        let (with, without) = (pod(vec![condition("True", 1)]), pod(vec![]));
        assert!(conditions_down(&world, &with, &with).is_none());
        assert!(conditions_down(&world, &with, &without).is_none());
        let shown = wanted(&world, &item(), &with, &without);
        assert!(json::items(&shown, &["conditions"]).is_empty(), "{shown}");
    }
}
