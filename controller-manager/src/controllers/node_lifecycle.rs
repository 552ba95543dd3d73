//! The node lifecycle controller: notices nodes that fell silent, says so in their conditions, taints them and takes their
//! pods out of service (`pkg/controller/nodelifecycle`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::Severity;
use client::{Informer, ObjectKey, Recorder};
use futures::FutureExt;
use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::json;
use tracing::{info, warn};

use crate::common::pods;
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::informers::Informers;

const NAME: &str = "node-lifecycle-controller";
const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Conditions of which nothing is known once the kubelet is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Conditions (with the status that counts) that keep new pods away, and the taints that say so.
const KEEPS_AWAY: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

struct Controller {
    client: Client,
    recorder: Recorder,
    informers: Arc<Informers>,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    leases: Informer<Lease>,
    grace: Duration,
}

/// The last sign of life and when it came, by our own clock: other clocks are not trusted.
struct Pulse {
    sign: (Option<MicroTime>, Option<Time>),
    at: Instant,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component("node-controller"),
        informers: context.informers.clone(),
        nodes: context.informers.nodes(),
        pods: context.informers.pods(),
        leases: Informer::new(),
        grace: context.settings.node_monitor_grace_period,
    };
    let context = context.clone();
    async move {
        let events = watcher(
            Api::<Lease>::namespaced(context.client.clone(), LEASES),
            watcher::Config::default(),
        );
        let watch = controller.leases.run("Lease", events, |_| {});
        let monitor = async {
            context.informers.synced().await;
            controller.leases.synced().await;
            let mut pulses = HashMap::new();
            loop {
                let started = Instant::now();
                let failed = controller.pass(&mut pulses).await;
                context.metrics.reconciled(NAME, started.elapsed(), failed);
                tokio::time::sleep(context.settings.node_monitor_period).await;
            }
        };
        join(watch, monitor).await;
    }
    .boxed()
}

fn name_of(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == kind)
}

impl Controller {
    /// Returns whether anything failed; it is tried again in the next pass.
    async fn pass(&self, pulses: &mut HashMap<String, Pulse>) -> bool {
        let nodes = self.nodes.list();
        pulses.retain(|name, _| nodes.iter().any(|node| name_of(node) == name));
        let mut failed = false;
        for node in nodes {
            let silent_for = self.silent_for(&node, pulses);
            if let Err(error) = self.see_to(&node, silent_for).await {
                warn!(%error, "will try again");
                failed = true;
            }
        }
        failed
    }

    fn silent_for(&self, node: &Node, pulses: &mut HashMap<String, Pulse>) -> Duration {
        let name = name_of(node);
        let lease = self.leases.get(&ObjectKey::new(LEASES, name));
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
        // What we write ourselves about a silent node is no sign of life.
        let reported = condition(node, "Ready").filter(|ready| ready.status != "Unknown");
        let sign = (renewed, reported.and_then(|ready| ready.last_heartbeat_time.clone()));
        let now = Instant::now();
        let pulse = pulses.entry(name.to_owned()).or_insert_with(|| Pulse {
            sign: sign.clone(),
            at: now,
        });
        if pulse.sign != sign && (sign.0 != pulse.sign.0 || sign.1.is_some()) {
            *pulse = Pulse { sign, at: now };
        }
        pulse.at.elapsed()
    }

    async fn see_to(&self, node: &Node, silent_for: Duration) -> Result {
        let name = name_of(node);
        let api: Api<Node> = Api::all(self.client.clone());
        let now = Timestamp::now();
        let mut node = node.clone();
        if silent_for > self.grace
            && let Some(conditions) = unknown_conditions(&node, now)
        {
            info!(
                node = name,
                silent_for_seconds = silent_for.as_secs(),
                "the node is silent"
            );
            let patch = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
            let written = api.patch_status(name, &PatchParams::default(), &patch).await;
            node = written.during(format_args!("writing that node {name} is silent"))?;
            let text = format!("Node {name} status is now: NodeNotReady");
            self.recorder.event(&node, Severity::Normal, "NodeNotReady", text);
        }
        if condition(&node, "Ready").is_some_and(|ready| ready.status != "True") {
            self.take_out_of_service(name).await?;
        }
        let Some(taints) = corrected_taints(&node, now) else {
            return Ok(());
        };
        let metadata = json!({ "uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "spec": { "taints": taints } }));
        let written = api.patch(name, &PatchParams::default(), &patch).await;
        ignore_not_found(written).during(format_args!("tainting node {name}"))
    }

    /// Pods of a node nobody hears from are not ready, so that no Service sends anything there (`MarkPodsNotReady`).
    async fn take_out_of_service(&self, node: &str) -> Result {
        for pod in self.pods.by_index(self.informers.pods_by_node, node) {
            if !pods::is_ready(&pod) {
                continue;
            }
            let key = ObjectKey::of(&pod.metadata);
            let condition = json!({ "type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now()) });
            let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } });
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
            let written = api
                .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
                .await;
            ignore_not_found(written).during(format_args!("marking pod {key} as not ready"))?;
            self.recorder
                .event(pod.as_ref(), Severity::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}

/// The conditions of a silent node that do not say yet that nothing is known.
fn unknown_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let unknown = |kind: &&str| {
        let current = condition(node, kind);
        if current.is_some_and(|current| current.status == "Unknown") {
            return None;
        }
        let (reason, message) = match current {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        Some(NodeCondition {
            type_: (*kind).to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: current.and_then(|current| current.last_heartbeat_time.clone()),
            last_transition_time: Some(Time(now)),
        })
    };
    let conditions: Vec<NodeCondition> = REPORTED.iter().filter_map(unknown).collect();
    Some(conditions).filter(|conditions| !conditions.is_empty())
}

/// The taints the node's conditions ask for, unless it has exactly those; taints of others stay.
fn corrected_taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let holds =
        |(kind, status, _): &&(&str, &str, &str)| condition(node, kind).is_some_and(|one| one.status == *status);
    let mut wanted: Vec<(&str, &str)> = KEEPS_AWAY
        .iter()
        .filter(holds)
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    if cordoned {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let repelling: Vec<&str> = wanted
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| [NOT_READY, UNREACHABLE].contains(key))
        .collect();
    wanted.extend(repelling.into_iter().map(|key| (key, "NoExecute")));

    let current = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let is_ours = |taint: &Taint| {
        let by_condition = KEEPS_AWAY.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        match taint.effect.as_str() {
            "NoSchedule" => by_condition,
            "NoExecute" => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
            _ => false,
        }
    };
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !is_ours(taint) || is_wanted(taint))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let time_added = (effect == "NoExecute").then_some(Time(now));
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added,
            });
        }
    }
    (taints != current).then_some(taints)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;

    fn node(ready: &str, taints: Value, cordoned: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n" },
            "spec": { "taints": taints, "unschedulable": cordoned },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    /// What was written is not written again, however late it is.
    pub(crate) fn rests() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut node = node("True", json!([]), true);
        let written = unknown_conditions(&node, at(1)).unwrap();
        node.status.get_or_insert_default().conditions = Some(written);
        assert_eq!(unknown_conditions(&node, at(1000)), None);
        let taints = corrected_taints(&node, at(1)).unwrap();
        node.spec.get_or_insert_default().taints = Some(taints);
        assert_eq!(corrected_taints(&node, at(1000)), None);
    }

    #[test]
    fn taints_follow_conditions() {
        let now = Timestamp::from_second(1).unwrap();
        let own = json!([{ "key": "mine", "effect": "NoSchedule" }]);
        let gone = json!([{ "key": NOT_READY, "effect": "NoExecute" }, { "key": NOT_READY, "effect": "NoSchedule" }]);
        let table = [
            (node("True", json!([]), false), None),
            (node("True", own.clone(), false), None),
            (
                node("False", own, false),
                Some(vec!["mine:NoSchedule", "not-ready:NoSchedule", "not-ready:NoExecute"]),
            ),
            (
                node("Unknown", gone.clone(), false),
                Some(vec!["unreachable:NoSchedule", "unreachable:NoExecute"]),
            ),
            (node("True", gone, false), Some(vec![])),
            (node("True", json!([]), true), Some(vec!["unschedulable:NoSchedule"])),
        ];
        for (node, expected) in table {
            let taints = corrected_taints(&node, now);
            let short = |taint: &Taint| {
                format!(
                    "{}:{}",
                    taint.key.trim_start_matches("node.kubernetes.io/"),
                    taint.effect
                )
            };
            let names = taints.map(|taints| taints.iter().map(short).collect::<Vec<_>>());
            assert_eq!(
                names,
                expected.map(|list| list.into_iter().map(str::to_owned).collect()),
                "{node:?}"
            );
        }
    }

    #[test]
    fn a_silent_node_is_written_about_once() {
        let now = Timestamp::from_second(1).unwrap();
        let mut node = node("True", json!([]), false);
        let conditions = unknown_conditions(&node, now).unwrap();
        assert_eq!(conditions.len(), 4);
        assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(conditions[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
        node.status.as_mut().unwrap().conditions = Some(conditions);
        assert_eq!(unknown_conditions(&node, now), None);
    }
}
