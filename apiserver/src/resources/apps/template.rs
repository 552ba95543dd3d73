//! The selector and pod template that every workload has.

use super::super::core::pod_template;
use super::super::shared::checks::invalid_selector;
use super::super::shared::pod_defaults;
use crate::registry::resource::ScalePaths;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::schema::Held;
use machinery::selector::label::Selector;
use serde_json::Value;

/// Where a workload keeps its numbers of replicas.
pub(super) static SCALE: ScalePaths = ScalePaths {
    spec_replicas: Held::Static("spec.replicas"),
    status_replicas: Held::Static("status.replicas"),
    selector: Held::Static("spec.selector"),
};

/// Sets the defaults of `spec.template`.
pub(super) fn default(obj: &mut Value) {
    if let Some(spec) = obj.pointer_mut("/spec/template/spec") {
        pod_defaults::pod_spec(spec);
    }
}

/// Checks `spec.selector` and `spec.template` (upstream `ValidatePodTemplateSpecForReplicaSet` and its siblings).
/// `kind` is the lower-case name in the message about empty selectors.
pub(super) fn validate(obj: &Value, kind: &str) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let selector_path = path.child("selector");
    let selector = meta::at(obj, &["spec", "selector"]).filter(|selector| !selector.is_null());
    let mut malformed = false;
    match selector {
        // Upstream does not miss the selector of a DaemonSet itself, only what it should match.
        None if kind == "daemonset" => {}
        None => errors.push(Error::required(&selector_path, "")),
        Some(selector) => {
            let complaints = pod_template::validate_label_selector(selector, &selector_path);
            malformed = !complaints.is_empty();
            errors.extend(complaints);
            if Selector::of(Some(selector)).is_empty() {
                let text = format!("empty selector is invalid for {kind}");
                errors.push(invalid_selector(&selector_path, selector, text));
            }
        }
    }
    if malformed {
        let detail = match kind {
            "daemonset" => None,
            "statefulset" => Some(""),
            _ => Some("invalid label selector"),
        };
        let complaint = |detail| Some(invalid_selector(&selector_path, selector?, detail));
        errors.extend(detail.and_then(complaint));
    } else if selector.is_none_or(|s| !Selector::of(Some(s)).is_empty()) {
        // An absent selector selects nothing.
        let labels = meta::at(obj, &["spec", "template", "metadata", "labels"]);
        if !selector.is_some_and(|s| Selector::of(Some(s)).matches_labels(labels)) {
            errors.push(Error::invalid(
                &path.child("template").child("metadata").child("labels"),
                labels.cloned().unwrap_or_default(),
                "`selector` does not match template `labels`",
            ));
        }
    }
    // A StatefulSet may have any number of old revisions.
    let counted: &[&str] = match kind {
        "statefulset" => &["replicas", "minReadySeconds"],
        _ => &["replicas", "minReadySeconds", "revisionHistoryLimit"],
    };
    errors.extend(non_negative(obj, counted));
    let template = path.child("template");
    let value = meta::at(obj, &["spec", "template"]).unwrap_or(&Value::Null);
    // Only a DaemonSet's template is looked at when its selector cannot be read.
    if !malformed || kind == "daemonset" {
        errors.extend(pod_template::validate(value, &template));
        if kind == "statefulset" {
            errors.extend(pod_template::validate_metadata(value, &template));
        }
    }
    let policy = meta::str_at(value, &["spec", "restartPolicy"]).unwrap_or_default();
    if !policy.is_empty() && policy != "Always" {
        errors.push(Error::not_supported(
            &template.child("spec").child("restartPolicy"),
            policy,
            &["Always"],
        ));
    }
    if meta::i64_at(value, &["spec", "activeDeadlineSeconds"]).is_some() {
        let text = format!("activeDeadlineSeconds in {} is not Supported", title(kind));
        errors.push(Error::forbidden(
            &template.child("spec").child("activeDeadlineSeconds"),
            text,
        ));
    }
    errors
}

fn title(kind: &str) -> &str {
    match kind {
        "statefulset" => "StatefulSet",
        "daemonset" => "DaemonSet",
        _ => "ReplicaSet",
    }
}

/// Numbers directly below `spec` that must not be negative.
pub(super) fn non_negative(obj: &Value, fields: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in fields {
        if let Some(number) = meta::i64_at(obj, &["spec", field])
            && number < 0
        {
            let path = Path::new("spec").child(field);
            errors.push(Error::invalid(&path, number, "must be greater than or equal to 0"));
        }
    }
    errors
}

/// The selector may not change.
pub(super) fn immutable_selector(new: &Value, old: &Value) -> ErrorList {
    if meta::at(new, &["spec", "selector"]) == meta::at(old, &["spec", "selector"]) {
        return ErrorList::new();
    }
    let value = meta::at(new, &["spec", "selector"]).unwrap_or(&Value::Null);
    let path = Path::new("spec").child("selector");
    vec![if value.is_null() {
        Error::invalid(&path, Value::Null, "field is immutable")
    } else {
        invalid_selector(&path, value, "field is immutable")
    }]
}
