//! What a pod spec must look like, in pods and in the templates of workloads (upstream
//! `pkg/apis/core/validation/validation.go`, `ValidatePodSpec`).

mod containers;
mod volumes;

use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// Checks a pod template: its labels, annotations and spec.
pub(in super::super) fn validate(template: &Value, path: &Path) -> ErrorList {
    let metadata = path.child("metadata");
    let mut errors = validate_labels(meta::at(template, &["metadata", "labels"]), &metadata.child("labels"));
    let annotations = meta::map_at(template, &["metadata", "annotations"]);
    for key in annotations.into_iter().flatten().map(|(key, _)| key) {
        let complaints = names::qualified_name(&key.to_lowercase());
        let path = metadata.child("annotations");
        errors.extend(complaints.into_iter().map(|e| Error::invalid(&path, key.clone(), e)));
    }
    let spec = meta::at(template, &["spec"]).cloned().unwrap_or_default();
    errors.extend(validate_spec(&spec, &path.child("spec")));
    errors
}

/// Checks a pod spec.
pub(in super::super) fn validate_spec(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (volumes, volume_errors) = volumes::validate(spec, &path.child("volumes"));
    errors.extend(volume_errors);
    errors.extend(containers::validate(spec, &volumes, path));
    errors.extend(validate_policies(spec, path));
    errors.extend(validate_names(spec, path));
    errors.extend(validate_tolerations(spec, &path.child("tolerations")));
    errors.extend(validate_spread(spec, &path.child("topologySpreadConstraints")));
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
    if text("dnsPolicy") == "None" && meta::list_at(spec, &["dnsConfig", "nameservers"]).is_empty() {
        let config = path.child("dnsConfig");
        if meta::at(spec, &["dnsConfig"]).is_none() {
            errors.push(Error::required(
                &config,
                "must provide `dnsConfig` when `dnsPolicy` is None",
            ));
        } else {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(Error::required(&config.child("nameservers"), text));
        }
    }
    if let Some(seconds) = meta::i64_at(spec, &["activeDeadlineSeconds"])
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let text = names::inclusive_range(1, i64::from(i32::MAX));
        errors.push(Error::invalid(&path.child("activeDeadlineSeconds"), seconds, text));
    }
    if let Some(seconds) = meta::i64_at(spec, &["terminationGracePeriodSeconds"])
        && seconds < 0
    {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(Error::invalid(&path, seconds, "must be greater than or equal to 0"));
    }
    errors
}

fn validate_names(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = |field: &str| meta::str_at(spec, &[field]).unwrap_or_default();
    for (field, rule) in [
        ("hostname", names::dns1123_label as fn(&str) -> Vec<String>),
        ("subdomain", names::dns1123_label),
        ("serviceAccountName", names::dns1123_subdomain),
        ("nodeName", names::dns1123_subdomain),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
    ] {
        let value = text(field);
        if !value.is_empty() {
            errors.extend(
                rule(value)
                    .into_iter()
                    .map(|e| Error::invalid(&path.child(field), value, e)),
            );
        }
    }
    errors.extend(validate_labels(
        meta::at(spec, &["nodeSelector"]),
        &path.child("nodeSelector"),
    ));
    for (i, secret) in meta::list_at(spec, &["imagePullSecrets"]).iter().enumerate() {
        if meta::str_at(secret, &["name"]).unwrap_or_default().is_empty() {
            errors.push(Error::required(
                &path.child("imagePullSecrets").index(i).child("name"),
                "",
            ));
        }
    }
    errors
}

/// `ValidateTolerations`.
fn validate_tolerations(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, toleration) in meta::list_at(spec, &["tolerations"]).iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| meta::str_at(toleration, &[field]).unwrap_or_default();
        if !text("key").is_empty() {
            let complaints = names::qualified_name(text("key"));
            errors.extend(
                complaints
                    .into_iter()
                    .map(|e| Error::invalid(&path.child("key"), text("key"), e)),
            );
        }
        let operator = path.child("operator");
        if text("key").is_empty() && text("operator") != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(&operator, text("operator"), detail));
        }
        if meta::at(toleration, &["tolerationSeconds"]).is_some() && text("effect") != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(&path.child("effect"), text("effect"), detail));
        }
        match text("operator") {
            "" | "Equal" => {
                let complaints = names::label_value(text("value"));
                if !complaints.is_empty() {
                    errors.push(Error::invalid(&operator, text("value"), complaints.join(";")));
                }
            }
            "Exists" => {
                if !text("value").is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.push(Error::invalid(&operator, text("value"), detail));
                }
            }
            other => errors.push(Error::not_supported(&operator, other, &["Equal", "Exists"])),
        }
        const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if !text("effect").is_empty() && !EFFECTS.contains(&text("effect")) {
            errors.push(Error::not_supported(&path.child("effect"), text("effect"), &EFFECTS));
        }
    }
    errors
}

/// `validateTopologySpreadConstraints`.
fn validate_spread(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, constraint) in meta::list_at(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let path = path.index(i);
        let skew = meta::i64_at(constraint, &["maxSkew"]).unwrap_or_default();
        if skew <= 0 {
            errors.push(Error::invalid(
                &path.child("maxSkew"),
                skew,
                "must be greater than zero",
            ));
        }
        if meta::str_at(constraint, &["topologyKey"])
            .unwrap_or_default()
            .is_empty()
        {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
        let action = meta::str_at(constraint, &["whenUnsatisfiable"]).unwrap_or_default();
        if !ACTIONS.contains(&action) {
            errors.push(Error::not_supported(&path.child("whenUnsatisfiable"), action, &ACTIONS));
        }
        if let Some(selector) = meta::at(constraint, &["labelSelector"]) {
            errors.extend(validate_label_selector(selector, &path.child("labelSelector")));
        }
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
