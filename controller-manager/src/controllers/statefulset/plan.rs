//! The next step of a stateful set: pods in order of their ordinals, or all at once
//! (`pkg/controller/statefulset/stateful_set_control.go`).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::identity::{POD_INDEX_LABEL, POD_NAME_LABEL, new_pod, ordinal, pod_name, replicas, revision, start_ordinal};
use crate::common::intstr::scaled;
use crate::common::pods;

pub(crate) struct State<'a> {
    pub(crate) set: &'a StatefulSet,
    pub(crate) pods: &'a [Arc<Pod>],
    /// The set with the template its running pods came from.
    pub(crate) current_set: &'a StatefulSet,
    pub(crate) current_revision: &'a str,
    pub(crate) update_revision: &'a str,
    pub(crate) collisions: Option<i32>,
    pub(crate) now: Timestamp,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Create the pod, and its claims before it.
    Create {
        pod: Box<Pod>,
        ordinal: i32,
    },
    /// A pod that ended makes room for its successor.
    Restart(Arc<Pod>),
    Delete(Arc<Pod>),
    /// Give the pod the labels of its identity back.
    Relabel(Arc<Pod>),
    /// See to the claims of a pod that stays or goes.
    Claims {
        pod: Arc<Pod>,
        ordinal: i32,
        condemned: bool,
    },
}

#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) status: StatefulSetStatus,
}

/// A place for a pod.
struct Slot {
    ordinal: i32,
    pod: Option<Arc<Pod>>,
}

struct View<'a> {
    state: &'a State<'a>,
    min_ready: i32,
}

impl View<'_> {
    fn is_available(&self, pod: &Pod) -> bool {
        is_running_and_ready(pod) && pods::is_available(pod, self.min_ready, self.state.now)
    }
}

fn is_created(pod: &Pod) -> bool {
    !pods::phase(pod).is_empty()
}

fn is_running_and_ready(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

fn is_healthy(pod: &Pod) -> bool {
    is_running_and_ready(pod) && !pods::is_deleting(pod)
}

fn strategy(
    set: &StatefulSet,
) -> (
    bool,
    i32,
    Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>,
) {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
    (
        on_delete,
        partition,
        rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
    )
}

pub(crate) fn plan(state: &State<'_>) -> Plan {
    let set = state.set;
    let view = View {
        state,
        min_ready: set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0),
    };
    let mut actions = Vec::new();
    if set.metadata.deletion_timestamp.is_none() {
        steps(&view, &mut actions);
    }
    Plan {
        status: status(&view),
        actions,
    }
}

fn steps(view: &View<'_>, actions: &mut Vec<Action>) {
    let set = view.state.set;
    let first = start_ordinal(set);
    let wanted = first..first.saturating_add(replicas(set));
    let mut slots: Vec<Slot> = wanted.clone().map(|ordinal| Slot { ordinal, pod: None }).collect();
    let mut condemned: Vec<(i32, Arc<Pod>)> = Vec::new();
    for pod in view.state.pods {
        let Some(ordinal) = ordinal(set, pod) else { continue };
        match usize::try_from(ordinal - first)
            .ok()
            .and_then(|index| slots.get_mut(index))
        {
            Some(slot) => slot.pod = Some(pod.clone()),
            None => condemned.push((ordinal, pod.clone())),
        }
    }
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    let policy = set.spec.as_ref().and_then(|spec| spec.pod_management_policy.as_deref());
    let in_order = policy != Some("Parallel");

    for slot in &slots {
        if !fill(view, slot, actions) && in_order {
            return;
        }
    }
    // The lowest pod that is not well: while there is one, only it may be scaled away.
    let all = slots
        .iter()
        .filter_map(|slot| slot.pod.as_ref().map(|pod| (slot.ordinal, pod)));
    let all = all.chain(condemned.iter().map(|(ordinal, pod)| (*ordinal, pod)));
    let first_unhealthy = all
        .filter(|(_, pod)| !is_healthy(pod))
        .min_by_key(|(ordinal, _)| *ordinal)
        .map(|(_, pod)| pod);
    for (ordinal, pod) in &condemned {
        if pods::is_deleting(pod) {
            if in_order {
                return;
            }
            continue;
        }
        let unwell = !is_running_and_ready(pod) || !view.is_available(pod);
        if in_order && unwell && first_unhealthy.is_some_and(|first| !Arc::ptr_eq(first, pod)) {
            return;
        }
        actions.push(Action::Claims {
            pod: pod.clone(),
            ordinal: *ordinal,
            condemned: true,
        });
        actions.push(Action::Delete(pod.clone()));
        if in_order {
            return;
        }
    }
    // A step of the update is taken only when there was nothing else to do.
    let busy = actions
        .iter()
        .any(|action| !matches!(action, Action::Claims { .. } | Action::Relabel(_)));
    if !busy {
        update(view, &slots, actions);
    }
}

/// Sees to one place; whether the next one may be seen to (`processReplica`).
fn fill(view: &View<'_>, slot: &Slot, actions: &mut Vec<Action>) -> bool {
    let Some(pod) = &slot.pod else {
        actions.push(Action::Create {
            pod: Box::new(versioned_pod(view, slot.ordinal)),
            ordinal: slot.ordinal,
        });
        return false;
    };
    if pods::is_terminal(pod) {
        if !pods::is_deleting(pod) {
            actions.push(Action::Restart(pod.clone()));
        }
        return false;
    }
    if pods::is_deleting(pod) {
        return false;
    }
    if !has_identity(view.state.set, pod, slot.ordinal) {
        actions.push(Action::Relabel(pod.clone()));
    }
    actions.push(Action::Claims {
        pod: pod.clone(),
        ordinal: slot.ordinal,
        condemned: false,
    });
    is_running_and_ready(pod) && view.is_available(pod)
}

fn has_identity(set: &StatefulSet, pod: &Pod, ordinal: i32) -> bool {
    let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    label(POD_NAME_LABEL) == Some(&pod_name(set, ordinal)) && label(POD_INDEX_LABEL) == Some(&ordinal.to_string())
}

/// A pod below the partition keeps the old template (`newVersionedStatefulSetPod`).
fn versioned_pod(view: &View<'_>, ordinal: i32) -> Pod {
    let State {
        set,
        current_set,
        current_revision,
        update_revision,
        ..
    } = view.state;
    let (on_delete, partition, _) = strategy(set);
    let first = start_ordinal(set);
    let has_partition = set
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref()?.rolling_update.as_ref()?.partition)
        .is_some();
    let kept = if has_partition {
        partition
    } else {
        set.status
            .as_ref()
            .and_then(|status| status.current_replicas)
            .unwrap_or(0)
    };
    if !on_delete && ordinal < first.saturating_add(kept) {
        new_pod(current_set, ordinal, current_revision)
    } else {
        new_pod(set, ordinal, update_revision)
    }
}

/// Replaces old pods, the highest ordinal first.
fn update(view: &View<'_>, slots: &[Slot], actions: &mut Vec<Action>) {
    let (on_delete, partition, max_unavailable) = strategy(view.state.set);
    if on_delete {
        return;
    }
    let unavailable = |pod: &Arc<Pod>| !is_healthy(pod) || !view.is_available(pod);
    let most = max_unavailable
        .map_or(1, |value| scaled(value, replicas(view.state.set), false))
        .max(1);
    let mut room = usize::try_from(most).unwrap_or(1);
    let down = slots
        .iter()
        .filter(|slot| slot.pod.as_ref().is_none_or(unavailable))
        .count();
    room = room.saturating_sub(down);
    let from = usize::try_from(partition).unwrap_or(0).min(slots.len());
    for slot in slots[from..].iter().rev() {
        let Some(pod) = &slot.pod else { return };
        if revision(pod) != view.state.update_revision && !pods::is_deleting(pod) {
            let was_down = unavailable(pod);
            if !was_down && room == 0 {
                return;
            }
            actions.push(Action::Delete(pod.clone()));
            if most == 1 {
                return;
            }
            if !was_down {
                room -= 1;
            }
        } else if most == 1 && unavailable(pod) {
            // The one before has to be well again first.
            return;
        }
    }
}

/// The status that the pods add up to, with the revision moved on when the update is through.
fn status(view: &View<'_>) -> StatefulSetStatus {
    let State {
        set,
        pods: all,
        current_revision,
        update_revision,
        collisions,
        ..
    } = view.state;
    let old = set.status.clone().unwrap_or_default();
    let count =
        |test: &dyn Fn(&Pod) -> bool| i32::try_from(all.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX);
    let of = |wanted: &str| count(&|pod| is_created(pod) && !pods::is_deleting(pod) && revision(pod) == wanted);
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    let total = count(&is_created);
    let ready = count(&is_running_and_ready);
    let updated = of(update_revision);
    let (mut current, mut current_name) = (of(current_revision), (*current_revision).to_owned());
    let (on_delete, ..) = strategy(set);
    if !on_delete && updated == total && ready == total && updated == replicas(set) {
        (current, current_name) = (updated, (*update_revision).to_owned());
    }
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: total,
        ready_replicas: positive(ready),
        available_replicas: Some(count(&|pod| view.is_available(pod))),
        current_replicas: positive(current),
        updated_replicas: positive(updated),
        current_revision: Some(current_name),
        update_revision: Some((*update_revision).to_owned()),
        collision_count: *collisions,
        conditions: old.conditions,
    }
}
