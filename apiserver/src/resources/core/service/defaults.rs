//! Defaults of Services (`SetDefaults_Service`), and what an update carries over from the state before
//! (`patchAllocatedValues`, `dropTypeDependentFields` in `pkg/registry/core/service`).

use super::super::super::shared::pod_defaults::{items, set_text};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;

/// How long client affinity lasts, in seconds.
const AFFINITY_SECONDS: i64 = 10_800;

/// Sets the defaults.
pub(super) fn apply(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    set_text(obj, &["spec", "sessionAffinity"], "None");
    let affinity = ["spec", "sessionAffinityConfig"];
    match meta::str_at(obj, &["spec", "sessionAffinity"]) {
        Some("None") => {
            meta::remove(obj, &affinity);
        }
        Some("ClientIP") => {
            meta::set_default(
                obj,
                &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"],
                AFFINITY_SECONDS,
            );
        }
        _ => {}
    }
    set_text(obj, &["spec", "type"], "ClusterIP");
    for port in items(obj, &["spec", "ports"]) {
        set_text(port, &["protocol"], "TCP");
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(target) => *target == 0 || *target == "",
        };
        if unset {
            let number = port.get("port").cloned().unwrap_or_default();
            meta::set(port, &["targetPort"], number);
        }
    }
    let kind = meta::str_at(obj, &["spec", "type"]).unwrap_or_default().to_owned();
    let external_ips = !meta::list_at(obj, &["spec", "externalIPs"]).is_empty();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && external_ips) {
        set_text(obj, &["spec", "externalTrafficPolicy"], "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        meta::set_default(obj, &["spec", "internalTrafficPolicy"], "Cluster");
    }
    if kind == "LoadBalancer" {
        meta::set_default(obj, &["spec", "allocateLoadBalancerNodePorts"], true);
        for ingress in items(obj, &["status", "loadBalancer", "ingress"]) {
            if !meta::str_at(ingress, &["ip"]).unwrap_or_default().is_empty() {
                meta::set_default(ingress, &["ipMode"], "VIP");
            }
        }
    }
}

/// A new Service that only has the older field for its address has it in the newer one too (`normalizeClusterIPs`).
pub(super) fn list_address(obj: &mut Value) {
    let address = meta::str_at(obj, &["spec", "clusterIP"]).unwrap_or_default().to_owned();
    if !address.is_empty() && meta::list_at(obj, &["spec", "clusterIPs"]).is_empty() {
        meta::set(obj, &["spec", "clusterIPs"], vec![address]);
    }
}

fn kind(obj: &Value) -> &str {
    meta::str_at(obj, &["spec", "type"]).unwrap_or_default()
}

fn has_cluster_ip(obj: &Value) -> bool {
    kind(obj) != "ExternalName"
}

fn has_node_ports(obj: &Value) -> bool {
    matches!(kind(obj), "NodePort" | "LoadBalancer")
}

/// An update that leaves allocated values out keeps them (`patchAllocatedValues`).
pub(super) fn carry_over(new: &mut Value, old: &Value) {
    let absent = |v: &Value, field: &str| match v.pointer(&format!("/spec/{field}")) {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        other => other.is_none_or(Value::is_null),
    };
    if has_cluster_ip(new) && has_cluster_ip(old) {
        for field in ["clusterIP", "clusterIPs", "ipFamilies"] {
            if absent(new, field) {
                meta::copy(new, old, &["spec", field]);
            }
        }
        if meta::at(new, &["spec", "ipFamilyPolicy"]).is_none() {
            meta::copy(new, old, &["spec", "ipFamilyPolicy"]);
        }
    }
    follow_address(new, old);
    if has_node_ports(new) && has_node_ports(old) {
        carry_node_ports(new, old);
    }
    if matches!(kind(new), "LoadBalancer")
        && meta::i64_at(new, &["spec", "healthCheckNodePort"]).unwrap_or_default() == 0
        && meta::str_at(new, &["spec", "externalTrafficPolicy"]) == Some("Local")
    {
        meta::copy(new, old, &["spec", "healthCheckNodePort"]);
    }
}

/// Whoever only changes the older field for the address means the newer one too (`normalizeClusterIPs`).
fn follow_address(new: &mut Value, old: &Value) {
    let address = |obj: &Value| meta::str_at(obj, &["spec", "clusterIP"]).unwrap_or_default().to_owned();
    let list = |obj: &Value| meta::list_at(obj, &["spec", "clusterIPs"]).to_vec();
    let (was, is) = (address(old), address(new));
    if list(new).is_empty() && was == is {
        meta::copy(new, old, &["spec", "clusterIPs"]);
    }
    if was == is || list(new) != list(old) {
        return;
    }
    if is.is_empty() {
        meta::remove(new, &["spec", "clusterIPs"]);
    } else {
        meta::set(new, &["spec", "clusterIPs"], vec![is]);
    }
}

/// Ports are the same when their names are; their node ports stay unless another port claims them.
fn carry_node_ports(new: &mut Value, old: &Value) {
    let name = |port: &Value| meta::str_at(port, &["name"]).unwrap_or_default().to_owned();
    let number = |port: &Value| meta::i64_at(port, &["nodePort"]).filter(|number| *number != 0);
    let before = meta::list_at(old, &["spec", "ports"]);
    let claimed: Vec<i64> = meta::list_at(new, &["spec", "ports"])
        .iter()
        .filter_map(number)
        .collect();
    for port in items(new, &["spec", "ports"]) {
        if number(port).is_some() {
            continue;
        }
        let same = before.iter().rfind(|before| name(before) == name(port));
        if let Some(number) = same.and_then(number).filter(|number| !claimed.contains(number)) {
            meta::set(port, &["nodePort"], number);
        }
    }
}

/// Fields that the old type had and the new one has not are dropped when the client left them as they were
/// (`dropTypeDependentFields`).
pub(super) fn drop_foreign_fields(new: &mut Value, old: &Value) {
    let unchanged = |new: &Value, field: &str| meta::at(new, &["spec", field]) == meta::at(old, &["spec", field]);
    if has_cluster_ip(old) && !has_cluster_ip(new) {
        for field in [
            "clusterIP",
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
        ] {
            if unchanged(new, field) {
                meta::remove(new, &["spec", field]);
            }
        }
    }
    let node_ports = |obj: &Value| -> BTreeSet<i64> {
        let ports = meta::list_at(obj, &["spec", "ports"]).iter();
        ports
            .filter_map(|port| meta::i64_at(port, &["nodePort"]))
            .filter(|port| *port != 0)
            .collect()
    };
    if has_node_ports(old) && !has_node_ports(new) && node_ports(old).is_superset(&node_ports(new)) {
        for port in items(new, &["spec", "ports"]) {
            meta::remove(port, &["nodePort"]);
        }
    }
    let balanced = |obj: &Value| kind(obj) == "LoadBalancer";
    let locally = |obj: &Value| meta::str_at(obj, &["spec", "externalTrafficPolicy"]) == Some("Local");
    let checked = |obj: &Value| balanced(obj) && locally(obj);
    let external = |obj: &Value| has_node_ports(obj) || !meta::list_at(obj, &["spec", "externalIPs"]).is_empty();
    for (field, had, has) in [
        ("healthCheckNodePort", checked(old), checked(new)),
        ("allocateLoadBalancerNodePorts", balanced(old), balanced(new)),
        ("loadBalancerClass", balanced(old), balanced(new)),
        ("externalTrafficPolicy", external(old), external(new)),
    ] {
        if had && !has && unchanged(new, field) {
            meta::remove(new, &["spec", field]);
        }
    }
    if !balanced(new) {
        meta::set(new, &["status", "loadBalancer"], serde_json::json!({}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_minimal_service_gets_its_defaults() {
        let mut service = json!({"spec": {"ports": [{"port": 80}]}});
        apply(&mut service);
        assert_eq!(
            service,
            json!({"spec": {"internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "sessionAffinity": "None", "type": "ClusterIP"}})
        );
    }

    #[test]
    fn updates_keep_what_was_allocated() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        carry_over(&mut new, &old);
        assert_eq!(new["spec"], old["spec"]);
        let mut new = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        carry_over(&mut new, &old);
        drop_foreign_fields(&mut new, &old);
        assert_eq!(new["spec"]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
    }
}
