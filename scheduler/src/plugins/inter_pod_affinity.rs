//! Pods that want to be near or far from other pods.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::PodAffinityTerm;

use super::{Cycle, Verdict, refuse};
use crate::cache::{NodeInfo, Snapshot};
use crate::pod::PodInfo;
use crate::terms::pod_matches_term;

/// A label key of nodes with a value of it.
type Domain = (String, String);

/// Where the pods are that matter for this pod.
#[derive(Default)]
pub(crate) struct Prepared {
    /// For each required affinity term, the domains with a pod it wants to be near.
    near: Vec<HashSet<Domain>>,
    /// Whether the pod itself satisfies all its affinity terms: then it may be the first of its kind.
    matches_itself: bool,
    /// Domains with pods this pod wants to be far from.
    far: HashSet<Domain>,
    /// Domains with pods that want this pod to be far.
    unwanted: HashSet<Domain>,
    /// The weights of preferences by domain.
    preferences: HashMap<Domain, i64>,
}

fn required_affinity(pod: &PodInfo) -> &[PodAffinityTerm] {
    let affinity = pod.pod_affinity.as_ref();
    affinity
        .and_then(|it| it.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

fn required_anti_affinity(pod: &PodInfo) -> &[PodAffinityTerm] {
    let affinity = pod.pod_anti_affinity.as_ref();
    affinity
        .and_then(|it| it.required_during_scheduling_ignored_during_execution.as_deref())
        .unwrap_or_default()
}

/// The preferred terms with their weights, negative for anti-affinity.
fn preferred(pod: &PodInfo) -> Vec<(i64, &PodAffinityTerm)> {
    let near = pod
        .pod_affinity
        .as_ref()
        .and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = pod
        .pod_anti_affinity
        .as_ref()
        .and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
    let near = near
        .into_iter()
        .flatten()
        .map(|term| (i64::from(term.weight), &term.pod_affinity_term));
    let far = far
        .into_iter()
        .flatten()
        .map(|term| (-i64::from(term.weight), &term.pod_affinity_term));
    near.chain(far).collect()
}

fn domain(node: &NodeInfo, key: &str) -> Option<Domain> {
    node.label(key).map(|value| (key.to_owned(), value.to_owned()))
}

/// The weight of a required term of a pod that is already there (`HardPodAffinityWeight`).
const HARD_WEIGHT: i64 = 1;

pub(crate) fn prepare(pod: &PodInfo, snapshot: &Snapshot) -> Prepared {
    let near_terms = required_affinity(pod);
    let far_terms = required_anti_affinity(pod);
    let soft_terms = preferred(pod);
    let mut prepared = Prepared {
        near: vec![HashSet::new(); near_terms.len()],
        matches_itself: near_terms.iter().all(|term| pod_matches_term(term, pod, pod, snapshot)),
        ..Prepared::default()
    };
    for node in &snapshot.nodes {
        for other in &node.pods {
            // A term of ours that means the other pod, or one of the other pod's that means us.
            let ours = |term: &PodAffinityTerm| pod_matches_term(term, pod, other, snapshot);
            let theirs = |term: &PodAffinityTerm| pod_matches_term(term, other, pod, snapshot);
            for (domains, term) in prepared.near.iter_mut().zip(near_terms) {
                if ours(term) {
                    domains.extend(domain(node, &term.topology_key));
                }
            }
            for term in far_terms.iter().filter(|term| ours(term)) {
                prepared.far.extend(domain(node, &term.topology_key));
            }
            for term in required_anti_affinity(other).iter().filter(|term| theirs(term)) {
                prepared.unwanted.extend(domain(node, &term.topology_key));
            }
            let wanted_by_us = soft_terms.iter().filter(|(_, term)| ours(term)).copied();
            let soft_of_other = preferred(other);
            let wanted_by_other = soft_of_other.iter().filter(|(_, term)| theirs(term)).copied();
            let needed_by_other = required_affinity(other)
                .iter()
                .filter(|term| theirs(term))
                .map(|term| (HARD_WEIGHT, term));
            for (weight, term) in wanted_by_us.chain(wanted_by_other).chain(needed_by_other) {
                if let Some(domain) = domain(node, &term.topology_key) {
                    *prepared.preferences.entry(domain).or_default() += weight;
                }
            }
        }
    }
    prepared
}

pub(crate) fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Verdict {
    let prepared = &cycle.affinity;
    let terms = required_affinity(cycle.pod);
    let has_keys = terms.iter().all(|term| node.label(&term.topology_key).is_some());
    let near = terms
        .iter()
        .zip(&prepared.near)
        .all(|(term, domains)| domain(node, &term.topology_key).is_some_and(|domain| domains.contains(&domain)));
    let first_of_its_kind = prepared.matches_itself && prepared.near.iter().all(HashSet::is_empty);
    if !has_keys || !(near || first_of_its_kind) {
        return refuse("node(s) didn't match pod affinity rules");
    }
    let touches = |domains: &HashSet<Domain>| domains.iter().any(|(key, value)| node.label(key) == Some(value));
    if touches(&prepared.far) {
        return refuse("node(s) didn't match pod anti-affinity rules");
    }
    if touches(&prepared.unwanted) {
        return refuse("node(s) didn't satisfy existing pods anti-affinity rules");
    }
    Ok(())
}

pub(crate) fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let preferences = cycle.affinity.preferences.iter();
    preferences
        .filter(|((key, value), _)| node.label(key) == Some(value))
        .map(|(_, weight)| weight)
        .sum()
}
