//! Nodes that are made up: where the host does not show its own, one for every host node that runs a pod of this cluster.

use serde_json::{Map, Value, json};

use crate::names::{hex_digest, safe_concat};
use crate::world::World;

/// Label of nodes that were made up.
pub(super) const FAKE: &str = "vcluster.loft.sh/fake-node";
/// What a node made up here offers: more than its pods can notice, because the host places them.
const CAPACITY: [(&str, &str); 6] = [
    ("cpu", "16"),
    ("memory", "32Gi"),
    ("ephemeral-storage", "100Gi"),
    ("hugepages-1Gi", "0"),
    ("hugepages-2Mi", "0"),
    ("pods", "110"),
];

/// Metadata and spec of a made-up node.
pub(super) fn node(name: &str) -> Value {
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

/// Its status. What is not known of the node itself follows from its pods: the host's controllers take them out of service
/// when the node falls silent.
pub(super) fn status(world: &World, name: &str) -> Value {
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
    let ready = if world.placement.is_lost(name) {
        condition(
            "Ready",
            "Unknown",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        )
    } else {
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
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
            ready,
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
    })
}
