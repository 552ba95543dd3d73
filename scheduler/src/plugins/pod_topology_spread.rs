//! Pods of a kind spread evenly over the domains of a topology.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use kube::core::{Selector, SelectorExt};

use super::{Cycle, Verdict, node_affinity, refuse, taint_toleration};
use crate::cache::{NodeInfo, Snapshot};
use crate::pod::PodInfo;

/// One constraint with the matching pods by value of its topology key.
struct Counted {
    key: String,
    max_skew: i64,
    min_domains: usize,
    counts: HashMap<String, i64>,
    /// Whether the pod itself would count.
    counts_itself: bool,
}

impl Counted {
    /// The fewest pods of any domain; zero as long as there are fewer domains than asked for.
    fn minimum(&self) -> i64 {
        if self.counts.len() < self.min_domains {
            return 0;
        }
        self.counts.values().copied().min().unwrap_or(0)
    }
}

#[derive(Default)]
pub(crate) struct Prepared {
    hard: Vec<Counted>,
    soft: Vec<Counted>,
}

pub(crate) fn prepare(pod: &PodInfo, snapshot: &Snapshot) -> Prepared {
    let (hard, soft): (Vec<_>, Vec<_>) = pod
        .spread
        .iter()
        .partition(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
    let count_all = |constraints: &[&TopologySpreadConstraint]| {
        constraints
            .iter()
            .map(|constraint| count(pod, constraint, constraints, snapshot))
            .collect()
    };
    Prepared {
        hard: count_all(&hard),
        soft: count_all(&soft),
    }
}

fn count(
    pod: &PodInfo,
    constraint: &TopologySpreadConstraint,
    together: &[&TopologySpreadConstraint],
    snapshot: &Snapshot,
) -> Counted {
    let selector = selector(pod, constraint);
    let matches =
        |labels: &BTreeMap<String, String>| selector.as_ref().is_some_and(|selector| selector.matches(labels));
    let mut counts: HashMap<String, i64> = HashMap::new();
    for node in &snapshot.nodes {
        let eligible =
            together.iter().all(|one| node.label(&one.topology_key).is_some()) && is_counted(pod, constraint, node);
        let Some(value) = node.label(&constraint.topology_key).filter(|_| eligible) else {
            continue;
        };
        let same = node
            .pods
            .iter()
            .filter(|other| other.namespace == pod.namespace && !other.deleting && matches(&other.labels));
        *counts.entry(value.to_owned()).or_default() += i64::try_from(same.count()).unwrap_or(i64::MAX);
    }
    Counted {
        key: constraint.topology_key.clone(),
        max_skew: i64::from(constraint.max_skew),
        min_domains: constraint
            .min_domains
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        counts,
        counts_itself: matches(&pod.labels),
    }
}

/// The constraint's selector with the pod's own values of `matchLabelKeys`.
fn selector(pod: &PodInfo, constraint: &TopologySpreadConstraint) -> Option<Selector> {
    let mut selector = constraint.label_selector.clone()?;
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = pod.labels.get(key) {
            selector
                .match_labels
                .get_or_insert_default()
                .insert(key.clone(), value.clone());
        }
    }
    Selector::try_from(selector).ok()
}

/// Whether the constraint's policies let the node's pods count: by default its affinity does and its taints do not matter.
fn is_counted(pod: &PodInfo, constraint: &TopologySpreadConstraint, node: &NodeInfo) -> bool {
    let honors = |policy: &Option<String>, default: bool| policy.as_deref().map_or(default, |policy| policy == "Honor");
    let affinity = !honors(&constraint.node_affinity_policy, true) || node_affinity::admits(pod, node);
    let taints = !honors(&constraint.node_taints_policy, false) || taint_toleration::admits(pod, node);
    affinity && taints
}

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    for constraint in &cycle.spread.hard {
        let Some(value) = node.label(&constraint.key) else {
            return refuse("node(s) didn't match pod topology spread constraints (missing required label)");
        };
        let here = constraint.counts.get(value).copied().unwrap_or(0) + i64::from(constraint.counts_itself);
        if here - constraint.minimum() > constraint.max_skew {
            return refuse("node(s) didn't match pod topology spread constraints");
        }
    }
    Ok(())
}

/// How many pods of the kind are in the node's domains.
pub(crate) fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let here = |constraint: &Counted| match node.label(&constraint.key) {
        Some(value) => constraint.counts.get(value).copied().unwrap_or(0),
        None => constraint.counts.values().copied().max().unwrap_or(0),
    };
    cycle.spread.soft.iter().map(here).sum()
}
