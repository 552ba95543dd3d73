//! What a pod spec must look like, in pods and in the templates of workloads (upstream
//! `pkg/apis/core/validation/validation.go`, `ValidatePodSpec`).

pub(in super::super) mod affinity;
mod claims;
mod containers;
mod env;
mod handlers;
mod mounts;
mod os;
pub(in super::super) mod paths;
mod projected;
pub(in super::super) mod resources;
mod restart;
mod scheduling;
mod security;
mod volumes;
pub(in super::super) mod warnings;

pub(in super::super) use scheduling::validate_tolerations;

use crate::resources::shared::addresses;
use crate::resources::shared::checks::complaints;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Checks the labels and annotations of a pod template. Upstream leaves `metadata` out of the paths.
pub(in super::super) fn validate_metadata(template: &Value, path: &Path) -> ErrorList {
    let mut errors = validate_labels(meta::at(template, &["metadata", "labels"]), &path.child("labels"));
    let path = path.child("annotations");
    for key in meta::map_at(template, &["metadata", "annotations"])
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        let found = names::qualified_name(&key.to_lowercase());
        errors.extend(complaints(&path, key.as_str(), found));
    }
    errors
}

/// Checks a pod template: its labels, annotations and spec.
pub(in super::super) fn validate(template: &Value, path: &Path) -> ErrorList {
    let mut errors = validate_metadata(template, path);
    let spec = meta::at(template, &["spec"]).unwrap_or(&Value::Null);
    let path = path.child("spec");
    errors.extend(validate_spec(spec, volumes::Owner { pod: None }, &path));
    if !meta::list_at(spec, &["ephemeralContainers"]).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), detail));
    }
    errors
}

/// Checks the spec of a pod, which has to be stricter than that of a template for old objects' sake
/// (`validatePodMetadataAndSpec`). `pod` is the name of the pod.
pub(in super::super) fn validate_pod_spec(pod: &str, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = validate_spec(spec, volumes::Owner { pod: Some(pod) }, path);
    for list in ["containers", "initContainers"] {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            errors.extend(containers::pod_only(container, &path.child(list).index(i)));
        }
    }
    errors
}

/// Checks amounts of resources as if they were the limits of a container.
pub(in super::super) fn validate_limits(limits: &Value, path: &Path) -> ErrorList {
    let container = json!({"resources": {"limits": limits}});
    resources::validate(&container, &BTreeSet::new(), path)
}

/// Checks a pod spec.
fn validate_spec(spec: &Value, owner: volumes::Owner<'_>, path: &Path) -> ErrorList {
    let (volumes, mut errors) = volumes::validate(spec, owner, &path.child("volumes"));
    errors.extend(claims::validate(spec, &path.child("resourceClaims")));
    errors.extend(containers::validate(spec, &volumes, path));
    errors.extend(resources::validate_pod(
        spec,
        &claims::names(spec),
        &path.child("resources"),
    ));
    errors.extend(validate_host_network(spec, &path.child("containers")));
    errors.extend(validate_policies(spec, path));
    errors.extend(validate_labels(
        meta::at(spec, &["nodeSelector"]),
        &path.child("nodeSelector"),
    ));
    errors.extend(security::validate_pod(spec, path));
    if let Some(affinity) = meta::at(spec, &["affinity"]) {
        errors.extend(affinity::validate(affinity, &path.child("affinity")));
    }
    errors.extend(validate_dns(spec, &path.child("dnsConfig")));
    for (i, gate) in meta::list_at(spec, &["readinessGates"]).iter().enumerate() {
        let kind = meta::str_at(gate, &["conditionType"]).unwrap_or_default();
        let path = path.child("readinessGates").index(i).child("conditionType");
        errors.extend(complaints(&path, kind, names::qualified_name(kind)));
    }
    errors.extend(scheduling::validate_gates(spec, &path.child("schedulingGates")));
    errors.extend(scheduling::validate_spread(
        spec,
        &path.child("topologySpreadConstraints"),
    ));
    errors.extend(os::validate_host_process(spec, path));
    if meta::bool_at(spec, &["hostUsers"]) == Some(false) {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if meta::bool_at(spec, &[field]) == Some(true) {
                errors.push(Error::forbidden(&path.child(field), "when `hostUsers` is false"));
            }
        }
    }
    errors.extend(validate_hostname_override(spec, &path.child("hostnameOverride")));
    errors.extend(validate_names(spec, path));
    if let Some(overhead) = meta::at(spec, &["overhead"]) {
        errors.extend(validate_limits(overhead, &path.child("overhead")));
    }
    errors.extend(os::validate(spec, path));
    errors.extend(env::validate_files(spec, path));
    errors
}

/// `validatePodHostName`.
fn validate_hostname_override(spec: &Value, path: &Path) -> ErrorList {
    const MAX: usize = 64;
    let mut errors = ErrorList::new();
    let Some(name) = meta::str_at(spec, &["hostnameOverride"]) else {
        return errors;
    };
    for (field, detail) in [
        (
            "setHostnameAsFQDN",
            "may not be specified when setHostnameAsFQDN is true",
        ),
        ("hostNetwork", "may not be specified when hostNetwork is true"),
    ] {
        if meta::bool_at(spec, &[field]) == Some(true) {
            errors.push(Error::forbidden(path, detail));
        }
    }
    if name.len() > MAX {
        errors.push(Error::too_long(path, MAX));
    }
    errors.extend(complaints(path, name, names::dns1123_subdomain(name)));
    errors
}

/// The values in the order in which upstream's messages list them: not sorted.
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

fn validate_policies(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |field: &str| meta::str_at(spec, &[field]).unwrap_or_default();
    for (field, known) in [
        ("restartPolicy", &RESTART_POLICIES[..]),
        ("dnsPolicy", &DNS_POLICIES[..]),
    ] {
        let value = text(field);
        if value.is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        } else if !known.contains(&value) {
            errors.push(Error::not_supported(&path.child(field), value, known));
        }
    }
    errors
}

/// Containers in the network of their host have its ports (`validatePodHostNetworkDeps`).
fn validate_host_network(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::bool_at(spec, &["hostNetwork"]) != Some(true) {
        return errors;
    }
    for (i, container) in meta::list_at(spec, &["containers"]).iter().enumerate() {
        for (j, port) in meta::list_at(container, &["ports"]).iter().enumerate() {
            let number = |field: &str| meta::i64_at(port, &[field]).unwrap_or_default();
            if number("hostPort") != 0 && number("hostPort") != number("containerPort") {
                let path = path.index(i).child("ports").index(j).child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(&path, number("hostPort"), detail));
            }
        }
    }
    errors
}

/// `validatePodDNSConfig`.
fn validate_dns(spec: &Value, path: &Path) -> ErrorList {
    const MAX_SERVERS: usize = 3;
    const MAX_SEARCHES: usize = 32;
    const MAX_SEARCH_CHARS: usize = 2048;
    let config = meta::at(spec, &["dnsConfig"]);
    let list = |field: &str| config.map(|c| meta::list_at(c, &[field])).unwrap_or_default();
    let (servers, searches) = (list("nameservers"), list("searches"));
    if meta::str_at(spec, &["dnsPolicy"]) == Some("None") && servers.is_empty() {
        return vec![match config {
            None => Error::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(_) => {
                let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                Error::required(&path.child("nameservers"), detail)
            }
        }];
    }
    let mut errors = ErrorList::new();
    if servers.len() > MAX_SERVERS {
        let detail = format!("must not have more than {MAX_SERVERS} nameservers");
        errors.push(Error::invalid(&path.child("nameservers"), servers.to_vec(), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or_default();
        errors.extend(addresses::ip(server, &path.child("nameservers").index(i)));
    }
    let total: usize = searches.iter().map(|s| s.as_str().map_or(0, str::len) + 1).sum();
    for (wrong, limit) in [
        (searches.len() > MAX_SEARCHES, format!("{MAX_SEARCHES} search paths")),
        (
            total > MAX_SEARCH_CHARS + 1,
            format!("{MAX_SEARCH_CHARS} characters (including spaces) in the search list"),
        ),
    ] {
        if wrong {
            let detail = format!("must not have more than {limit}");
            errors.push(Error::invalid(&path.child("searches"), searches.to_vec(), detail));
        }
    }
    for (i, search) in searches.iter().enumerate() {
        let search = search.as_str().unwrap_or_default();
        if search != "." {
            let name = search.strip_suffix('.').unwrap_or(search);
            let found = names::dns1123_subdomain_with_underscores(name);
            errors.extend(complaints(&path.child("searches").index(i), name, found));
        }
    }
    for (i, option) in list("options").iter().enumerate() {
        if meta::str_at(option, &["name"]).unwrap_or_default().is_empty() {
            errors.push(Error::required(&path.child("options").index(i), "must not be empty"));
        }
    }
    errors
}

/// The names in a spec and the few fields that upstream checks between them.
fn validate_names(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |field: &str| meta::str_at(spec, &[field]).unwrap_or_default();
    let name = |field: &str, rule: fn(&str) -> Vec<String>| match text(field) {
        "" => ErrorList::new(),
        value => complaints(&path.child(field), value, rule(value)),
    };
    errors.extend(name("serviceAccountName", names::dns1123_subdomain));
    errors.extend(name("nodeName", names::dns1123_subdomain));
    if let Some(seconds) = meta::i64_at(spec, &["activeDeadlineSeconds"])
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = names::inclusive_range(1, i64::from(i32::MAX));
        errors.push(Error::invalid(&path.child("activeDeadlineSeconds"), seconds, detail));
    }
    errors.extend(name("hostname", names::dns1123_label));
    errors.extend(name("subdomain", names::dns1123_label));
    errors.extend(scheduling::validate_tolerations(spec, &path.child("tolerations")));
    for (i, alias) in meta::list_at(spec, &["hostAliases"]).iter().enumerate() {
        let path = path.child("hostAliases").index(i);
        let ip = meta::str_at(alias, &["ip"]).unwrap_or_default();
        errors.extend(addresses::ip(ip, &path.child("ip")));
        for (j, host) in meta::list_at(alias, &["hostnames"]).iter().enumerate() {
            let host = host.as_str().unwrap_or_default();
            let path = path.child("hostnames").index(j);
            errors.extend(complaints(&path, host, names::dns1123_subdomain(host)));
        }
    }
    errors.extend(name("priorityClassName", names::dns1123_subdomain));
    errors.extend(name("runtimeClassName", names::dns1123_subdomain));
    const PREEMPTION: [&str; 2] = ["PreemptLowerPriority", "Never"];
    match meta::str_at(spec, &["preemptionPolicy"]) {
        Some("") => errors.push(Error::required(&path.child("preemptionPolicy"), "")),
        Some(other) if !PREEMPTION.contains(&other) => {
            errors.push(Error::not_supported(
                &path.child("preemptionPolicy"),
                other,
                &PREEMPTION,
            ));
        }
        _ => {}
    }
    errors
}

/// `ValidateLabels`: keys and values.
pub(in super::super) fn validate_labels(labels: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|e| Error::invalid(path, key.clone(), e)),
        );
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|e| Error::invalid(path, value, e)),
        );
    }
    errors
}

/// `ValidateLabelSelector`.
pub(in super::super) fn validate_label_selector(selector: &Value, path: &Path) -> ErrorList {
    let mut errors = validate_labels(meta::at(selector, &["matchLabels"]), &path.child("matchLabels"));
    for (i, expression) in meta::list_at(selector, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let values = meta::list_at(expression, &["values"]);
        match meta::str_at(expression, &["operator"]).unwrap_or_default() {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(Error::required(&path.child("values"), detail));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(Error::forbidden(&path.child("values"), detail));
                }
            }
            other => errors.push(Error::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = meta::str_at(expression, &["key"]).unwrap_or_default();
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|e| Error::invalid(&path.child("key"), key, e)),
        );
        for (j, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            let path = path.child("values").index(j);
            errors.extend(
                names::label_value(value)
                    .into_iter()
                    .map(|e| Error::invalid(&path, value, e)),
            );
        }
    }
    errors
}

/// Complaints about a name that must be unique among `seen`.
fn unique<'a>(name: &'a str, seen: &mut BTreeSet<&'a str>, path: &Path) -> Option<Error> {
    (!seen.insert(name)).then(|| Error::duplicate(path, name))
}

#[cfg(test)]
mod tests;
