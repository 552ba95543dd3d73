//! Jobs.

use super::super::core::pod_template::{self, warnings::of_workload as template_warnings};
use super::super::shared::cells;
use super::super::shared::checks::{
    domain_prefixed_path, immutable, invalid_selector, non_negative, one_of_if_set, same, text,
};
use super::super::shared::internal;
use super::super::shared::pod_defaults::{self, items, set_text};
use super::super::shared::status::{self as statuses, Status};
use super::{policies, status};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, GarbageCollection, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::object::Selectable;
use machinery::selector::label::Selector;
use machinery::{meta, names, time};
use serde_json::Value;

const STATUS: &str = "io.k8s.api.batch.v1.JobStatus";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Upstream's order in its message.
const COMPLETION_MODES: [&str; 2] = ["NonIndexed", "Indexed"];
const MANAGED_BY_MAX: usize = 63;
/// How much a job with indexes may do at once, and how many of them may fail.
const PARALLELISM_MAX: i64 = 100_000;
const FAILED_MAX: i64 = 100_000;
/// More completions than this come with tighter limits.
const MANY_COMPLETIONS: i64 = 100_000;
const LIMIT_OF_MANY: i64 = 10_000;

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

    /// The labels that come from the template are those of the writer, without what is generated.
    fn anticipate(&self, obj: &mut Value) -> bool {
        let labels = meta::map_at(obj, &["metadata", "labels"]).cloned();
        label_like_pods(obj);
        labels.as_ref() != meta::map_at(obj, &["metadata", "labels"])
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        if meta::bool_at(obj, &["spec", "manualSelector"]) != Some(true) {
            generate_selector(obj);
        }
        label_like_pods(obj);
        statuses::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        label_like_pods(new);
        statuses::keep(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate_job(obj, true)
    }

    /// Upstream checks the spec as that of a new job and again as that of a changed one.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let labels = meta::at(old, &["spec", "template", "metadata", "labels"]);
        let prefixed = [JOB_NAME, CONTROLLER_UID]
            .iter()
            .all(|label| labels.is_some_and(|labels| labels.get(*label).is_some()));
        let mut errors = validate_job(new, prefixed);
        errors.extend(validate_with_selector(new));
        errors.extend(validate_changes(new, old));
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let name = pod_template::warnings::of_name(new, old, pod_template::warnings::POD_NAMES);
        let mut warnings: Vec<String> = name.into_iter().collect();
        let number = |field: &str| meta::i64_at(new, &["spec", field]).unwrap_or_default();
        if text(new, &["spec", "completionMode"]) == "Indexed"
            && number("completions") > MANY_COMPLETIONS
            && number("parallelism") > LIMIT_OF_MANY
        {
            warnings.push(
                "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
                 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
                    .to_owned(),
            );
        }
        warnings.extend(template_warnings(new, old));
        warnings
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

/// What may change in the spec (`ValidateJobSpecUpdate`).
fn validate_changes(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let (at, was) = (
        |field: &str| meta::at(new, &["spec", field]),
        |field: &str| meta::at(old, &["spec", field]),
    );
    let mut errors = ErrorList::new();
    let completions = path.child("completions");
    if meta::str_at(new, &["spec", "completionMode"]) != Some("Indexed") {
        errors.extend(immutable(at("completions"), was("completions"), &completions));
    } else if let Some(wanted) = at("completions").filter(|_| at("completions") != was("completions"))
        && Some(wanted) != at("parallelism")
    {
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.push(Error::invalid(&completions, wanted.clone(), detail));
    }
    if !same(at("selector"), was("selector")) {
        let selector = at("selector").unwrap_or(&Value::Null);
        errors.push(invalid_selector(
            &path.child("selector"),
            selector,
            "field is immutable",
        ));
    }
    errors.extend(validate_template_change(new, old, &path));
    for (field, type_name) in [
        ("completionMode", None),
        ("podFailurePolicy", Some("PodFailurePolicy")),
        ("backoffLimitPerIndex", None),
        ("managedBy", None),
        ("successPolicy", Some("SuccessPolicy")),
    ] {
        let mut complaint = immutable(at(field), was(field), &path.child(field));
        if let (Some(error), Some(type_name), Some(value)) = (&mut complaint, type_name, at(field)) {
            error.shown = Some(internal::show(type_name, value));
        }
        errors.extend(complaint);
    }
    errors
}

/// The template of a job stays, but while the job is suspended its pods may be scheduled and sized anew
/// (`validatePodTemplateUpdate`).
fn validate_template_change(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    const SCHEDULING: [&[&str]; 6] = [
        &["spec", "affinity", "nodeAffinity"],
        &["spec", "nodeSelector"],
        &["spec", "tolerations"],
        &["metadata", "annotations"],
        &["metadata", "labels"],
        &["spec", "schedulingGates"],
    ];
    let template = |job: &Value| meta::at(job, &["spec", "template"]).cloned().unwrap_or_default();
    let (is, mut was) = (template(new), template(old));
    let suspended = meta::bool_at(old, &["spec", "suspend"]) == Some(true);
    if suspended && is_stopped(old) {
        for part in SCHEDULING {
            meta::copy(&mut was, &is, part);
        }
        if meta::map_at(&was, &["spec", "affinity"]).is_some_and(serde_json::Map::is_empty) {
            meta::copy(&mut was, &is, &["spec", "affinity"]);
        }
    }
    if !(suspended && is_stopped(old)) {
        let shown = internal::pod_template(&is);
        let complaint = immutable(Some(&is), Some(&was), &path.child("template"))?;
        return Some(complaint.showing(shown));
    }
    for list in ["containers", "initContainers"] {
        let wanted = meta::list_at(&is, &["spec", list]);
        if wanted.len() == meta::list_at(&was, &["spec", list]).len() {
            for (container, wanted) in items(&mut was, &["spec", list]).zip(wanted) {
                if same(container.get("name"), wanted.get("name")) {
                    meta::copy(container, wanted, &["resources"]);
                }
            }
        }
    }
    let spec = meta::at(&is, &["spec"]);
    let shown = internal::show("PodSpec", spec.unwrap_or(&Value::Null));
    let complaint = immutable(spec, meta::at(&was, &["spec"]), &path.child("template.spec"))?;
    Some(complaint.showing(shown))
}

/// Whether a suspended job has no pods: it never started, or the controller says that it stopped
/// (`shouldAllowMutablePodTemplate`).
fn is_stopped(job: &Value) -> bool {
    let conditions = meta::list_at(job, &["status", "conditions"]);
    let says_suspended = conditions
        .iter()
        .any(|c| c["type"] == "Suspended" && c["status"] == "True");
    let active = meta::i64_at(job, &["status", "active"]).unwrap_or_default();
    (meta::at(job, &["status", "startTime"]).is_none() || says_suspended) && active == 0
}

/// `ValidateJob`. `prefixed` when the template must have the newer labels too.
fn validate_job(obj: &Value, prefixed: bool) -> ErrorList {
    let mut errors = validate_generated_selector(obj, prefixed);
    errors.extend(validate_with_selector(obj));
    let completions = meta::i64_at(obj, &["spec", "completions"]).unwrap_or_default();
    if meta::str_at(obj, &["spec", "completionMode"]) == Some("Indexed") && completions > 0 {
        let last = format!("{}-{}", meta::name(obj), completions - 1);
        if !names::dns1123_label(&last).is_empty() {
            let path = Path::new("metadata").child("name");
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(Error::invalid(&path, meta::name(obj), detail));
        }
    }
    errors
}

/// `validateGeneratedSelector`: the labels that make the pods this job's, and a selector that takes them.
fn validate_generated_selector(obj: &Value, prefixed: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let manual = meta::bool_at(obj, &["spec", "manualSelector"]) == Some(true);
    let Some(selector) = meta::at(obj, &["spec", "selector"]).filter(|_| !manual) else {
        return errors;
    };
    let (name, uid) = (meta::name(obj), meta::uid(obj));
    let newer = [(CONTROLLER_UID, uid), (JOB_NAME, name)];
    let mut expected = vec![("controller-uid", uid), ("job-name", name)];
    expected.extend(newer.into_iter().filter(|_| prefixed));
    let labels = meta::at(obj, &["spec", "template", "metadata", "labels"]);
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    for (label, value) in &expected {
        let detail = format!("must be '{value}'");
        match labels.and_then(|labels| labels.get(*label)) {
            None => errors.push(Error::required(&path.key(label), detail)),
            Some(found) if found != value => {
                errors.push(Error::invalid(&path.key(label), labels.cloned(), detail));
            }
            Some(_) => {}
        }
    }
    let path = Path::new("spec").child("selector");
    let own: serde_json::Map<String, Value> = expected
        .into_iter()
        .map(|(label, value)| (label.to_owned(), value.into()))
        .collect();
    let selects = Selector::of(Some(selector)).matches_labels(Some(&own.into()));
    if pod_template::validate_label_selector(selector, &path).is_empty() && !selects {
        errors.push(invalid_selector(&path, selector, "`selector` not auto-generated"));
    }
    errors
}

/// `ValidateJobSpec`.
fn validate_with_selector(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = validate_spec(spec, &path);
    let selector = spec.get("selector");
    let before = errors.len();
    match selector {
        None => errors.push(Error::required(&path.child("selector"), "")),
        Some(selector) => {
            errors.extend(pod_template::validate_label_selector(selector, &path.child("selector")));
        }
    }
    let malformed = selector.is_some() && errors.len() > before;
    // An absent selector selects nothing.
    let labels = meta::at(spec, &["template", "metadata", "labels"]);
    if !malformed && !selector.is_some_and(|s| Selector::of(Some(s)).matches_labels(labels)) {
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
    if let Some(manager) = meta::str_at(spec, &["managedBy"]) {
        let path = path.child("managedBy");
        errors.extend(domain_prefixed_path(manager, &path));
        if manager.len() > MANAGED_BY_MAX {
            errors.push(Error::too_long(&path, MANAGED_BY_MAX));
        }
    }
    errors.extend(one_of_if_set(spec, "completionMode", &COMPLETION_MODES, path));
    match meta::str_at(spec, &["completionMode"]) {
        Some("Indexed") => errors.extend(validate_indexed(spec, path)),
        None | Some("NonIndexed") => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(limit) = meta::i64_at(spec, &[field]) {
                    let detail = "requires indexed completion mode";
                    errors.push(Error::invalid(&path.child(field), limit, detail));
                }
            }
        }
        Some(_) => {}
    }
    errors.extend(policies::validate(spec, path));
    let template = spec.get("template").cloned().unwrap_or_default();
    errors.extend(pod_template::validate(&template, &path.child("template")));
    let policy_path = path.child("template").child("spec").child("restartPolicy");
    match meta::str_at(&template, &["spec", "restartPolicy"]).unwrap_or_default() {
        // Always is what an absent policy was defaulted to, hence upstream's wording.
        "" | "Always" => errors.push(Error::required(&policy_path, "valid values: \"OnFailure\", \"Never\"")),
        other if !["OnFailure", "Never"].contains(&other) => {
            errors.push(Error::not_supported(&policy_path, other, &["OnFailure", "Never"]));
        }
        "OnFailure" if spec.get("podFailurePolicy").is_some() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(Error::invalid(&policy_path, "OnFailure", detail));
        }
        _ => {}
    }
    errors
}

/// The limits of a job whose completions have indexes.
fn validate_indexed(spec: &Value, path: &Path) -> ErrorList {
    let number = |field: &str| meta::i64_at(spec, &[field]);
    let over = |field: &str, limit: i64, detail: String| {
        let number = number(field).filter(|number| *number > limit)?;
        Some(Error::invalid(&path.child(field), number, detail))
    };
    let (completions, failed) = (number("completions"), "maxFailedIndexes");
    let mut errors = ErrorList::new();
    if completions.is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(Error::required(&path.child("completions"), detail));
    }
    errors.extend(over(
        "parallelism",
        PARALLELISM_MAX,
        format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed"),
    ));
    if let Some(completions) = completions {
        let detail = "must be less than or equal to completions";
        errors.extend(over(failed, completions, detail.to_owned()));
    }
    errors.extend(over(
        failed,
        FAILED_MAX,
        format!("must be less than or equal to {FAILED_MAX}"),
    ));
    if completions.is_some_and(|n| n > MANY_COMPLETIONS) && number("backoffLimitPerIndex").is_some() {
        if number(failed).is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(Error::required(&path.child(failed), detail));
        }
        for field in ["parallelism", failed] {
            let detail = format!(
                "must be less than or equal to {LIMIT_OF_MANY} when completions are above {MANY_COMPLETIONS} and used \
                 with backoff limit per index"
            );
            errors.extend(over(field, LIMIT_OF_MANY, detail));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let job = Resource {
        categories: ["all"].into(),
        selectable_fields: Selectable::Builtin(&[("status.successful", |obj| {
            cells::number(obj, &["status", "succeeded"]).to_string()
        })]),
        ..Resource::namespaced_kind(
            ("batch", "v1", "Job"),
            ("jobs", "job"),
            "io.k8s.api.batch.v1.Job",
            Job,
            &COLUMNS,
        )
    };
    let status_hooks = Status {
        validate: status::validate,
        ..Status::plain(default)
    };
    job.with_object_subresource("status", status_hooks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
    #[test]
    fn the_writer_owns_the_labels_that_come_from_the_template_but_not_the_generated_ones() {
        let job =
            |labels: Value, of_pods: Value| json!({"metadata": labels, "spec": {"template": {"metadata": of_pods}}});
        let labels = json!({"labels": {"a": "b"}});
        for (own, of_pods, expected) in [
            (json!({}), labels.clone(), Some(&labels)),
            (json!({"labels": {}}), labels.clone(), Some(&labels)),
            (json!({"labels": {"c": "d"}}), labels.clone(), None),
            (json!({}), json!({}), None),
        ] {
            let mut seen = job(own.clone(), of_pods.clone());
            assert_eq!(Job.anticipate(&mut seen), expected.is_some(), "{own} {of_pods}");
            assert_eq!(&seen["metadata"], expected.unwrap_or(&own), "{own} {of_pods}");
        }
    }
}
