//! A node's own object and its lease.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::json;
use tracing::{info, warn};

use super::addresses::Addresses;

/// The kubelet's `nodeLeaseDurationSeconds`; a lease is renewed every quarter of it.
const LEASE_SECONDS: u64 = 40;
/// The kubelet's `nodeStatusReportFrequency`.
const REPORT_EVERY: Duration = Duration::from_secs(300);
const NAMESPACE: &str = "kube-node-lease";
/// What a simulated node says it has; enough for a few hundred small pods on a handful of nodes.
pub(super) const CAPACITY: &[(&str, &str)] = &[
    ("cpu", "16"),
    ("memory", "32Gi"),
    ("ephemeral-storage", "100Gi"),
    ("hugepages-2Mi", "0"),
    ("pods", "110"),
];

/// One simulated node.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Name of the Node object.
    pub name: String,
    /// Position among the nodes of this host; part of the pod network, so it must not change.
    pub index: u8,
    /// Where its kubelet listens.
    pub address: std::net::SocketAddr,
}

impl NodeIdentity {
    fn object(&self) -> Node {
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let labels = [
            ("beta.kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/hostname", &self.name),
        ];
        let network = Addresses::network(self.index);
        Node {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_string(), value.to_string())).into()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                pod_cidr: Some(network.clone()),
                pod_cidrs: Some(vec![network]),
                provider_id: Some(format!("simulated://{}", self.name)),
                ..NodeSpec::default()
            }),
            status: None,
        }
    }

    fn status(&self, conditions: Vec<NodeCondition>) -> NodeStatus {
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let capacity: BTreeMap<String, Quantity> = CAPACITY
            .iter()
            .map(|(name, amount)| (name.to_string(), Quantity(amount.to_string())))
            .collect();
        let address = |kind: &str, address: String| NodeAddress {
            type_: kind.to_string(),
            address,
        };
        NodeStatus {
            addresses: Some(vec![
                address("InternalIP", self.address.ip().to_string()),
                address("Hostname", self.name.clone()),
            ]),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(conditions),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint {
                    port: i32::from(self.address.port()),
                }),
            }),
            node_info: Some(NodeSystemInfo {
                architecture: arch.to_string(),
                operating_system: "linux".to_string(),
                os_image: "Simulated".to_string(),
                kernel_version: "0.0.0-simulated".to_string(),
                container_runtime_version: concat!("simulated://", env!("CARGO_PKG_VERSION")).to_string(),
                kubelet_version: "v1.36.0".to_string(),
                kube_proxy_version: String::new(),
                machine_id: self.name.clone(),
                system_uuid: self.name.clone(),
                boot_id: self.name.clone(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }
    }
}

/// The conditions of a healthy node; a transition time is kept when there is an earlier report.
fn conditions(old: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let healthy = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    healthy
        .map(|(kind, status, reason, message)| {
            let same = old
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == status);
            NodeCondition {
                type_: kind.to_string(),
                status: status.to_string(),
                reason: Some(reason.to_string()),
                message: Some(message.to_string()),
                last_heartbeat_time: Some(Time(second)),
                last_transition_time: same
                    .and_then(|old| old.last_transition_time.clone())
                    .or(Some(Time(second))),
            }
        })
        .into()
}

/// Registers a node and keeps its lease and status fresh for ever; `registered` is called after the first report.
pub async fn register(client: Client, node: NodeIdentity, registered: impl Fn()) {
    let mut pause = Duration::from_millis(100);
    let uid = loop {
        match report(&client, &node).await {
            Ok(uid) => break uid,
            Err(error) => {
                warn!(node = node.name, %error, "cannot register yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    };
    info!(node = node.name, kubelet = %node.address, "registered");
    let mut reported = tokio::time::Instant::now();
    let mut told = false;
    loop {
        if reported.elapsed() >= REPORT_EVERY {
            match report(&client, &node).await {
                Ok(_) => reported = tokio::time::Instant::now(),
                Err(error) => warn!(node = node.name, %error, "cannot report the node's status"),
            }
        }
        let renewed = renew(&client, &node, &uid).await;
        if !told {
            registered();
            told = true;
        }
        let pause = match renewed {
            Ok(()) => Duration::from_secs(LEASE_SECONDS / 4),
            Err(error) => {
                warn!(node = node.name, %error, "cannot renew the lease");
                Duration::from_secs(1)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Creates the Node if it is missing and writes its status; returns its uid.
async fn report(client: &Client, node: &NodeIdentity) -> Result<String, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let existing = match nodes.create(&PostParams::default(), &node.object()).await {
        Err(Error::Api(status)) if status.code == 409 => nodes.get(&node.name).await?,
        other => other?,
    };
    let old = existing
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let status = node.status(conditions(old, Timestamp::now()));
    let patch = Patch::Merge(json!({ "status": status }));
    nodes.patch_status(&node.name, &PatchParams::default(), &patch).await?;
    Ok(existing.metadata.uid.unwrap_or_default())
}

async fn renew(client: &Client, node: &NodeIdentity, uid: &str) -> Result<(), Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let spec = LeaseSpec {
        holder_identity: Some(node.name.clone()),
        lease_duration_seconds: i32::try_from(LEASE_SECONDS).ok(),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    let patch = Patch::Merge(json!({ "spec": spec }));
    match leases.patch(&node.name, &PatchParams::default(), &patch).await {
        Err(Error::Api(status)) if status.code == 404 => {}
        other => return other.map(|_| ()),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(node.name.clone()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_string(),
                kind: "Node".to_string(),
                name: node.name.clone(),
                uid: uid.to_string(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
    };
    leases.create(&PostParams::default(), &lease).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_report_keeps_the_transition_times() {
        let (early, late) = (
            Timestamp::from_second(100).unwrap(),
            Timestamp::from_second(400).unwrap(),
        );
        let first = conditions(&[], early);
        let second = conditions(&first, late);
        assert!(
            second
                .iter()
                .all(|condition| condition.last_transition_time == Some(Time(early)))
        );
        assert!(
            second
                .iter()
                .all(|condition| condition.last_heartbeat_time == Some(Time(late)))
        );
        let ready = second.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "True");
    }
}
