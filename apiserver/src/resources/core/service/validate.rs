//! What a Service must look like (`ValidateService`, `ValidateServiceUpdate`).

use super::super::pod_template::validate_labels;
use crate::resources::shared::checks::{complaints, one_of, required, same};
use crate::resources::shared::{addresses, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const FAMILY_POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
/// Upstream does not sort these.
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const MAX_AFFINITY_SECONDS: i64 = 86_400;

/// Checks a Service but for its own addresses and their families. What was in `old` already may be as older rules had
/// it.
pub(super) fn service(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let text = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or_default();
    let kind = text("type");
    let headless = is_headless(obj);
    let ports = meta::list_at(obj, &["spec", "ports"]);
    let mut errors = ErrorList::new();
    errors.extend(validate_topology(obj));
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(Error::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if text("clusterIP") == "None" => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(Error::invalid(&path.child("clusterIPs").index(0), "None", detail));
        }
        "ExternalName" => errors.extend(validate_external_name(obj, &path)),
        _ => {}
    }
    errors.extend(validate_ports(ports, &path.child("ports")));
    errors.extend(validate_labels(
        meta::at(obj, &["spec", "selector"]),
        &path.child("selector"),
    ));
    errors.extend(validate_affinity(obj, &path));
    let known = |address: &str| {
        meta::list_at(old.unwrap_or(&Value::Null), &["spec", "externalIPs"])
            .iter()
            .any(|a| a == address)
    };
    for (i, ip) in meta::list_at(obj, &["spec", "externalIPs"]).iter().enumerate() {
        let ip = ip.as_str().unwrap_or_default();
        let path = path.child("externalIPs").index(i);
        errors.extend(if known(ip) {
            addresses::special(ip, &path)
        } else {
            addresses::of_another_host(ip, &path)
        });
    }
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), ""));
    } else if !TYPES.contains(&kind) {
        errors.push(Error::not_supported(&path.child("type"), kind, &TYPES));
    }
    errors.extend(validate_unique_ports(ports, kind, &path.child("ports")));
    errors.extend(validate_ranges(obj, old, &path));
    errors.extend(validate_balancer(obj, &path));
    errors.extend(validate_policies(obj, kind, &path));
    errors
}

pub(super) fn is_headless(obj: &Value) -> bool {
    let text = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or_default();
    text("type") == "ClusterIP" && text("clusterIP") == "None"
}

/// The two annotations for the same thing must agree.
fn validate_topology(obj: &Value) -> Option<Error> {
    const OLDER: &str = "service.kubernetes.io/topology-aware-hints";
    const NEWER: &str = "service.kubernetes.io/topology-mode";
    let value = |name: &str| meta::str_at(obj, &["metadata", "annotations", name]);
    let (older, newer) = (value(OLDER)?, value(NEWER)?);
    let path = Path::new("metadata").child("annotations").key(NEWER);
    let detail = format!("must match annotations[{OLDER}] when both are specified");
    (older != newer).then(|| Error::invalid(&path, newer, detail))
}

fn validate_external_name(obj: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !same(meta::at(obj, &["spec", field]), None) {
            let detail = "may not be set for ExternalName services";
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    let name = meta::str_at(obj, &["spec", "externalName"]).unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    errors.extend(required(&path.child("externalName"), name, names::dns1123_subdomain));
    errors
}

fn validate_ports(ports: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen_names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let item = path.index(i);
        let name = meta::str_at(port, &["name"]).unwrap_or_default();
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(Error::required(&item.child("name"), ""));
            }
        } else {
            errors.extend(
                names::dns1123_label(name)
                    .into_iter()
                    .map(|e| Error::invalid(&item.child("name"), name, e)),
            );
            if !seen_names.insert(name) {
                errors.push(Error::duplicate(&item.child("name"), name));
            }
        }
        let number = meta::i64_at(port, &["port"]).unwrap_or_default();
        errors.extend(
            names::port_number(number)
                .into_iter()
                .map(|e| Error::invalid(&item.child("port"), number, e)),
        );
        let protocol = meta::str_at(port, &["protocol"]).unwrap_or_default();
        if protocol.is_empty() {
            errors.push(Error::required(&item.child("protocol"), ""));
        } else if !PROTOCOLS.contains(&protocol) {
            errors.push(Error::not_supported(&item.child("protocol"), protocol, &PROTOCOLS));
        }
        let target = port.get("targetPort").cloned().unwrap_or_default();
        let complaints = match &target {
            Value::String(name) => names::port_name(name),
            other => names::port_number(other.as_i64().unwrap_or_default()),
        };
        errors.extend(
            complaints
                .into_iter()
                .map(|e| Error::invalid(&item.child("targetPort"), target.clone(), e)),
        );
        if let Some(protocol) = meta::str_at(port, &["appProtocol"]) {
            let complaints = names::qualified_name(protocol);
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&item.child("appProtocol"), protocol, e)),
            );
        }
    }
    errors
}

/// No port and no node port twice with one protocol.
fn validate_unique_ports(ports: &[Value], kind: &str, path: &Path) -> ErrorList {
    let number = |port: &Value, field: &str| meta::i64_at(port, &[field]).unwrap_or_default();
    let protocol = |port: &Value| meta::str_at(port, &["protocol"]).unwrap_or_default().to_owned();
    let with_node_port = || {
        ports
            .iter()
            .enumerate()
            .filter(|(_, port)| number(port, "nodePort") != 0)
    };
    let mut errors = ErrorList::new();
    if kind == "ClusterIP" {
        let detail = "may not be used when `type` is 'ClusterIP'";
        errors.extend(with_node_port().map(|(i, _)| Error::forbidden(&path.index(i).child("nodePort"), detail)));
    }
    let mut seen = BTreeSet::new();
    for (i, port) in with_node_port() {
        let node_port = number(port, "nodePort");
        if !seen.insert((node_port, protocol(port))) {
            errors.push(Error::duplicate(&path.index(i).child("nodePort"), node_port));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        if !seen.insert((number(port, "port"), protocol(port))) {
            let key = json!({"port": number(port, "port"), "protocol": protocol(port)});
            let shown = internal::show("ServicePort", &key);
            errors.push(Error::duplicate(&path.index(i), key).showing(shown));
        }
    }
    errors
}

fn validate_affinity(obj: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let affinity = meta::str_at(obj, &["spec", "sessionAffinity"]).unwrap_or_default();
    if affinity.is_empty() {
        errors.push(Error::required(&path.child("sessionAffinity"), ""));
    } else if !AFFINITIES.contains(&affinity) {
        errors.push(Error::not_supported(
            &path.child("sessionAffinity"),
            affinity,
            &AFFINITIES,
        ));
    }
    if affinity == "ClientIP" {
        errors.extend(validate_client_affinity(obj, &path.child("sessionAffinityConfig")));
    }
    errors
}

/// `validateClientIPAffinityConfig`.
fn validate_client_affinity(obj: &Value, path: &Path) -> Option<Error> {
    const KIND: &str = "ClientIP";
    let needed = |path: &Path| Error::required(path, format!("when session affinity type is {KIND}"));
    let Some(config) = meta::at(obj, &["spec", "sessionAffinityConfig"]) else {
        return Some(needed(path));
    };
    let path = path.child("clientIP");
    let Some(client) = meta::at(config, &["clientIP"]) else {
        return Some(needed(&path));
    };
    let path = path.child("timeoutSeconds");
    let Some(seconds) = meta::i64_at(client, &["timeoutSeconds"]) else {
        return Some(needed(&path));
    };
    let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
    (!(1..=MAX_AFFINITY_SECONDS).contains(&seconds)).then(|| Error::invalid(&path, seconds, detail))
}

/// The addresses of a Service and their families (`ValidateServiceClusterIPsRelatedFields`).
pub(super) fn addresses_and_families(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let text = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or_default();
    let mut errors = ErrorList::new();
    if text("type") == "ExternalName" {
        return errors;
    }
    let ips = meta::list_at(obj, &["spec", "clusterIPs"]);
    let list = path.child("clusterIPs");
    let whole = |detail: &str| Error::invalid(&list, ips.to_vec(), detail);
    match (text("clusterIP"), ips.first()) {
        ("", Some(_)) => errors.push(whole("must be empty when `clusterIP` is not specified")),
        ("", None) => {}
        (_, None) => errors.push(Error::required(&list, "")),
        (one, Some(first)) if first != one => errors.push(whole("first value must match `clusterIP`")),
        _ => {}
    }
    let families = meta::list_at(obj, &["spec", "ipFamilies"]);
    let mut seen = BTreeSet::new();
    for (i, family) in families.iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("ipFamilies").index(i);
        errors.extend(one_of(family, &FAMILIES, &path));
        if !seen.insert(family) {
            errors.push(Error::duplicate(&path, family));
        }
    }
    if let Some(policy) = meta::str_at(obj, &["spec", "ipFamilyPolicy"]) {
        errors.extend(one_of(policy, &FAMILY_POLICIES, &path.child("ipFamilyPolicy")));
    }
    let known = meta::list_at(old.unwrap_or(&Value::Null), &["spec", "clusterIPs"]);
    let before = errors.len();
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                errors.push(whole("'None' must be the first and only value"));
            }
        } else if !known.contains(ip) {
            errors.extend(addresses::ip(ip.as_str().unwrap_or_default(), &list.index(i)));
        }
    }
    let unreadable = errors.len() > before;
    if ips.len() > 2 {
        errors.push(whole("may only hold up to 2 values"));
    }
    if unreadable {
        return errors;
    }
    let read: Vec<Option<IpAddr>> = ips.iter().map(|ip| addresses::read_ip(ip.as_str()?)).collect();
    let both = [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|of| read.iter().flatten().any(of));
    if ips.len() > 1 && both != [true, true] {
        errors.push(whole("may specify no more than one IP for each IP family"));
    }
    for (i, (ip, family)) in ips.iter().zip(families).enumerate().filter(|_| !is_headless(obj)) {
        let wrong = match (family.as_str(), read[i]) {
            (Some("IPv4"), Some(read)) => read.is_ipv6(),
            (Some("IPv6"), Some(read)) => read.is_ipv4(),
            _ => false,
        };
        if let Some(family) = family.as_str().filter(|_| wrong) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(Error::invalid(&list.index(i), ip.clone(), detail));
        }
    }
    errors
}

/// Where a load balancer may be reached from, in its field or in an annotation.
fn validate_ranges(obj: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    const ANNOTATION: [&str; 3] = [
        "metadata",
        "annotations",
        "service.beta.kubernetes.io/load-balancer-source-ranges",
    ];
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balances = meta::str_at(obj, &["spec", "type"]) == Some("LoadBalancer");
    let mut errors = ErrorList::new();
    let ranges = |obj: Option<&Value>| -> Vec<String> {
        let ranges = meta::list_at(obj.unwrap_or(&Value::Null), &["spec", "loadBalancerSourceRanges"]);
        ranges
            .iter()
            .filter_map(Value::as_str)
            .map(|range| range.trim().to_owned())
            .collect()
    };
    let (wanted, known) = (ranges(Some(obj)), ranges(old));
    if !wanted.is_empty() {
        // Upstream's path really starts with a capital letter.
        let path = path.child("LoadBalancerSourceRanges");
        if !balances {
            errors.push(Error::forbidden(&path, ONLY));
        }
        for (i, range) in wanted.iter().enumerate().filter(|(_, range)| !known.contains(range)) {
            errors.extend(addresses::cidr(range, &path.index(i)));
        }
    } else if let Some(text) = meta::str_at(obj, &ANNOTATION) {
        let path = Path::new("metadata").child("annotations").key(ANNOTATION[2]);
        if !balances {
            errors.push(Error::forbidden(&path, ONLY));
        }
        let unchanged = old.is_some_and(|old| meta::str_at(old, &ANNOTATION) == Some(text));
        if !unchanged && !text.trim().is_empty() {
            errors.extend(text.split(',').filter_map(|range| addresses::cidr(range.trim(), &path)));
        }
    }
    errors
}

/// What only a load balancer has.
pub(super) fn validate_balancer(obj: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::str_at(obj, &["spec", "type"]) == Some("LoadBalancer") {
        if let Some(class) = meta::str_at(obj, &["spec", "loadBalancerClass"]) {
            let found = names::qualified_name(class);
            errors.extend(complaints(&path.child("loadBalancerClass"), class, found));
        }
        return errors;
    }
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if meta::at(obj, &["spec", field]).is_some() {
            let detail = "may only be used when `type` is 'LoadBalancer'";
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn validate_policies(obj: &Value, kind: &str, path: &Path) -> ErrorList {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let text = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or_default();
    let mut errors = ErrorList::new();
    let external =
        matches!(kind, "NodePort" | "LoadBalancer") || !meta::list_at(obj, &["spec", "externalIPs"]).is_empty();
    let policy = text("externalTrafficPolicy");
    if external {
        if !policy.is_empty() && !POLICIES.contains(&policy) {
            errors.push(Error::not_supported(
                &path.child("externalTrafficPolicy"),
                policy,
                &POLICIES,
            ));
        }
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(Error::invalid(&path.child("externalTrafficPolicy"), policy, detail));
    }
    let health = meta::i64_at(obj, &["spec", "healthCheckNodePort"]).unwrap_or_default();
    let health_path = path.child("healthCheckNodePort");
    if kind == "LoadBalancer" && text("externalTrafficPolicy") == "Local" {
        if health == 0 {
            errors.push(Error::required(&health_path, ""));
        } else if !(1..=65535).contains(&health) {
            errors.push(Error::invalid(
                &health_path,
                health,
                "must be between 1 and 65535, inclusive",
            ));
        }
    } else if health != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid(&health_path, health, detail));
    }
    if let Some(policy) = meta::str_at(obj, &["spec", "internalTrafficPolicy"]) {
        errors.extend(one_of(policy, &POLICIES, &path.child("internalTrafficPolicy")));
    }
    if let Some(distribution) = meta::str_at(obj, &["spec", "trafficDistribution"]) {
        errors.extend(one_of(distribution, &DISTRIBUTIONS, &path.child("trafficDistribution")));
    }
    errors
}

/// Checks a status write (`ValidateLoadBalancerStatus`).
pub(super) fn status(new: &Value, _old: &Value) -> ErrorList {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = meta::list_at(new, &["status", "loadBalancer", "ingress"]);
    let mut errors = ErrorList::new();
    if meta::str_at(new, &["spec", "type"]) != Some("LoadBalancer") && !ingress.is_empty() {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        return vec![Error::forbidden(&path, detail)];
    }
    for (i, point) in ingress.iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| meta::str_at(point, &[field]).unwrap_or_default();
        if !text("ip").is_empty() {
            errors.extend(addresses::ip(text("ip"), &path.child("ip")));
        }
        let mode = path.child("ipMode");
        match (text("ip"), meta::str_at(point, &["ipMode"])) {
            ("", Some(_)) => {
                let detail = "may not be specified when `ip` is not set";
                errors.push(Error::forbidden(&mode, detail));
            }
            (_, Some(other)) if !["Proxy", "VIP"].contains(&other) => {
                errors.push(Error::not_supported(&mode, other, &["Proxy", "VIP"]));
            }
            ("", None) => {}
            (_, None) => errors.push(Error::required(&mode, "must be specified when `ip` is set")),
            _ => {}
        }
        let host = text("hostname");
        if !host.is_empty() {
            let path = path.child("hostname");
            let found = names::dns1123_subdomain(host);
            errors.extend(found.into_iter().map(|e| Error::invalid(&path, host, e)));
            if host.parse::<IpAddr>().is_ok() {
                let detail = "must be a DNS name, not an IP address";
                errors.push(Error::invalid(&path, host, detail));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_named() {
        for (spec, expected) in [
            (json!({}), "spec.ports: Required value"),
            (
                json!({"ports": [{"port": 0, "targetPort": 80}]}),
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"ports": [{"port": 80, "targetPort": 80, "nodePort": 30000}]}),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
            (
                json!({"ports": [{"port": 80}], "externalIPs": ["127.0.0.1"]}),
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                json!({"type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerSourceRanges": ["x"]}),
                "spec.LoadBalancerSourceRanges[0]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
            (
                json!({"ports": [{"port": 80}], "ipFamilies": ["IPv5"]}),
                "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"",
            ),
            (
                json!({"type": "LoadBalancer", "ports": [{"port": 80}], "healthCheckNodePort": 31000}),
                "spec.healthCheckNodePort: Invalid value: 31000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            ),
            (
                json!({"type": "LoadBalancer", "ports": [{"port": 80}], "externalTrafficPolicy": "Local",
                    "healthCheckNodePort": 70000}),
                "spec.healthCheckNodePort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"type": "NodePort", "ports": [{"name": "a", "port": 80, "protocol": "TCP", "nodePort": 30001},
                    {"name": "b", "port": 81, "protocol": "TCP", "nodePort": 30001}]}),
                "spec.ports[1].nodePort: Duplicate value: 30001",
            ),
            (
                json!({"ports": [{"port": 80, "targetPort": 80}], "externalTrafficPolicy": "Local"}),
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ),
        ] {
            let mut obj = json!({"spec": spec});
            super::super::defaults::apply(&mut obj);
            let early = addresses_and_families(&obj, None);
            let found = if early.is_empty() { service(&obj, None) } else { early };
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected]);
        }
    }
}
