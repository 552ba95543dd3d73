//! What a claim asks for (`validateResourceClaimSpec`), and its defaults.

use super::super::shared::checks::{required, text};
use super::super::shared::pod_defaults::{items, set_text};
use super::rules::{self, label, list, set};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const MAX_REQUESTS: usize = 32;
const MAX_CONSTRAINTS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MODES: [&str; 2] = ["All", "ExactCount"];
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Sets the defaults of a claim's spec.
pub(super) fn default(spec: &mut Value) {
    for request in items(spec, &["devices", "requests"]) {
        if let Some(exactly) = request.get_mut("exactly").filter(|exactly| exactly.is_object()) {
            default_request(exactly);
        }
        for alternative in items(request, &["firstAvailable"]) {
            default_request(alternative);
        }
    }
}

fn default_request(request: &mut Value) {
    set_text(request, &["allocationMode"], "ExactCount");
    let none = meta::i64_at(request, &["count"]).unwrap_or_default() == 0;
    if none && text(request, &["allocationMode"]) == "ExactCount" {
        meta::set(request, &["count"], 1);
    }
    for toleration in items(request, &["tolerations"]) {
        set_text(toleration, &["operator"], "Equal");
    }
}

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct Names<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Names<'a> {
    /// The names in the spec of a claim.
    pub(super) fn of(spec: &'a Value) -> Self {
        let requests = meta::list_at(spec, &["devices", "requests"]).iter();
        let names = requests.map(|request| {
            let alternatives = meta::list_at(request, &["firstAvailable"]).iter();
            (
                text(request, &["name"]),
                alternatives.map(|alternative| text(alternative, &["name"])).collect(),
            )
        });
        Names(names.collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => self.0.get(request).is_some_and(|names| names.contains(alternative)),
        }
    }

    /// A complaint about a name that is none of these (`validateRequestNameRef`).
    pub(super) fn validate(&self, name: &str, path: &Path) -> ErrorList {
        if name.matches('/').count() > 1 {
            return vec![Error::invalid(path, name, NO_REQUEST)];
        }
        let mut errors: ErrorList = name.split('/').flat_map(|part| label(part, path)).collect();
        if !self.has(name) {
            errors.push(Error::invalid(path, name, NO_REQUEST));
        }
        errors
    }

    /// The same for a list of names.
    pub(super) fn validate_all(&self, owner: &Value, path: &Path) -> ErrorList {
        let names = meta::list_at(owner, &["requests"]);
        set(
            names,
            Some(MAX_REQUESTS),
            &path.child("requests"),
            &|name, path| self.validate(name.as_str().unwrap_or_default(), path),
            &|name| name.as_str().unwrap_or_default().to_owned(),
        )
    }
}

/// Checks the spec of a claim.
pub(super) fn validate(spec: &Value, path: &Path) -> ErrorList {
    let path = path.child("devices");
    let devices = spec.get("devices").unwrap_or(&Value::Null);
    let names = Names::of(spec);
    let requests = meta::list_at(devices, &["requests"]);
    let mut errors = set(
        requests,
        Some(MAX_REQUESTS),
        &path.child("requests"),
        &validate_request,
        &rules::name,
    );
    let constraints = meta::list_at(devices, &["constraints"]);
    errors.extend(list(
        constraints,
        Some(MAX_CONSTRAINTS),
        &path.child("constraints"),
        &|constraint, path| validate_constraint(constraint, &names, path),
    ));
    errors.extend(rules::configurations(devices, 1, &path, &|config, path| {
        names.validate_all(config, path)
    }));
    errors
}

fn validate_request(request: &Value, path: &Path) -> ErrorList {
    let mut errors = label(text(request, &["name"]), &path.child("name"));
    let alternatives = meta::list_at(request, &["firstAvailable"]);
    match (request.get("exactly"), alternatives) {
        (None, []) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(Error::required(path, detail));
        }
        (Some(exactly), []) => errors.extend(validate_exact(exactly, &path.child("exactly"))),
        (None, alternatives) => errors.extend(set(
            alternatives,
            Some(MAX_ALTERNATIVES),
            &path.child("firstAvailable"),
            &|alternative, path| {
                let mut errors = label(text(alternative, &["name"]), &path.child("name"));
                errors.extend(validate_exact(alternative, path));
                errors
            },
            &rules::name,
        )),
        (Some(_), _) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, Value::Null, detail));
        }
    }
    errors
}

fn validate_exact(request: &Value, path: &Path) -> ErrorList {
    let class = text(request, &["deviceClassName"]);
    let mut errors = required(&path.child("deviceClassName"), class, names::dns1123_subdomain);
    errors.extend(rules::selectors(request, path));
    let count = meta::i64_at(request, &["count"]).unwrap_or_default();
    match text(request, &["allocationMode"]) {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(Error::invalid(&path.child("count"), count, detail));
        }
        "ExactCount" if count <= 0 => {
            errors.push(Error::invalid(&path.child("count"), count, "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => errors.push(Error::not_supported(&path.child("allocationMode"), other, &MODES)),
    }
    for (i, toleration) in meta::list_at(request, &["tolerations"]).iter().enumerate() {
        errors.extend(rules::toleration(toleration, &path.child("tolerations").index(i)));
    }
    errors
}

fn validate_constraint(constraint: &Value, names: &Names<'_>, path: &Path) -> ErrorList {
    let mut errors = names.validate_all(constraint, path);
    let attribute = ["matchAttribute", "distinctAttribute"]
        .iter()
        .find_map(|field| Some((*field, meta::str_at(constraint, &[field])?)));
    match attribute {
        Some((field, name)) => errors.extend(rules::fully_qualified_name(name, &path.child(field))),
        None => {
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields \
                          are set";
            errors.push(Error::required(path, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_differ_and_count() {
        let exactly = |count: i64| json!({"deviceClassName": "x", "count": count});
        let mut spec = json!({"devices": {"requests": [
            {"name": "a", "exactly": exactly(0)}, {"name": "a", "exactly": exactly(-1)}]}});
        default(&mut spec);
        assert_eq!(spec["devices"]["requests"][0]["exactly"]["count"], 1);
        let texts: Vec<String> = validate(&spec, &Path::new("spec"))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                "spec.devices.requests[1].exactly.count: Invalid value: -1: must be greater than zero",
                "spec.devices.requests[1]: Duplicate value: \"a\"",
            ]
        );
    }

    #[test]
    fn constraints_name_requests() {
        let spec = json!({"devices": {"requests": [{"name": "r", "firstAvailable": [{"name": "s"}]}]}});
        let names = Names::of(&spec);
        for (name, fine) in [
            ("r", true),
            ("r/s", true),
            ("s", false),
            ("r/x", false),
            ("r/s/t", false),
        ] {
            assert_eq!(names.validate(name, &Path::new("n")).is_empty(), fine, "{name}");
        }
    }
}
