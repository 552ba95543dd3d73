//! What a Service must look like (`ValidateService`, `ValidateServiceUpdate`).

use super::super::pod_template::validate_labels;
use crate::resources::shared::{addresses, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const MAX_AFFINITY_SECONDS: i64 = 86_400;

/// Checks a Service.
pub(super) fn service(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let text = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or_default();
    let kind = text("type");
    let headless = text("clusterIP") == "None";
    let ports = meta::list_at(obj, &["spec", "ports"]);
    let mut errors = ErrorList::new();
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(Error::required(&path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = "may not be set to 'None' for ";
            let which = if kind == "NodePort" {
                "NodePort services"
            } else {
                "LoadBalancer services"
            };
            errors.push(Error::invalid(
                &path.child("clusterIPs").index(0),
                "None",
                format!("{detail}{which}"),
            ));
        }
        "ExternalName" => {
            if !text("clusterIP").is_empty() {
                let detail = "may not be set for ExternalName services";
                errors.push(Error::forbidden(&path.child("clusterIPs"), detail));
            }
            let name = text("externalName").trim_end_matches('.');
            if name.is_empty() {
                errors.push(Error::required(&path.child("externalName"), ""));
            } else {
                let complaints = names::dns1123_subdomain(name);
                errors.extend(
                    complaints
                        .into_iter()
                        .map(|e| Error::invalid(&path.child("externalName"), name, e)),
                );
            }
        }
        _ => {}
    }
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), ""));
    } else if !TYPES.contains(&kind) {
        errors.push(Error::not_supported(&path.child("type"), kind, &TYPES));
    }
    errors.extend(validate_ports(ports, kind, headless, &path.child("ports")));
    errors.extend(validate_labels(
        meta::at(obj, &["spec", "selector"]),
        &path.child("selector"),
    ));
    errors.extend(validate_affinity(obj, &path));
    errors.extend(validate_addresses(obj, &path));
    errors.extend(validate_policies(obj, kind, &path));
    errors
}

fn validate_ports(ports: &[Value], kind: &str, headless: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut seen_names, mut seen_ports) = (BTreeSet::new(), BTreeSet::new());
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
        let node_port = meta::i64_at(port, &["nodePort"]).unwrap_or_default();
        if node_port != 0 && (kind == "ClusterIP" || headless) {
            errors.push(Error::forbidden(
                &item.child("nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            ));
        }
        if !seen_ports.insert((number, protocol)) {
            let key = serde_json::json!({"port": number, "protocol": protocol});
            let shown = internal::show("ServicePort", &key);
            errors.push(Error::duplicate(&item, key).showing(shown));
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
    if let Some(seconds) = meta::i64_at(obj, &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"])
        && affinity == "ClientIP"
        && !(1..=MAX_AFFINITY_SECONDS).contains(&seconds)
    {
        let path = path
            .child("sessionAffinityConfig")
            .child("clientIP")
            .child("timeoutSeconds");
        let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
        errors.push(Error::invalid(&path, seconds, detail));
    }
    errors
}

fn validate_addresses(obj: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let ips = meta::list_at(obj, &["spec", "clusterIPs"]);
    let first = meta::str_at(obj, &["spec", "clusterIP"]).unwrap_or_default();
    if first.is_empty() && !ips.is_empty() {
        errors.push(Error::required(
            &path.child("clusterIP"),
            "must be set when `clusterIPs` is specified",
        ));
    } else if !first.is_empty() && ips.first().is_some_and(|ip| ip != first) {
        let detail = "first value must match `clusterIP`";
        errors.push(Error::invalid(
            &path.child("clusterIPs"),
            Value::from(ips.to_vec()),
            detail,
        ));
    }
    for (i, ip) in ips.iter().enumerate() {
        let ip = ip.as_str().unwrap_or_default();
        if ip != "None" {
            errors.extend(addresses::ip(ip, &path.child("clusterIPs").index(i)));
        }
    }
    for (i, ip) in meta::list_at(obj, &["spec", "externalIPs"]).iter().enumerate() {
        let ip = ip.as_str().unwrap_or_default();
        errors.extend(addresses::of_another_host(ip, &path.child("externalIPs").index(i)));
    }
    for (i, range) in meta::list_at(obj, &["spec", "loadBalancerSourceRanges"])
        .iter()
        .enumerate()
    {
        let range = range.as_str().unwrap_or_default().trim();
        // Upstream's path really starts with a capital letter.
        errors.extend(addresses::cidr(range, &path.child("LoadBalancerSourceRanges").index(i)));
    }
    let families = meta::list_at(obj, &["spec", "ipFamilies"]);
    for (i, family) in families.iter().enumerate() {
        let family = family.as_str().unwrap_or_default();
        if !FAMILIES.contains(&family) {
            let path = path.child("ipFamilies").index(i);
            errors.push(Error::not_supported(&path, family, &FAMILIES));
        }
    }
    for (i, (ip, family)) in ips.iter().zip(families).enumerate() {
        let (ip, family) = (ip.as_str().unwrap_or_default(), family.as_str().unwrap_or_default());
        let actual = match ip.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => "IPv4",
            Ok(IpAddr::V6(_)) => "IPv6",
            Err(_) => continue,
        };
        if FAMILIES.contains(&family) && family != actual {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(Error::invalid(&path.child("clusterIPs").index(i), ip, detail));
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
    let policy = text("internalTrafficPolicy");
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        errors.push(Error::not_supported(
            &path.child("internalTrafficPolicy"),
            policy,
            &POLICIES,
        ));
    }
    let health = meta::i64_at(obj, &["spec", "healthCheckNodePort"]).unwrap_or_default();
    if health != 0 && !(kind == "LoadBalancer" && text("externalTrafficPolicy") == "Local") {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid(&path.child("healthCheckNodePort"), health, detail));
    }
    if kind != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if meta::at(obj, &["spec", field]).is_some() {
                let detail = "may only be used when `type` is 'LoadBalancer'";
                errors.push(Error::forbidden(&path.child(field), detail));
            }
        }
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

/// What works but should not be written any more (`pkg/api/service/warnings.go`).
pub(super) fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let text = |field: &str| meta::str_at(new, &["spec", field]).unwrap_or_default();
    let mut warnings = Vec::new();
    if text("clusterIP") == "None" && text("sessionAffinity") == "ClientIP" {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    if !meta::list_at(new, &["spec", "externalIPs"]).is_empty() {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    if old.is_none() && text("trafficDistribution") == "PreferClose" {
        let name = "spec.trafficDistribution";
        warnings.push(format!("{name}: \"PreferClose\" is deprecated; use \"PreferSameZone\""));
    }
    warnings
}

/// Checks what changes: addresses and their families stay, except on the way from or to an `ExternalName`
/// (`validateUpgradeDowngradeClusterIPs`, `validateUpgradeDowngradeIPFamilies`). A second one may come, and go again when
/// the policy says so.
pub(super) fn update(new: &Value, old: &Value) -> ErrorList {
    let external = |obj: &Value| meta::str_at(obj, &["spec", "type"]) == Some("ExternalName");
    let headless = |obj: &Value| {
        meta::list_at(obj, &["spec", "clusterIPs"])
            .first()
            .is_some_and(|ip| ip == "None")
    };
    let mut errors = ErrorList::new();
    if external(new) || external(old) || (headless(new) && headless(old)) {
        return errors;
    }
    errors.extend(validate_fixed_list(new, old, "clusterIPs", "clusterIP"));
    if headless(new) == headless(old) {
        errors.extend(validate_fixed_list(new, old, "ipFamilies", "ipFamily"));
    }
    errors
}

fn validate_fixed_list(new: &Value, old: &Value, field: &str, one: &str) -> ErrorList {
    const CHANGED: &str = "may not change once set";
    let path = Path::new("spec").child(field);
    let before = meta::list_at(old, &["spec", field]);
    let now = meta::list_at(new, &["spec", field]);
    let invalid = |index: usize, detail: &str| Error::invalid(&path.index(index), Value::from(now.to_vec()), detail);
    let mut errors = ErrorList::new();
    if before.len() == now.len() {
        // Upstream names the first family whichever differs.
        let index = |i: usize| if field == "clusterIPs" { i } else { 0 };
        let differing = before.iter().zip(now).enumerate().filter(|(_, (was, is))| was != is);
        errors.extend(differing.map(|(i, _)| invalid(index(i), CHANGED)));
        return errors;
    }
    if now.is_empty() {
        errors.push(invalid(0, &format!("primary {one} can not be unset")));
    } else if before.first().is_some_and(|was| *was != now[0]) {
        errors.push(invalid(0, CHANGED));
    }
    let policy = meta::str_at(new, &["spec", "ipFamilyPolicy"]);
    if before.len() > now.len() && now.len() == 1 && policy != Some("SingleStack") {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {one}");
        let path = Path::new("spec").child("ipFamilyPolicy");
        errors.push(Error::invalid(&path, policy.map_or(Value::Null, Value::from), detail));
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
                json!({"ports": [{"port": 80, "targetPort": 80}], "externalTrafficPolicy": "Local"}),
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ),
        ] {
            let mut obj = json!({"spec": spec});
            super::super::defaults::apply(&mut obj);
            let found: Vec<String> = service(&obj).iter().map(ToString::to_string).collect();
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn cluster_ips_stay() {
        let of = |ip: &str| json!({"spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}});
        assert!(update(&of("10.0.0.1"), &of("10.0.0.1")).is_empty());
        assert_eq!(
            update(&of("10.0.0.2"), &of("10.0.0.1"))[0].to_string(),
            r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#
        );
    }

    #[test]
    fn a_second_address_comes_and_goes_with_the_policy() {
        let of = |ips: &[&str], families: &[&str], policy: &str| json!({"spec": {"type": "ClusterIP", "clusterIPs": ips, "ipFamilies": families, "ipFamilyPolicy": policy}});
        let single = of(&["10.0.0.1"], &["IPv4"], "SingleStack");
        let dual = of(&["10.0.0.1", "fd00::1"], &["IPv4", "IPv6"], "PreferDualStack");
        let texts = |new: &Value, old: &Value| update(new, old).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&dual, &single), [""; 0]);
        assert_eq!(texts(&single, &dual), [""; 0]);
        assert_eq!(
            texts(&of(&["10.0.0.1"], &["IPv4"], "PreferDualStack"), &dual),
            [
                r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP"#,
                r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily"#,
            ]
        );
        assert_eq!(
            texts(
                &of(&["10.0.0.1", "fd00::2"], &["IPv4", "IPv6"], "PreferDualStack"),
                &dual
            ),
            [r#"spec.clusterIPs[1]: Invalid value: ["10.0.0.1","fd00::2"]: may not change once set"#]
        );
        assert_eq!(
            texts(&of(&[], &["IPv4", "IPv6"], "PreferDualStack"), &dual),
            ["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"]
        );
        let external = json!({"spec": {"type": "ExternalName", "externalName": "example.org"}});
        assert_eq!(texts(&external, &dual), [""; 0]);
        assert_eq!(texts(&of(&["10.0.0.9"], &["IPv4"], "SingleStack"), &external), [""; 0]);
    }
}
