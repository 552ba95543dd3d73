//! ReplicationControllers.

use super::super::shared::checks::{self, present};
use super::super::shared::status::{self, Status};
use super::super::shared::{cells, generation, pod_defaults};
use super::pod_template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::{Resource, ScalePaths};
use crate::registry::strategy::{Context, GarbageCollection, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::object::Selectable;
use machinery::schema::Held;
use machinery::selector::label::Selector;
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.core.v1.ReplicationControllerSpec";
const STATUS: &str = "io.k8s.api.core.v1.ReplicationControllerStatus";

static SCALE: ScalePaths = ScalePaths {
    spec_replicas: Held::Static("spec.replicas"),
    status_replicas: Held::Static("status.replicas"),
    selector: Held::Static("spec.selector"),
};

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
            cells::labels(meta::at(obj, &["spec", "selector"])),
        ]
    },
};

/// `SetDefaults_ReplicationController`: the labels of the pods are also the selector's and the controller's own.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    let nothing = |map: Option<&serde_json::Map<String, Value>>| map.is_none_or(serde_json::Map::is_empty);
    let labels = meta::map_at(obj, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
        for path in [&["spec", "selector"], &["metadata", "labels"]] {
            if nothing(meta::map_at(obj, path)) {
                meta::set(obj, path, labels.clone());
            }
        }
    }
    meta::set_default(obj, &["spec", "replicas"], 1);
    if let Some(spec) = obj.pointer_mut("/spec/template/spec") {
        pod_defaults::pod_spec(spec);
    }
}

struct ReplicationController;

impl Strategy for ReplicationController {
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
        validate_spec(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        validate_spec(new)
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod_template::warnings::of_named_workload(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    /// For compatibility with clients of the time before garbage collection.
    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::OrphanDependents
    }
}

/// `ValidateReplicationControllerSpec`.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).cloned().unwrap_or_default();
    let mut errors = ErrorList::new();
    errors.extend(checks::non_negative(&spec, "minReadySeconds", &path));
    errors.extend(present(&spec, "selector", &path));
    errors.extend(checks::non_negative(&spec, "replicas", &path));
    errors.extend(validate_template(&spec, &path.child("template")));
    errors
}

/// `ValidatePodTemplateSpecForRC`.
fn validate_template(spec: &Value, path: &Path) -> ErrorList {
    let Some(template) = spec.get("template").filter(|t| !t.is_null()) else {
        return vec![Error::required(path, "")];
    };
    let mut errors = ErrorList::new();
    let selector = Selector::of_labels(spec.get("selector"));
    let labels = meta::at(template, &["metadata", "labels"]);
    if !selector.is_empty() && !selector.matches_labels(labels) {
        errors.push(Error::invalid(
            &path.child("metadata").child("labels"),
            labels.cloned().unwrap_or_default(),
            "`selector` does not match template `labels`",
        ));
    }
    errors.extend(pod_template::validate(template, path));
    let path = path.child("spec");
    let policy = checks::text(template, &["spec", "restartPolicy"]);
    errors.extend(checks::one_of(policy, &["Always"], &path.child("restartPolicy")));
    if meta::at(template, &["spec", "activeDeadlineSeconds"]).is_some() {
        let detail = "activeDeadlineSeconds in ReplicationController is not Supported";
        errors.push(Error::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
    errors
}

pub(super) fn resource() -> Resource {
    let controller = Resource {
        short_names: ["rc"].into(),
        categories: ["all"].into(),
        storage_key: "controllers".into(),
        selectable_fields: Selectable::Builtin(&[("status.replicas", |obj| {
            cells::number(obj, &["status", "replicas"]).to_string()
        })]),
        ..Resource::namespaced_kind(
            ("", "v1", "ReplicationController"),
            ("replicationcontrollers", "replicationcontroller"),
            "io.k8s.api.core.v1.ReplicationController",
            ReplicationController,
            &COLUMNS,
        )
    };
    controller.with_scale(&SCALE).with_object_subresource(
        "status",
        Status {
            validate: |new, old| status::count(&status::REPLICAS, new, old),
            ..Status::plain(default)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_decides_what_is_left_out() {
        let mut controller = json!({"metadata": {"name": "c"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}});
        default(&mut controller);
        assert_eq!(controller["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(controller["spec"]["selector"], json!({"a": "b"}));
        assert_eq!(validate_spec(&controller), ErrorList::new());
        controller["spec"]["selector"] = json!({"z": "y"});
        let errors = validate_spec(&controller);
        assert_eq!(
            errors[0].to_string(),
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"
        );
    }
}
