//! Which daemon pods to create and delete, in ordinary operation and during an update
//! (`pkg/controller/daemon/{daemon_controller,update}.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};

use super::node;
use crate::common::history::REVISION_LABEL;
use crate::common::intstr::scaled;
use crate::common::pods;

/// Most pods created or deleted in one go.
const BURST: usize = 250;

pub(crate) struct State<'a> {
    pub(crate) set: &'a DaemonSet,
    pub(crate) nodes: &'a [Arc<Node>],
    pub(crate) pods: &'a [Arc<Pod>],
    /// Hash of the wanted template.
    pub(crate) hash: &'a str,
    pub(crate) now: Timestamp,
}

/// Why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Surplus,
    Failed,
    Succeeded,
    Outdated,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Names of the nodes that need a pod.
    pub(crate) create: Vec<String>,
    pub(crate) delete: Vec<(Arc<Pod>, Why)>,
}

struct Limits {
    surge: usize,
    unavailable: usize,
}

fn is_rolling(set: &DaemonSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
}

/// Both limits round up; one of them is positive.
fn limits(set: &DaemonSet, desired: usize) -> Limits {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let rolling = strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .filter(|_| is_rolling(set));
    let total = i32::try_from(desired).unwrap_or(i32::MAX);
    let resolve = |value: Option<_>| usize::try_from(value.map_or(0, |value| scaled(value, total, true))).unwrap_or(0);
    let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()));
    let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()));
    if surge == 0 && unavailable == 0 {
        Limits { surge, unavailable: 1 }
    } else {
        Limits { surge, unavailable }
    }
}

/// The pods by the node they are on or meant for.
fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<String, Vec<&Arc<Pod>>> {
    let mut map: BTreeMap<String, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        map.entry(node::target(pod)).or_default().push(pod);
    }
    map
}

fn is_new(pod: &Pod, hash: &str) -> bool {
    pod.metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(REVISION_LABEL))
        .is_some_and(|label| label == hash)
}

fn min_ready(set: &DaemonSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

fn desired(state: &State<'_>) -> usize {
    state
        .nodes
        .iter()
        .filter(|node| node::should_run(state.set, node).0)
        .count()
}

pub(crate) fn plan(state: &State<'_>) -> Plan {
    let mut plan = Plan::default();
    let on_nodes = by_node(state.pods);
    let limits = limits(state.set, desired(state));
    for node in state.nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let here = on_nodes.get(name).map(Vec::as_slice).unwrap_or_default();
        manage(state, node, here, limits.surge > 0, &mut plan);
    }
    // Pods of nodes that do not exist are the pod garbage collector's, but those still to be scheduled there are ours.
    let known = |name: &str| {
        state
            .nodes
            .iter()
            .any(|node| node.metadata.name.as_deref() == Some(name))
    };
    for (name, here) in on_nodes.iter().filter(|(name, _)| !known(name)) {
        let unscheduled = here
            .iter()
            .filter(|pod| pods::node_name(pod).is_empty() && !name.is_empty());
        plan.delete.extend(
            unscheduled
                .filter(|pod| !pods::is_deleting(pod))
                .map(|pod| ((*pod).clone(), Why::Surplus)),
        );
    }
    if plan.create.is_empty() && plan.delete.is_empty() && is_rolling(state.set) {
        if limits.surge == 0 {
            replace(state, &on_nodes, limits.unavailable, &mut plan);
        } else {
            surge(state, &on_nodes, limits.surge, &mut plan);
        }
    }
    plan.create.truncate(BURST);
    plan.delete.truncate(BURST);
    plan
}

/// One node in ordinary operation (`podsShouldBeOnNode`).
fn manage(state: &State<'_>, node: &Node, here: &[&Arc<Pod>], surging: bool, plan: &mut Plan) {
    let (should_run, may_stay) = node::should_run(state.set, node);
    let name = node.metadata.name.clone().unwrap_or_default();
    if !may_stay {
        let staying = here.iter().filter(|pod| !pods::is_deleting(pod));
        plan.delete.extend(staying.map(|pod| ((*pod).clone(), Why::Surplus)));
        return;
    }
    if here.is_empty() {
        if should_run {
            plan.create.push(name);
        }
        return;
    }
    let mut running: Vec<&Arc<Pod>> = Vec::new();
    for pod in here.iter().filter(|pod| !pods::is_deleting(pod)) {
        match pods::phase(pod) {
            "Failed" => plan.delete.push(((*pod).clone(), Why::Failed)),
            "Succeeded" => plan.delete.push(((*pod).clone(), Why::Succeeded)),
            _ => running.push(pod),
        }
    }
    // The oldest one that is furthest stays; with surge an old and a new one may live side by side.
    running.sort_by_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (pods::node_name(pod).is_empty(), created, pod.metadata.name.clone())
    });
    if !surging {
        plan.delete
            .extend(running.into_iter().skip(1).map(|pod| (pod.clone(), Why::Surplus)));
        return;
    }
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = running.into_iter().partition(|pod| is_new(pod, state.hash));
    let new_available = new
        .first()
        .is_some_and(|pod| pods::is_available(pod, min_ready(state.set), state.now));
    let keep_old = usize::from(!new_available);
    plan.delete
        .extend(old.into_iter().skip(keep_old).map(|pod| (pod.clone(), Why::Outdated)));
    plan.delete
        .extend(new.into_iter().skip(1).map(|pod| (pod.clone(), Why::Surplus)));
}

/// The live pods of a node, new and old.
fn split<'a>(here: &[&'a Arc<Pod>], hash: &str) -> (Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>) {
    let live = || here.iter().copied().filter(|pod| !pods::is_deleting(pod));
    (
        live().find(|pod| is_new(pod, hash)),
        live().find(|pod| !is_new(pod, hash)),
    )
}

/// An update without surge: old pods go first, as many as may be unavailable at once.
fn replace(state: &State<'_>, on_nodes: &BTreeMap<String, Vec<&Arc<Pod>>>, most: usize, plan: &mut Plan) {
    let available = |pod: &Pod| pods::is_available(pod, min_ready(state.set), state.now);
    let mut unavailable = 0;
    let mut candidates = Vec::new();
    for node in state.nodes.iter().filter(|node| node::should_run(state.set, node).0) {
        let here = on_nodes.get(node.metadata.name.as_deref().unwrap_or_default());
        match split(here.map(Vec::as_slice).unwrap_or_default(), state.hash) {
            (Some(new), None) if available(new) => {}
            (None, Some(old)) if available(old) => candidates.push(old),
            // It serves nobody, so replacing it costs nothing.
            (None, Some(old)) => {
                unavailable += 1;
                plan.delete.push((old.clone(), Why::Outdated));
            }
            _ => unavailable += 1,
        }
    }
    let room = most.saturating_sub(unavailable);
    plan.delete.extend(
        candidates
            .into_iter()
            .take(room)
            .map(|pod| (pod.clone(), Why::Outdated)),
    );
}

/// An update with surge: new pods come first, as many as there may be in addition.
fn surge(state: &State<'_>, on_nodes: &BTreeMap<String, Vec<&Arc<Pod>>>, most: usize, plan: &mut Plan) {
    let available = |pod: &Pod| pods::is_available(pod, min_ready(state.set), state.now);
    let mut surging = 0;
    let mut candidates = Vec::new();
    for node in state.nodes.iter().filter(|node| node::should_run(state.set, node).0) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let here = on_nodes.get(&name).map(Vec::as_slice).unwrap_or_default();
        match split(here, state.hash) {
            (Some(new), Some(_)) if !available(new) => surging += 1,
            (None, Some(old)) if !available(old) => plan.create.push(name),
            (None, Some(_)) => candidates.push(name),
            _ => {}
        }
    }
    let room = most.saturating_sub(surging);
    plan.create.extend(candidates.into_iter().take(room));
}

/// The status of the set (`updateDaemonSetStatus`).
pub(crate) fn status(state: &State<'_>, collisions: Option<i32>) -> DaemonSetStatus {
    let on_nodes = by_node(state.pods);
    let mut status = DaemonSetStatus {
        observed_generation: state.set.metadata.generation,
        collision_count: collisions,
        conditions: state.set.status.as_ref().and_then(|status| status.conditions.clone()),
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for node in state.nodes {
        let (should_run, _) = node::should_run(state.set, node);
        let here = on_nodes.get(node.metadata.name.as_deref().unwrap_or_default());
        let mut here: Vec<&Arc<Pod>> = here.map(Vec::as_slice).unwrap_or_default().to_vec();
        if !should_run {
            status.number_misscheduled += i32::from(!here.is_empty());
            continue;
        }
        status.desired_number_scheduled += 1;
        here.sort_by_key(|pod| {
            pod.metadata
                .creation_timestamp
                .as_ref()
                .map(|time| std::cmp::Reverse(time.0))
        });
        let Some(newest) = here.first() else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(here.iter().any(|pod| pods::is_ready(pod)));
        available += i32::from(
            here.iter()
                .any(|pod| pods::is_available(pod, min_ready(state.set), state.now)),
        );
        updated += i32::from(is_new(newest, state.hash));
    }
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    status.updated_number_scheduled = positive(updated);
    status.number_available = positive(available);
    status.number_unavailable = positive(status.desired_number_scheduled - available);
    status
}
