//! The plugins, one line each, in the order in which they are asked.

mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;
#[cfg(test)]
mod tests;

use crate::cache::{NodeInfo, Snapshot};
use crate::pod::PodInfo;

/// What one attempt works with; computed once, read for every node.
pub(crate) struct Cycle<'a> {
    pub(crate) pod: &'a PodInfo,
    affinity: inter_pod_affinity::Prepared,
    spread: pod_topology_spread::Prepared,
}

impl<'a> Cycle<'a> {
    pub(crate) fn new(pod: &'a PodInfo, snapshot: &Snapshot) -> Self {
        let affinity = inter_pod_affinity::prepare(pod, snapshot);
        let spread = pod_topology_spread::prepare(pod, snapshot);
        Self { pod, affinity, spread }
    }
}

/// Nothing, or upstream's words for why the node cannot run the pod.
pub(crate) type Verdict = Result<(), Vec<String>>;

/// How raw scores become 0 to 100.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// They are already.
    Percent,
    /// The highest becomes 100.
    HighestIsBest,
    /// The highest becomes 0.
    LowestIsBest,
}

/// How a plugin ranks nodes.
pub(crate) struct Score {
    /// As in upstream's default configuration.
    pub(crate) weight: i64,
    pub(crate) scale: Scale,
    pub(crate) of: fn(&Cycle<'_>, &NodeInfo) -> i64,
}

/// One plugin.
pub(crate) struct Plugin {
    /// Upstream's name.
    pub(crate) name: &'static str,
    pub(crate) filter: Option<fn(&Cycle<'_>, &NodeInfo) -> Verdict>,
    pub(crate) score: Option<Score>,
}

const fn plugin(
    name: &'static str,
    filter: Option<fn(&Cycle<'_>, &NodeInfo) -> Verdict>,
    score: Option<Score>,
) -> Plugin {
    Plugin { name, filter, score }
}

const fn score(weight: i64, scale: Scale, of: fn(&Cycle<'_>, &NodeInfo) -> i64) -> Option<Score> {
    Some(Score { weight, scale, of })
}

/// All plugins; a node that one of them refuses is not shown to the next ones.
pub(crate) const PLUGINS: &[Plugin] = &[
    plugin("NodeUnschedulable", Some(node_unschedulable::filter), None),
    plugin("NodeName", Some(node_name::filter), None),
    plugin(
        "TaintToleration",
        Some(taint_toleration::filter),
        score(3, Scale::LowestIsBest, taint_toleration::score),
    ),
    plugin(
        "NodeAffinity",
        Some(node_affinity::filter),
        score(2, Scale::HighestIsBest, node_affinity::score),
    ),
    plugin("NodePorts", Some(node_ports::filter), None),
    plugin(
        "NodeResourcesFit",
        Some(node_resources::filter),
        score(1, Scale::Percent, node_resources::least_allocated),
    ),
    plugin(
        "NodeResourcesBalancedAllocation",
        None,
        score(1, Scale::Percent, node_resources::balanced),
    ),
    plugin(
        "PodTopologySpread",
        Some(pod_topology_spread::filter),
        score(2, Scale::LowestIsBest, pod_topology_spread::score),
    ),
    plugin(
        "InterPodAffinity",
        Some(inter_pod_affinity::filter),
        score(2, Scale::HighestIsBest, inter_pod_affinity::score),
    ),
];

/// The list of plugins for `--help`.
pub(crate) fn help() -> String {
    let names: Vec<&str> = PLUGINS.iter().map(|plugin| plugin.name).collect();
    format!("Plugins: {}", names.join(", "))
}

fn refuse(reason: &str) -> Verdict {
    Err(vec![reason.to_owned()])
}
