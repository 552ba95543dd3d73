//! ReplicaSets.

use super::super::core::pod_template;
use super::super::shared::cells;
use super::super::shared::generation;
use super::super::shared::status::{self, Status};
use super::template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::ErrorList;
use machinery::meta;
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.apps.v1.ReplicaSetSpec";
const STATUS: &str = "io.k8s.api.apps.v1.ReplicaSetStatus";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Desired", "integer", SPEC, "replicas"),
        Column::of_field("Current", "integer", STATUS, "replicas"),
        Column::of_field("Ready", "integer", STATUS, "readyReplicas"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        Column::of_field("Selector", "string", SPEC, "selector").wide(),
    ],
    cells: |obj, now| {
        let [names, images] = cells::template_containers(obj);
        vec![
            cells::name(obj),
            cells::number(obj, &["spec", "replicas"]).into(),
            cells::number(obj, &["status", "replicas"]).into(),
            cells::number(obj, &["status", "readyReplicas"]).into(),
            cells::age(obj, now),
            names,
            images,
            cells::selector(obj, &["spec", "selector"]),
        ]
    },
};

fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_some() {
        meta::set_default(obj, &["spec", "replicas"], 1);
        template::default(obj);
    }
}

struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"replicas": 0}));
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        template::validate(obj, "deployment") // upstream's message really names deployments here too
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        errors.extend(template::immutable_selector(new, old));
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings::of_named_workload(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }
}

pub(super) fn resource() -> Resource {
    let set = Resource {
        short_names: ["rs"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("apps", "v1", "ReplicaSet"),
            ("replicasets", "replicaset"),
            "io.k8s.api.apps.v1.ReplicaSet",
            ReplicaSet,
            &COLUMNS,
        )
    };
    set.with_scale(&template::SCALE).with_object_subresource(
        "status",
        Status {
            validate: |new, old| status::count(&status::REPLICAS, new, old),
            ..Status::plain(default)
        },
    )
}
