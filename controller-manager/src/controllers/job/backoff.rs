//! How long a job waits before it replaces a pod that failed (`pkg/controller/job/backoff_utils.go`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::common::pods;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// Failures in a row and when the last one happened; pods are created more and more slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) failures: u32,
    pub(crate) last: Option<Timestamp>,
}

impl Backoff {
    /// Takes in the pods that ended since: only failures after the last success count.
    pub(crate) fn after(self, succeeded: &[Timestamp], failed: &[Timestamp]) -> Self {
        let last_success = succeeded.iter().max();
        let before = if last_success.is_some() { Self::default() } else { self };
        let counted = || {
            failed
                .iter()
                .filter(|at| last_success.is_none_or(|success| *at > success))
        };
        Self {
            failures: before
                .failures
                .saturating_add(u32::try_from(counted().count()).unwrap_or(u32::MAX)),
            last: counted().max().copied().max(before.last),
        }
    }

    /// How long to wait before the next pod is created.
    pub(crate) fn wait(self, now: Timestamp) -> Duration {
        let (Some(last), Some(doublings)) = (self.last, self.failures.checked_sub(1)) else {
            return Duration::ZERO;
        };
        let delay = FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST);
        let passed = u64::try_from(now.as_millisecond() - last.as_millisecond()).unwrap_or(0);
        delay.saturating_sub(Duration::from_millis(passed))
    }
}

/// When a pod ended, as well as can be told: by its containers, by the time it stopped being ready, by its deletion.
pub(crate) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let ready = pods::condition(pod, "Ready").filter(|condition| condition.status == "False");
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let at = pod.metadata.deletion_timestamp.as_ref()?.0;
        at.checked_sub(SignedDuration::from_secs(grace)).ok()
    };
    containers_finished_at(pod)
        .or_else(|| Some(ready?.last_transition_time.as_ref()?.0))
        .or_else(deleted)
        .or_else(|| Some(pod.metadata.creation_timestamp.as_ref()?.0))
}

/// When the last container ended; nothing while one has not. Sidecars outlive the containers they serve.
fn containers_finished_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let is_sidecar = |name: &str| {
        let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        init.into_iter()
            .any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = status.init_container_statuses.iter().flatten();
    let sidecars = sidecars.filter(|status| is_sidecar(&status.name));
    let ended = |status: &ContainerStatus| Some(status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0);
    let all: Option<Vec<Timestamp>> = status
        .container_statuses
        .iter()
        .flatten()
        .chain(sidecars)
        .map(ended)
        .collect();
    all?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn failures_before_the_last_success_do_not_count() {
        let two = Backoff {
            failures: 2,
            last: Some(at(5)),
        };
        let table = [
            (vec![], vec![], 2, Some(5)),
            (vec![], vec![7, 6], 4, Some(7)),
            (vec![8], vec![], 0, None),
            (vec![8], vec![7, 9, 10], 2, Some(10)),
            (vec![8, 11], vec![7, 9, 10, 11], 0, None),
        ];
        for (succeeded, failed, failures, last) in table {
            let times = |list: &[i64]| list.iter().map(|second| at(*second)).collect::<Vec<_>>();
            let expected = Backoff {
                failures,
                last: last.map(at),
            };
            assert_eq!(
                two.after(&times(&succeeded), &times(&failed)),
                expected,
                "{succeeded:?} {failed:?}"
            );
        }
    }

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        let table = [(0, 0), (1, 7), (2, 17), (3, 37), (6, 317), (7, 597), (99, 597)];
        for (failures, seconds) in table {
            let backoff = Backoff {
                failures,
                last: Some(at(100)),
            };
            assert_eq!(
                backoff.wait(at(103)),
                Duration::from_secs(seconds),
                "{failures} failures"
            );
        }
    }

    #[test]
    fn the_end_of_a_pod_is_told_by_the_best_witness() {
        let container = |finished: Option<&str>| {
            let state = finished.map_or(
                json!({ "running": {} }),
                |at| json!({ "terminated": { "exitCode": 1, "finishedAt": at } }),
            );
            json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state })
        };
        let ready = json!([{ "type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:00:50Z" }]);
        let table = [
            (
                json!({ "containerStatuses": [container(Some("1970-01-01T00:00:30Z")), container(Some("1970-01-01T00:00:40Z"))],
                "conditions": ready }),
                false,
                40,
            ),
            (
                json!({ "containerStatuses": [container(Some("1970-01-01T00:00:30Z")), container(None)], "conditions": ready }),
                true,
                50,
            ),
            (json!({ "containerStatuses": [container(None)] }), true, 60),
            (json!({}), false, 10),
        ];
        for (status, deleted, seconds) in table {
            let mut pod: Pod = serde_json::from_value(
                json!({ "metadata": { "creationTimestamp": "1970-01-01T00:00:10Z" }, "status": status }),
            )
            .unwrap();
            if deleted {
                pod.metadata.deletion_grace_period_seconds = Some(30);
                pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(90)));
            }
            assert_eq!(finished_at(&pod), Some(at(seconds)), "{pod:?}");
        }
    }
}
