//! The phase of a pod from the states of its containers.

use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec, PodStatus};

use super::container::is_sidecar;

/// Succeeded and Failed are for ever.
pub(super) fn is_final(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

pub(super) fn of(spec: &PodSpec, status: &PodStatus, deleting: bool) -> &'static str {
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let sidecars: Vec<&str> = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| is_sidecar(container))
        .map(|c| c.name.as_str())
        .collect();
    let init = status
        .init_container_statuses
        .iter()
        .flatten()
        .filter(|status| !sidecars.contains(&status.name.as_str()));
    for status in init {
        match exit_code(status) {
            Some(0) => {}
            Some(_) if policy == "Never" => return "Failed",
            _ if deleting && !is_running(status) => return "Failed",
            _ => return "Pending",
        }
    }
    let statuses: Vec<&ContainerStatus> = status.container_statuses.iter().flatten().collect();
    let codes: Vec<Option<i32>> = statuses.iter().map(|status| exit_code(status)).collect();
    if statuses.len() < spec.containers.len() || statuses.iter().any(|status| never_started(status)) {
        return if deleting { "Failed" } else { "Pending" };
    }
    if statuses.iter().any(|status| is_running(status)) {
        return "Running";
    }
    match (codes.iter().all(|code| *code == Some(0)), policy) {
        // Between two runs: the container will start again.
        _ if codes.contains(&None) => "Running",
        (true, "OnFailure" | "Never") => "Succeeded",
        (false, "Never") => "Failed",
        (true, _) if deleting => "Succeeded",
        (false, _) if deleting => "Failed",
        _ => "Running",
    }
}

pub(super) fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// The exit code of a container that has stopped for now.
pub(super) fn exit_code(status: &ContainerStatus) -> Option<i32> {
    status
        .state
        .as_ref()?
        .terminated
        .as_ref()
        .map(|terminated| terminated.exit_code)
}

/// Waiting for its first run.
fn never_started(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let stopped_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    !stopped_before && state.is_none_or(|state| state.running.is_none() && state.terminated.is_none())
}
