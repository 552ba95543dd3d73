//! The status of a deployment and its three conditions (`sync.go`, `progress.go`).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};

use super::plan::Split;
use super::sizes::{actual, available, max_unavailable, replicas, size};
use crate::common::conditions::{self, Condition};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

pub(crate) fn progressing(deployment: &Deployment) -> Option<&DeploymentCondition> {
    conditions::find(&deployment.status.as_ref()?.conditions, PROGRESSING)
}

/// Seconds without progress after which a rollout counts as failed; the largest number means never.
fn deadline(deployment: &Deployment) -> Option<i32> {
    let spec = deployment.spec.as_ref()?;
    spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}

fn set(deployment: &mut Deployment, status: &str, reason: &str, message: String, now: Timestamp) {
    let condition = DeploymentCondition::new(PROGRESSING, status, reason, message, now);
    conditions::set(&mut deployment.status.get_or_insert_default().conditions, condition);
}

pub(crate) fn note_new_replica_set(deployment: &mut Deployment, reason: &str, text: &str, name: &str, now: Timestamp) {
    if deadline(deployment).is_some() {
        set(deployment, "True", reason, format!("{text} {name:?}"), now);
    }
}

pub(crate) fn note_create_failed(deployment: &mut Deployment, name: &str, error: &str, now: Timestamp) {
    if deadline(deployment).is_some() {
        let message = format!("Failed to create new replica set {name:?}: {error}");
        set(deployment, "False", "ReplicaSetCreateError", message, now);
    }
}

/// A pause stops the clock of the progress deadline (`checkPausedConditions`).
pub(crate) fn note_paused(deployment: &mut Deployment, now: Timestamp) {
    let reason = progressing(deployment).map(|condition| condition.reason().to_owned());
    if deadline(deployment).is_none() || reason.as_deref() == Some(TIMED_OUT) {
        return;
    }
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
    let noted = reason.as_deref() == Some("DeploymentPaused");
    if paused && !noted {
        set(
            deployment,
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused".to_owned(),
            now,
        );
    } else if !paused && noted {
        set(
            deployment,
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed".to_owned(),
            now,
        );
    }
}

/// Whether all pods are new and available and no old one is left (`DeploymentComplete`).
pub(crate) fn is_complete(deployment: &Deployment, status: Option<&DeploymentStatus>) -> bool {
    let wanted = Some(replicas(deployment));
    let zero = |value: Option<i32>| Some(value.unwrap_or(0));
    status.is_some_and(|status| {
        zero(status.updated_replicas) == wanted
            && zero(status.replicas) == wanted
            && zero(status.available_replicas) == wanted
            && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0)
    })
}

/// The numbers and the condition `Available` (`calculateStatus`).
pub(crate) fn plain(deployment: &mut Deployment, split: &Split<'_>, now: Timestamp) {
    let total: i32 = split.all().map(|rs| size(rs)).sum();
    let all_available: i32 = split.all().map(|rs| available(rs)).sum();
    let sum = |field: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> Option<i32>| -> i32 {
        split.all().filter_map(|rs| rs.status.as_ref().and_then(field)).sum()
    };
    // Unknown as long as one replica set has not reported it.
    let terminating: Option<i32> = split
        .all()
        .map(|rs| rs.status.as_ref().and_then(|status| status.terminating_replicas))
        .sum();
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    let old = deployment.status.take().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: positive(split.all().map(|rs| actual(rs)).sum()),
        updated_replicas: positive(split.new.map_or(0, |rs| actual(rs))),
        ready_replicas: positive(sum(|status| status.ready_replicas)),
        available_replicas: positive(all_available),
        unavailable_replicas: positive(total - all_available),
        terminating_replicas: terminating,
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let enough = all_available >= replicas(deployment) - max_unavailable(deployment);
    let (value, reason, message) = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    let condition = DeploymentCondition::new("Available", value, reason, message.to_owned(), now);
    conditions::set(&mut status.conditions, condition);
    deployment.status = Some(status);
}

/// The same plus the progress of the rollout (`syncRolloutStatus`).
pub(crate) fn rollout(deployment: &mut Deployment, split: &Split<'_>, now: Timestamp) {
    let before = deployment.status.clone().unwrap_or_default();
    plain(deployment, split, now);
    let new_status = deployment.status.clone().unwrap_or_default();
    let current = conditions::find(&before.conditions, PROGRESSING).cloned();
    let done = new_status.replicas.unwrap_or(0) == new_status.updated_replicas.unwrap_or(0)
        && current
            .as_ref()
            .is_some_and(|condition| condition.reason() == AVAILABLE);
    let subject = match split.new {
        Some(rs) => format!("ReplicaSet {:?}", rs.metadata.name.as_deref().unwrap_or_default()),
        None => format!(
            "Deployment {:?}",
            deployment.metadata.name.as_deref().unwrap_or_default()
        ),
    };
    if deadline(deployment).is_none() {
        conditions::remove(&mut deployment.status.get_or_insert_default().conditions, PROGRESSING);
    } else if !done {
        if is_complete(deployment, Some(&new_status)) {
            set(
                deployment,
                "True",
                AVAILABLE,
                format!("{subject} has successfully progressed."),
                now,
            );
        } else if has_progressed(&before, &new_status) {
            let message = format!("{subject} is progressing.");
            let mut condition = DeploymentCondition::new(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
            if let Some(current) = current.filter(|current| current.status == "True") {
                condition.last_transition_time = current.last_transition_time;
            }
            // Replaced even when status and reason stay the same: progress moves the time of the last update.
            let list = &mut deployment.status.get_or_insert_default().conditions;
            conditions::remove(list, PROGRESSING);
            conditions::set(list, condition);
        } else if has_timed_out(deployment, &new_status, now) {
            set(
                deployment,
                "False",
                TIMED_OUT,
                format!("{subject} has timed out progressing."),
                now,
            );
        }
    }
    note_failures(deployment, split, now);
}

fn has_progressed(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let updated = |status: &DeploymentStatus| status.updated_replicas.unwrap_or(0);
    let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - updated(status);
    updated(after) > updated(before)
        || old(after) < old(before)
        || after.ready_replicas.unwrap_or(0) > before.ready_replicas.unwrap_or(0)
        || after.available_replicas.unwrap_or(0) > before.available_replicas.unwrap_or(0)
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(condition) = conditions::find(&status.conditions, PROGRESSING) else {
        return false;
    };
    match condition.reason() {
        AVAILABLE => false,
        TIMED_OUT => true,
        _ => stuck_in(deployment, condition, now).is_some_and(|left| left < 0),
    }
}

/// Milliseconds until the deadline.
fn stuck_in(deployment: &Deployment, condition: &DeploymentCondition, now: Timestamp) -> Option<i64> {
    let since = condition.last_update_time.as_ref()?.0;
    Some(since.as_millisecond() + i64::from(deadline(deployment)?) * 1000 - now.as_millisecond())
}

/// When to look again whether the rollout is stuck; nothing else would wake the controller (`requeueStuckDeployment`).
pub(crate) fn check_again_in(deployment: &Deployment, now: Timestamp) -> Option<Duration> {
    let condition = progressing(deployment)?;
    if is_complete(deployment, deployment.status.as_ref()) || condition.reason() == TIMED_OUT {
        return None;
    }
    let left = stuck_in(deployment, condition, now)?;
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)) + Duration::from_secs(1))
}

/// Carries the failure of a replica set up to the deployment.
fn note_failures(deployment: &mut Deployment, split: &Split<'_>, now: Timestamp) {
    const FAILURE: &str = "ReplicaFailure";
    let failure = |rs: &std::sync::Arc<k8s_openapi::api::apps::v1::ReplicaSet>| {
        rs.status
            .as_ref()
            .and_then(|status| conditions::find(&status.conditions, FAILURE))
            .cloned()
    };
    let found = split.new.and_then(failure).or_else(|| split.all().find_map(failure));
    let list = &mut deployment.status.get_or_insert_default().conditions;
    match found {
        None => conditions::remove(list, FAILURE),
        Some(condition) => {
            let message = condition.message.clone().unwrap_or_default();
            let copied = DeploymentCondition::new(FAILURE, condition.status(), condition.reason(), message, now);
            conditions::set(list, copied);
        }
    }
}
