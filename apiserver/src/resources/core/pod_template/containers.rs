//! Containers (`validateContainers`, `validateInitContainers`).

use super::{unique, volumes};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

/// Checks every container of a pod spec.
pub(super) fn validate(spec: &Value, volume_names: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    if meta::list_at(spec, &["containers"]).is_empty() {
        errors.push(Error::required(&path.child("containers"), ""));
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            let path = path.child(list).index(i);
            let name = meta::str_at(container, &["name"]).unwrap_or_default();
            if name.is_empty() {
                errors.push(Error::required(&path.child("name"), ""));
            } else {
                let complaints = names::dns1123_label(name);
                errors.extend(
                    complaints
                        .into_iter()
                        .map(|e| Error::invalid(&path.child("name"), name, e)),
                );
                errors.extend(unique(name, &mut seen, &path.child("name")));
            }
            errors.extend(validate_container(container, volume_names, &path));
            let sidecar = meta::str_at(container, &["restartPolicy"]) == Some("Always");
            if list == "initContainers" && !sidecar {
                for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                    if container.get(field).is_some() {
                        let detail = "may not be set for init containers without restartPolicy=Always";
                        errors.push(Error::forbidden(&path.child(field), detail));
                    }
                }
            }
        }
    }
    errors
}

fn validate_container(container: &Value, volume_names: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let text = |field: &str| meta::str_at(container, &[field]).unwrap_or_default();
    let mut errors = ErrorList::new();
    let image = text("image");
    if image.is_empty() {
        errors.push(Error::required(&path.child("image"), ""));
    } else if image.trim() != image {
        errors.push(Error::invalid(
            &path.child("image"),
            image,
            "must not have leading or trailing whitespace",
        ));
    }
    for (field, known) in [
        ("imagePullPolicy", &PULL_POLICIES[..]),
        ("terminationMessagePolicy", &MESSAGE_POLICIES[..]),
    ] {
        let value = text(field);
        if value.is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        } else if !known.contains(&value) {
            errors.push(Error::not_supported(&path.child(field), value, known));
        }
    }
    errors.extend(validate_ports(container, &path.child("ports")));
    errors.extend(validate_env(container, path));
    errors.extend(validate_mounts(container, volume_names, &path.child("volumeMounts")));
    errors.extend(validate_resources(container, &path.child("resources")));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(value) = container.get(probe) {
            errors.extend(validate_probe(value, probe, &path.child(probe)));
        }
    }
    errors
}

fn validate_ports(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, port) in meta::list_at(container, &["ports"]).iter().enumerate() {
        let path = path.index(i);
        let name = meta::str_at(port, &["name"]).unwrap_or_default();
        if !name.is_empty() {
            let complaints = names::port_name(name);
            if complaints.is_empty() {
                errors.extend(unique(name, &mut seen, &path.child("name")));
            }
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("name"), name, e)),
            );
        }
        let number = meta::i64_at(port, &["containerPort"]).unwrap_or_default();
        if number == 0 {
            errors.push(Error::required(&path.child("containerPort"), ""));
        } else {
            let path = path.child("containerPort");
            errors.extend(
                names::port_number(number)
                    .into_iter()
                    .map(|e| Error::invalid(&path, number, e)),
            );
        }
        let host = meta::i64_at(port, &["hostPort"]).unwrap_or_default();
        if host != 0 {
            errors.extend(
                names::port_number(host)
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("hostPort"), host, e)),
            );
        }
        let protocol = meta::str_at(port, &["protocol"]).unwrap_or_default();
        if protocol.is_empty() {
            errors.push(Error::required(&path.child("protocol"), ""));
        } else if !PROTOCOLS.contains(&protocol) {
            errors.push(Error::not_supported(&path.child("protocol"), protocol, &PROTOCOLS));
        }
    }
    errors
}

fn validate_env(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, env) in meta::list_at(container, &["env"]).iter().enumerate() {
        let path = path.child("env").index(i);
        let name = meta::str_at(env, &["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            let complaints = names::env_var_name(name);
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("name"), name, e)),
            );
        }
        if let Some(from) = env.get("valueFrom") {
            let path = path.child("valueFrom");
            let sources = from.as_object().map_or(0, serde_json::Map::len);
            if sources == 0 {
                let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
                errors.push(Error::invalid(&path, "", detail));
            } else if !meta::str_at(env, &["value"]).unwrap_or_default().is_empty() {
                errors.push(Error::invalid(
                    &path,
                    "",
                    "may not be specified when `value` is not empty",
                ));
            } else if sources > 1 {
                errors.push(Error::invalid(
                    &path,
                    "",
                    "may not have more than one field specified at a time",
                ));
            }
            for field in ["configMapKeyRef", "secretKeyRef"] {
                if let Some(reference) = from.get(field) {
                    let path = path.child(field).child("key");
                    let key = meta::str_at(reference, &["key"]).unwrap_or_default();
                    if key.is_empty() {
                        errors.push(Error::required(&path, ""));
                    } else {
                        errors.extend(
                            names::config_map_key(key)
                                .into_iter()
                                .map(|e| Error::invalid(&path, key, e)),
                        );
                    }
                }
            }
        }
    }
    for (i, from) in meta::list_at(container, &["envFrom"]).iter().enumerate() {
        if !["configMapRef", "secretRef"].iter().any(|f| from.get(*f).is_some()) {
            // Upstream leaves the index out of this path.
            let detail = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(Error::invalid(&path.child("envFrom"), "", detail));
        }
        for field in ["configMapRef", "secretRef"] {
            if from
                .get(field)
                .is_some_and(|r| meta::str_at(r, &["name"]).unwrap_or_default().is_empty())
            {
                errors.push(Error::required(
                    &path.child("envFrom").index(i).child(field).child("name"),
                    "",
                ));
            }
        }
    }
    errors
}

fn validate_mounts(container: &Value, volume_names: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, mount) in meta::list_at(container, &["volumeMounts"]).iter().enumerate() {
        let item = path.index(i);
        let text = |field: &str| meta::str_at(mount, &[field]).unwrap_or_default();
        if text("name").is_empty() {
            errors.push(Error::required(&item.child("name"), ""));
        } else if !volume_names.contains(text("name")) {
            errors.push(Error::not_found(&item.child("name"), text("name")));
        }
        if text("mountPath").is_empty() {
            errors.push(Error::required(&item.child("mountPath"), ""));
        } else if !seen.insert(text("mountPath")) {
            errors.push(Error::invalid(
                &item.child("mountPath"),
                text("mountPath"),
                "must be unique",
            ));
        }
        if !text("subPath").is_empty() {
            errors.extend(volumes::validate_relative(text("subPath"), &path.child("subPath")));
            if !text("subPathExpr").is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.push(Error::invalid(&item.child("subPathExpr"), text("subPathExpr"), detail));
            }
        }
    }
    errors
}

/// `ValidateContainerResourceRequirements`.
fn validate_resources(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let amount = |list: &str, name: &str| {
        meta::str_at(container, &["resources", list, name]).and_then(|text| Quantity::parse(text).ok())
    };
    for list in ["limits", "requests"] {
        for name in meta::map_at(container, &["resources", list])
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            let Some(quantity) = amount(list, name) else { continue };
            let path_of = path.child(list).key(name);
            if quantity.sign() < 0 {
                let detail = "must be greater than or equal to 0";
                errors.push(Error::invalid(&path_of, quantity.to_string(), detail));
            }
            let extended = name.contains('/') && !name.starts_with("kubernetes.io/");
            if extended && quantity.millis() % 1000 != 0 {
                errors.push(Error::invalid(&path_of, quantity.to_string(), "must be an integer"));
            }
            if list == "requests"
                && let Some(limit) = amount("limits", name)
            {
                let path = path.child("requests");
                if extended && quantity != limit {
                    let detail = format!("must be equal to {name} limit of {limit}");
                    errors.push(Error::invalid(&path, quantity.to_string(), detail));
                } else if quantity > limit {
                    let detail = format!("must be less than or equal to {name} limit of {limit}");
                    errors.push(Error::invalid(&path, quantity.to_string(), detail));
                }
            }
        }
    }
    errors
}

/// `validateProbe`.
fn validate_probe(probe: &Value, kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut handlers = HANDLERS.iter().filter(|h| probe.get(**h).is_some());
    if handlers.next().is_none() {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    for extra in handlers {
        errors.push(Error::forbidden(
            &path.child(extra),
            "may not specify more than 1 handler type",
        ));
    }
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        let number = meta::i64_at(probe, &[field]).unwrap_or_default();
        if number < 0 {
            errors.push(Error::invalid(
                &path.child(field),
                number,
                "must be greater than or equal to 0",
            ));
        }
    }
    let successes = meta::i64_at(probe, &["successThreshold"]).unwrap_or(1);
    if kind != "readinessProbe" && successes != 1 {
        errors.push(Error::invalid(&path.child("successThreshold"), successes, "must be 1"));
    }
    if let Some(seconds) = meta::i64_at(probe, &["terminationGracePeriodSeconds"]) {
        let path = path.child("terminationGracePeriodSeconds");
        if kind == "readinessProbe" {
            errors.push(Error::invalid(&path, seconds, "must not be set for readinessProbes"));
        } else if seconds <= 0 {
            errors.push(Error::invalid(&path, seconds, "must be greater than 0"));
        }
    }
    for handler in ["httpGet", "tcpSocket"] {
        if let Some(port) = probe.get(handler).and_then(|h| h.get("port")) {
            errors.extend(validate_port_or_name(port, &path.child(handler).child("port")));
        }
    }
    if let Some(scheme) = meta::str_at(probe, &["httpGet", "scheme"])
        && !matches!(scheme, "HTTP" | "HTTPS")
    {
        errors.push(Error::not_supported(
            &path.child("httpGet").child("scheme"),
            scheme,
            &["HTTP", "HTTPS"],
        ));
    }
    errors
}

/// `ValidatePortNumOrName`.
fn validate_port_or_name(port: &Value, path: &Path) -> ErrorList {
    let complaints = match port {
        Value::String(name) => names::port_name(name),
        other => names::port_number(other.as_i64().unwrap_or_default()),
    };
    complaints
        .into_iter()
        .map(|e| Error::invalid(path, port.clone(), e))
        .collect()
}
