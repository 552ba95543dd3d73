//! What the pods of a virtual cluster and its control plane may reach, and who may reach them.

use config::policies::NetworkPolicy;
use serde_json::{Value, json};

use super::Tenant;

/// Ports of the control plane's Pod: its DNS server and its API server.
const DNS: u16 = 1053;
const API: u16 = 8443;

/// The policies, if they are switched on.
pub(super) fn policies(tenant: &Tenant<'_>, policy: &NetworkPolicy) -> Vec<Value> {
    if !policy.enabled {
        return Vec::new();
    }
    let workload = json!({"podSelector": {"matchLabels": {"vcluster.loft.sh/managed-by": tenant.name}}});
    let control_plane = json!({"podSelector": {"matchLabels": {"release": tenant.name}}});
    vec![
        workloads(tenant, policy, &workload, &control_plane),
        control_planes(tenant, policy, &workload, &control_plane),
    ]
}

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

fn workloads(tenant: &Tenant<'_>, policy: &NetworkPolicy, own: &Value, control_plane: &Value) -> Value {
    let mut egress = vec![
        json!({"to": [control_plane], "ports": [port("UDP", DNS), port("TCP", DNS), port("TCP", API)]}),
        json!({"to": [own]}),
    ];
    let public = &policy.workload.public_egress;
    if public.enabled {
        egress.push(json!({"to": [{"ipBlock": {"cidr": public.cidr, "except": public.except}}]}));
    }
    egress.extend(policy.workload.rules.egress.iter().cloned());
    let mut ingress = vec![json!({"from": [control_plane, own]})];
    ingress.extend(policy.workload.rules.ingress.iter().cloned());
    let spec = json!({
        "podSelector": own["podSelector"], "policyTypes": ["Egress", "Ingress"], "egress": egress, "ingress": ingress,
    });
    object(tenant, policy, "work", spec)
}

fn control_planes(tenant: &Tenant<'_>, policy: &NetworkPolicy, workload: &Value, own: &Value) -> Value {
    let host_dns = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    });
    let mut egress = vec![
        json!({"to": [host_dns], "ports": [port("UDP", 53), port("TCP", 53)]}),
        // The host's API server, wherever it is.
        json!({"ports": [port("TCP", 443), port("TCP", 8443), port("TCP", 6443)]}),
        json!({"to": [own, workload]}),
    ];
    egress.extend(policy.control_plane.egress.iter().cloned());
    let mut ingress = vec![
        json!({"ports": [port("TCP", API)]}),
        json!({"from": [own]}),
        json!({"from": [workload], "ports": [port("UDP", DNS), port("TCP", DNS), port("TCP", API)]}),
    ];
    ingress.extend(policy.control_plane.ingress.iter().cloned());
    let spec = json!({
        "podSelector": own["podSelector"], "policyTypes": ["Egress", "Ingress"], "egress": egress, "ingress": ingress,
    });
    object(tenant, policy, "cp", spec)
}
