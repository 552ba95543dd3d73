//! The pod garbage collector: removes pods nobody will remove otherwise (`pkg/controller/podgc`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Informer, ObjectKey};
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tracing::{info, warn};

use crate::common::{deletion, pods};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found, is_not_found};

const NAME: &str = "pod-garbage-collector-controller";
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node has to be gone before its pods are: it may come back, and informers may disagree for a while.
const QUARANTINE: Duration = Duration::from_secs(40);

struct Controller {
    client: Client,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    threshold: usize,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Controller {
        client: context.client.clone(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        threshold: context.settings.terminated_pod_gc_threshold,
    };
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let mut missing = HashMap::new();
        loop {
            let started = Instant::now();
            let failed = controller.pass(&mut missing).await;
            context.metrics.reconciled(NAME, started.elapsed(), failed);
            tokio::time::sleep(PERIOD).await;
        }
    }
    .boxed()
}

/// Why a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    TooManyEnded,
    NodeIsGone,
    NeverScheduled,
    NodeOutOfService,
}

impl Controller {
    /// Returns whether anything failed; it is tried again in the next pass.
    async fn pass(&self, missing: &mut HashMap<String, Instant>) -> bool {
        let pods = self.pods.list();
        let gone = self.gone_nodes(&pods, missing).await;
        let out_of_service = |name: &str| {
            self.nodes
                .get(&ObjectKey::new("", name))
                .is_some_and(|node| is_out_of_service(&node))
        };
        let mut failed = false;
        for (pod, why) in plan(&pods, self.threshold, &gone, out_of_service) {
            if let Err(error) = self.delete(&pod, why).await {
                warn!(%error, "will try again");
                failed = true;
            }
        }
        failed
    }

    /// The nodes that pods name and that have been gone for the quarantine, by the API server's own word.
    async fn gone_nodes(&self, pods: &[Arc<Pod>], missing: &mut HashMap<String, Instant>) -> HashSet<String> {
        let named: HashSet<&str> = pods
            .iter()
            .map(|pod| pods::node_name(pod))
            .filter(|name| !name.is_empty())
            .collect();
        let unknown = |name: &str| self.nodes.get(&ObjectKey::new("", name)).is_none();
        missing.retain(|name, _| named.contains(name.as_str()) && unknown(name));
        let mut gone = HashSet::new();
        let api: Api<Node> = Api::all(self.client.clone());
        for name in named.into_iter().filter(|name| unknown(name)) {
            let since = *missing.entry(name.to_owned()).or_insert_with(Instant::now);
            if since.elapsed() >= QUARANTINE
                && matches!(api.get_metadata(name).await, Err(error) if is_not_found(&error))
            {
                gone.insert(name.to_owned());
            }
        }
        gone
    }

    /// Marks the pod as failed where its node cannot do that any more, then deletes it at once.
    async fn delete(&self, pod: &Pod, why: Why) -> Result {
        let key = ObjectKey::of(&pod.metadata);
        info!(pod = %key, ?why, "removing a pod");
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        if !pods::is_terminal(pod) {
            let mut status = json!({ "phase": "Failed" });
            if why == Why::NodeIsGone {
                status["conditions"] = json!([{
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                    "lastTransitionTime": Time(Timestamp::now()),
                }]);
            }
            let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": status });
            let written = api
                .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
                .await;
            ignore_not_found(written).during(format_args!("marking pod {key} as failed"))?;
        }
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let params = deletion::only(&pod.metadata, at_once);
        ignore_not_found(api.delete(&key.name, &params).await).during(format_args!("deleting pod {key}"))
    }
}

fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let tainted = taints.is_some_and(|taints| {
        taints
            .iter()
            .any(|taint| taint.key == "node.kubernetes.io/out-of-service")
    });
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
    tainted && !ready
}

fn plan(
    pods: &[Arc<Pod>],
    threshold: usize,
    gone: &HashSet<String>,
    out_of_service: impl Fn(&str) -> bool,
) -> Vec<(Arc<Pod>, Why)> {
    let mut doomed = Vec::new();
    let mut ended: Vec<&Arc<Pod>> = Vec::new();
    for pod in pods {
        let node = pods::node_name(pod);
        if gone.contains(node) {
            doomed.push((pod.clone(), Why::NodeIsGone));
        } else if pods::is_deleting(pod) && node.is_empty() {
            doomed.push((pod.clone(), Why::NeverScheduled));
        } else if pods::is_deleting(pod) && out_of_service(node) {
            doomed.push((pod.clone(), Why::NodeOutOfService));
        } else if pods::is_terminal(pod) {
            ended.push(pod);
        }
    }
    if threshold > 0 && ended.len() > threshold {
        let evicted = |pod: &Pod| pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted");
        let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        ended.sort_by_key(|pod| (!evicted(pod), created(pod), pod.metadata.name.clone()));
        let excess = ended.len() - threshold;
        doomed.extend(
            ended
                .into_iter()
                .take(excess)
                .map(|pod| (pod.clone(), Why::TooManyEnded)),
        );
    }
    doomed
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(name: &str, phase: &str, node: &str, deleting: bool, age: i64) -> Arc<Pod> {
        let created = Timestamp::from_second(1_000_000 - age).unwrap().to_string();
        let deleted = if deleting {
            json!("2026-01-01T00:00:00Z")
        } else {
            Value::Null
        };
        let pod = json!({
            "metadata": { "name": name, "creationTimestamp": created, "deletionTimestamp": deleted },
            "spec": { "containers": [], "nodeName": node },
            "status": { "phase": phase, "reason": if name.starts_with("evicted") { json!("Evicted") } else { Value::Null } },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn who_goes_and_why() {
        let pods = [
            pod("running", "Running", "n1", false, 1),
            pod("lost", "Running", "lost", false, 1),
            pod("pending", "Pending", "", false, 1),
            pod("cancelled", "Pending", "", true, 1),
            pod("stuck", "Running", "broken", true, 1),
            pod("leaving", "Running", "n1", true, 1),
            pod("done-old", "Succeeded", "n1", false, 30),
            pod("done-new", "Failed", "n1", false, 10),
            pod("evicted", "Failed", "n1", false, 5),
        ];
        let gone = HashSet::from(["lost".to_owned()]);
        let names = |threshold| -> Vec<(String, Why)> {
            let doomed = plan(&pods, threshold, &gone, |node| node == "broken");
            doomed
                .into_iter()
                .map(|(pod, why)| (pod.metadata.name.clone().unwrap(), why))
                .collect()
        };
        let always = [
            ("lost".to_owned(), Why::NodeIsGone),
            ("cancelled".to_owned(), Why::NeverScheduled),
            ("stuck".to_owned(), Why::NodeOutOfService),
        ];
        assert_eq!(names(0), always);
        assert_eq!(names(3), always);
        let with_one = names(1);
        assert_eq!(with_one[..3], always);
        assert_eq!(
            with_one[3..],
            [
                ("evicted".to_owned(), Why::TooManyEnded),
                ("done-old".to_owned(), Why::TooManyEnded)
            ]
        );
    }
}
