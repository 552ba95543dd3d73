//! Between the two versions of autoscalers (`pkg/apis/autoscaling/v1/conversion.go`).

use super::super::shared::checks::text;
use super::annotations::{self, BEHAVIOR, CONDITIONS, CURRENT_METRICS, METRICS};
use super::v2;
use crate::registry::resource::Conversion;
use machinery::meta;
use serde_json::{Map, Value, json};

pub(super) static CONVERSION: Conversion = Conversion {
    to_storage: to_v2,
    from_storage: to_v1,
};

/// The sources of metrics with the field that holds them.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("External", "external"),
];

/// How busy the processors should be, in percent, when nothing is said.
const DEFAULT_TARGET: i64 = 80;

/// Sets the target of an autoscaler of the first version that has no metric at all.
pub(super) fn default_target(obj: &mut Value) {
    if list(annotations::read(obj, METRICS)).is_empty() {
        meta::set_default(obj, &["spec", "targetCPUUtilizationPercentage"], DEFAULT_TARGET);
    }
}

/// An autoscaler of the second version.
pub(super) fn to_v2(mut obj: Value) -> Value {
    meta::set(&mut obj, &["apiVersion"], "autoscaling/v2");
    let metrics = annotations::read(&obj, METRICS);
    let mut metrics: Vec<Value> = list(metrics)
        .iter()
        .map(|metric| metric_to_v2(metric, "target"))
        .collect();
    let percent = meta::remove(&mut obj, &["spec", "targetCPUUtilizationPercentage"]);
    metrics.extend(percent.and_then(|p| p.as_i64()).map(v2::cpu));
    if obj.get("spec").is_some() {
        if metrics.is_empty() {
            metrics.push(v2::cpu(DEFAULT_TARGET));
        }
        meta::set(&mut obj, &["spec", "metrics"], metrics);
    }
    if let Some(behavior) = annotations::read(&obj, BEHAVIOR).filter(Value::is_object) {
        meta::set(&mut obj, &["spec", "behavior"], recased(&behavior, false));
    }
    let percent = meta::remove(&mut obj, &["status", "currentCPUUtilizationPercentage"]);
    if let Some(percent) = percent {
        let current = json!({"averageUtilization": percent});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "current": current}});
        meta::set(&mut obj, &["status", "currentMetrics"], vec![cpu]);
    }
    // The annotation knows more than the field.
    let current = list(annotations::read(&obj, CURRENT_METRICS));
    if !current.is_empty() {
        let current: Vec<Value> = current.iter().map(|metric| metric_to_v2(metric, "current")).collect();
        meta::set(&mut obj, &["status", "currentMetrics"], current);
    }
    let conditions = list(annotations::read(&obj, CONDITIONS));
    if !conditions.is_empty() {
        meta::set(&mut obj, &["status", "conditions"], conditions);
    }
    annotations::drop_all(&mut obj);
    obj
}

/// An autoscaler of the first version.
pub(super) fn to_v1(mut obj: Value) -> Value {
    meta::set(&mut obj, &["apiVersion"], "autoscaling/v1");
    annotations::drop_all(&mut obj);
    let utilization = |metric: &Value, part: &str| {
        let cpu = text(metric, &["type"]) == "Resource" && text(metric, &["resource", "name"]) == "cpu";
        meta::i64_at(metric, &["resource", part, "averageUtilization"]).filter(|_| cpu)
    };
    let metrics = list(meta::remove(&mut obj, &["spec", "metrics"]));
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| utilization(metric, "target").is_none())
        .map(|metric| metric_to_v1(metric, "target"))
        .collect();
    if !others.is_empty() {
        annotations::write(&mut obj, METRICS, &others.into());
    }
    let cpu = metrics
        .iter()
        .find(|metric| text(metric, &["type"]) == "Resource" && text(metric, &["resource", "name"]) == "cpu");
    if let Some(percent) = cpu.and_then(|metric| utilization(metric, "target")) {
        meta::set(&mut obj, &["spec", "targetCPUUtilizationPercentage"], percent);
    }
    let current = list(meta::remove(&mut obj, &["status", "currentMetrics"]));
    if let Some(percent) = current
        .iter()
        .filter_map(|metric| utilization(metric, "current"))
        .next_back()
    {
        meta::set(&mut obj, &["status", "currentCPUUtilizationPercentage"], percent);
    }
    if obj.get("status").is_some() {
        meta::set_default(&mut obj, &["status", "currentReplicas"], 0);
    }
    if !current.is_empty() {
        let current: Vec<Value> = current.iter().map(|metric| metric_to_v1(metric, "current")).collect();
        annotations::write(&mut obj, CURRENT_METRICS, &current.into());
    }
    if let Some(behavior) = meta::remove(&mut obj, &["spec", "behavior"]) {
        annotations::write(&mut obj, BEHAVIOR, &recased(&behavior, true));
    }
    let conditions = list(meta::remove(&mut obj, &["status", "conditions"]));
    if !conditions.is_empty() {
        annotations::write(&mut obj, CONDITIONS, &conditions.into());
    }
    obj
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// What a source calls its parts in the first version: the object, the name and selector of the metric, the value and
/// the average value. `part` is `target` or `current`.
fn parts(source: &str, part: &str) -> [String; 4] {
    let capital = |text: &str| format!("{part}{text}");
    match source {
        "object" => [
            "metricName".into(),
            "selector".into(),
            capital("Value"),
            "averageValue".into(),
        ],
        "pods" => [
            "metricName".into(),
            "selector".into(),
            String::new(),
            capital("AverageValue"),
        ],
        "external" => [
            "metricName".into(),
            "metricSelector".into(),
            capital("Value"),
            capital("AverageValue"),
        ],
        _ => [String::new(), String::new(), String::new(), capital("AverageValue")],
    }
}

/// Moves a field from one place to another, when it is there.
fn shift(from: &Value, field: &str, to: &mut Value, path: &[&str]) {
    if let Some(value) = from.get(field).filter(|value| !field.is_empty() && !value.is_null()) {
        meta::set(to, path, value.clone());
    }
}

/// A metric, or with `part` `current` its status, in the form of the second version.
fn metric_to_v2(metric: &Value, part: &str) -> Value {
    let mut out = json!({"type": text(metric, &["type"])});
    for (_, field) in SOURCES {
        let Some(source) = metric.get(field).filter(|source| source.is_object()) else {
            continue;
        };
        let [name, selector, value, average] = parts(field, part);
        let mut new = Value::Object(Map::new());
        if field == "object" {
            shift(source, "target", &mut new, &["describedObject"]);
        }
        if name.is_empty() {
            shift(source, "name", &mut new, &["name"]);
            shift(source, "container", &mut new, &["container"]);
            let utilization = format!("{part}AverageUtilization");
            shift(source, &utilization, &mut new, &[part, "averageUtilization"]);
        } else {
            meta::set(&mut new, &["metric", "name"], text(source, &[&name]));
            shift(source, &selector, &mut new, &["metric", "selector"]);
        }
        shift(source, &value, &mut new, &[part, "value"]);
        shift(source, &average, &mut new, &[part, "averageValue"]);
        if part == "target" {
            let has = |name: &str| meta::at(&new, &["target", name]).is_some();
            let kind = match field {
                "object" if has("averageValue") => "AverageValue",
                "object" => "Value",
                "external" if has("value") => "Value",
                "resource" | "containerResource" if has("averageUtilization") => "Utilization",
                _ => "AverageValue",
            };
            meta::set(&mut new, &["target", "type"], kind);
        }
        meta::set(&mut out, &[field], new);
    }
    out
}

/// The reverse.
fn metric_to_v1(metric: &Value, part: &str) -> Value {
    let mut out = json!({"type": text(metric, &["type"])});
    for (_, field) in SOURCES {
        let Some(source) = metric.get(field).filter(|source| source.is_object()) else {
            continue;
        };
        let [name, selector, value, average] = parts(field, part);
        let measured = source.get(part).cloned().unwrap_or_default();
        let mut new = Value::Object(Map::new());
        if field == "object" {
            shift(source, "describedObject", &mut new, &["target"]);
        }
        if name.is_empty() {
            shift(source, "name", &mut new, &["name"]);
            shift(source, "container", &mut new, &["container"]);
            let utilization = format!("{part}AverageUtilization");
            shift(&measured, "averageUtilization", &mut new, &[&utilization]);
        } else {
            meta::set(&mut new, &[&name], text(source, &["metric", "name"]));
            let metric = source.get("metric").cloned().unwrap_or_default();
            shift(&metric, "selector", &mut new, &[&selector]);
        }
        if !value.is_empty() {
            shift(&measured, "value", &mut new, &[&value]);
        }
        shift(&measured, "averageValue", &mut new, &[&average]);
        // Amounts that are no pointers in Go are written even when there are none.
        let always = match (field, part) {
            ("object", _) | ("external", "current") => value,
            ("pods", _) | ("resource" | "containerResource", "current") => average,
            _ => String::new(),
        };
        if !always.is_empty() {
            meta::set_default(&mut new, &[&always], "0");
        }
        meta::set(&mut out, &[field], new);
    }
    out
}

/// The behavior stands in its annotation under the names of Go's fields, every one of them.
fn recased(behavior: &Value, to_go: bool) -> Value {
    const RULES: [(&str, &str); 4] = [
        ("stabilizationWindowSeconds", "StabilizationWindowSeconds"),
        ("selectPolicy", "SelectPolicy"),
        ("policies", "Policies"),
        ("tolerance", "Tolerance"),
    ];
    const POLICY: [(&str, &str); 3] = [("type", "Type"), ("value", "Value"), ("periodSeconds", "PeriodSeconds")];
    let rename = |value: &Value, names: &[(&str, &str)]| -> Value {
        let mut out = Map::new();
        for (served, go) in names {
            // Go reads names whatever their case.
            let found = value.as_object().and_then(|fields| {
                let mut matching = fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(go));
                matching.next().map(|(_, value)| value.clone())
            });
            match (to_go, found.unwrap_or_default()) {
                (true, value) => drop(out.insert((*go).to_owned(), value)),
                (false, Value::Null) => {}
                (false, value) => drop(out.insert((*served).to_owned(), value)),
            }
        }
        out.into()
    };
    let directions = rename(behavior, &[("scaleUp", "ScaleUp"), ("scaleDown", "ScaleDown")]);
    let mut directions = directions;
    for rules in directions.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if !rules.is_object() {
            continue;
        }
        *rules = rename(rules, &RULES);
        for list in ["policies", "Policies"] {
            for policy in rules.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                *policy = rename(policy, &POLICY);
            }
        }
    }
    directions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_round_trips_through_the_second() {
        let memory = r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"5Mi"}}]"#;
        let old = json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "a", "annotations": {METRICS: memory, "x": "y"}},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}});
        let new = to_v2(old.clone());
        assert_eq!(new["metadata"]["annotations"], json!({"x": "y"}));
        assert_eq!(
            new["spec"]["metrics"],
            json!([{"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "5Mi"}}},
                v2::cpu(70)])
        );
        assert_eq!(to_v1(new), old);
    }

    #[test]
    fn every_source_round_trips() {
        let selector = json!({"matchLabels": {"a": "b"}});
        let object = json!({"apiVersion": "v1", "kind": "Service", "name": "s"});
        for metric in [
            json!({"type": "Object", "object": {"describedObject": object, "metric": {"name": "m", "selector": selector},
                "target": {"type": "Value", "value": "1"}}}),
            json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}}),
            json!({"type": "External", "external": {"metric": {"name": "m", "selector": selector},
                "target": {"type": "AverageValue", "averageValue": "1"}}}),
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                "target": {"type": "Utilization", "averageUtilization": 5}}}),
        ] {
            assert_eq!(metric_to_v2(&metric_to_v1(&metric, "target"), "target"), metric);
        }
    }

    #[test]
    fn behavior_is_written_as_go_writes_it() {
        let rules = json!({"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]});
        let behavior = json!({"scaleUp": rules});
        let go = recased(&behavior, true);
        assert_eq!(go["ScaleUp"]["Policies"][0]["PeriodSeconds"], 15);
        assert_eq!(go["ScaleUp"]["Tolerance"], Value::Null);
        assert_eq!(recased(&go, false), behavior);
    }
}
