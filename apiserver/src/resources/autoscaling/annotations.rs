//! What the first version of autoscalers keeps in annotations, and how Go writes it there.

use machinery::meta;
use serde_json::Value;

/// Metrics besides the utilization of CPUs.
pub(super) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
/// The status of all metrics.
pub(super) const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
/// The conditions.
pub(super) const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// How scaling behaves.
pub(super) const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// All of them.
pub(super) const ALL: &[&str] = &[METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR];

/// The fields of what is written, in the order of Go's structs.
const ORDER: [&str; 33] = [
    "type",
    "status",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "metricName",
    "metricSelector",
    "currentValue",
    "targetValue",
    "currentAverageUtilization",
    "currentAverageValue",
    "targetAverageUtilization",
    "targetAverageValue",
    "selector",
    "averageValue",
    "lastTransitionTime",
    "reason",
    "message",
    "kind",
    "name",
    "apiVersion",
    "ScaleUp",
    "ScaleDown",
    "StabilizationWindowSeconds",
    "SelectPolicy",
    "Policies",
    "Tolerance",
    "Type",
    "Value",
    "PeriodSeconds",
];

/// The value of an annotation; `None` when there is none or it is no JSON, which upstream ignores.
pub(super) fn read(obj: &Value, key: &str) -> Option<Value> {
    let text = meta::str_at(obj, &["metadata", "annotations", key])?;
    serde_json::from_str(text).ok().filter(|value: &Value| !value.is_null())
}

/// Writes an annotation.
pub(super) fn write(obj: &mut Value, key: &str, value: &Value) {
    let mut text = String::new();
    encode(value, &mut text);
    meta::set(obj, &["metadata", "annotations", key], text);
}

/// Removes all of them.
pub(super) fn drop_all(obj: &mut Value) {
    remove(obj, &[METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR]);
}

/// Those that are part of the spec.
pub(super) const OF_SPEC: [&str; 2] = [METRICS, BEHAVIOR];
/// Those that are part of the status.
pub(super) const OF_STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];

/// Carries some of them over.
pub(super) fn copy(new: &mut Value, old: &Value, keys: &[&str]) {
    remove(new, keys);
    for key in keys {
        if let Some(value) = meta::at(old, &["metadata", "annotations", key]) {
            meta::set(new, &["metadata", "annotations", key], value.clone());
        }
    }
}

/// Removes some of them, and the annotations when none are left.
pub(super) fn remove(obj: &mut Value, keys: &[&str]) {
    for key in keys {
        meta::remove(obj, &["metadata", "annotations", key]);
    }
    if meta::map_at(obj, &["metadata", "annotations"]).is_some_and(serde_json::Map::is_empty) {
        meta::remove(obj, &["metadata", "annotations"]);
    }
}

/// JSON with the fields in Go's order; labels, which are not among them, come sorted.
fn encode(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            // Resources name themselves first, other things later; the name of a container comes last.
            let of_resource = fields.contains_key("name") && !fields.contains_key("kind");
            let place = |key: &str| match key {
                "name" if of_resource => 0,
                key => 1 + ORDER.iter().position(|name| *name == key).unwrap_or(ORDER.len()),
            };
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| place(key));
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                encode(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                encode(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}
