//! Jobs.

use super::super::core::pod_template::{self, warnings::of_workload as template_warnings};
use super::super::shared::cells;
use super::super::shared::checks::{non_negative, one_of_if_set};
use super::super::shared::internal;
use super::super::shared::pod_defaults::{self, items, set_text};
use super::super::shared::status::{self, Status};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, GarbageCollection, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::selector::label::Selector;
use machinery::{meta, time};
use serde_json::{Value, json};

const STATUS: &str = "io.k8s.api.batch.v1.JobStatus";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Upstream's order in its message.
const COMPLETION_MODES: [&str; 2] = ["NonIndexed", "Indexed"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Status", "string", "Status of the job."),
        Column::of_field("Completions", "string", STATUS, "succeeded"),
        Column::new("Duration", "string", "Time required to complete the job."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        Column::of_field("Selector", "string", "io.k8s.api.batch.v1.JobSpec", "selector").wide(),
    ],
    cells: |obj, now| {
        let [names, images] = cells::template_containers(obj);
        vec![
            cells::name(obj),
            state(obj).into(),
            completions(obj).into(),
            duration(obj, now).into(),
            cells::age(obj, now),
            names,
            images,
            cells::selector(obj, &["spec", "selector"]),
        ]
    },
};

/// The conditions that name a state, in the order in which they win.
fn state(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        meta::list_at(job, &["status", "conditions"])
            .iter()
            .any(|c| c["type"] == kind && c["status"] == "True")
    };
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if holds("Suspended") => "Suspended",
        () if meta::is_deleting(job) => "Terminating",
        () if holds("FailureTarget") => "FailureTarget",
        () if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let done = cells::number(job, &["status", "succeeded"]);
    match (
        meta::i64_at(job, &["spec", "completions"]),
        meta::i64_at(job, &["spec", "parallelism"]),
    ) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: i64) -> String {
    let at = |field: &str| {
        meta::str_at(job, &["status", field])
            .and_then(time::parse)
            .map(|t| t.as_second())
    };
    match (at("startTime"), at("completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => time::human_duration(end.unwrap_or(now) - start),
    }
}

/// `SetDefaults_Job`.
fn default(obj: &mut Value) {
    if meta::at(obj, &["spec"]).is_none() {
        return;
    }
    if meta::at(obj, &["spec", "parallelism"]).is_none() {
        meta::set_default(obj, &["spec", "completions"], 1);
        meta::set(obj, &["spec", "parallelism"], 1);
    }
    let per_index = meta::at(obj, &["spec", "backoffLimitPerIndex"]).is_some();
    meta::set_default(
        obj,
        &["spec", "backoffLimit"],
        if per_index { i64::from(i32::MAX) } else { 6 },
    );
    meta::set_default(obj, &["spec", "completionMode"], "NonIndexed");
    meta::set_default(obj, &["spec", "suspend"], false);
    meta::set_default(obj, &["spec", "manualSelector"], false);
    let replacement = replacement_policy(obj);
    meta::set_default(obj, &["spec", "podReplacementPolicy"], replacement);
    if !meta::uid(obj).is_empty() || meta::bool_at(obj, &["spec", "manualSelector"]) == Some(true) {
        label_like_pods(obj);
    }
    if let Some(spec) = obj.get_mut("spec") {
        default_template(spec);
    }
}

/// The defaults within the spec of a job that also a template for jobs has.
pub(super) fn default_template(spec: &mut Value) {
    for rule in items(spec, &["podFailurePolicy", "rules"]) {
        for pattern in items(rule, &["onPodConditions"]) {
            set_text(pattern, &["status"], "True");
        }
    }
    if let Some(spec) = spec.pointer_mut("/template/spec") {
        pod_defaults::pod_spec(spec);
    }
}

/// A job without labels has those of its pods. In a new job, which has no uid yet, that is left for when the labels of
/// its pods have been generated, if they are: upstream's two are one map.
fn label_like_pods(obj: &mut Value) {
    let labels = meta::map_at(obj, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels
        && meta::map_at(obj, &["metadata", "labels"]).is_none_or(serde_json::Map::is_empty)
    {
        meta::set(obj, &["metadata", "labels"], labels);
    }
}

fn replacement_policy(obj: &Value) -> &'static str {
    if meta::at(obj, &["spec", "podFailurePolicy"]).is_some() {
        "Failed"
    } else {
        "TerminatingOrFailed"
    }
}

struct Job;

impl Strategy for Job {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        if meta::bool_at(obj, &["spec", "manualSelector"]) != Some(true) {
            generate_selector(obj);
        }
        label_like_pods(obj);
        status::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate_generated_selector(obj);
        errors.extend(validate_with_selector(obj));
        errors
    }

    /// Upstream checks the spec as that of a new job and again as that of a changed one.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        errors.extend(validate_with_selector(new));
        let suspended = meta::bool_at(old, &["spec", "suspend"]) == Some(true);
        for field in [
            "completions",
            "selector",
            "template",
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        ] {
            let elastic = field == "completions" && meta::str_at(new, &["spec", "completionMode"]) == Some("Indexed");
            if meta::at(new, &["spec", field]) != meta::at(old, &["spec", field])
                && !elastic
                && !(field == "template" && suspended)
            {
                let value = meta::at(new, &["spec", field]).cloned().unwrap_or_default();
                let shown = (field == "template").then(|| internal::pod_template(&value));
                let mut error = Error::invalid(&Path::new("spec").child(field), value, "field is immutable");
                error.shown = shown;
                errors.push(error);
            }
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        template_warnings(new, old)
    }

    fn warnings_on_delete(&self, propagation_policy: Option<&str>) -> Vec<String> {
        const TEXT: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background \
                            to remove them or set propagationPolicy=Orphan to suppress this warning";
        if propagation_policy.is_none() {
            vec![TEXT.to_owned()]
        } else {
            Vec::new()
        }
    }

    /// For compatibility with clients of the time before garbage collection.
    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::OrphanDependents
    }
}

/// Labels that only this job's pods have, and the selector for them.
fn generate_selector(obj: &mut Value) {
    let (name, uid) = (meta::name(obj).to_owned(), meta::uid(obj).to_owned());
    let labels = meta::map_mut(obj, &["spec", "template", "metadata", "labels"]);
    for (key, value) in [
        ("job-name", &name),
        ("controller-uid", &uid),
        (JOB_NAME, &name),
        (CONTROLLER_UID, &uid),
    ] {
        labels.entry(key).or_insert_with(|| value.clone().into());
    }
    let selector = meta::map_mut(obj, &["spec", "selector", "matchLabels"]);
    selector.entry(CONTROLLER_UID).or_insert_with(|| uid.into());
}

/// `ValidateGeneratedSelector`.
fn validate_generated_selector(obj: &Value) -> ErrorList {
    let manual = meta::bool_at(obj, &["spec", "manualSelector"]) == Some(true);
    let Some(selector) = meta::at(obj, &["spec", "selector"]).filter(|_| !manual) else {
        return ErrorList::new();
    };
    let uid = meta::uid(obj);
    let labels = meta::at(obj, &["spec", "template", "metadata", "labels"]);
    let expected = Selector::of_labels(Some(&json!({CONTROLLER_UID: uid})));
    let generated = meta::map_at(selector, &["matchLabels"])
        .is_some_and(|l| l.len() == 1 && l.get(CONTROLLER_UID).is_some_and(|v| v == uid));
    if generated && expected.matches_labels(labels) && meta::list_at(selector, &["matchExpressions"]).is_empty() {
        return ErrorList::new();
    }
    vec![Error::invalid(
        &Path::new("spec").child("selector"),
        selector.clone(),
        "`selector` not auto-generated",
    )]
}

/// `ValidateJobSpec`.
fn validate_with_selector(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = validate_spec(spec, &path);
    let selector = spec.get("selector");
    match selector {
        None => errors.push(Error::required(&path.child("selector"), "")),
        Some(selector) => {
            errors.extend(pod_template::validate_label_selector(selector, &path.child("selector")));
        }
    }
    // An absent selector selects nothing.
    let labels = meta::at(spec, &["template", "metadata", "labels"]);
    if !selector.is_some_and(|s| Selector::of(Some(s)).matches_labels(labels)) {
        errors.push(Error::invalid(
            &path.child("template").child("metadata").child("labels"),
            labels.cloned().unwrap_or_default(),
            "`selector` does not match template `labels`",
        ));
    }
    errors
}

/// What holds for every job, also for one that is still a template (`validateJobSpec`).
pub(super) fn validate_spec(spec: &Value, path: &Path) -> ErrorList {
    const REQUIRES_INDEX: &str = "requires indexed completion mode";
    let mut errors = ErrorList::new();
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.extend(non_negative(spec, field, path));
    }
    if spec.get("maxFailedIndexes").is_some() && spec.get("backoffLimitPerIndex").is_none() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(Error::required(&path.child("backoffLimitPerIndex"), detail));
    }
    errors.extend(one_of_if_set(spec, "completionMode", &COMPLETION_MODES, path));
    let mode = meta::str_at(spec, &["completionMode"]).unwrap_or("NonIndexed");
    if mode == "Indexed" && spec.get("completions").is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(Error::required(&path.child("completions"), detail));
    }
    if mode == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(limit) = meta::i64_at(spec, &[field]) {
                errors.push(Error::invalid(&path.child(field), limit, REQUIRES_INDEX));
            }
        }
    }
    let template = spec.get("template").cloned().unwrap_or_default();
    errors.extend(pod_template::validate(&template, &path.child("template")));
    let policy_path = path.child("template").child("spec").child("restartPolicy");
    match meta::str_at(&template, &["spec", "restartPolicy"]).unwrap_or_default() {
        // Always is what an absent policy was defaulted to, hence upstream's wording.
        "" | "Always" => errors.push(Error::required(&policy_path, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if spec.get("podFailurePolicy").is_some() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(Error::invalid(&policy_path, "OnFailure", detail));
        }
        _ => {}
    }
    errors
}

pub(super) fn resource() -> Resource {
    let job = Resource {
        categories: &["all"],
        selectable_fields: &[("status.successful", |obj| {
            cells::number(obj, &["status", "succeeded"]).to_string()
        })],
        ..Resource::namespaced_kind(
            ("batch", "v1", "Job"),
            ("jobs", "job"),
            "io.k8s.api.batch.v1.Job",
            Job,
            &COLUMNS,
        )
    };
    job.with_object_subresource("status", Status::plain(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_job_is_selected_by_its_uid() {
        let cx = Context {
            namespace: "n",
            now: "2026-01-01T00:00:00Z",
            user: "u",
        };
        let mut job = json!({"metadata": {"name": "j", "uid": "u1"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a:1"}]}}}});
        default(&mut job);
        Job.prepare_for_create(&cx, &mut job);
        assert_eq!(Job.validate(&cx, &job), ErrorList::new());
        assert_eq!(job["spec"]["selector"]["matchLabels"][CONTROLLER_UID], "u1");
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
        assert_eq!((COLUMNS.cells)(&job, 0)[2], "0/1");
    }
}
