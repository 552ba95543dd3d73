//! What the status of a budget has to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::common::{intstr, pods};

/// How long after an eviction was granted its pod is taken for gone although nobody has deleted it.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a pod stays marked for a disruption that does not come.
const MARK_TIMEOUT: Duration = Duration::from_secs(120);
/// The condition that marks a pod for a disruption.
pub(super) const MARK: &str = "DisruptionTarget";
/// The reason of a mark that stays, however long it takes: the kubelet is at work.
const BY_KUBELET: &str = "TerminationByKubelet";
/// The condition that says whether a pod may be evicted.
const ALLOWED: &str = "DisruptionAllowed";

/// How many pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// There are meant to be.
    pub(super) expected: i32,
    /// Have to be healthy.
    pub(super) desired: i32,
    /// Are healthy.
    pub(super) healthy: i32,
}

/// Pods whose eviction was granted.
#[derive(Debug, Default)]
pub(super) struct Disrupted {
    /// Those that are still expected to go, and since when.
    pub(super) pods: BTreeMap<String, Time>,
    /// Those that should be gone and are not.
    pub(super) survivors: Vec<Arc<Pod>>,
    /// When the next of `pods` becomes a survivor.
    pub(super) check_after: Option<Duration>,
}

/// How long until `limit` has passed since `since`.
fn left(since: Timestamp, limit: Duration, now: Timestamp) -> Option<Duration> {
    let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    let left = since.as_millisecond().saturating_add(limit) - now.as_millisecond();
    u64::try_from(left).ok().map(Duration::from_millis)
}

/// Whether the number of pods there are meant to be counts, instead of the number of pods that are there.
pub(super) fn is_relative(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// How many pods have to be healthy.
pub(super) fn desired(spec: &PodDisruptionBudgetSpec, expected: i32) -> i32 {
    if let Some(value) = &spec.max_unavailable {
        return expected.saturating_sub(intstr::scaled(value, expected, true)).max(0);
    }
    spec.min_available
        .as_ref()
        .map_or(0, |value| intstr::scaled(value, expected, true))
}

/// Goes through the evictions that were granted (`buildDisruptedPodMap`).
pub(super) fn disrupted(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let granted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let mut disrupted = Disrupted::default();
    for pod in pods.iter().filter(|pod| !pods::is_deleting(pod)) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Some(since) = granted.and_then(|granted| granted.get(name)) else {
            continue;
        };
        match left(since.0, DELETION_TIMEOUT, now) {
            None => disrupted.survivors.push(pod.clone()),
            Some(wait) => {
                disrupted.pods.insert(name.to_owned(), since.clone());
                disrupted.check_after = Some(disrupted.check_after.map_or(wait, |first| first.min(wait)));
            }
        }
    }
    disrupted
}

/// How many pods are healthy and not on their way out.
pub(super) fn healthy(pods: &[Arc<Pod>], disrupted: &BTreeMap<String, Time>) -> i32 {
    let leaving = |pod: &Pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        pods::is_deleting(pod) || disrupted.contains_key(name)
    };
    let healthy = pods.iter().filter(|pod| !leaving(pod) && pods::is_ready(pod)).count();
    i32::try_from(healthy).unwrap_or(i32::MAX)
}

/// The status that results.
pub(super) fn status(
    budget: &PodDisruptionBudget,
    counts: Counts,
    disrupted: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    // A budget that has no pods yet must not let the first ones go before they are counted.
    let surplus = if counts.expected > 0 {
        counts.healthy - counts.desired
    } else {
        0
    };
    let allowed = surplus.max(0);
    let generation = budget.metadata.generation;
    let (value, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    PodDisruptionBudgetStatus {
        conditions: Some(with_condition(budget, value, reason, "", generation, now)),
        current_healthy: Some(counts.healthy),
        desired_healthy: Some(counts.desired),
        disrupted_pods: Some(disrupted).filter(|pods| !pods.is_empty()),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(counts.expected),
        observed_generation: generation,
    }
}

/// The status when the pods cannot be counted: what was known, and no evictions.
pub(super) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    let observed = status.observed_generation;
    status.disruptions_allowed = Some(0);
    status.conditions = Some(with_condition(budget, "False", "SyncFailed", why, observed, now));
    status
}

/// The conditions with the one that is ours; its time changes with its status only.
fn with_condition(
    budget: &PodDisruptionBudget,
    status: &str,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let conditions = budget.status.as_ref().and_then(|status| status.conditions.clone());
    let mut conditions = conditions.unwrap_or_default();
    let mut new = Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == ALLOWED) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time.clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
    conditions
}

/// How long until a pod is to be told that its disruption does not come; nothing when it is not marked for one or the mark is
/// right.
pub(super) fn unmark_after(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let mark = pods::condition(pod, MARK)?;
    let right = mark.status != "True" || mark.reason.as_deref() == Some(BY_KUBELET);
    if right || pods::is_deleting(pod) || pods::is_terminal(pod) {
        return None;
    }
    let since = mark.last_transition_time.as_ref().map_or(now, |time| time.0);
    Some(left(since, MARK_TIMEOUT, now).unwrap_or_default())
}
