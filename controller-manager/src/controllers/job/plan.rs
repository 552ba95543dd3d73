//! The next step of a job (`pkg/controller/job/job_controller.go`). A pod that ended is counted in three steps, each of which
//! survives a crash: its UID goes into the status, then its finalizer goes, then the UID becomes a number.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::{Backoff, finished_at};
use super::indexes;
use super::per_index::Progress;
use super::policy::{self, Verdict};
use crate::common::conditions::{self, Condition};
use crate::common::pods;

pub(crate) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Most pods created, deleted or counted in one go.
const BURST: usize = 500;

pub(crate) struct State<'a> {
    pub(crate) job: &'a Job,
    pub(crate) pods: &'a [Arc<Pod>],
    /// Whether the informer shows everything that was asked for.
    pub(crate) up_to_date: bool,
    pub(crate) backoff: Backoff,
    pub(crate) now: Timestamp,
}

/// A pod to create.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewPod {
    /// Its completion index; nothing for jobs without indexes.
    pub(crate) index: Option<i32>,
    /// The failed pod whose place it takes, if the index counts its failures.
    pub(crate) replaces: Option<Arc<Pod>>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) create: Vec<NewPod>,
    pub(crate) delete: Vec<Arc<Pod>>,
    /// Pods whose end the new status records.
    pub(crate) release: Vec<Arc<Pod>>,
    pub(crate) status: JobStatus,
    pub(crate) backoff: Backoff,
    pub(crate) again_in: Option<Duration>,
}

pub(crate) fn has_finalizer(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
}

pub(crate) fn is_finished(job: &Job) -> bool {
    let status = job.status.as_ref();
    status.is_some_and(|status| {
        conditions::is_true(&status.conditions, "Complete") || conditions::is_true(&status.conditions, "Failed")
    })
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

fn replaces_failed_only(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// A pod that is being deleted counts as failed, because it may never say so itself.
pub(crate) fn has_failed(spec: &JobSpec, pod: &Pod) -> bool {
    let phase = pods::phase(pod);
    phase == "Failed" || (!replaces_failed_only(spec) && pods::is_deleting(pod) && phase != "Succeeded")
}

/// What the pods of a job add up to.
struct Tally {
    active: Vec<Arc<Pod>>,
    succeeded: i32,
    failed: i32,
    progress: Progress,
    uncounted: UncountedTerminatedPods,
    fail_job: Option<String>,
    release: Vec<Arc<Pod>>,
}

pub(crate) fn plan(state: &State<'_>) -> Plan {
    let empty = JobSpec::default();
    let spec = state.job.spec.as_ref().unwrap_or(&empty);
    let mut status = state.job.status.clone().unwrap_or_default();
    let mut plan = Plan {
        backoff: state.backoff,
        ..Plan::default()
    };
    let suspended = spec.suspend.unwrap_or(false);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(Time(state.now));
    }
    let mut target = finish_target(&status).cloned();
    let tally = tally(state, spec, &mut status, target.is_some(), &mut plan.backoff);

    if target.is_none() {
        target = failure_target(state, spec, &status, &tally).or_else(|| success_target(state, spec, &tally));
        if let Some(condition) = &target {
            conditions::set(&mut status.conditions, condition.clone());
        } else {
            plan.again_in = deadline_in(spec, &status, state.now);
        }
    }
    let mut active = tally.active.len();
    if target.is_some() {
        plan.delete.clone_from(&tally.active);
        active = 0;
    } else if state.up_to_date && state.job.metadata.deletion_timestamp.is_none() {
        if note_suspension(spec, &mut status, state.now) && !suspended {
            status.start_time = Some(Time(state.now));
        }
        manage(state, spec, &tally, &mut plan);
        active = active + plan.create.len() - plan.delete.len().min(active);
        let reached = spec
            .completions
            .map_or(tally.succeeded > 0, |completions| tally.succeeded >= completions);
        if reached && active == 0 && (spec.completions.is_some() || tally.active.is_empty()) {
            let message = "Reached expected number of succeeded pods".to_owned();
            let condition = JobCondition::new("SuccessCriteriaMet", "True", "CompletionsReached", message, state.now);
            conditions::set(&mut status.conditions, condition.clone());
            target = Some(condition);
        }
    }

    let terminating = state.pods.iter().filter(|pod| pods::is_terminating(pod)).count() + plan.delete.len();
    let ready = tally.active.iter().filter(|pod| pods::is_ready(pod)).count();
    status.active = i32::try_from(active).ok().filter(|count| *count > 0);
    status.terminating = i32::try_from(terminating).ok();
    status.ready = i32::try_from(if target.is_some() { 0 } else { ready }).ok();
    let tracked = state.pods.iter().any(|pod| has_finalizer(pod));
    let counted = tally.uncounted.succeeded.is_none() && tally.uncounted.failed.is_none();
    status.uncounted_terminated_pods = Some(tally.uncounted);
    plan.release = tally.release;
    if let Some(target) = target
        && !tracked
        && counted
        && active == 0
        && terminating == 0
    {
        finish(&mut status, &target, state.now);
    }
    plan.status = status;
    plan
}

/// The condition that says how the job will end once its pods have ended.
fn finish_target(status: &JobStatus) -> Option<&JobCondition> {
    let find = |kind| conditions::find(&status.conditions, kind).filter(|condition| condition.status == "True");
    find("FailureTarget").or_else(|| find("SuccessCriteriaMet"))
}

/// The last condition, with the reason of the one that announced it.
fn finish(status: &mut JobStatus, target: &JobCondition, now: Timestamp) {
    let kind = if target.type_ == "FailureTarget" {
        "Failed"
    } else {
        "Complete"
    };
    let message = target.message.clone().unwrap_or_default();
    conditions::set(
        &mut status.conditions,
        JobCondition::new(kind, "True", target.reason(), message, now),
    );
    if kind == "Complete" {
        status.completion_time = Some(Time(now));
    }
}

/// Counts the pods that ended and moves those whose finalizer is gone from the list of UIDs into the numbers.
fn tally(state: &State<'_>, spec: &JobSpec, status: &mut JobStatus, finishing: bool, backoff: &mut Backoff) -> Tally {
    let indexed = is_indexed(spec);
    let progress = Progress::of(state.job, spec, status, state.pods);
    let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let tracked: HashSet<&str> = state
        .pods
        .iter()
        .filter(|pod| has_finalizer(pod))
        .map(|pod| uid(pod))
        .collect();
    let settle = |list: &mut Option<Vec<String>>, counter: &mut Option<i32>| {
        let all = list.take().unwrap_or_default();
        let (open, settled): (Vec<String>, Vec<String>) =
            all.into_iter().partition(|uid| tracked.contains(uid.as_str()));
        if !settled.is_empty() {
            *counter = Some(counter.unwrap_or(0) + i32::try_from(settled.len()).unwrap_or(0));
        }
        open
    };
    let mut open_succeeded = settle(&mut uncounted.succeeded, &mut status.succeeded);
    let mut open_failed = settle(&mut uncounted.failed, &mut status.failed);

    let mut fail_job = None;
    let mut release = Vec::new();
    let mut active = Vec::new();
    let mut held = 0;
    let (mut successes, mut failures) = (Vec::new(), Vec::new());
    let over = finishing || state.job.metadata.deletion_timestamp.is_some();
    for pod in state.pods {
        let succeeded = pods::phase(pod) == "Succeeded";
        // When the job is over or going, whatever its pods still do no longer matters.
        let failed = has_failed(spec, pod) || (finishing && pods::is_deleting(pod) && !succeeded);
        if pods::is_active(pod) {
            active.push(pod.clone());
        }
        if !has_finalizer(pod) {
            continue;
        }
        if !succeeded && !failed {
            if state.job.metadata.deletion_timestamp.is_some() && pods::is_deleting(pod) {
                release.push(pod.clone());
            }
            continue;
        }
        if release.len() >= BURST {
            continue;
        }
        let ended = finished_at(pod).unwrap_or(state.now);
        let known = |list: &[String]| list.iter().any(|known| known == uid(pod));
        if succeeded {
            // An index is counted by its number, which cannot happen twice.
            if !indexed && !known(&open_succeeded) {
                open_succeeded.push(uid(pod).to_owned());
            }
            successes.push(ended);
        } else if !known(&open_failed) {
            let verdict = policy::failure(state.job, pod);
            let ignored = verdict == Verdict::Ignore;
            if let Verdict::FailJob(reason) = verdict {
                fail_job = fail_job.or(Some(reason));
            }
            if !over && progress.holds(pod) {
                held += i32::from(!ignored);
                continue;
            }
            if !ignored {
                open_failed.push(uid(pod).to_owned());
                failures.push(ended);
            }
        }
        release.push(pod.clone());
    }
    *backoff = backoff.after(&successes, &failures);
    if indexed {
        let count = i32::try_from(progress.completed.len()).ok();
        status.succeeded = count.filter(|count| *count > 0);
        status.completed_indexes = Some(indexes::format(&progress.completed)).filter(|text| !text.is_empty());
        status.failed_indexes = progress.failed.as_ref().map(indexes::format);
    }
    let total = |counted: Option<i32>, open: &[String]| counted.unwrap_or(0) + i32::try_from(open.len()).unwrap_or(0);
    let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    Tally {
        active,
        succeeded: total(status.succeeded, &open_succeeded),
        failed: total(status.failed, &open_failed) + held,
        progress,
        uncounted: UncountedTerminatedPods {
            succeeded: some(open_succeeded),
            failed: some(open_failed),
        },
        fail_job,
        release,
    }
}

fn failure_target(state: &State<'_>, spec: &JobSpec, status: &JobStatus, tally: &Tally) -> Option<JobCondition> {
    let limit = spec.backoff_limit.unwrap_or(match spec.backoff_limit_per_index {
        Some(_) => i32::MAX,
        None => 6,
    });
    let target =
        |reason: &str, message: String| Some(JobCondition::new("FailureTarget", "True", reason, message, state.now));
    if let Some(message) = &tally.fail_job {
        return target("PodFailurePolicy", message.clone());
    }
    if tally.failed > limit || restarts_exceed(spec, tally, limit) {
        return target(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit".to_owned(),
        );
    }
    if deadline_in(spec, status, state.now).is_some_and(|left| left.is_zero()) {
        return target(
            "DeadlineExceeded",
            "Job was active longer than specified deadline".to_owned(),
        );
    }
    let failed = tally.progress.failed.as_ref().map_or(0, BTreeSet::len);
    let is_more = |limit: i32| usize::try_from(limit).is_ok_and(|limit| failed > limit);
    if spec.max_failed_indexes.is_some_and(is_more) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return target("MaxFailedIndexesExceeded", message.to_owned());
    }
    let settled = i32::try_from(failed + tally.progress.completed.len()).unwrap_or(i32::MAX);
    if failed > 0 && settled >= spec.completions.unwrap_or(0) {
        return target("FailedIndexes", "Job has failed indexes".to_owned());
    }
    None
}

/// Containers that are restarted in place count too (`pastBackoffLimitOnFailure`).
fn restarts_exceed(spec: &JobSpec, tally: &Tally, limit: i32) -> bool {
    let policy = spec
        .template
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let restarts = |pod: &Arc<Pod>| {
        pods::container_statuses(pod)
            .map(|status| status.restart_count)
            .sum::<i32>()
    };
    let started = tally
        .active
        .iter()
        .filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let total: i32 = started.map(restarts).sum();
    if limit == 0 { total > 0 } else { total >= limit }
}

/// How long the job may still be active; nothing when it may for ever or is suspended.
fn deadline_in(spec: &JobSpec, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    let seconds = spec
        .active_deadline_seconds
        .filter(|_| !spec.suspend.unwrap_or(false))?;
    let end = status
        .start_time
        .as_ref()?
        .0
        .as_millisecond()
        .saturating_add(seconds.saturating_mul(1000));
    Some(Duration::from_millis(
        u64::try_from(end - now.as_millisecond()).unwrap_or(0),
    ))
}

fn success_target(state: &State<'_>, spec: &JobSpec, tally: &Tally) -> Option<JobCondition> {
    let rule = policy::success(state.job, &tally.progress.completed, spec.completions.unwrap_or(0))?;
    let message = format!("Matched rules at index {rule}");
    Some(JobCondition::new(
        "SuccessCriteriaMet",
        "True",
        "SuccessPolicy",
        message,
        state.now,
    ))
}

/// Sets the condition `Suspended`; whether it changed.
fn note_suspension(spec: &JobSpec, status: &mut JobStatus, now: Timestamp) -> bool {
    let suspended = spec.suspend.unwrap_or(false);
    let noted = conditions::is_true(&status.conditions, "Suspended");
    if suspended == noted {
        return false;
    }
    let condition = if suspended {
        status.start_time = None;
        JobCondition::new("Suspended", "True", "JobSuspended", "Job suspended".to_owned(), now)
    } else {
        JobCondition::new("Suspended", "False", "JobResumed", "Job resumed".to_owned(), now)
    };
    conditions::set(&mut status.conditions, condition);
    true
}

/// How many pods should run now, and which ones to add or remove (`manageJob`).
fn manage(state: &State<'_>, spec: &JobSpec, tally: &Tally, plan: &mut Plan) {
    let active = i32::try_from(tally.active.len()).unwrap_or(i32::MAX);
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = if spec.suspend.unwrap_or(false) {
        0
    } else {
        match spec.completions {
            // A work queue: once one pod succeeded, no new ones start.
            None if tally.succeeded > 0 => active.min(parallelism),
            None => parallelism,
            Some(completions) => (completions - tally.succeeded).min(parallelism).max(0),
        }
    };
    let mut leaving = surplus_indexes(spec, tally);
    let mut rest: Vec<Arc<Pod>> = tally
        .active
        .iter()
        .filter(|pod| !leaving.iter().any(|other| Arc::ptr_eq(other, pod)))
        .cloned()
        .collect();
    // The ones that have come least far go first.
    let created = |pod: &Pod| {
        pod.metadata
            .creation_timestamp
            .as_ref()
            .map(|time| std::cmp::Reverse(time.0))
    };
    rest.sort_by_key(|pod| {
        (
            !pods::node_name(pod).is_empty(),
            pods::phase(pod) == "Running",
            pods::is_ready(pod),
            created(pod),
        )
    });
    let staying = i32::try_from(rest.len()).unwrap_or(i32::MAX);
    let excess = usize::try_from(staying - wanted).unwrap_or(0);
    leaving.extend(rest.drain(..excess));
    leaving.truncate(BURST);
    plan.delete = leaving;

    let terminating = state.pods.iter().filter(|pod| pods::is_terminating(pod)).count();
    let occupied = if replaces_failed_only(spec) {
        i32::try_from(terminating).unwrap_or(i32::MAX)
    } else {
        0
    };
    let missing = usize::try_from(wanted - i32::try_from(rest.len()).unwrap_or(i32::MAX) - occupied).unwrap_or(0);
    if missing == 0 || !plan.delete.is_empty() {
        return;
    }
    let mut wait = |delay: Duration| plan.again_in = Some(plan.again_in.map_or(delay, |other| other.min(delay)));
    // With a limit per index every index waits for itself.
    let delay = plan.backoff.wait(state.now);
    if spec.backoff_limit_per_index.is_none() && !delay.is_zero() {
        return wait(delay);
    }
    let missing = missing.min(BURST);
    if !is_indexed(spec) {
        plan.create = vec![NewPod::default(); missing];
        return;
    }
    let going = state
        .pods
        .iter()
        .filter(|pod| replaces_failed_only(spec) && pods::is_terminating(pod));
    let busy: HashSet<i32> = rest.iter().chain(going).filter_map(|pod| indexes::of(pod)).collect();
    let open =
        (0..spec.completions.unwrap_or(0)).filter(|index| !tally.progress.is_settled(*index) && !busy.contains(index));
    for index in open.take(missing) {
        match tally.progress.wait(index, state.now) {
            Duration::ZERO => plan.create.push(NewPod {
                index: Some(index),
                replaces: tally.progress.held(index).cloned(),
            }),
            delay => wait(delay),
        }
    }
}

/// Active pods whose index is done, out of range, or taken by an older pod.
fn surplus_indexes(spec: &JobSpec, tally: &Tally) -> Vec<Arc<Pod>> {
    if !is_indexed(spec) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut pods = tally.active.clone();
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    pods.retain(|pod| match indexes::of(pod) {
        Some(index) if index < spec.completions.unwrap_or(0) && !tally.progress.completed.contains(&index) => {
            !seen.insert(index)
        }
        _ => true,
    });
    pods
}
