//! CronJobs.

use super::super::core::pod_template;
use super::super::shared::cells;
use super::super::shared::checks::{self, non_negative, text};
use super::super::shared::pod_defaults::set_text;
use super::super::shared::status::{self, Status};
use super::{cron, job};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const SPEC: &str = "io.k8s.api.batch.v1.CronJobSpec";
const STATUS: &str = "io.k8s.api.batch.v1.CronJobStatus";
/// What is left of a name when the controller has appended the time to it.
const NAME_MAX: usize = 52;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Schedule", "string", SPEC, "schedule"),
        Column::of_field("Timezone", "string", SPEC, "timeZone"),
        Column::of_field("Suspend", "boolean", SPEC, "suspend"),
        Column::of_field("Active", "integer", STATUS, "active"),
        Column::of_field("Last Schedule", "string", STATUS, "lastScheduleTime"),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        Column::of_field("Selector", "string", "io.k8s.api.batch.v1.JobSpec", "selector").wide(),
    ],
    cells: |obj, now| {
        let suspended = match meta::bool_at(obj, &["spec", "suspend"]) {
            None => cells::UNSET,
            Some(true) => "True",
            Some(false) => "False",
        };
        let last = match meta::str_at(obj, &["status", "lastScheduleTime"]) {
            None => cells::NONE.to_owned(),
            time => cells::since(time, now),
        };
        let [names, images] = cells::container_names_and_images(obj, &["spec", "jobTemplate", "spec", "template"]);
        vec![
            cells::name(obj),
            text(obj, &["spec", "schedule"]).into(),
            meta::str_at(obj, &["spec", "timeZone"]).unwrap_or(cells::NONE).into(),
            suspended.into(),
            meta::list_at(obj, &["status", "active"]).len().into(),
            last.into(),
            cells::age(obj, now),
            names,
            images,
            cells::selector(obj, &["spec", "jobTemplate", "spec", "selector"]),
        ]
    },
};

/// `SetDefaults_CronJob`; the defaults of a Job are left for when it is made.
fn default(obj: &mut Value) {
    let Some(spec) = obj.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    set_text(spec, &["concurrencyPolicy"], "Allow");
    meta::set_default(spec, &["suspend"], false);
    meta::set_default(spec, &["successfulJobsHistoryLimit"], 3);
    meta::set_default(spec, &["failedJobsHistoryLimit"], 1);
    if let Some(job) = spec.pointer_mut("/jobTemplate/spec") {
        job::default_template(job);
    }
}

struct CronJob;

impl Strategy for CronJob {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        status::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate_spec(obj, None);
        let name = meta::name(obj);
        if name.len() > NAME_MAX {
            let path = Path::new("metadata").child("name");
            errors.push(Error::invalid(&path, name, names::max_characters(NAME_MAX)));
        }
        errors
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate_spec(new, Some(old))
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let name = pod_template::warnings::of_name(new, old, pod_template::warnings::POD_NAMES);
        let mut warnings: Vec<String> = name.into_iter().collect();
        if let Some(template) = meta::at(new, &["spec", "jobTemplate", "spec", "template"]) {
            let path = Path::new("spec").child("jobTemplate").child("spec").child("template");
            warnings.extend(pod_template::warnings::of(template, &path));
        }
        if text(new, &["spec", "schedule"]).contains("TZ") {
            // Upstream's path really says spec twice.
            let warning = "spec.spec.schedule should not contain TZ or CRON_TZ, use spec.spec.timeZone instead";
            warnings.push(warning.to_owned());
        }
        warnings
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `validateCronJobSpec`.
fn validate_spec(obj: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let zone = |obj| meta::at(obj, &["spec", "timeZone"]);
    let mut errors = ErrorList::new();
    errors.extend(validate_schedule(obj, old, &path.child("schedule")));
    errors.extend(non_negative(spec, "startingDeadlineSeconds", &path));
    if old.is_none_or(|old| zone(old) != zone(obj)) {
        errors.extend(validate_zone(spec, &path.child("timeZone")));
    }
    let policy_path = path.child("concurrencyPolicy");
    match text(spec, &["concurrencyPolicy"]) {
        "" => errors.push(Error::required(&policy_path, "")),
        policy => errors.extend(checks::one_of(policy, &["Allow", "Forbid", "Replace"], &policy_path)),
    }
    let job = meta::at(spec, &["jobTemplate", "spec"]).unwrap_or(&Value::Null);
    errors.extend(validate_job(job, &path.child("jobTemplate").child("spec")));
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(non_negative(spec, field, &path));
    }
    errors
}

/// `validateScheduleFormat`: time zones have a field of their own, but schedules that once had one may keep it.
fn validate_schedule(obj: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let schedule = text(obj, &["spec", "schedule"]);
    if schedule.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if let Err(why) = cron::check(schedule) {
        errors.push(Error::invalid(path, schedule, why));
    }
    let tolerated = old.is_some_and(|old| text(old, &["spec", "schedule"]).contains("TZ"));
    let has_field = meta::at(obj, &["spec", "timeZone"]).is_some();
    match (schedule.contains("TZ"), tolerated, has_field) {
        (true, true, true) => {
            let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(Error::invalid(path, schedule, detail));
        }
        (true, false, _) => {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(Error::invalid(path, schedule, detail));
        }
        _ => {}
    }
    errors
}

/// `validateTimeZone`.
fn validate_zone(spec: &Value, path: &Path) -> ErrorList {
    let Some(zone) = meta::str_at(spec, &["timeZone"]) else {
        return ErrorList::new();
    };
    let invalid = |detail: &str| Error::invalid(path, zone, detail);
    let unknown = format!("unknown time zone {zone}");
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
    let malformed = |part: &str| {
        matches!(part, "" | "." | "..") || part.starts_with('-') || part.len() > 14 || !part.bytes().all(good)
    };
    if zone.is_empty() {
        return vec![invalid("timeZone must be nil or non-empty string")];
    }
    if zone.split('/').any(malformed) {
        return vec![invalid(&unknown)];
    }
    let mut errors = ErrorList::new();
    if zone.eq_ignore_ascii_case("Local") {
        errors.push(invalid(
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ));
    }
    if !cron::is_zone(zone) {
        errors.push(invalid(&unknown));
    }
    errors
}

/// `ValidateJobTemplateSpec`: the selector of a job that is made by schedule is generated.
fn validate_job(job: &Value, path: &Path) -> ErrorList {
    let mut errors = job::validate_spec(job, path);
    if let Some(selector) = job.get("selector") {
        let detail = "`selector` will be auto-generated";
        errors.push(checks::invalid_selector(&path.child("selector"), selector, detail));
    }
    if meta::bool_at(job, &["manualSelector"]) == Some(true) {
        let path = path.child("manualSelector");
        errors.push(Error::not_supported(&path, true, &["nil", "false"]));
    }
    errors
}

pub(super) fn resource() -> Resource {
    let cron_job = Resource {
        short_names: ["cj"].into(),
        categories: ["all"].into(),
        ..Resource::namespaced_kind(
            ("batch", "v1", "CronJob"),
            ("cronjobs", "cronjob"),
            "io.k8s.api.batch.v1.CronJob",
            CronJob,
            &COLUMNS,
        )
    };
    let status = Status {
        metadata_checks: MetadataChecks::None,
        ..Status::plain(default)
    };
    cron_job.with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schedules_and_zones_are_checked() {
        for (spec, expected) in [
            (json!({"schedule": "@hourly", "timeZone": "UTC"}), vec![]),
            (json!({"schedule": ""}), vec!["spec.schedule: Required value"]),
            (
                json!({"schedule": "TZ=UTC * * * * *"}),
                vec![
                    "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
                ],
            ),
            (
                json!({"schedule": "* * * * *", "timeZone": "Mars/Olympus"}),
                vec!["spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus"],
            ),
            (
                json!({"schedule": "* * * * *", "concurrencyPolicy": "Foo"}),
                vec![
                    "spec.concurrencyPolicy: Unsupported value: \"Foo\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                ],
            ),
        ] {
            let mut spec = spec;
            spec["jobTemplate"] = json!({"spec": {"template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "c", "image": "i:1"}]}}}});
            let mut obj = json!({"metadata": {"name": "c"}, "spec": spec});
            default(&mut obj);
            let texts: Vec<String> = validate_spec(&obj, None).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        }
    }
}
