//! The pod conditions a kubelet owns (pkg/kubelet/status/generate.go); all others are left as they are.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::container::is_sidecar;
use super::phase::{exit_code, is_final};
use super::whole_seconds;

/// True, or the reason and message of False.
type Verdict = Result<Option<&'static str>, (&'static str, String)>;

pub(super) fn update(pod: &Pod, spec: &PodSpec, status: &mut PodStatus, now: Timestamp) {
    let done = is_final(status);
    let initialized = initialized(spec, status, done);
    let containers_ready = containers_ready(spec, status, done);
    let ready = containers_ready.clone().and_then(|_| gates(spec, status));
    let sandbox = if status.pod_ip.is_some() && !done {
        Ok(None)
    } else {
        Err(("", String::new()))
    };
    let owned = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        // Whoever bound the pod has scheduled it; a pod created with a nodeName gets the condition from its kubelet.
        ("PodScheduled", Ok(None)),
    ];
    for (kind, verdict) in owned {
        set(
            status.conditions.get_or_insert_default(),
            kind,
            verdict,
            pod.metadata.generation,
            whole_seconds(now),
        );
    }
}

fn initialized(spec: &PodSpec, status: &PodStatus, done: bool) -> Verdict {
    let passed = |name: &str, sidecar: bool| {
        let status = status
            .init_container_statuses
            .iter()
            .flatten()
            .find(|status| status.name == name);
        status.is_some_and(|status| {
            if sidecar {
                status.started == Some(true)
            } else {
                exit_code(status) == Some(0)
            }
        })
    };
    let inits = spec.init_containers.iter().flatten();
    let open: Vec<&str> = inits
        .filter(|init| !passed(&init.name, is_sidecar(init)))
        .map(|init| init.name.as_str())
        .collect();
    match open.as_slice() {
        [] if done && status.phase.as_deref() == Some("Succeeded") => Ok(Some("PodCompleted")),
        [] => Ok(None),
        open => Err((
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", open.join(" ")),
        )),
    }
}

fn containers_ready(spec: &PodSpec, status: &PodStatus, done: bool) -> Verdict {
    match status.phase.as_deref() {
        Some("Succeeded") if done => return Err(("PodCompleted", String::new())),
        Some("Failed") if done => return Err(("PodFailed", String::new())),
        _ => {}
    }
    let ready = |name: &str| {
        let statuses: &[ContainerStatus] = status.container_statuses.as_deref().unwrap_or_default();
        statuses.iter().any(|status| status.name == name && status.ready)
    };
    let unready: Vec<&str> = spec
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .filter(|name| !ready(name))
        .collect();
    match unready.as_slice() {
        [] => Ok(None),
        names => Err((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", names.join(" ")),
        )),
    }
}

fn gates(spec: &PodSpec, status: &PodStatus) -> Verdict {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let closed = spec.readiness_gates.iter().flatten().find_map(|gate| {
        match conditions
            .iter()
            .find(|condition| condition.type_ == gate.condition_type)
        {
            Some(condition) if condition.status == "True" => None,
            Some(condition) => Some(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, condition.status
            )),
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
        }
    });
    closed.map_or(Ok(None), |why| Err(("ReadinessGatesNotReady", why)))
}

fn set(conditions: &mut Vec<PodCondition>, kind: &str, verdict: Verdict, generation: Option<i64>, now: Timestamp) {
    let (status, reason, message) = match verdict {
        Ok(reason) => ("True", reason.map(str::to_string), None),
        Err((reason, message)) => ("False", some(reason), some(&message)),
    };
    let old = conditions.iter().position(|condition| condition.type_ == kind);
    let since = old
        .map(|at| &conditions[at])
        .filter(|condition| condition.status == status);
    let next = PodCondition {
        type_: kind.to_string(),
        status: status.to_string(),
        reason,
        message,
        observed_generation: generation,
        last_transition_time: since
            .and_then(|old| old.last_transition_time.clone())
            .or(Some(Time(now))),
        last_probe_time: None,
    };
    match old {
        Some(at) => conditions[at] = next,
        None => conditions.push(next),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}
