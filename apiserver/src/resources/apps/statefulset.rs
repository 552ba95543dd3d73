//! StatefulSets.

use super::super::shared::cells;
use super::super::shared::generation;
use super::super::shared::internal;
use super::super::shared::pod_defaults::{items, set_text};
use super::super::shared::status::{self, Status};
use super::template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

/// What may change besides metadata, in the order of upstream's message.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Ready", "string", "Number of the pod with ready state"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
    ],
    cells: |obj, now| {
        let number = |path: &[&str]| cells::number(obj, path);
        let [names, images] = cells::template_containers(obj);
        let ready = format!(
            "{}/{}",
            number(&["status", "readyReplicas"]),
            number(&["spec", "replicas"])
        );
        vec![cells::name(obj), ready.into(), cells::age(obj, now), names, images]
    },
};

/// `SetDefaults_StatefulSet`.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    set_text(obj, &["spec", "podManagementPolicy"], "OrderedReady");
    if meta::str_at(obj, &["spec", "updateStrategy", "type"])
        .unwrap_or_default()
        .is_empty()
    {
        meta::set(obj, &["spec", "updateStrategy", "type"], "RollingUpdate");
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate"], json!({}));
    }
    let rolling = &["spec", "updateStrategy", "rollingUpdate"];
    if meta::str_at(obj, &["spec", "updateStrategy", "type"]) == Some("RollingUpdate")
        && meta::at(obj, rolling).is_some()
    {
        meta::set_default(obj, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
    }
    for when in ["whenDeleted", "whenScaled"] {
        set_text(obj, &["spec", "persistentVolumeClaimRetentionPolicy", when], "Retain");
    }
    meta::set_default(obj, &["spec", "replicas"], 1);
    meta::set_default(obj, &["spec", "revisionHistoryLimit"], 10);
    for claim in items(obj, &["spec", "volumeClaimTemplates"]) {
        meta::set_default(claim, &["apiVersion"], "v1");
        meta::set_default(claim, &["kind"], "PersistentVolumeClaim");
        set_text(claim, &["spec", "volumeMode"], "Filesystem");
        set_text(claim, &["status", "phase"], "Pending");
    }
    template::default(obj);
}

struct StatefulSet;

impl Strategy for StatefulSet {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"replicas": 0, "availableReplicas": 0}));
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_label_for(name, prefix)
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        let text = |path: &[&str]| meta::str_at(obj, path).unwrap_or_default();
        match text(&["spec", "podManagementPolicy"]) {
            "" => errors.push(Error::required(&path.child("podManagementPolicy"), "")),
            "OrderedReady" | "Parallel" => {}
            other => errors.push(Error::invalid(
                &path.child("podManagementPolicy"),
                other,
                "must be 'OrderedReady' or 'Parallel'",
            )),
        }
        let strategy = path.child("updateStrategy");
        match text(&["spec", "updateStrategy", "type"]) {
            "OnDelete" if meta::at(obj, &["spec", "updateStrategy", "rollingUpdate"]).is_some() => {
                let rolling = meta::at(obj, &["spec", "updateStrategy", "rollingUpdate"]);
                let shown = internal::show("RollingUpdateStatefulSetStrategy", rolling.unwrap_or(&Value::Null));
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(Error::invalid(&strategy.child("rollingUpdate"), rolling.cloned(), detail).showing(shown));
            }
            "" => errors.push(Error::required(&strategy, "")),
            "RollingUpdate" => {
                let partition = ["spec", "updateStrategy", "rollingUpdate", "partition"];
                let partition = meta::i64_at(obj, &partition).unwrap_or_default();
                if partition < 0 {
                    errors.push(Error::invalid(
                        &strategy.child("rollingUpdate").child("partition"),
                        partition,
                        "must be greater than or equal to 0",
                    ));
                }
            }
            "OnDelete" => {}
            other => errors.push(Error::invalid(
                &strategy,
                other,
                "must be 'RollingUpdate' or 'OnDelete'",
            )),
        }
        let service = text(&["spec", "serviceName"]);
        if !service.is_empty() {
            let complaints = names::dns1123_label(service);
            let path = path.child("serviceName");
            errors.extend(complaints.into_iter().map(|e| Error::invalid(&path, service, e)));
        }
        errors.extend(template::validate(obj, "statefulset"));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        let mut fixed = new.clone();
        for field in MUTABLE {
            meta::copy(&mut fixed, old, &["spec", field]);
        }
        if meta::at(&fixed, &["spec"]) != meta::at(old, &["spec"]) {
            errors.push(Error::forbidden(
                &Path::new("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        template::warnings(new, old)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

pub(super) fn resource() -> Resource {
    let set = Resource {
        short_names: &["sts"],
        categories: &["all"],
        ..Resource::namespaced_kind(
            ("apps", "v1", "StatefulSet"),
            ("statefulsets", "statefulset"),
            "io.k8s.api.apps.v1.StatefulSet",
            StatefulSet,
            &COLUMNS,
        )
    };
    set.with_scale(&template::SCALE)
        .with_object_subresource("status", Status::plain(default))
}
