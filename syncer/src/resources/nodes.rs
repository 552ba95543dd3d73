//! Virtual nodes: one for every host node that runs a pod of this cluster.

use serde_json::{Map, Value, json};

use super::pair;
use crate::clusters::Patch;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, hex_digest, keys, safe_concat};
use crate::world::World;

/// Label of nodes that were made up.
const FAKE: &str = "vcluster.loft.sh/fake-node";
/// DNS domain of virtual nodes.
const DOMAIN: &str = "nodes.vcluster.com";
/// What a node made up here offers: more than its pods can notice, because the host places them.
const CAPACITY: [(&str, &str); 6] = [
    ("cpu", "16"),
    ("memory", "32Gi"),
    ("ephemeral-storage", "100Gi"),
    ("hugepages-1Gi", "0"),
    ("hugepages-2Mi", "0"),
    ("pods", "110"),
];

/// Taints that say what the conditions of a node say, without their common prefix.
const CONDITION_TAINTS: [&str; 7] = [
    "not-ready",
    "unreachable",
    "memory-pressure",
    "disk-pressure",
    "pid-pressure",
    "network-unavailable",
    "unschedulable",
];

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let name = &item.key.name;
    let virtual_ = world
        .virtual_side
        .get(Kind::Node, "", name)
        .map(|object| object.value());
    let used = world.placement.is_used(name);
    match virtual_ {
        None if used => Plan::step(Step::Create {
            side: Side::Virtual,
            kind: Kind::Node,
            object: node(world, name),
        }),
        None => Plan::nothing(),
        Some(actual) if !is_ours(world, &actual) => Plan::nothing(),
        Some(actual) if !used => pair::delete(Side::Virtual, item, &actual),
        Some(actual) => update(world, item, &actual),
    }
}

fn is_ours(world: &World, node: &Value) -> bool {
    json::text(node, &["metadata", "labels", FAKE]) == "true"
        || json::text(node, &["metadata", "labels", keys::MARKER]) == world.names.vcluster()
}

/// What the node of this name has to look like.
fn node(world: &World, name: &str) -> Value {
    let host = world.host.get(Kind::Node, "", name).map(|object| object.value());
    let (mut node, mut status) = match host {
        Some(host) => (mirrored(world, name, &host), host["status"].clone()),
        None => (invented(name), invented_status(world, name)),
    };
    status["addresses"] = json!([
        {"type": "InternalIP", "address": world.settings.nodes.kubelet_address},
        {"type": "Hostname", "address": format!("{}.{DOMAIN}", name.replace('.', "-"))},
    ]);
    status["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": world.settings.nodes.kubelet_port}});
    node["status"] = status;
    node
}

fn mirrored(world: &World, name: &str, host: &Value) -> Value {
    let mut labels = json::strings(host, &["metadata", "labels"]);
    labels.insert(keys::MARKER.to_owned(), world.names.vcluster().to_owned());
    let mut spec = host["spec"].clone();
    if let Some(taints) = spec.get_mut("taints").and_then(Value::as_array_mut) {
        taints.retain(|taint| !follows_conditions(taint));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": json::strings(host, &["metadata", "annotations"])},
        "spec": spec,
    })
}

/// The host's controllers taint nodes as their conditions change. Here the conditions are mirrored, and the taints that follow
/// from them belong to the controllers of this cluster.
fn follows_conditions(taint: &Value) -> bool {
    let key = json::text(taint, &["key"]);
    let effect = json::text(taint, &["effect"]);
    CONDITION_TAINTS
        .iter()
        .any(|name| key.strip_prefix("node.kubernetes.io/") == Some(name))
        && matches!(effect, "NoSchedule" | "NoExecute")
}

fn invented(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                FAKE: "true",
                "beta.kubernetes.io/arch": architecture(),
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture(),
                "kubernetes.io/hostname": safe_concat(&["fake", name]),
                "kubernetes.io/os": "linux",
            },
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "false",
            },
        },
        "spec": {},
    })
}

/// The name that Kubernetes gives to the architecture of this process.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn invented_status(world: &World, name: &str) -> Value {
    let capacity: Map<String, Value> = CAPACITY
        .iter()
        .map(|(resource, amount)| ((*resource).to_owned(), json!(amount)))
        .collect();
    let now = (world.clock)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    // Stable ids: a node that comes back is the same one.
    let id = hex_digest(format!("{}/{name}", world.names.vcluster()).as_bytes());
    let version = &world.settings.nodes.version;
    json!({
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "nodeInfo": {
            "machineID": &id[..32],
            "systemUUID": format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]),
            "bootID": format!("{}-{}-{}-{}-{}", &id[32..40], &id[40..44], &id[44..48], &id[48..52], &id[52..64]),
            "architecture": architecture(),
            "operatingSystem": "linux",
            "osImage": "Fake Kubernetes Image",
            "kernelVersion": "4.19.76-fakelinux",
            "containerRuntimeVersion": "docker://19.3.12",
            "kubeletVersion": version,
            "kubeProxyVersion": version,
        },
        "images": [],
    })
}

/// A condition without the times at which it was looked at.
fn condition_essence(condition: &Value) -> Value {
    json!([
        condition["type"],
        condition["status"],
        condition["reason"],
        condition["message"]
    ])
}

/// At most one write: the status is compared without the times that the API server may add.
fn update(world: &World, item: &Reference, actual: &Value) -> Plan {
    let wanted = node(world, &item.key.name);
    let mut metadata = json!({});
    for map in ["labels", "annotations"] {
        let current = json::strings(actual, &["metadata", map]);
        let missing: Map<String, Value> = json::strings(&wanted, &["metadata", map])
            .into_iter()
            .filter(|(key, value)| current.get(key) != Some(value))
            .map(|(key, value)| (key, json!(value)))
            .collect();
        json::put(
            &mut metadata,
            map,
            (!missing.is_empty()).then_some(Value::Object(missing)),
        );
    }
    let metadata = (metadata != json!({})).then_some(metadata);
    let change = pair::patch_step(Side::Virtual, item, actual, metadata, None);
    let mut status = Map::new();
    let essence = |node: &Value| {
        json::items(node, &["status", "conditions"])
            .iter()
            .map(condition_essence)
            .collect::<Vec<_>>()
    };
    let same_conditions = essence(actual) == essence(&wanted);
    for (field, value) in wanted["status"].as_object().into_iter().flatten() {
        let empty = value.as_array().is_some_and(Vec::is_empty) && actual["status"].get(field).is_none();
        let same = if field == "conditions" {
            same_conditions
        } else {
            actual["status"].get(field) == Some(value)
        };
        if !empty && !same {
            status.insert(field.clone(), value.clone());
        }
    }
    let status = (!status.is_empty()).then(|| Step::Patch {
        side: Side::Virtual,
        kind: Kind::Node,
        key: item.key.clone(),
        subresource: "status",
        patch: Patch::Merge,
        body: json!({"metadata": {"uid": actual["metadata"]["uid"]}, "status": status}),
    });
    Plan::nothing().and(change).and(status)
}
