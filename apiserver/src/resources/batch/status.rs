//! What the status of a job may become (`ValidateJobUpdateStatus` with the options of its strategy): the rules hold for
//! what a write changes, so that an old violation does not stand in the way of another change.

use super::super::shared::checks::{non_negative, same, text};
use super::indexes;
use machinery::field::{Error, ErrorList, ErrorType, Path};
use machinery::{meta, time};
use serde_json::Value;
use std::collections::BTreeSet;

/// A job before or after the write.
struct State<'a> {
    spec: &'a Value,
    status: &'a Value,
}

impl<'a> State<'a> {
    fn of(job: &'a Value) -> Self {
        State {
            spec: meta::at(job, &["spec"]).unwrap_or(&Value::Null),
            status: meta::at(job, &["status"]).unwrap_or(&Value::Null),
        }
    }

    fn condition(&self, kind: &str) -> &str {
        let conditions = meta::list_at(self.status, &["conditions"]);
        let found = conditions.iter().find(|condition| text(condition, &["type"]) == kind);
        found.map_or("", |condition| text(condition, &["status"]))
    }

    fn is(&self, kind: &str) -> bool {
        self.condition(kind) == "True"
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn number(&self, field: &str) -> i64 {
        meta::i64_at(self.status, &[field]).unwrap_or_default()
    }

    fn at(&self, field: &str) -> Option<&'a Value> {
        meta::at(self.status, &[field])
    }

    fn text(&self, field: &str) -> &'a str {
        text(self.status, &[field])
    }

    fn is_indexed(&self) -> bool {
        text(self.spec, &["completionMode"]) == "Indexed"
    }
}

/// Checks a write of the status.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("status");
    let (new, old) = (State::of(new), State::of(old));
    let mut errors = ErrorList::new();
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        errors.extend(non_negative(new.status, field, &path));
    }
    errors.extend(validate_uncounted(&new, &path.child("uncountedTerminatedPods")));
    errors.extend(validate_end(&new, &old, &path));
    errors.extend(validate_indexes(&new, &old, &path));
    errors.extend(validate_running(&new, &old, &path));
    errors.extend(validate_success(&new, &path));
    errors.extend(validate_transition(&new, &old, &path));
    errors
}

/// A complaint that shows no value.
fn wrong(path: &Path, detail: impl Into<String>) -> Error {
    Error::new(ErrorType::Invalid, &path.child("conditions"), None, detail)
}

fn validate_uncounted(new: &State<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        let uids = meta::list_at(new.status, &["uncountedTerminatedPods", list]);
        for (i, uid) in uids.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child(list).index(i);
            if uid.is_empty() {
                errors.push(Error::invalid(&path, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(Error::duplicate(&path, uid));
            }
        }
    }
    errors
}

/// How a job ends, and when.
fn validate_end(new: &State<'_>, old: &State<'_>, path: &Path) -> ErrorList {
    let changed = |kind: &str| new.is(kind) != old.is(kind);
    let moved = |field: &str| !same(new.at(field), old.at(field));
    let finish_changed = new.is_finished() != old.is_finished();
    let mut errors = ErrorList::new();
    for (other, text) in [
        ("Failed", "cannot set Complete=True and Failed=true conditions"),
        (
            "FailureTarget",
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
    ] {
        if (changed("Complete") || changed(other)) && new.is("Complete") && new.is(other) {
            errors.push(wrong(path, text));
        }
    }
    let (start, end) = (new.at("startTime"), new.at("completionTime"));
    let end_path = path.child("completionTime");
    let shown = |value: Option<&Value>| value.cloned().unwrap_or_default();
    if changed("Complete") || moved("completionTime") {
        match (end, new.is("Complete")) {
            (Some(_), false) => {
                let detail = "cannot set completionTime when there is no Complete=True condition";
                errors.push(Error::invalid(&end_path, shown(end), detail));
            }
            (None, true) => errors.push(Error::required(
                &end_path,
                "completionTime is required for Complete jobs",
            )),
            _ => {}
        }
    }
    let read = |value: Option<&Value>| value.and_then(Value::as_str).and_then(time::parse);
    if (moved("startTime") || moved("completionTime"))
        && let (Some(start), Some(done)) = (read(start), read(end))
        && done < start
    {
        let detail = "must be equal to or after `startTime`";
        errors.push(Error::invalid(&end_path, shown(end), detail));
    }
    if (changed("Failed") || moved("failedIndexes")) && new.is("Failed") && !new.is("FailureTarget") {
        let detail = "cannot set Failed=True condition without the FailureTarget=true condition";
        errors.push(wrong(path, detail));
    }
    let criteria_changed = changed("Complete") || changed("SuccessCriteriaMet");
    if criteria_changed && new.is("Complete") && !new.is("SuccessCriteriaMet") {
        let detail = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        errors.push(wrong(path, detail));
    }
    if (finish_changed || new.number("active") != old.number("active")) && new.number("active") > 0 && new.is_finished()
    {
        let detail = "active>0 is invalid for finished job";
        errors.push(Error::invalid(&path.child("active"), new.number("active"), detail));
    }
    let never_ran =
        meta::bool_at(new.spec, &["suspend"]) == Some(true) && meta::i64_at(new.spec, &["completions"]) == Some(0);
    if (finish_changed || moved("startTime")) && !never_ran && start.is_none() && new.is_finished() {
        let detail = "startTime is required for finished job";
        errors.push(Error::required(&path.child("startTime"), detail));
    }
    let uncounted = ["failed", "succeeded"]
        .iter()
        .any(|list| !meta::list_at(new.status, &["uncountedTerminatedPods", list]).is_empty());
    if (finish_changed || moved("uncountedTerminatedPods")) && uncounted && new.is_finished() {
        let path = path.child("uncountedTerminatedPods");
        let value = new.at("uncountedTerminatedPods").unwrap_or(&Value::Null);
        let text = super::super::shared::internal::show("UncountedTerminatedPods", value);
        errors.push(Error::invalid(&path, value.clone(), "must be empty for finished job").showing(text));
    }
    errors
}

fn validate_indexes(new: &State<'_>, old: &State<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let completions = meta::i64_at(new.spec, &["completions"]);
    let limited = meta::at(new.spec, &["backoffLimitPerIndex"]).is_some();
    let completed_changed = new.text("completedIndexes") != old.text("completedIndexes");
    let failed_changed = new.at("failedIndexes") != old.at("failedIndexes");
    let failed = new.at("failedIndexes").and_then(Value::as_str);
    let mut parse = |field: &str, list: &str, completions: i64| {
        if let Err(why) = indexes::count(list, completions) {
            let detail = format!("error parsing {field}: {why}");
            errors.push(Error::invalid(&path.child(field), list, detail));
        }
    };
    if let Some(completions) = completions {
        if completed_changed {
            parse("completedIndexes", new.text("completedIndexes"), completions);
        }
        if let Some(failed) = failed.filter(|_| failed_changed && limited) {
            parse("failedIndexes", failed, completions);
        }
    }
    if completed_changed && !new.text("completedIndexes").is_empty() && !new.is_indexed() {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        let path = path.child("completedIndexes");
        errors.push(Error::invalid(&path, new.text("completedIndexes"), detail));
    }
    let failed_path = path.child("failedIndexes");
    if let Some(failed) = failed {
        if failed_changed && !limited {
            let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.push(Error::invalid(&failed_path, failed, detail));
        }
        let shared = completions
            .filter(|_| failed_changed || completed_changed)
            .and_then(|completions| indexes::overlap(new.text("completedIndexes"), failed, completions));
        if let Some(index) = shared {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(Error::invalid(&failed_path, failed, detail));
        }
    }
    errors
}

/// The pods that still run.
fn validate_running(new: &State<'_>, old: &State<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let moved = |field: &str| new.at(field) != old.at(field);
    let finish_changed = new.is_finished() != old.is_finished();
    if (finish_changed || moved("terminating")) && new.number("terminating") > 0 && new.is_finished() {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(Error::invalid(
            &path.child("terminating"),
            new.number("terminating"),
            detail,
        ));
    }
    let active_changed = new.number("active") != old.number("active");
    if (moved("ready") || active_changed) && new.number("ready") > new.number("active") && new.at("ready").is_some() {
        let detail = "cannot set more ready pods than active";
        errors.push(Error::invalid(&path.child("ready"), new.number("ready"), detail));
    }
    errors
}

fn validate_success(new: &State<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (other, detail) in [
        (
            "Failed",
            "cannot set SuccessCriteriaMet=True and Failed=true conditions",
        ),
        (
            "FailureTarget",
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
    ] {
        if new.is("SuccessCriteriaMet") && new.is(other) {
            errors.push(wrong(path, detail));
        }
    }
    let by_policy = meta::at(new.spec, &["successPolicy"]).is_some();
    if by_policy && !new.is("SuccessCriteriaMet") && new.is("Complete") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.push(wrong(path, detail));
    }
    errors
}

/// What has happened does not unhappen (`ValidateJobStatusUpdate`).
fn validate_transition(new: &State<'_>, old: &State<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if old.is(kind) && !new.is(kind) {
            errors.push(wrong(
                path,
                format!("cannot disable the terminal {kind}=True condition"),
            ));
        }
    }
    let elastic =
        new.is_indexed() && meta::i64_at(new.spec, &["completions"]) == meta::i64_at(new.spec, &["parallelism"]);
    for (field, checked) in [("failed", true), ("succeeded", !elastic)] {
        if checked && new.number(field) < old.number(field) {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(Error::invalid(&path.child(field), new.number(field), detail));
        }
    }
    let moved = |field: &str| old.at(field).is_some() && new.at(field) != old.at(field);
    let shown = |field: &str| new.at(field).cloned().unwrap_or_default();
    if moved("completionTime") && new.at("completionTime").is_some() {
        let path = path.child("completionTime");
        errors.push(Error::invalid(&path, shown("completionTime"), "field is immutable"));
    }
    let resumes = old.is("Suspended") && new.condition("Suspended") == "False";
    let suspended = meta::bool_at(new.spec, &["suspend"]) == Some(true);
    if moved("startTime") && !resumes && !suspended {
        let detail = "field is immutable for unsuspended job once set";
        errors.push(Error::invalid(&path.child("startTime"), shown("startTime"), detail));
    }
    let (met, was_met) = (new.is("SuccessCriteriaMet"), old.is("SuccessCriteriaMet"));
    if was_met && !met {
        errors.push(wrong(path, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if old.is("Complete") && !was_met && met {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(wrong(path, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(new: Value, old: Value) -> Vec<String> {
        let job = |status| json!({"spec": {"completions": 2, "parallelism": 1}, "status": status});
        let errors = validate(&job(new), &job(old));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_finished_job_says_when_and_why() {
        let on = |kind: &str| json!({"type": kind, "status": "True"});
        let end = json!({"startTime": "2020-01-01T00:00:00Z", "completionTime": "2020-01-01T01:00:00Z",
            "conditions": [on("SuccessCriteriaMet"), on("Complete")]});
        assert_eq!(complaints(end.clone(), json!({})), Vec::<String>::new());
        assert_eq!(
            complaints(json!({"conditions": [on("Failed")]}), json!({})),
            [
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
                "status.startTime: Required value: startTime is required for finished job",
            ]
        );
        assert_eq!(
            complaints(json!({"startTime": "2020-01-01T00:00:00Z"}), end)[0],
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition"
        );
    }

    #[test]
    fn counters_grow() {
        assert_eq!(
            complaints(json!({"failed": 1, "ready": 1}), json!({"failed": 2})),
            [
                "status.ready: Invalid value: 1: cannot set more ready pods than active",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
            ]
        );
    }
}
