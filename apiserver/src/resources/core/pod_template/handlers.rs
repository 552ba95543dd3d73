//! Probes and lifecycle handlers (`validateProbe`, `validateHandler`).

use super::complaints;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const PROBE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const LIFECYCLE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];
const SCHEMES: [&str; 2] = ["HTTP", "HTTPS"];
/// The probes of a container.
pub(super) const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Checks the hooks and probes of a container. `grace` is how long the pod may take to end, in seconds.
pub(super) fn validate(container: &Value, grace: i64, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = meta::at(container, &["lifecycle", hook]) {
            let path = path.child("lifecycle").child(hook);
            errors.extend(validate_handler(handler, LIFECYCLE_HANDLERS, grace, &path));
        }
    }
    for kind in PROBES {
        if let Some(probe) = container.get(kind) {
            errors.extend(validate_probe(probe, kind, grace, &path.child(kind)));
        }
    }
    errors
}

fn validate_probe(probe: &Value, kind: &str, grace: i64, path: &Path) -> ErrorList {
    let mut errors = validate_handler(probe, PROBE_HANDLERS, grace, path);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        let number = meta::i64_at(probe, &[field]).unwrap_or_default();
        if number < 0 {
            let detail = "must be greater than or equal to 0";
            errors.push(Error::invalid(&path.child(field), number, detail));
        }
    }
    let successes = meta::i64_at(probe, &["successThreshold"]).unwrap_or(1);
    if kind != "readinessProbe" && successes != 1 {
        errors.push(Error::invalid(&path.child("successThreshold"), successes, "must be 1"));
    }
    if let Some(seconds) = meta::i64_at(probe, &["terminationGracePeriodSeconds"]) {
        let path = path.child("terminationGracePeriodSeconds");
        if seconds <= 0 {
            errors.push(Error::invalid(&path, seconds, "must be greater than 0"));
        }
        if kind == "readinessProbe" {
            errors.push(Error::invalid(&path, seconds, "must not be set for readinessProbes"));
        }
    }
    errors
}

fn validate_handler(handler: &Value, kinds: &[&str], grace: i64, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut found = kinds.iter().filter_map(|kind| Some((*kind, handler.get(*kind)?)));
    let Some((kind, action)) = found.next() else {
        return vec![Error::required(path, "must specify a handler type")];
    };
    errors.extend(validate_action(kind, action, grace, &path.child(kind)));
    for (extra, _) in found {
        let detail = "may not specify more than 1 handler type";
        errors.push(Error::forbidden(&path.child(extra), detail));
    }
    errors
}

fn validate_action(kind: &str, action: &Value, grace: i64, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let port = action.get("port").cloned().unwrap_or_default();
    match kind {
        "exec" if meta::list_at(action, &["command"]).is_empty() => {
            errors.push(Error::required(&path.child("command"), ""));
        }
        "httpGet" => {
            if meta::str_at(action, &["path"]).unwrap_or_default().is_empty() {
                errors.push(Error::required(&path.child("path"), ""));
            }
            errors.extend(validate_port_or_name(&port, &path.child("port")));
            let scheme = meta::str_at(action, &["scheme"]).unwrap_or_default();
            if !SCHEMES.contains(&scheme) {
                errors.push(Error::not_supported(&path.child("scheme"), scheme, &SCHEMES));
            }
            for header in meta::list_at(action, &["httpHeaders"]) {
                let name = meta::str_at(header, &["name"]).unwrap_or_default();
                errors.extend(complaints(&path.child("httpHeaders"), name, header_name(name)));
            }
        }
        "tcpSocket" => errors.extend(validate_port_or_name(&port, &path.child("port"))),
        "grpc" => {
            let number = port.as_i64().unwrap_or_default();
            errors.extend(complaints(&path.child("port"), number, names::port_number(number)));
        }
        "sleep" => {
            let seconds = meta::i64_at(action, &["seconds"]).unwrap_or_default();
            if !(0..=grace).contains(&seconds) {
                let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                errors.push(Error::invalid(path, seconds, detail));
            }
        }
        _ => {}
    }
    errors
}

/// `IsHTTPHeaderName`.
fn header_name(name: &str) -> Vec<String> {
    let fine = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fine {
        return Vec::new();
    }
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![names::regex_error(rule, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// `ValidatePortNumOrName`.
fn validate_port_or_name(port: &Value, path: &Path) -> ErrorList {
    let found = match port {
        Value::String(name) => names::port_name(name),
        other => names::port_number(other.as_i64().unwrap_or_default()),
    };
    complaints(path, port.clone(), found)
}
