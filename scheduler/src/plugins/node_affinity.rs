//! Node selector and node affinity.

use super::{Cycle, Verdict, refuse};
use crate::cache::NodeInfo;
use crate::pod::PodInfo;
use crate::terms::node_matches_term;

/// Whether the pod's selector and required affinity admit the node.
pub(crate) fn admits(pod: &PodInfo, node: &NodeInfo) -> bool {
    let selected = pod
        .node_selector
        .iter()
        .all(|(key, value)| node.label(key) == Some(value));
    let required = pod
        .node_affinity
        .as_ref()
        .and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|it| it.node_selector_terms.iter().any(|term| node_matches_term(term, node)))
}

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    if admits(cycle.pod, node) {
        return Ok(());
    }
    refuse("node(s) didn't match Pod's node affinity/selector")
}

/// The weights of the preferences the node meets.
pub(crate) fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let affinity = cycle.pod.node_affinity.as_ref();
    let preferred = affinity.and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
    let met = preferred
        .into_iter()
        .flatten()
        .filter(|term| node_matches_term(&term.preference, node));
    met.map(|term| i64::from(term.weight)).sum()
}
