//! What the pods of a virtual cluster and its control plane may reach, and who may reach them.

use config::policies::NetworkPolicy;
use serde_json::{Value, json};

use super::Tenant;

/// Ports of the control plane's Pod: its DNS server and its API server.
const DNS: u16 = 1053;
const API: u16 = 8443;

/// The pods that the policies are about, and who they are to others.
struct Pods {
    /// Those of the virtual cluster that lie beside its control plane.
    workload: Value,
    /// All of the virtual cluster.
    workloads: Vec<Value>,
    /// The control plane.
    control_plane: Value,
}

impl Pods {
    /// The pods of a virtual cluster; `spread` where virtual namespaces have some of the host to themselves.
    fn of(tenant: &Tenant<'_>, spread: bool) -> Self {
        let workload = json!({"podSelector": {"matchLabels": {"vcluster.loft.sh/managed-by": tenant.name}}});
        let mut workloads = vec![workload.clone()];
        if spread {
            let mut elsewhere = workload.clone();
            elsewhere["namespaceSelector"] = json!({"matchLabels": {
                "vcluster.loft.sh/vcluster-name": tenant.name, "vcluster.loft.sh/vcluster-namespace": tenant.namespace,
            }});
            workloads.push(elsewhere);
        }
        Self {
            workload,
            workloads,
            control_plane: json!({"podSelector": {"matchLabels": {"release": tenant.name}}}),
        }
    }

    /// The control plane and all of the virtual cluster.
    fn all(&self) -> Vec<&Value> {
        [&self.control_plane].into_iter().chain(&self.workloads).collect()
    }
}

/// The policies, if they are switched on. They are for pods beside the control plane; those in other namespaces are peers.
pub(super) fn policies(tenant: &Tenant<'_>, policy: &NetworkPolicy, spread: bool) -> Vec<Value> {
    if !policy.enabled {
        return Vec::new();
    }
    let pods = Pods::of(tenant, spread);
    vec![
        workloads(tenant, policy, &pods),
        control_planes(tenant, policy, &pods),
        name_servers(tenant, policy, &pods),
        snapshots(tenant, policy, &pods),
    ]
}

/// The label `app` of pods that take and restore snapshots.
const SNAPSHOT: &str = "vcluster-snapshot";
/// The label `k8s-app` of name servers that run in the virtual cluster.
const NAME_SERVER: &str = "vcluster-kube-dns";

fn port(protocol: &str, number: u16) -> Value {
    json!({"port": number, "protocol": protocol})
}

fn object(tenant: &Tenant<'_>, policy: &NetworkPolicy, name: &str, spec: Value) -> Value {
    let name = format!("vc-{name}-{}", tenant.name);
    let content = json!({"spec": spec});
    tenant.object(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        &name,
        &policy.metadata,
        content,
    )
}

/// To the host's name servers.
fn host_dns() -> Value {
    let servers = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    });
    json!({"to": [servers], "ports": [port("UDP", 53), port("TCP", 53)]})
}

/// To the host's API server, wherever it is.
fn host_api() -> Value {
    json!({"ports": [port("TCP", 443), port("TCP", 8443), port("TCP", 6443)]})
}

fn workloads(tenant: &Tenant<'_>, policy: &NetworkPolicy, pods: &Pods) -> Value {
    let mut egress = vec![
        json!({"to": [pods.control_plane], "ports": [port("UDP", DNS), port("TCP", DNS), port("TCP", API)]}),
        json!({"to": pods.workloads}),
    ];
    let public = &policy.workload.public_egress;
    if public.enabled {
        egress.push(json!({"to": [{"ipBlock": {"cidr": public.cidr, "except": public.except}}]}));
    }
    egress.extend(policy.workload.rules.egress.iter().cloned());
    let mut ingress = vec![json!({"from": pods.all()})];
    ingress.extend(policy.workload.rules.ingress.iter().cloned());
    let spec = json!({
        "podSelector": pods.workload["podSelector"], "policyTypes": ["Egress", "Ingress"], "egress": egress, "ingress": ingress,
    });
    object(tenant, policy, "work", spec)
}

fn control_planes(tenant: &Tenant<'_>, policy: &NetworkPolicy, pods: &Pods) -> Value {
    let own = &pods.control_plane;
    let mut egress = vec![host_dns(), host_api(), json!({"to": pods.all()})];
    egress.extend(policy.control_plane.egress.iter().cloned());
    let mut ingress = vec![
        json!({"ports": [port("TCP", API)]}),
        json!({"from": [own]}),
        json!({"from": pods.workloads, "ports": [port("UDP", DNS), port("TCP", DNS), port("TCP", API)]}),
        json!({"from": [{"podSelector": {"matchLabels": {"app": SNAPSHOT}}}]}),
    ];
    ingress.extend(policy.control_plane.ingress.iter().cloned());
    let spec = json!({
        "podSelector": own["podSelector"], "policyTypes": ["Egress", "Ingress"], "egress": egress, "ingress": ingress,
    });
    object(tenant, policy, "cp", spec)
}

/// Name servers that tenants run by themselves: the control plane has its own, which the other policies are about.
fn name_servers(tenant: &Tenant<'_>, policy: &NetworkPolicy, pods: &Pods) -> Value {
    let mut servers = pods.workload["podSelector"].clone();
    servers["matchLabels"]["k8s-app"] = json!(NAME_SERVER);
    let spec = json!({
        "podSelector": servers, "policyTypes": ["Egress", "Ingress"],
        "egress": [host_dns(), {"to": [pods.control_plane], "ports": [port("TCP", API)]}],
        "ingress": [{"from": pods.workloads, "ports": [port("TCP", DNS), port("UDP", DNS)]}],
    });
    object(tenant, policy, "kube-dns", spec)
}

/// Pods that read the control plane's state and write it elsewhere, or the other way round; nobody has to reach them.
fn snapshots(tenant: &Tenant<'_>, policy: &NetworkPolicy, pods: &Pods) -> Value {
    let spec = json!({
        "podSelector": {"matchLabels": {"app": SNAPSHOT}}, "policyTypes": ["Egress", "Ingress"],
        "egress": [{"to": [pods.control_plane]}, host_dns(), host_api()],
    });
    object(tenant, policy, "snapshot", spec)
}
