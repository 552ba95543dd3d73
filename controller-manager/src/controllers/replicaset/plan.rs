//! How many pods to create or which ones to delete, and the resulting status (`pkg/controller/replicaset`).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::rank;
use crate::common::conditions::{self, Condition};
use crate::common::pod_control::Failed;
use crate::common::{pods, selector};
use crate::error::message;

/// Most pods created or deleted in one go (`BurstReplicas`).
const BURST: usize = 500;

/// Everything a decision depends on.
pub(crate) struct State<'a> {
    pub(crate) rs: &'a ReplicaSet,
    /// Its pods that have not ended.
    pub(crate) owned: &'a [Arc<Pod>],
    pub(crate) now: Timestamp,
}

#[derive(Debug)]
pub(crate) enum Decision {
    Nothing,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

/// `related` is asked only when pods have to go (`manageReplicas`).
pub(crate) fn decide(state: &State<'_>, related: impl FnOnce() -> Vec<Arc<Pod>>) -> Decision {
    let active: Vec<Arc<Pod>> = state.owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let wanted = state.rs.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let wanted = usize::try_from(wanted).unwrap_or(0);
    if active.len() < wanted {
        return Decision::Create((wanted - active.len()).min(BURST));
    }
    let excess = (active.len() - wanted).min(BURST);
    if excess == 0 {
        return Decision::Nothing;
    }
    if excess == active.len() {
        return Decision::Delete(active);
    }
    Decision::Delete(rank::victims(active, &related(), excess, state.now))
}

/// The status that the owned pods add up to (`calculateStatus`).
pub(crate) fn status(state: &State<'_>, failure: Option<&Failed>) -> ReplicaSetStatus {
    let spec = state.rs.spec.clone().unwrap_or_default();
    let template_labels = spec
        .template
        .and_then(|template| template.metadata)
        .and_then(|meta| meta.labels);
    let template_labels = template_labels.unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let active: Vec<&Arc<Pod>> = state.owned.iter().filter(|pod| pods::is_active(pod)).collect();
    let count = |test: &dyn Fn(&Pod) -> bool| -> i32 {
        i32::try_from(active.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
    };
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    let terminating = state.owned.iter().filter(|pod| pods::is_terminating(pod)).count();
    let mut status = ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: positive(count(&|pod| {
            selector::includes(pod.metadata.labels.as_ref(), &template_labels)
        })),
        ready_replicas: positive(count(&pods::is_ready)),
        available_replicas: positive(count(&|pod| pods::is_available(pod, min_ready, state.now))),
        terminating_replicas: i32::try_from(terminating).ok(),
        observed_generation: state.rs.metadata.generation,
        conditions: state.rs.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    const FAILURE: &str = "ReplicaFailure";
    match failure {
        None => conditions::remove(&mut status.conditions, FAILURE),
        Some(_) if conditions::find(&status.conditions, FAILURE).is_some() => {}
        Some(failed) => {
            let (reason, error) = match failed {
                Failed::Create(error) => ("FailedCreate", error),
                Failed::Delete(error) => ("FailedDelete", error),
            };
            let condition = ReplicaSetCondition::new(FAILURE, "True", reason, message(error), state.now);
            conditions::set(&mut status.conditions, condition);
        }
    }
    status
}
