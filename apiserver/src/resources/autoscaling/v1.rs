//! HorizontalPodAutoscalers in their first version, which knows one metric: what else there is stands in annotations.

use super::super::shared::status::Status;
use super::conversion::{CONVERSION, default_target, to_v2};
use super::{annotations, v2, validate};
use crate::registry::columns::Columns;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::ErrorList;
use machinery::gvk::GroupVersionKind;
use machinery::meta;
use serde_json::{Value, json};

static COLUMNS: Columns = Columns {
    columns: v2::COLUMN_LIST,
    cells: |obj, now| v2::row(&to_v2(obj.clone()), now),
};

fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_some() {
        meta::set_default(obj, &["spec", "minReplicas"], 1);
        default_target(obj);
    }
    if obj.get("status").is_some() {
        meta::set_default(obj, &["status", "currentReplicas"], 0);
        meta::set_default(obj, &["status", "desiredReplicas"], 0);
    }
}

struct Autoscaler;

impl Strategy for Autoscaler {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    /// The status is in part in annotations.
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"currentReplicas": 0, "desiredReplicas": 0}));
        annotations::remove(obj, &annotations::OF_STATUS);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        annotations::copy(new, old, &annotations::OF_STATUS);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate::spec(&to_v2(obj.clone()), None)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate::spec(&to_v2(new.clone()), Some(&to_v2(old.clone())))
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

pub(super) fn resource() -> Resource {
    let stored = GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler");
    let autoscaler = Resource {
        internal_annotations: annotations::ALL,
        short_names: ["hpa"].into(),
        categories: ["all"].into(),
        storage: Some((stored, &CONVERSION)),
        ..Resource::namespaced_kind(
            ("autoscaling", "v1", "HorizontalPodAutoscaler"),
            ("horizontalpodautoscalers", "horizontalpodautoscaler"),
            "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
            Autoscaler,
            &COLUMNS,
        )
    };
    autoscaler.with_object_subresource(
        "status",
        Status {
            prepare: |new, old| annotations::copy(new, old, &annotations::OF_SPEC),
            validate: |new, _| validate::status(new),
            ..Status::plain(default)
        },
    )
}
