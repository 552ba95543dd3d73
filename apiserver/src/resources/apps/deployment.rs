//! Deployments.

use super::super::core::pod_template;
use super::super::shared::cells;
use super::super::shared::internal;
use super::super::shared::pod_defaults::set_text;
use super::super::shared::status::{self, Counts, Status};
use super::template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{intstr, meta};
use serde_json::Value;

const STATUS: &str = "io.k8s.api.apps.v1.DeploymentStatus";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Ready", "string", "Number of the pod with ready state"),
        Column::of_field("Up-to-date", "string", STATUS, "updatedReplicas"),
        Column::of_field("Available", "string", STATUS, "availableReplicas"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        Column::of_field("Selector", "string", "io.k8s.api.apps.v1.DeploymentSpec", "selector").wide(),
    ],
    cells: |obj, now| {
        let number = |path: &[&str]| cells::number(obj, path);
        let [names, images] = cells::template_containers(obj);
        vec![
            cells::name(obj),
            format!(
                "{}/{}",
                number(&["status", "readyReplicas"]),
                number(&["spec", "replicas"])
            )
            .into(),
            number(&["status", "updatedReplicas"]).into(),
            number(&["status", "availableReplicas"]).into(),
            cells::age(obj, now),
            names,
            images,
            cells::selector(obj, &["spec", "selector"]),
        ]
    },
};

/// `ValidateDeploymentStatus`.
static COUNTS: Counts = Counts {
    counted: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ],
    parts: &["updatedReplicas", "readyReplicas", "availableReplicas"],
    ready: "readyReplicas",
};

/// `SetDefaults_Deployment`.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    meta::set_default(obj, &["spec", "replicas"], 1);
    set_text(obj, &["spec", "strategy", "type"], "RollingUpdate");
    if meta::str_at(obj, &["spec", "strategy", "type"]) == Some("RollingUpdate") {
        for field in ["maxUnavailable", "maxSurge"] {
            meta::set_default(obj, &["spec", "strategy", "rollingUpdate", field], "25%");
        }
    }
    meta::set_default(obj, &["spec", "revisionHistoryLimit"], 10);
    meta::set_default(obj, &["spec", "progressDeadlineSeconds"], 600);
    template::default(obj);
}

struct Deployment;

impl Strategy for Deployment {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        status::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"], &["metadata", "annotations"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = template::validate(obj, "deployment");
        errors.extend(validate_strategy(obj));
        if let Some(deadline) = meta::i64_at(obj, &["spec", "progressDeadlineSeconds"]) {
            let path = Path::new("spec").child("progressDeadlineSeconds");
            errors.extend(template::non_negative(obj, &["progressDeadlineSeconds"]));
            if deadline <= meta::i64_at(obj, &["spec", "minReadySeconds"]).unwrap_or_default() {
                errors.push(Error::invalid(&path, deadline, "must be greater than minReadySeconds"));
            }
        }
        errors
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
}

/// `ValidateDeploymentStrategy`.
fn validate_strategy(obj: &Value) -> ErrorList {
    let path = Path::new("spec").child("strategy");
    let rolling = meta::at(obj, &["spec", "strategy", "rollingUpdate"]);
    let mut errors = ErrorList::new();
    match meta::str_at(obj, &["spec", "strategy", "type"]).unwrap_or_default() {
        "Recreate" => {
            if rolling.is_some() {
                let text = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(Error::forbidden(&path.child("rollingUpdate"), text));
            }
        }
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            let field = |name: &str| rolling.and_then(|r| r.get(name)).cloned().unwrap_or_default();
            for name in ["maxUnavailable", "maxSurge"] {
                errors.extend(validate_int_or_percent(&field(name), &path.child(name)));
            }
            let zero = |name: &str| intstr::scaled(&field(name), 100, true) == Some(0);
            if zero("maxUnavailable") && zero("maxSurge") {
                let value = field("maxUnavailable");
                errors.push(Error::invalid(
                    &path.child("maxUnavailable"),
                    value,
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            errors.extend(more_than_all(&field("maxUnavailable"), &path.child("maxUnavailable")));
        }
        other => {
            let strategy = meta::at(obj, &["spec", "strategy"]).cloned().unwrap_or_default();
            let shown = internal::show("DeploymentStrategy", &strategy);
            errors.push(Error::not_supported(&path, other, &["Recreate", "RollingUpdate"]).showing(shown));
        }
    }
    errors
}

/// `ValidatePositiveIntOrPercent`.
pub(in super::super) fn validate_int_or_percent(value: &Value, path: &Path) -> ErrorList {
    match value {
        Value::String(text) if intstr::percent(text).is_none() => vec![Error::invalid(
            path,
            text.clone(),
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        )],
        Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => {
            vec![Error::invalid(
                path,
                value.clone(),
                "must be greater than or equal to 0",
            )]
        }
        _ => ErrorList::new(),
    }
}

/// `IsNotMoreThan100Percent`.
pub(super) fn more_than_all(value: &Value, path: &Path) -> Option<Error> {
    let more = value.is_string() && intstr::scaled(value, 100, true).is_some_and(|n| n > 100);
    more.then(|| Error::invalid(path, value.clone(), "must not be greater than 100%"))
}

pub(super) fn resource() -> Resource {
    let deployment = Resource {
        // `DeprecatedRollbackTo`.
        internal_annotations: &["deprecated.deployment.rollback.to"],
        short_names: ["deploy"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("apps", "v1", "Deployment"),
            ("deployments", "deployment"),
            "io.k8s.api.apps.v1.Deployment",
            Deployment,
            &COLUMNS,
        )
    };
    deployment.with_scale(&template::SCALE).with_object_subresource(
        "status",
        Status {
            keeps: &["spec", "metadata.labels"],
            validate: |new, old| status::count(&COUNTS, new, old),
            ..Status::plain(default)
        },
    )
}
