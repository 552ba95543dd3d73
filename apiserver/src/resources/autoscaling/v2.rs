//! HorizontalPodAutoscalers as they are stored.

use super::super::shared::cells;
use super::super::shared::checks::text;
use super::super::shared::status::Status;
use super::{annotations, validate};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::ErrorList;
use machinery::meta;
use serde_json::{Value, json};

const TYPE: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";
const SPEC: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec";
const STATUS: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus";
/// How many metrics a table shows.
const SHOWN: usize = 2;

/// The columns of both versions.
pub(super) const COLUMN_LIST: &[Column] = &[
    cells::NAME,
    Column::of_field("Reference", "string", SPEC, "scaleTargetRef"),
    Column::of_field("Targets", "string", SPEC, "metrics"),
    Column::of_field("MinPods", "string", SPEC, "minReplicas"),
    Column::of_field("MaxPods", "string", SPEC, "maxReplicas"),
    Column::of_field("Replicas", "string", STATUS, "currentReplicas"),
    cells::AGE,
];

static COLUMNS: Columns = Columns {
    columns: COLUMN_LIST,
    cells: row,
};

/// The cells of an autoscaler in this version.
pub(super) fn row(obj: &Value, now: i64) -> Vec<Value> {
    let target = |field: &str| text(obj, &["spec", "scaleTargetRef", field]);
    let least = meta::i64_at(obj, &["spec", "minReplicas"]);
    vec![
        cells::name(obj),
        format!("{}/{}", target("kind"), target("name")).into(),
        metrics(obj).into(),
        least.map_or_else(|| cells::UNSET.to_owned(), |n| n.to_string()).into(),
        cells::number(obj, &["spec", "maxReplicas"]).into(),
        cells::number(obj, &["status", "currentReplicas"]).into(),
        cells::age(obj, now),
    ]
}

/// The metrics as current value and target.
fn metrics(obj: &Value) -> String {
    let specs = meta::list_at(obj, &["spec", "metrics"]);
    let statuses = meta::list_at(obj, &["status", "currentMetrics"]);
    if specs.is_empty() {
        return cells::NONE.to_owned();
    }
    let shown: Vec<String> = specs
        .iter()
        .take(SHOWN)
        .enumerate()
        .map(|(i, spec)| metric(spec, statuses.get(i).unwrap_or(&Value::Null)))
        .collect();
    match specs.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} + {more} more...", shown.join(", ")),
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (source, average) = match text(spec, &["type"]) {
        "External" => ("external", " (avg)"),
        "Object" => ("object", " (avg)"),
        "Pods" => ("pods", ""),
        "Resource" => ("resource", ""),
        "ContainerResource" => ("containerResource", ""),
        _ => return "<unknown type>".to_owned(),
    };
    let target = |field: &str| meta::str_at(spec, &[source, "target", field]);
    let current = |field: &str| match meta::at(status, &[source, "current"]) {
        None => cells::UNKNOWN,
        // What is missing is printed as Go prints a nil pointer.
        Some(current) => meta::str_at(current, &[field]).unwrap_or("<nil>"),
    };
    let percent = |value: &Value, part: &str| {
        let number = meta::i64_at(value, &[source, part, "averageUtilization"]);
        number.map(|number| format!("{number}%"))
    };
    let ratio = match (source, target("averageValue")) {
        ("pods", target) => format!("{}/{}", current("averageValue"), target.unwrap_or("0")),
        (_, Some(target)) => format!("{}/{target}{average}", current("averageValue")),
        ("external" | "object", None) => format!("{}/{}", current("value"), target("value").unwrap_or("0")),
        (_, None) => format!(
            "{}/{}",
            percent(status, "current").as_deref().unwrap_or(cells::UNKNOWN),
            percent(spec, "target").as_deref().unwrap_or("<auto>")
        ),
    };
    match source {
        "resource" | "containerResource" => format!("{}: {ratio}", text(spec, &[source, "name"])),
        _ => ratio,
    }
}

/// `SetDefaults_HorizontalPodAutoscaler`.
pub(super) fn default(obj: &mut Value) {
    let Some(spec) = obj.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    meta::set_default(spec, &["minReplicas"], 1);
    if meta::list_at(spec, &["metrics"]).is_empty() {
        meta::set(spec, &["metrics"], vec![cpu(80)]);
    }
    if spec.get("behavior").is_some() {
        let policy = |kind: &str, value: i64| json!({"type": kind, "value": value, "periodSeconds": 15});
        for (direction, window, policies) in [
            ("scaleUp", Some(0), vec![policy("Pods", 4), policy("Percent", 100)]),
            ("scaleDown", None, vec![policy("Percent", 100)]),
        ] {
            meta::set_default(spec, &["behavior", direction, "selectPolicy"], "Max");
            meta::set_default(spec, &["behavior", direction, "policies"], policies);
            if let Some(window) = window {
                meta::set_default(spec, &["behavior", direction, "stabilizationWindowSeconds"], window);
            }
        }
    }
}

/// The metric that wants this utilization of CPUs, in percent.
pub(super) fn cpu(percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

struct Autoscaler;

impl Strategy for Autoscaler {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate::spec(obj, None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate::spec(new, Some(old))
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

pub(super) fn resource() -> Resource {
    let autoscaler = Resource {
        internal_annotations: annotations::ALL,
        short_names: ["hpa"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            ("horizontalpodautoscalers", "horizontalpodautoscaler"),
            TYPE,
            Autoscaler,
            &COLUMNS,
        )
    };
    autoscaler.with_object_subresource(
        "status",
        Status {
            validate: |new, _| validate::status(new),
            ..Status::plain(default)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_read_as_current_and_target() {
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "5Mi"}}});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
        let external = json!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "2"}}});
        for (specs, statuses, expected) in [
            (json!([]), json!([]), "<none>"),
            (json!([cpu(80)]), json!([]), "cpu: <unknown>/80%"),
            (
                json!([cpu(80)]),
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}]),
                "cpu: 40%/80%",
            ),
            (
                json!([memory, external]),
                json!([]),
                "memory: <unknown>/5Mi, <unknown>/2 (avg)",
            ),
            (
                json!([pods, pods, pods]),
                json!([]),
                "<unknown>/1, <unknown>/1 + 1 more...",
            ),
        ] {
            let obj = json!({"spec": {"metrics": specs}, "status": {"currentMetrics": statuses}});
            assert_eq!(metrics(&obj), expected);
        }
    }

    #[test]
    fn any_behavior_is_made_whole() {
        let mut obj = json!({"spec": {"behavior": {"scaleDown": {"selectPolicy": "Min"}}}});
        default(&mut obj);
        let again = {
            let mut copy = obj.clone();
            default(&mut copy);
            copy
        };
        assert_eq!(obj, again);
        assert_eq!(obj["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"], 0);
        assert_eq!(obj["spec"]["behavior"]["scaleDown"]["selectPolicy"], "Min");
        assert_eq!(obj["spec"]["metrics"][0]["resource"]["name"], "cpu");
    }
}
