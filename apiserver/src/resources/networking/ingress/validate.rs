//! What an Ingress must look like (`pkg/apis/networking/validation/validation.go`).

use super::super::{api_group, segment};
use crate::resources::shared::addresses;
use crate::resources::shared::checks::{complaints, required, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const NO_ADDRESS: &str = "must be a DNS name, not an IP address";
const ABSOLUTE: &str = "must be an absolute path";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
/// What a path that is compared segment by segment cannot have in it and at its end.
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];

/// Checks the spec (`ValidateIngressSpec`). What an older server let pass in `old` may stay.
pub(super) fn spec(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let rules = meta::list_at(obj, &["spec", "rules"]);
    let backend = meta::at(obj, &["spec", "defaultBackend"]).filter(|backend| !backend.is_null());
    let mut errors = ErrorList::new();
    if rules.is_empty() && backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        let given = meta::at(obj, &["spec", "rules"]).cloned().unwrap_or_default();
        errors.push(Error::invalid(&path, given, detail));
    }
    if let Some(backend) = backend {
        errors.extend(validate_backend(backend, &path.child("defaultBackend")));
    }
    let lenient = old.is_some_and(has_bad_wildcard_rule);
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(validate_rule(rule, lenient, &path.child("rules").index(i)));
    }
    let any_secret = old.is_some_and(has_bad_secret_name);
    for (i, tls) in meta::list_at(obj, &["spec", "tls"]).iter().enumerate() {
        errors.extend(validate_tls(tls, any_secret, &path.child("tls").index(i)));
    }
    if let Some(class) = meta::str_at(obj, &["spec", "ingressClassName"]) {
        errors.extend(complaints(
            &path.child("ingressClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors
}

fn validate_tls(tls: &Value, any_secret: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, host) in meta::list_at(tls, &["hosts"]).iter().enumerate() {
        let host = host.as_str().unwrap_or_default();
        errors.extend(validate_host(host, &path.child("hosts").index(i)));
    }
    if !any_secret {
        let name = text(tls, &["secretName"]);
        errors.extend(complaints(&path.child("secretName"), name, bad_secret_name(tls)));
    }
    errors
}

fn validate_host(host: &str, path: &Path) -> ErrorList {
    let found = if host.contains('*') {
        names::wildcard_dns1123_subdomain(host)
    } else {
        names::dns1123_subdomain(host)
    };
    complaints(path, host, found)
}

fn bad_secret_name(tls: &Value) -> Vec<String> {
    match text(tls, &["secretName"]) {
        "" => Vec::new(),
        name => names::dns1123_subdomain(name),
    }
}

fn has_bad_secret_name(ingress: &Value) -> bool {
    meta::list_at(ingress, &["spec", "tls"])
        .iter()
        .any(|tls| !bad_secret_name(tls).is_empty())
}

fn has_bad_wildcard_rule(ingress: &Value) -> bool {
    let path = Path::root();
    meta::list_at(ingress, &["spec", "rules"])
        .iter()
        .any(|rule| text(rule, &["host"]).contains('*') && !validate_http(rule, &path).is_empty())
}

fn validate_rule(rule: &Value, lenient: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let host = text(rule, &["host"]);
    if !host.is_empty() {
        if addresses::read_ip(host).is_some() {
            errors.push(Error::invalid(&path.child("host"), host, NO_ADDRESS));
        }
        errors.extend(validate_host(host, &path.child("host")));
    }
    if !(lenient && host.contains('*')) {
        errors.extend(validate_http(rule, path));
    }
    errors
}

fn validate_http(rule: &Value, path: &Path) -> ErrorList {
    let Some(http) = rule.get("http").filter(|http| !http.is_null()) else {
        return ErrorList::new();
    };
    let path = path.child("http").child("paths");
    let paths = meta::list_at(http, &["paths"]);
    if paths.is_empty() {
        return vec![Error::required(&path, "")];
    }
    let checked = paths.iter().enumerate();
    checked
        .flat_map(|(i, item)| validate_path(item, &path.index(i)))
        .collect()
}

/// `validateHTTPIngressPath`.
fn validate_path(item: &Value, path: &Path) -> ErrorList {
    let Some(kind) = meta::str_at(item, &["pathType"]) else {
        return vec![Error::required(&path.child("pathType"), "pathType must be specified")];
    };
    let (given, at) = (text(item, &["path"]), path.child("path"));
    let mut errors = ErrorList::new();
    match kind {
        "Exact" | "Prefix" => {
            if !given.starts_with('/') {
                errors.push(Error::invalid(&at, given, ABSOLUTE));
            }
            for bad in BAD_SEQUENCES.iter().filter(|bad| given.contains(**bad)) {
                errors.push(Error::invalid(&at, given, format!("must not contain '{bad}'")));
            }
            for bad in BAD_ENDS.iter().filter(|bad| given.ends_with(**bad)) {
                errors.push(Error::invalid(&at, given, format!("cannot end with '{bad}'")));
            }
        }
        "ImplementationSpecific" => {
            if !given.is_empty() && !given.starts_with('/') {
                errors.push(Error::invalid(&at, given, ABSOLUTE));
            }
        }
        other => errors.push(Error::not_supported(&path.child("pathType"), other, &PATH_TYPES)),
    }
    let backend = item.get("backend").unwrap_or(&Value::Null);
    errors.extend(validate_backend(backend, &path.child("backend")));
    errors
}

/// `validateIngressBackend`.
fn validate_backend(backend: &Value, path: &Path) -> ErrorList {
    let part = |field: &str| backend.get(field).filter(|part| !part.is_null());
    match (part("resource"), part("service")) {
        (Some(_), Some(_)) => vec![Error::invalid(
            path,
            "",
            "cannot set both resource and service backends",
        )],
        (Some(resource), None) => validate_reference(resource, &path.child("resource")),
        (None, Some(service)) => validate_service(service, path),
        (None, None) => vec![Error::invalid(path, "", "resource or service backend is required")],
    }
}

fn validate_service(service: &Value, path: &Path) -> ErrorList {
    let at = path.child("service");
    let mut errors = required(&at.child("name"), text(service, &["name"]), names::dns1123_label);
    let name = text(service, &["port", "name"]);
    let number = meta::i64_at(service, &["port", "number"]).unwrap_or_default();
    let port = at.child("port");
    match (name.is_empty(), number == 0) {
        (false, false) => errors.push(Error::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => errors.extend(complaints(&port.child("name"), name, names::port_name(name))),
        (true, false) => errors.extend(complaints(&port.child("number"), number, names::port_number(number))),
        (true, true) => errors.push(Error::required(path, "port name or number is required")),
    }
    errors
}

/// `validateIngressTypedLocalObjectReference`.
fn validate_reference(reference: &Value, path: &Path) -> ErrorList {
    let mut errors = api_group(reference, path);
    for field in ["kind", "name"] {
        if text(reference, &[field]).is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        } else {
            errors.extend(segment(reference, field, path));
        }
    }
    errors
}

/// Checks where the Ingress is reached (`ValidateIngressLoadBalancerStatus`). Addresses that were there may stay.
pub(super) fn status(new: &Value, old: &Value) -> ErrorList {
    let points = |obj| meta::list_at(obj, &["status", "loadBalancer", "ingress"]);
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let known: Vec<&str> = points(old).iter().map(|point| text(point, &["ip"])).collect();
    let mut errors = ErrorList::new();
    for (i, point) in points(new).iter().enumerate() {
        let path = path.index(i);
        let (ip, host) = (text(point, &["ip"]), text(point, &["hostname"]));
        if !ip.is_empty() && !known.contains(&ip) {
            errors.extend(addresses::ip(ip, &path.child("ip")));
        }
        if !host.is_empty() {
            let path = path.child("hostname");
            errors.extend(complaints(&path, host, names::dns1123_subdomain(host)));
            if addresses::read_ip(host).is_some() {
                errors.push(Error::invalid(&path, host, NO_ADDRESS));
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
    fn paths_and_backends_are_checked() {
        let service = json!({"service": {"name": "s", "port": {"number": 80}}});
        for (item, expected) in [
            (json!({"pathType": "Prefix", "path": "/", "backend": service}), ""),
            (json!({"pathType": "ImplementationSpecific", "backend": service}), ""),
            (
                json!({"path": "/", "backend": service}),
                "p.pathType: Required value: pathType must be specified",
            ),
            (
                json!({"pathType": "Exact", "path": "/a/..", "backend": service}),
                "p.path: Invalid value: \"/a/..\": cannot end with '/..'",
            ),
            (
                json!({"pathType": "Exact", "path": "a", "backend": service}),
                "p.path: Invalid value: \"a\": must be an absolute path",
            ),
            (
                json!({"pathType": "Exact", "path": "/"}),
                "p.backend: Invalid value: \"\": resource or service backend is required",
            ),
            (
                json!({"pathType": "Exact", "path": "/", "backend": {"resource": {"kind": "K"}}}),
                "p.backend.resource.name: Required value",
            ),
        ] {
            let errors = validate_path(&item, &Path::new("p"));
            let text = errors.first().map(ToString::to_string).unwrap_or_default();
            assert_eq!(text, expected, "{item}");
        }
    }

    #[test]
    fn hosts_are_names() {
        let rule = |host: &str| json!({"host": host});
        for (host, fine) in [
            ("a.example.com", true),
            ("*.example.com", true),
            ("*.*.com", false),
            ("1.2.3.4", false),
        ] {
            assert_eq!(
                validate_rule(&rule(host), false, &Path::new("r")).is_empty(),
                fine,
                "{host}"
            );
        }
    }
}
