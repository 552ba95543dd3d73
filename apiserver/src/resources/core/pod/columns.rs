//! The table of pods (`printPod`).

use super::super::super::shared::cells::{self, NONE};
use crate::registry::columns::{Column, Columns};
use machinery::{meta, time};
use serde_json::Value;

const SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const STATUS: &str = "io.k8s.api.core.v1.PodStatus";

pub(super) static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Ready",
            "string",
            "The aggregate readiness state of this pod for accepting traffic.",
        ),
        Column::new(
            "Status",
            "string",
            "The aggregate status of the containers in this pod.",
        ),
        Column::new(
            "Restarts",
            "string",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        cells::AGE,
        Column::of_field("IP", "string", STATUS, "podIP").wide(),
        Column::of_field("Node", "string", SPEC, "nodeName").wide(),
        Column::of_field("Nominated Node", "string", STATUS, "nominatedNodeName").wide(),
        Column::of_field("Readiness Gates", "string", SPEC, "readinessGates").wide(),
    ],
    cells: |obj, now| {
        let summary = Summary::of(obj);
        vec![
            cells::name(obj),
            format!("{}/{}", summary.ready, summary.total).into(),
            summary.reason.clone().into(),
            summary.restarts(now).into(),
            cells::age(obj, now),
            meta::list_at(obj, &["status", "podIPs"])
                .first()
                .map_or(NONE, |ip| cells::text_or_none(ip, &["ip"]))
                .into(),
            cells::text_or_none(obj, &["spec", "nodeName"]).into(),
            cells::text_or_none(obj, &["status", "nominatedNodeName"]).into(),
            gates(obj).into(),
        ]
    },
};

/// How many readiness gates are open.
fn gates(pod: &Value) -> String {
    let gates = meta::list_at(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let open =
        |gate: &&Value| meta::str_at(gate, &["conditionType"]).is_some_and(|kind| condition(pod, kind) == Some("True"));
    format!("{}/{}", gates.iter().filter(open).count(), gates.len())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    conditions
        .iter()
        .find(|c| c["type"] == kind)
        .and_then(|c| meta::str_at(c, &["status"]))
}

/// What the containers of a pod add up to.
struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: i64,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let text = |path: &[&str]| meta::str_at(pod, path).unwrap_or_default();
        let phase = text(&["status", "phase"]);
        let mut reason = match text(&["status", "reason"]) {
            "" => phase.to_owned(),
            reason => reason.to_owned(),
        };
        let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
        if meta::list_at(pod, &["status", "conditions"]).iter().any(gated) {
            reason = "SchedulingGated".to_owned();
        }
        let sidecars: Vec<&str> = meta::list_at(pod, &["spec", "initContainers"])
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .filter_map(|c| meta::str_at(c, &["name"]))
            .collect();
        let mut summary = Summary {
            ready: 0,
            total: meta::list_at(pod, &["spec", "containers"]).len() + sidecars.len(),
            reason,
            restarts: 0,
            last_restart: 0,
        };
        let initializing = summary.add_init_containers(pod, &sidecars);
        if !initializing || condition(pod, "Initialized") == Some("True") {
            summary.forget_init_restarts(pod, &sidecars);
            summary.add_containers(pod);
        }
        if meta::is_deleting(pod) {
            if text(&["status", "reason"]) == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Goes through the init containers up to the first that is not done; answers whether there is one.
    fn add_init_containers(&mut self, pod: &Value, sidecars: &[&str]) -> bool {
        let count = meta::list_at(pod, &["spec", "initContainers"]).len();
        for (i, status) in meta::list_at(pod, &["status", "initContainerStatuses"])
            .iter()
            .enumerate()
        {
            self.add_restarts(status);
            let terminated = status.pointer("/state/terminated");
            let waiting = meta::str_at(status, &["state", "waiting", "reason"]).unwrap_or_default();
            let is_sidecar = meta::str_at(status, &["name"]).is_some_and(|name| sidecars.contains(&name));
            self.reason = match terminated {
                Some(state) if cells::number(state, &["exitCode"]) == 0 => continue,
                _ if is_sidecar && meta::bool_at(status, &["started"]) == Some(true) => {
                    self.ready += usize::from(meta::bool_at(status, &["ready"]) == Some(true));
                    continue;
                }
                Some(state) => format!("Init:{}", ending(state)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{i}/{count}"),
            };
            return true;
        }
        false
    }

    /// Once the pod is initialized, only sidecars among the init containers count.
    fn forget_init_restarts(&mut self, pod: &Value, sidecars: &[&str]) {
        (self.restarts, self.last_restart) = (0, 0);
        for status in meta::list_at(pod, &["status", "initContainerStatuses"]) {
            if meta::str_at(status, &["name"]).is_some_and(|name| sidecars.contains(&name)) {
                self.add_restarts(status);
            }
        }
    }

    fn add_containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in meta::list_at(pod, &["status", "containerStatuses"]).iter().rev() {
            self.add_restarts(status);
            let waiting = meta::str_at(status, &["state", "waiting", "reason"]).unwrap_or_default();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if let Some(state) = status.pointer("/state/terminated") {
                self.reason = ending(state);
            } else if meta::bool_at(status, &["ready"]) == Some(true) && status.pointer("/state/running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready") == Some("True");
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn add_restarts(&mut self, status: &Value) {
        self.restarts += cells::number(status, &["restartCount"]);
        let finished = meta::str_at(status, &["lastState", "terminated", "finishedAt"]).and_then(time::parse);
        self.last_restart = self.last_restart.max(finished.map_or(0, |t| t.as_second()));
    }

    fn restarts(&self, now: i64) -> String {
        if self.restarts != 0 && self.last_restart != 0 {
            return format!(
                "{} ({} ago)",
                self.restarts,
                time::human_duration(now - self.last_restart)
            );
        }
        self.restarts.to_string()
    }
}

/// Why a container ended.
fn ending(terminated: &Value) -> String {
    match (
        meta::str_at(terminated, &["reason"]).unwrap_or_default(),
        cells::number(terminated, &["signal"]),
    ) {
        ("", 0) => format!("ExitCode:{}", cells::number(terminated, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn show(pod: Value) -> [String; 3] {
        let cells = (COLUMNS.cells)(&pod, 1_000);
        [1, 2, 3].map(|i| cells[i].as_str().unwrap().to_owned())
    }

    #[test]
    fn states_read_as_upstreams() {
        let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let running = json!({"name": "c", "ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "1970-01-01T00:10:00Z"}}});
        for (pod, expected) in [
            (
                json!({"spec": spec, "status": {"phase": "Pending"}}),
                ["0/1", "Pending", "0"],
            ),
            (
                json!({"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]}}),
                ["0/1", "Init:1/2", "0"],
            ),
            (
                json!({"spec": spec, "status": {"phase": "Running", "containerStatuses": [running]}}),
                ["1/1", "Running", "2 (6m40s ago)"],
            ),
            (
                json!({"spec": spec, "status": {"phase": "Pending", "containerStatuses": [
                    {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
                ["0/1", "ContainerCreating", "0"],
            ),
            (
                json!({"spec": spec, "status": {"phase": "Failed", "containerStatuses": [
                    {"name": "c", "state": {"terminated": {"exitCode": 3}}}]}}),
                ["0/1", "ExitCode:3", "0"],
            ),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec, "status": {"phase": "Running"}}),
                ["0/1", "Terminating", "0"],
            ),
        ] {
            assert_eq!(show(pod), expected);
        }
    }
}
