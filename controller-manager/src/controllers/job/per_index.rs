//! What is known about the indexes of an indexed job, and the limit of failures that each index has for itself
//! (`backoffLimitPerIndex`, in `pkg/controller/job/indexed_job_utils.go`). An index remembers its failures in an annotation
//! of its latest pod. That is why the latest failed pod of an index is held by its finalizer until it has been replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::{Backoff, finished_at};
use super::indexes;
use super::plan::{has_failed, has_finalizer, is_indexed, uid};
use super::policy::{self, Verdict};
use crate::common::pods;

pub(crate) const FAILURES_KEY: &str = "batch.kubernetes.io/job-index-failure-count";
pub(crate) const IGNORED_KEY: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Failures of an index up to and without those of the pod that carries the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    /// Those that count towards the limit.
    pub(crate) counted: i32,
    /// Those the pod failure policy says to ignore; they only slow the index down.
    pub(crate) ignored: i32,
}

impl Failures {
    fn before(pod: &Pod) -> Self {
        let number = |key: &str| {
            let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(key));
            text.and_then(|text| text.parse::<i32>().ok()).unwrap_or(0).max(0)
        };
        Self {
            counted: number(FAILURES_KEY),
            ignored: number(IGNORED_KEY),
        }
    }

    /// The numbers for the pod that takes the place of `replaced`.
    pub(crate) fn for_replacement(job: &Job, replaced: Option<&Pod>) -> Self {
        let Some(pod) = replaced else { return Self::default() };
        let mut failures = Self::before(pod);
        let number = match policy::failure(job, pod) {
            Verdict::Ignore => &mut failures.ignored,
            _ => &mut failures.counted,
        };
        *number = number.saturating_add(1);
        failures
    }

    fn total(self) -> i32 {
        self.counted.saturating_add(self.ignored)
    }
}

/// The state of the indexes; empty for a job without indexes.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) completed: BTreeSet<i32>,
    /// Indexes that are not tried again; nothing when the job has no limit per index.
    pub(crate) failed: Option<BTreeSet<i32>>,
    /// The latest failed pod of every index that will be tried again.
    held: BTreeMap<i32, Arc<Pod>>,
}

impl Progress {
    pub(crate) fn of(job: &Job, spec: &JobSpec, status: &JobStatus, all: &[Arc<Pod>]) -> Self {
        if !is_indexed(spec) {
            return Self::default();
        }
        let completions = spec.completions.unwrap_or(0);
        let index = |pod: &Pod| indexes::of(pod).filter(|index| *index < completions);
        let read = |text: &Option<String>| indexes::parse(text.as_deref().unwrap_or_default(), completions);
        let tracked = || all.iter().filter(|pod| has_finalizer(pod));
        let mut completed = read(&status.completed_indexes);
        let succeeded = tracked().filter(|pod| pods::phase(pod) == "Succeeded");
        completed.extend(succeeded.filter_map(|pod| index(pod)));
        let Some(limit) = spec.backoff_limit_per_index else {
            return Self {
                completed,
                ..Self::default()
            };
        };

        let failed_pods = || tracked().filter(|pod| has_failed(spec, pod));
        let mut failed = read(&status.failed_indexes);
        failed.extend(
            failed_pods()
                .filter(|pod| is_final(job, pod, limit))
                .filter_map(|pod| index(pod)),
        );
        let active: BTreeSet<i32> = all
            .iter()
            .filter(|pod| pods::is_active(pod))
            .filter_map(|pod| index(pod))
            .collect();
        let counted = status.uncounted_terminated_pods.as_ref();
        let counted = counted.and_then(|list| list.failed.as_ref());
        let mut held: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        for pod in failed_pods().filter(|pod| counted.is_none_or(|list| !list.iter().any(|known| known == uid(pod)))) {
            let Some(index) = index(pod) else { continue };
            if completed.contains(&index) || failed.contains(&index) || active.contains(&index) {
                continue;
            }
            let age = |pod: &Pod| (Failures::before(pod).total(), finished_at(pod));
            if held.get(&index).is_none_or(|other| age(other) <= age(pod)) {
                held.insert(index, pod.clone());
            }
        }
        Self {
            completed,
            failed: Some(failed),
            held,
        }
    }

    /// Whether the pod has to stay until its index has a new one.
    pub(crate) fn holds(&self, pod: &Pod) -> bool {
        indexes::of(pod)
            .and_then(|index| self.held.get(&index))
            .is_some_and(|held| uid(held) == uid(pod))
    }

    pub(crate) fn held(&self, index: i32) -> Option<&Arc<Pod>> {
        self.held.get(&index)
    }

    /// Whether an index needs no more pods.
    pub(crate) fn is_settled(&self, index: i32) -> bool {
        self.completed.contains(&index) || self.failed.as_ref().is_some_and(|failed| failed.contains(&index))
    }

    /// How long the index waits before its next pod.
    pub(crate) fn wait(&self, index: i32, now: Timestamp) -> Duration {
        let Some(pod) = self.held(index) else {
            return Duration::ZERO;
        };
        let failures = Failures::before(pod).total().saturating_add(1);
        let backoff = Backoff {
            failures: u32::try_from(failures).unwrap_or(0),
            last: finished_at(pod),
        };
        backoff.wait(now)
    }
}

/// Whether the failure of this pod is the last one its index may have (`isIndexFailed`).
fn is_final(job: &Job, pod: &Pod, limit: i32) -> bool {
    match policy::failure(job, pod) {
        Verdict::FailIndex => true,
        Verdict::Ignore => false,
        Verdict::Count | Verdict::FailJob(_) => Failures::before(pod).counted >= limit,
    }
}
