//! Claims stay while a pod on a node uses them (`pkg/controller/volume/pvcprotection`).

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, Volume};
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Duty, duty, write};
use crate::common::{ownership, pods};
use crate::context::{Context, Task};
use crate::error::{During, Result};
use crate::informers::Informers;
use crate::workers::{Reconcile, run};

const NAME: &str = "persistentvolumeclaim-protection-controller";
const FINALIZER: &str = "kubernetes.io/pvc-protection";

struct Controller {
    client: Client,
    informers: Arc<Informers>,
    claims: Informer<PersistentVolumeClaim>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        informers: context.informers.clone(),
        claims: context.informers.claims(),
        pods: context.informers.pods(),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller.claims.on_change(move |change| {
        let meta = &change.object().metadata;
        if !matches!(change, Change::Deleted(_)) && duty(meta, FINALIZER) != Duty::None {
            queue.add(ObjectKey::of(meta));
        }
    });
    let queue = controller.queue.clone();
    controller.pods.on_change(move |change| {
        let add = |pod: &Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            for claim in pods::claims(pod) {
                queue.add(ObjectKey::new(namespace, &claim));
            }
        };
        match change {
            Change::Deleted(pod) => add(pod),
            Change::Added(pod) if may_release(pod) => add(pod),
            Change::Updated { old, new } => {
                // A missed deletion: the old pod may have used other claims.
                if old.metadata.uid != new.metadata.uid {
                    add(old);
                }
                if may_release(new) {
                    add(new);
                }
            }
            Change::Added(_) => {}
        }
    });
    run(NAME, context, 1, controller)
}

/// A pod that runs on a node is no reason to look at its claims again.
fn may_release(pod: &Pod) -> bool {
    pods::node_name(pod).is_empty() || has_ended(pod)
}

/// Whether no container runs any more (`volumeutil.IsPodTerminated`).
fn has_ended(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let ephemeral = status.and_then(|status| status.ephemeral_container_statuses.as_ref());
    let runs = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_none_or(|state| state.terminated.is_none() && state.waiting.is_none())
    };
    let any_runs = || {
        pods::container_statuses(pod)
            .chain(ephemeral.into_iter().flatten())
            .any(runs)
    };
    pods::is_terminal(pod) || (pods::is_deleting(pod) && !any_runs())
}

/// Whether the kubelet is done with the pod or it was deleted by force: it only waits for finalizers, which may in turn wait
/// for the claim.
fn is_shut_down(pod: &Pod) -> bool {
    pods::is_deleting(pod) && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// Whether a pod keeps a claim. Only one that has a node does: no kubelet starts a pod whose claim is being deleted.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let name = claim.metadata.name.as_deref();
    let counts = |volume: &Volume| {
        let generated = volume.persistent_volume_claim.is_none();
        pods::claim(pod, volume).as_deref() == name
            && (!generated || (!is_shut_down(pod) && ownership::is_controlled_by(&claim.metadata, &pod.metadata)))
    };
    !pods::node_name(pod).is_empty() && pods::volumes(pod).any(counts)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(claim) = self.claims.get(&key) else {
            return Ok(());
        };
        let set = match duty(&claim.metadata, FINALIZER) {
            Duty::Set => true,
            Duty::Release if !self.is_used(&key, &claim).await? => false,
            _ => return Ok(()),
        };
        let api = Api::namespaced(self.client.clone(), &key.namespace);
        write(&api, claim.as_ref(), FINALIZER, set).await
    }
}

impl Controller {
    /// Asks the API server itself when the informer knows of no user: the pod may just not be here yet.
    async fn is_used(&self, key: &ObjectKey, claim: &PersistentVolumeClaim) -> Result<bool> {
        let known = self.pods.by_index(self.informers.pods_by_claim, &key.to_string());
        if known.iter().any(|pod| uses(pod, claim)) {
            return Ok(true);
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let pods = api.list(&ListParams::default()).await;
        let pods = pods.during(format_args!("looking for pods that use claim {key}"))?;
        Ok(pods.items.iter().any(|pod| uses(pod, claim)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DELETED: &str = "2026-01-01T00:00:00Z";

    fn pod(node: &str, volumes: Value, deleting_within: Option<i64>, status: Value) -> Pod {
        let deleted = deleting_within.map(|_| DELETED);
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "1",
                "deletionTimestamp": deleted, "deletionGracePeriodSeconds": deleting_within,
            },
            "spec": { "nodeName": node, "containers": [], "volumes": volumes },
            "status": status,
        }))
        .unwrap()
    }

    fn claim(name: &str, owner: &str) -> PersistentVolumeClaim {
        let owners = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true }]);
        let metadata = json!({ "name": name, "namespace": "n", "ownerReferences": owners });
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn who_keeps_a_claim() {
        let named = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }]);
        let made = json!([{ "name": "v", "ephemeral": {} }]);
        for (node, volumes, deleting_within, claim, expected) in [
            ("node", &named, None, claim("data", "9"), true),
            ("node", &named, Some(0), claim("data", "9"), true),
            ("node", &named, None, claim("other", "9"), false),
            ("", &named, None, claim("data", "9"), false),
            ("node", &made, None, claim("p-v", "1"), true),
            ("node", &made, Some(30), claim("p-v", "1"), true),
            ("node", &made, Some(0), claim("p-v", "1"), false),
            ("node", &made, None, claim("p-v", "2"), false),
        ] {
            let pod = pod(node, volumes.clone(), deleting_within, json!({}));
            assert_eq!(uses(&pod, &claim), expected, "{pod:?}");
        }
    }

    #[test]
    fn only_pods_that_may_let_go_are_a_reason_to_look() {
        let container = |state: Value| {
            json!({ "containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]})
        };
        for (node, deleting_within, status, expected) in [
            ("", None, json!({}), true),
            ("node", None, json!({}), false),
            ("node", None, json!({ "phase": "Succeeded" }), true),
            ("node", Some(30), json!({}), true),
            ("node", Some(30), container(json!({ "running": {} })), false),
            (
                "node",
                Some(30),
                container(json!({ "terminated": { "exitCode": 0 } })),
                true,
            ),
            (
                "node",
                None,
                container(json!({ "terminated": { "exitCode": 0 } })),
                false,
            ),
        ] {
            let pod = pod(node, json!([]), deleting_within, status);
            assert_eq!(may_release(&pod), expected, "{pod:?}");
        }
    }
}
