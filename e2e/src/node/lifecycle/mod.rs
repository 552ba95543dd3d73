//! The life of a pod on a node, as a function: what the pod looks like now -> what it looks like next.
//!
//! Everything a simulated kubelet remembers is in the pod's own status, so a restarted node carries on where it was. The
//! rules are the kubelet's (pkg/kubelet/kubelet_pods.go `getPhase`, pkg/kubelet/status/generate.go).

mod conditions;
mod container;
mod phase;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::shell::End;
pub use container::Notice;

/// What a container's main program does, reduced to what its status can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// From start to end.
    pub duration: Duration,
    /// How it ends after that.
    pub end: End,
}

/// Objects a pod needs and does not find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// One sentence per volume that cannot be mounted: no container starts.
    pub volumes: Vec<String>,
    /// Container name -> why its environment cannot be built: that container does not start.
    pub environment: BTreeMap<String, String>,
}

/// What the node knows besides the pod itself.
pub struct Surroundings<'a> {
    /// Address of the node.
    pub host_ip: &'a str,
    /// Address of the pod.
    pub pod_ip: &'a str,
    /// What stands in the way of starting.
    pub missing: &'a Missing,
    /// The main program of every container by name.
    pub programs: &'a BTreeMap<String, Program>,
    /// The clock.
    pub now: Timestamp,
}

/// What to do with the pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing changes.
    Keep,
    /// Write this status.
    Write(Box<PodStatus>),
    /// All containers have stopped and the pod is to go: delete it without grace.
    Remove,
}

/// The next step of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// What to do.
    pub step: Step,
    /// What to tell users, in order.
    pub notices: Vec<Notice>,
    /// When to look again even if nothing changes.
    pub wake: Option<Duration>,
}

/// How often a pod that lacks something is looked at again.
const RETRY: Duration = Duration::from_secs(2);

/// Computes the next step of `pod`.
pub fn advance(pod: &Pod, around: &Surroundings<'_>) -> Advance {
    let (Some(spec), status) = (&pod.spec, pod.status.clone().unwrap_or_default()) else {
        return Advance {
            step: Step::Keep,
            notices: Vec::new(),
            wake: None,
        };
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return terminate(pod, spec, status, around);
    }
    if phase::is_final(&status) {
        return Advance {
            step: Step::Keep,
            notices: Vec::new(),
            wake: None,
        };
    }
    let mut next = admitted(pod, spec, status.clone(), around);
    let mut walk = container::Walk::new(pod, around);
    if status.start_time.is_none() {
        // The kubelet reports a pod it has just accepted before it starts anything.
        container::initialise(spec, &mut next);
        walk.wake(Duration::ZERO);
    } else if around.missing.volumes.is_empty() {
        next.pod_ip = Some(around.pod_ip.to_string());
        next.pod_ips = Some(vec![PodIP {
            ip: around.pod_ip.to_string(),
        }]);
        walk.all(spec, &mut next);
    } else {
        around
            .missing
            .volumes
            .iter()
            .for_each(|why| walk.warn("FailedMount", why.clone(), None));
        walk.wake(RETRY);
    }
    finish(pod, spec, status, next, walk, around)
}

/// Stops what runs; once nothing does, the pod can go.
fn terminate(pod: &Pod, spec: &PodSpec, status: PodStatus, around: &Surroundings<'_>) -> Advance {
    let mut next = status.clone();
    let mut walk = container::Walk::new(pod, around);
    walk.stop(spec, &mut next);
    if walk.notices.is_empty() {
        return Advance {
            step: Step::Remove,
            notices: Vec::new(),
            wake: None,
        };
    }
    walk.wake(Duration::ZERO);
    finish(pod, spec, status, next, walk, around)
}

fn finish(
    pod: &Pod,
    spec: &PodSpec,
    old: PodStatus,
    mut next: PodStatus,
    mut walk: container::Walk<'_>,
    around: &Surroundings<'_>,
) -> Advance {
    let deleting = pod.metadata.deletion_timestamp.is_some();
    next.phase = Some(phase::of(spec, &next, deleting).to_string());
    if phase::is_final(&next) {
        // Sidecars outlive the containers they serve only as long as one of those can come back.
        walk.stop(spec, &mut next);
    }
    next.observed_generation = pod.metadata.generation;
    conditions::update(pod, spec, &mut next, around.now);
    let step = if next == old {
        Step::Keep
    } else {
        Step::Write(Box::new(next))
    };
    Advance {
        step,
        notices: walk.notices,
        wake: walk.wake,
    }
}

/// What the kubelet fills in when it accepts a pod.
fn admitted(pod: &Pod, spec: &PodSpec, mut status: PodStatus, around: &Surroundings<'_>) -> PodStatus {
    status.host_ip = Some(around.host_ip.to_string());
    status.host_ips = Some(vec![HostIP {
        ip: around.host_ip.to_string(),
    }]);
    status.start_time.get_or_insert(Time(whole_seconds(around.now)));
    // Containers added later (ephemeral ones) get a status too; those removed from the spec do not exist.
    let names: BTreeSet<&str> = spec
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    if let Some(statuses) = &mut status.container_statuses {
        statuses.retain(|status| names.contains(status.name.as_str()));
    }
    status.observed_generation = pod.metadata.generation;
    status
}

/// Kubernetes stores times in whole seconds; comparing with more would find a change in every round.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
