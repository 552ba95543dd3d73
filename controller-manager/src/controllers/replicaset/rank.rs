//! Which pods go first when there are too many (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::common::pods;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that are missed least. `related` are the active pods that share nodes with them.
pub(crate) fn victims(
    mut candidates: Vec<Arc<Pod>>,
    related: &[Arc<Pod>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related {
        *on_node.entry(pods::node_name(pod)).or_default() += 1;
    }
    let neighbours = |pod: &Pod| on_node.get(pods::node_name(pod)).copied().unwrap_or(0);
    candidates.sort_by(|a, b| order(a, b, neighbours(a), neighbours(b), now));
    candidates.truncate(count);
    candidates
}

/// `Less` when `a` goes first.
pub(crate) fn order(a: &Pod, b: &Pod, a_neighbours: usize, b_neighbours: usize, now: Timestamp) -> Ordering {
    let unassigned = |pod: &Pod| pods::node_name(pod).is_empty();
    let by_ready_time = || {
        if pods::is_ready(a) && pods::is_ready(b) {
            younger_first(pods::ready_since(a), pods::ready_since(b), a, b, now)
        } else {
            Ordering::Equal
        }
    };
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    // Each line only decides what the lines before it left open.
    unassigned(b)
        .cmp(&unassigned(a))
        .then_with(|| phase_rank(a).cmp(&phase_rank(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| b_neighbours.cmp(&a_neighbours))
        .then_with(by_ready_time)
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| younger_first(created(a), created(b), a, b, now))
}

fn phase_rank(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

fn cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(DELETION_COST)?.parse().ok())
        .unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .map(|status| status.restart_count)
        .max()
        .unwrap_or(0)
}

/// Younger pods go first, but ages of the same power of two count as the same, and then the UID decides: so not always the
/// youngest of a burst are hit.
fn younger_first(a: Option<Timestamp>, b: Option<Timestamp>, a_pod: &Pod, b_pod: &Pod, now: Timestamp) -> Ordering {
    match (a, b) {
        (a, b) if a == b => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a), Some(b)) => magnitude(a, now)
            .cmp(&magnitude(b, now))
            .then_with(|| a_pod.metadata.uid.cmp(&b_pod.metadata.uid)),
    }
}

/// The binary logarithm of an age in nanoseconds, -1 when it is not positive.
fn magnitude(since: Timestamp, now: Timestamp) -> i64 {
    u128::try_from(now.as_nanosecond() - since.as_nanosecond())
        .ok()
        .and_then(u128::checked_ilog2)
        .map_or(-1, i64::from)
}
