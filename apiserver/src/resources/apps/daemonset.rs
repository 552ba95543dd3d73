//! DaemonSets.

use super::super::core::pod_template;
use super::super::shared::cells;
use super::super::shared::generation;
use super::super::shared::internal;
use super::super::shared::pod_defaults::set_text;
use super::super::shared::status::{self, Counts, Status};
use super::deployment::{more_than_all, validate_int_or_percent};
use super::template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{intstr, meta};
use serde_json::{Value, json};

const STATUS: &str = "io.k8s.api.apps.v1.DaemonSetStatus";
/// Counts the changes of the template; a field of the internal type that v1 shows as an annotation.
const TEMPLATE_GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Desired", "integer", STATUS, "desiredNumberScheduled"),
        Column::of_field("Current", "integer", STATUS, "currentNumberScheduled"),
        Column::of_field("Ready", "integer", STATUS, "numberReady"),
        Column::of_field("Up-to-date", "integer", STATUS, "updatedNumberScheduled"),
        Column::of_field("Available", "integer", STATUS, "numberAvailable"),
        Column::of_field("Node Selector", "string", "io.k8s.api.core.v1.PodSpec", "nodeSelector"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        Column::of_field("Selector", "string", "io.k8s.api.apps.v1.DaemonSetSpec", "selector").wide(),
    ],
    cells: |obj, now| {
        let status = |field: &str| Value::from(cells::number(obj, &["status", field]));
        let [names, images] = cells::template_containers(obj);
        vec![
            cells::name(obj),
            status("desiredNumberScheduled"),
            status("currentNumberScheduled"),
            status("numberReady"),
            status("updatedNumberScheduled"),
            status("numberAvailable"),
            cells::labels(meta::at(obj, &["spec", "template", "spec", "nodeSelector"])),
            cells::age(obj, now),
            names,
            images,
            cells::selector(obj, &["spec", "selector"]),
        ]
    },
};

/// `validateDaemonSetStatus`.
static COUNTS: Counts = Counts {
    counted: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    parts: &[],
    ready: "",
};

/// `SetDefaults_DaemonSet`.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    set_text(obj, &["spec", "updateStrategy", "type"], "RollingUpdate");
    if meta::str_at(obj, &["spec", "updateStrategy", "type"]) == Some("RollingUpdate") {
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"], 1);
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], 0);
    }
    meta::set_default(obj, &["spec", "revisionHistoryLimit"], 10);
    // Upstream keeps the number in a field of its internal version, which is 0 before anything is decided.
    meta::set_default(obj, &TEMPLATE_GENERATION, "0");
    template::default(obj);
}

fn template_generation(obj: &Value) -> i64 {
    meta::str_at(obj, &TEMPLATE_GENERATION)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

struct DaemonSet;

impl Strategy for DaemonSet {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(
            obj,
            &["status"],
            json!({"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}),
        );
        let first = template_generation(obj).max(1);
        meta::set(obj, &TEMPLATE_GENERATION, first.to_string());
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        let changed = meta::at(new, &["spec", "template"]) != meta::at(old, &["spec", "template"]);
        let count = template_generation(old) + i64::from(changed);
        meta::set(new, &TEMPLATE_GENERATION, count.to_string());
        generation::follow(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = template::validate(obj, "daemonset");
        errors.extend(validate_strategy(obj));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = template::immutable_selector(new, old);
        errors.extend(self.validate(cx, new));
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings::of_workload(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }
}

/// `ValidateDaemonSetUpdateStrategy`.
fn validate_strategy(obj: &Value) -> ErrorList {
    let path = Path::new("spec").child("updateStrategy");
    let mut errors = ErrorList::new();
    match meta::str_at(obj, &["spec", "updateStrategy", "type"]).unwrap_or_default() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            let field = |name: &str| {
                meta::at(obj, &["spec", "updateStrategy", "rollingUpdate", name])
                    .cloned()
                    .unwrap_or_default()
            };
            for name in ["maxUnavailable", "maxSurge"] {
                errors.extend(validate_int_or_percent(&field(name), &path.child(name)));
            }
            for name in ["maxUnavailable", "maxSurge"] {
                errors.extend(more_than_all(&field(name), &path.child(name)));
            }
            let amount = |name: &str| intstr::scaled(&field(name), 100, true).unwrap_or_default();
            match (amount("maxUnavailable"), amount("maxSurge")) {
                (0, 0) => errors.push(Error::required(
                    &path.child("maxUnavailable"),
                    "cannot be 0 when maxSurge is 0",
                )),
                (unavailable, surge) if unavailable != 0 && surge != 0 => errors.push(Error::invalid(
                    &path.child("maxSurge"),
                    field("maxSurge"),
                    "may not be set when maxUnavailable is non-zero",
                )),
                _ => {}
            }
        }
        other => {
            let strategy = meta::at(obj, &["spec", "updateStrategy"]).unwrap_or(&Value::Null);
            let shown = internal::show("DaemonSetUpdateStrategy", strategy);
            errors.push(Error::not_supported(&path, other, &["RollingUpdate", "OnDelete"]).showing(shown));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let set = Resource {
        internal_annotations: &[TEMPLATE_GENERATION[2]],
        short_names: ["ds"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("apps", "v1", "DaemonSet"),
            ("daemonsets", "daemonset"),
            "io.k8s.api.apps.v1.DaemonSet",
            DaemonSet,
            &COLUMNS,
        )
    };
    let status = Status {
        prepare: |new, old| meta::copy(new, old, &TEMPLATE_GENERATION),
        validate: |new, old| status::count(&COUNTS, new, old),
        ..Status::plain(default)
    };
    set.with_object_subresource("status", status)
}
