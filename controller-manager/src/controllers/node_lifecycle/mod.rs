//! The node lifecycle controller: turns the conditions of nodes into taints, notices nodes that fell silent, says so in their
//! conditions and takes their pods out of service (`pkg/controller/nodelifecycle`).
//!
//! Only a node with a lease has a kubelet that could fall silent. Nodes that mirror those of a host have none: the host's own
//! controllers watch over them, and what they find arrives here as conditions.

mod taints;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use futures::FutureExt;
use futures::future::join3;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
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
use crate::workers::work;

const NAME: &str = "node-lifecycle-controller";
const LEASES: &str = "kube-node-lease";
/// Nodes that are tainted at the same time.
const WORKERS: usize = 4;

/// Conditions of which nothing is known once the kubelet is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

struct Controller {
    client: Client,
    recorder: Recorder,
    informers: Arc<Informers>,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    leases: Informer<Lease>,
    grace: Duration,
    /// Nodes whose taints may not fit their conditions.
    queue: WorkQueue<ObjectKey>,
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
        queue: WorkQueue::new(),
    };
    let queue = controller.queue.clone();
    controller.nodes.on_change(move |change| {
        if !matches!(change, Change::Deleted(_)) {
            queue.add(ObjectKey::of(&change.object().metadata));
        }
    });
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
        let taint = async {
            context.informers.synced().await;
            work(NAME, &controller.queue, WORKERS, &context.metrics, |key| {
                controller.taint(key)
            })
            .await;
        };
        join3(watch, monitor, taint).await;
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
        for node in nodes.iter().filter(|node| self.lease(name_of(node)).is_some()) {
            let silent_for = self.silent_for(node, pulses);
            if let Err(error) = self.see_to(node, silent_for).await {
                warn!(%error, "will try again");
                failed = true;
            }
        }
        failed
    }

    fn lease(&self, node: &str) -> Option<Arc<Lease>> {
        self.leases.get(&ObjectKey::new(LEASES, node))
    }

    fn silent_for(&self, node: &Node, pulses: &mut HashMap<String, Pulse>) -> Duration {
        let name = name_of(node);
        let renewed = self
            .lease(name)
            .and_then(|lease| lease.spec.as_ref()?.renew_time.clone());
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
        Ok(())
    }

    /// Gives a node the taints that fit its conditions.
    async fn taint(&self, key: ObjectKey) -> Result {
        let Some(node) = self.nodes.get(&key) else {
            return Ok(());
        };
        let Some(taints) = taints::corrected(&node, Timestamp::now()) else {
            return Ok(());
        };
        let metadata = json!({ "uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "spec": { "taints": taints } }));
        let api: Api<Node> = Api::all(self.client.clone());
        let written = api.patch(&key.name, &PatchParams::default(), &patch).await;
        ignore_not_found(written).during(format_args!("tainting node {key}"))
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn node(ready: &str, cordoned: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n" },
            "spec": { "unschedulable": cordoned },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    /// What was written is not written again, however late it is.
    pub(crate) fn rests() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut node = node("True", true);
        let written = unknown_conditions(&node, at(1)).unwrap();
        node.status.get_or_insert_default().conditions = Some(written);
        assert_eq!(unknown_conditions(&node, at(1000)), None);
        let taints = taints::corrected(&node, at(1)).unwrap();
        node.spec.get_or_insert_default().taints = Some(taints);
        assert_eq!(taints::corrected(&node, at(1000)), None);
    }

    #[test]
    fn a_silent_node_is_written_about_once() {
        let now = Timestamp::from_second(1).unwrap();
        let mut node = node("True", false);
        let conditions = unknown_conditions(&node, now).unwrap();
        assert_eq!(conditions.len(), 4);
        assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(conditions[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
        node.status.as_mut().unwrap().conditions = Some(conditions);
        assert_eq!(unknown_conditions(&node, now), None);
    }
}
