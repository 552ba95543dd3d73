//! What an autoscaler must look like (`pkg/apis/autoscaling/validation`).

use super::super::core::pod_template::resources::validate_name;
use super::super::shared::checks::{NEGATIVE, complaints, non_negative, one_of, one_of_if_set, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupVersion;
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;

const METRIC_TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// The fields of a metric in the order in which upstream looks at them, with the type that each belongs to and its rule.
const SOURCES: [(&str, &str, Rule); 5] = [
    ("object", "Object", object),
    ("external", "External", external),
    ("pods", "Pods", pods),
    ("resource", "Resource", resource),
    ("containerResource", "ContainerResource", container_resource),
];
const MAX_PERIOD: i64 = 1800;
const MAX_WINDOW: i64 = 3600;

type Rule = fn(source: &Value, path: &Path) -> ErrorList;

/// `validateHorizontalPodAutoscalerSpec`.
pub(super) fn spec(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let least = meta::i64_at(spec, &["minReplicas"]);
    let most = meta::i64_at(spec, &["maxReplicas"]).unwrap_or_default();
    let was_zero = old.is_some_and(|old| meta::i64_at(old, &["spec", "minReplicas"]) == Some(0));
    let bound = if was_zero { 0 } else { 1 };
    let mut errors = ErrorList::new();
    if let Some(least) = least.filter(|least| *least < bound) {
        let detail = format!("must be greater than or equal to {bound}");
        errors.push(Error::invalid(&path.child("minReplicas"), least, detail));
    }
    let most_path = path.child("maxReplicas");
    if most == 0 {
        errors.push(Error::required(&most_path, "must be set and greater than 0"));
    } else if most < 0 {
        errors.push(Error::invalid(&most_path, most, "must be greater than or equal to 1"));
    }
    if least.is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(Error::invalid(&most_path, most, detail));
    }
    errors.extend(target(spec, old, &path.child("scaleTargetRef")));
    let metrics = meta::list_at(spec, &["metrics"]);
    for (i, metric) in metrics.iter().enumerate() {
        errors.extend(self::metric(metric, &path.child("metrics").index(i)));
    }
    let scales_to_zero = |metric: &Value| matches!(text(metric, &["type"]), "Object" | "External");
    if least == Some(0) && !metrics.iter().any(scales_to_zero) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(&path.child("metrics"), detail));
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = meta::at(spec, &["behavior", direction]) {
            errors.extend(scaling_rules(rules, &path.child("behavior").child(direction)));
        }
    }
    errors
}

/// `ValidateHorizontalPodAutoscalerStatusUpdate`.
pub(super) fn status(obj: &Value) -> ErrorList {
    let path = Path::new("status");
    let status = meta::at(obj, &["status"]).unwrap_or(&Value::Null);
    ["currentReplicas", "desiredReplicas"]
        .iter()
        .filter_map(|field| non_negative(status, field, &path))
        .collect()
}

/// What is scaled: only ReplicationControllers have no group. Old references are left alone.
fn target(spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let reference = spec.get("scaleTargetRef").unwrap_or(&Value::Null);
    let same =
        |field: &str| old.is_some_and(|old| text(old, &["spec", "scaleTargetRef", field]) == text(reference, &[field]));
    let group = match text(reference, &["kind"]) {
        _ if same("kind") && same("apiVersion") => Group::Any,
        "ReplicationController" => Group::Optional,
        _ => Group::Required,
    };
    object_reference(reference, group, path)
}

/// What the apiVersion of a reference has to say.
#[derive(Clone, Copy, PartialEq)]
enum Group {
    Any,
    Optional,
    Required,
}

/// `ValidateCrossVersionObjectReference`.
fn object_reference(reference: &Value, group: Group, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["kind", "name"] {
        match text(reference, &[field]) {
            "" => errors.push(Error::required(&path.child(field), "")),
            value => errors.extend(complaints(&path.child(field), value, names::path_segment(value, false))),
        }
    }
    let api_version = text(reference, &["apiVersion"]);
    let wrong = match GroupVersion::parse(api_version) {
        _ if group == Group::Any => None,
        None => Some(format!("unexpected GroupVersion string: {api_version}")),
        Some(parsed) if parsed.group.is_empty() && group == Group::Required => {
            Some("apiVersion must specify API group".to_owned())
        }
        Some(_) => None,
    };
    errors.extend(wrong.map(|why| Error::invalid(&path.child("apiVersion"), api_version, why)));
    errors
}

/// `validateMetricSpec`.
fn metric(metric: &Value, path: &Path) -> ErrorList {
    let kind = text(metric, &["type"]);
    let mut errors = ErrorList::new();
    if kind.is_empty() {
        let detail = "must specify a metric source type";
        errors.push(Error::required(&path.child("type"), detail));
    }
    errors.extend(one_of(kind, &METRIC_TYPES, &path.child("type")));
    let present: Vec<_> = SOURCES
        .iter()
        .filter(|(field, ..)| metric.get(*field).is_some())
        .collect();
    if let Some((field, _, rule)) = present.first() {
        errors.extend(rule(metric.get(*field).unwrap_or(&Value::Null), &path.child(field)));
    }
    match SOURCES.iter().find(|(_, name, _)| *name == kind) {
        None => errors.extend(one_of(kind, &METRIC_TYPES, &path.child("type"))),
        Some((field, ..)) if metric.get(*field).is_none() => {
            let detail = "must populate information for the given metric source";
            errors.push(Error::required(&path.child(field), detail));
        }
        Some(_) => {}
    }
    if present.len() != 1 {
        for (field, ..) in present.iter().filter(|(_, name, _)| *name != kind) {
            let detail = "must populate the given metric source only";
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn has(source: &Value, field: &str) -> bool {
    meta::at(source, &["target", field]).is_some()
}

fn object(source: &Value, path: &Path) -> ErrorList {
    let described = source.get("describedObject").unwrap_or(&Value::Null);
    let mut errors = object_reference(described, Group::Optional, &path.child("describedObject"));
    errors.extend(identifier(source, path));
    errors.extend(metric_target(source, path));
    errors.extend(value_or_average(source, "a target value or averageValue", path));
    errors
}

fn value_or_average(source: &Value, either: &str, path: &Path) -> Option<Error> {
    let detail = format!("must set either {either}");
    let missing = !has(source, "value") && !has(source, "averageValue");
    missing.then(|| Error::required(&path.child("target").child("averageValue"), detail))
}

fn external(source: &Value, path: &Path) -> ErrorList {
    let mut errors = identifier(source, path);
    errors.extend(metric_target(source, path));
    let either = "a target value for metric or a per-pod target";
    errors.extend(value_or_average(source, either, path));
    if has(source, "value") && has(source, "averageValue") {
        let detail = "may not set both a target value for metric and a per-pod target";
        errors.push(Error::forbidden(&path.child("target").child("value"), detail));
    }
    errors
}

fn pods(source: &Value, path: &Path) -> ErrorList {
    let mut errors = identifier(source, path);
    errors.extend(metric_target(source, path));
    if !has(source, "averageValue") {
        let detail = "must specify a positive target averageValue";
        errors.push(Error::required(&path.child("target").child("averageValue"), detail));
    }
    errors
}

fn resource(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(source, &["name"]).is_empty() {
        errors.push(Error::required(&path.child("name"), "must specify a resource name"));
    }
    errors.extend(utilization_target(source, path));
    errors
}

fn container_resource(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match text(source, &["name"]) {
        "" => errors.push(Error::required(&path.child("name"), "must specify a resource name")),
        name => errors.extend(validate_name(name, &path.child("name"))),
    }
    match text(source, &["container"]) {
        "" => errors.push(Error::required(&path.child("container"), "must specify a container")),
        name => errors.extend(complaints(&path.child("container"), name, names::dns1123_label(name))),
    }
    errors.extend(utilization_target(source, path));
    errors
}

fn utilization_target(source: &Value, path: &Path) -> ErrorList {
    let mut errors = metric_target(source, path);
    let target = path.child("target");
    match (has(source, "averageUtilization"), has(source, "averageValue")) {
        (false, false) => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(Error::required(&target.child("averageUtilization"), detail));
        }
        (true, true) => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(Error::forbidden(&target.child("averageValue"), detail));
        }
        _ => {}
    }
    errors
}

fn amount(source: &Value, field: &str) -> Option<Quantity> {
    Quantity::parse(meta::str_at(source, &["target", field])?).ok()
}

/// `validateMetricTarget`.
fn metric_target(source: &Value, path: &Path) -> ErrorList {
    let path = path.child("target");
    let kind = text(source, &["target", "type"]);
    let mut errors = ErrorList::new();
    if kind.is_empty() {
        let detail = "must specify a metric target type";
        errors.push(Error::required(&path.child("type"), detail));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(&path.child("type"), kind, detail));
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = amount(source, field).filter(|amount| amount.sign() <= 0) {
            errors.push(Error::invalid(
                &path.child(field),
                amount.to_string(),
                "must be positive",
            ));
        }
    }
    if let Some(percent) = meta::i64_at(source, &["target", "averageUtilization"]).filter(|p| *p < 1) {
        let path = path.child("averageUtilization");
        errors.push(Error::invalid(&path, percent, "must be greater than 0"));
    }
    errors
}

/// `validateMetricIdentifier`.
fn identifier(source: &Value, path: &Path) -> ErrorList {
    let path = path.child("metric").child("name");
    match text(source, &["metric", "name"]) {
        "" => vec![Error::required(&path, "must specify a metric name")],
        name => complaints(&path, name, names::path_segment(name, false)),
    }
}

/// `validateScalingRules`.
fn scaling_rules(rules: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(window) = meta::i64_at(rules, &["stabilizationWindowSeconds"]) {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(Error::invalid(&path, window, "must be greater than or equal to zero"));
        }
        if window > MAX_WINDOW {
            let detail = format!("must be less than or equal to {MAX_WINDOW}");
            errors.push(Error::invalid(&path, window, detail));
        }
    }
    errors.extend(one_of_if_set(rules, "selectPolicy", &["Disabled", "Max", "Min"], path));
    let policies = meta::list_at(rules, &["policies"]);
    let tolerance = meta::str_at(rules, &["tolerance"]);
    if policies.is_empty() && tolerance.is_none() {
        let detail = "must specify at least one Policy";
        errors.push(Error::required(&path.child("policies"), detail));
    }
    for (i, policy) in policies.iter().enumerate() {
        errors.extend(scaling_policy(policy, &path.child("policies").index(i)));
    }
    if let Some(tolerance) = tolerance.and_then(|text| Quantity::parse(text).ok())
        && tolerance.sign() < 0
    {
        let path = path.child("tolerance");
        errors.push(Error::invalid(&path, tolerance.to_string(), NEGATIVE));
    }
    errors
}

fn scaling_policy(policy: &Value, path: &Path) -> ErrorList {
    let kind = text(policy, &["type"]);
    let mut errors = ErrorList::new();
    errors.extend(one_of(kind, &["Percent", "Pods"], &path.child("type")));
    for field in ["value", "periodSeconds"] {
        let number = meta::i64_at(policy, &[field]).unwrap_or_default();
        if number <= 0 {
            errors.push(Error::invalid(&path.child(field), number, "must be greater than zero"));
        }
    }
    let period = meta::i64_at(policy, &["periodSeconds"]).unwrap_or_default();
    if period > MAX_PERIOD {
        let detail = format!("must be less than or equal to {MAX_PERIOD}");
        errors.push(Error::invalid(&path.child("periodSeconds"), period, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn autoscalers_are_checked_in_upstreams_order() {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
        for (more, expected) in [
            (json!({"maxReplicas": 3}), vec![]),
            (
                json!({"maxReplicas": 3, "minReplicas": 0}),
                vec![
                    "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                    "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
                ],
            ),
            (
                json!({"maxReplicas": 3, "behavior": {"scaleDown": {"policies": [], "selectPolicy": "Foo",
                    "stabilizationWindowSeconds": 4000}}}),
                vec![
                    "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
                    "spec.behavior.scaleDown.selectPolicy: Unsupported value: \"Foo\": supported values: \"Disabled\", \"Max\", \"Min\"",
                    "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
                ],
            ),
            (
                json!({"maxReplicas": 3, "scaleTargetRef": {"kind": "Foo", "name": "f"}}),
                vec!["spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"],
            ),
            (
                json!({"maxReplicas": 3, "metrics": [{"type": "Pods", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 1}}}]}),
                vec!["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
            ),
        ] {
            let mut given = json!({"scaleTargetRef": target});
            for (key, value) in more.as_object().unwrap() {
                given[key] = value.clone();
            }
            let texts: Vec<String> = spec(&json!({"spec": given}), None)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(texts, expected);
        }
    }
}
