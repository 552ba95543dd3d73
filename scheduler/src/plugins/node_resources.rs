//! Requests have to fit into what the node has left; emptier and evenly used nodes are better.

use super::{Cycle, Verdict};
use crate::cache::NodeInfo;

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    let mut reasons = Vec::new();
    let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
    if pods >= node.allocatable.get("pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (name, wanted) in &cycle.pod.requests.0 {
        let free = node.allocatable.get(name).saturating_sub(node.requested.get(name));
        if *wanted > 0 && *wanted > free {
            reasons.push(format!("Insufficient {name}"));
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// CPU and memory in use were the pod here, as shares of what the node has.
fn usage(cycle: &Cycle<'_>, node: &NodeInfo) -> Vec<(i64, i64)> {
    let of = |name: &str| {
        let used = node
            .assumed_requested
            .get(name)
            .saturating_add(cycle.pod.assumed_requests.get(name));
        (used, node.allocatable.get(name))
    };
    ["cpu", "memory"]
        .map(of)
        .into_iter()
        .filter(|(_, capacity)| *capacity > 0)
        .collect()
}

/// The free share in percent (`LeastAllocated`).
pub(crate) fn least_allocated(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let usage = usage(cycle, node);
    let free = |(used, capacity): &(i64, i64)| {
        let free = i128::from((*capacity - *used).max(0)) * 100 / i128::from(*capacity);
        i64::try_from(free).unwrap_or(0)
    };
    let count = i64::try_from(usage.len()).unwrap_or(1).max(1);
    usage.iter().map(free).sum::<i64>() / count
}

/// How similar the shares are (`balancedResourceScorer`).
pub(crate) fn balanced(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let usage = usage(cycle, node);
    let share = |(used, capacity): &(i64, i64)| (*used as f64 / *capacity as f64).min(1.0);
    let deviation = match usage.iter().map(share).collect::<Vec<_>>().as_slice() {
        [cpu, memory] => ((cpu - memory) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * 100.0) as i64
}
