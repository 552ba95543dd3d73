//! The taint eviction controller: deletes pods from nodes whose `NoExecute` taints they do not tolerate, or no longer do
//! (`pkg/controller/tainteviction`).

use std::sync::Arc;
use std::time::Duration;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::daemonset::node::is_tolerated;
use crate::common::{deletion, pods};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::informers::Informers;
use crate::workers::{Reconcile, run};

const NAME: &str = "taint-eviction-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    informers: Arc<Informers>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component(NAME),
        informers: context.informers.clone(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        queue: WorkQueue::new(),
    });
    let this = controller.clone();
    controller.nodes.on_change(move |change| {
        let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
        if matches!(change, Change::Updated { old, new } if taints(old) == taints(new)) {
            return;
        }
        let name = change.object().metadata.name.as_deref().unwrap_or_default();
        for pod in this.pods.by_index(this.informers.pods_by_node, name) {
            this.queue.add(ObjectKey::of(&pod.metadata));
        }
    });
    let this = controller.clone();
    controller.pods.on_change(move |change| {
        let settled = |old: &Pod, new: &Pod| pods::node_name(old) == pods::node_name(new);
        if matches!(change, Change::Deleted(_)) || matches!(change, Change::Updated { old, new } if settled(old, new)) {
            return;
        }
        this.queue.add(ObjectKey::of(&change.object().metadata));
    });
    run(NAME, context, 8, controller)
}

/// How long a pod with these tolerations may stay on a node with these taints; nothing means for ever.
fn may_stay(taints: &[Taint], tolerations: &[Toleration], now: Timestamp) -> Option<Duration> {
    let mut shortest: Option<i64> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let covering: Vec<&Toleration> = tolerations
            .iter()
            .filter(|one| is_tolerated(taint, std::slice::from_ref(*one)))
            .collect();
        if covering.is_empty() {
            return Some(Duration::ZERO);
        }
        let limits = covering.iter().filter_map(|one| one.toleration_seconds);
        if let Some(seconds) = limits.min() {
            let since = taint.time_added.as_ref().map_or(now, |time| time.0);
            let end = since
                .as_millisecond()
                .saturating_add(seconds.max(0).saturating_mul(1000));
            let left = (end - now.as_millisecond()).max(0);
            shortest = Some(shortest.map_or(left, |shortest| shortest.min(left)));
        }
    }
    shortest
        .and_then(|left| u64::try_from(left).ok())
        .map(Duration::from_millis)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(pod) = self.pods.get(&key).filter(|pod| pods::is_active(pod)) else {
            return Ok(());
        };
        let Some(node) = self.nodes.get(&ObjectKey::new("", pods::node_name(&pod))) else {
            return Ok(());
        };
        let taints = node
            .spec
            .as_ref()
            .and_then(|spec| spec.taints.as_deref())
            .unwrap_or_default();
        let tolerations = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.tolerations.as_deref())
            .unwrap_or_default();
        match may_stay(taints, tolerations, Timestamp::now()) {
            None => Ok(()),
            Some(wait) if !wait.is_zero() => {
                self.queue.add_after(key, wait);
                Ok(())
            }
            Some(_) => self.evict(&key, &pod).await,
        }
    }
}

impl Controller {
    async fn evict(&self, key: &ObjectKey, pod: &Pod) -> Result {
        let text = format!("Marking for deletion Pod {key}");
        self.recorder.event(pod, Severity::Normal, "TaintManagerEviction", text);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": Time(Timestamp::now()),
        });
        let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } });
        let written = api
            .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        ignore_not_found(written).during(format_args!("marking pod {key} for eviction"))?;
        let params = deletion::only(&pod.metadata, DeleteParams::default());
        ignore_not_found(api.delete(&key.name, &params).await).during(format_args!("evicting pod {key}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn how_long_pods_may_stay() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let taint = json!([{ "key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" }]);
        let tolerate = |seconds: Value| json!([{ "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }]);
        let table = [
            (json!([{ "key": "k", "effect": "NoSchedule" }]), json!([]), None),
            (taint.clone(), json!([]), Some(0)),
            (taint.clone(), tolerate(Value::Null), None),
            (taint.clone(), tolerate(json!(300)), Some(240)),
            (taint.clone(), tolerate(json!(30)), Some(0)),
            (taint, tolerate(json!(-5)), Some(0)),
        ];
        for (taints, tolerations, expected) in table {
            let taints: Vec<Taint> = serde_json::from_value(taints).unwrap();
            let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
            assert_eq!(
                may_stay(&taints, &tolerations, now),
                expected.map(Duration::from_secs),
                "{tolerations:?}"
            );
        }
    }
}
