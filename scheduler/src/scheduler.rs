//! Takes pods from the queue, chooses nodes and binds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chassis::Tasks;
use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, Namespace, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::cache::Cache;
use crate::cycle;
use crate::metrics::Metrics;
use crate::pod::{PodInfo, is_running_somewhere, waits_for_us};
use crate::queue::Queue;

pub(crate) struct Scheduler {
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
    tasks: Tasks,
    cache: Mutex<Cache>,
    queue: Mutex<Queue>,
    wake: Notify,
    pods: Mutex<Option<Informer<Pod>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scheduler {
    pub(crate) fn new(client: Client, recorder: Recorder, metrics: Metrics, tasks: Tasks) -> Self {
        Self {
            client,
            recorder,
            metrics,
            tasks,
            cache: Mutex::default(),
            queue: Mutex::default(),
            wake: Notify::new(),
            pods: Mutex::default(),
        }
    }

    /// Follows what the informers see.
    pub(crate) fn listen(
        self: &Arc<Self>,
        pods: &Informer<Pod>,
        nodes: &Informer<Node>,
        namespaces: &Informer<Namespace>,
    ) {
        *lock(&self.pods) = Some(pods.clone());
        let this = self.clone();
        pods.on_change(move |change| this.pod_changed(change));
        let this = self.clone();
        nodes.on_change(move |change| {
            let node = change.object();
            match change {
                Change::Deleted(_) => lock(&this.cache).remove_node(node.metadata.name.as_deref().unwrap_or_default()),
                Change::Added(_) | Change::Updated { .. } => lock(&this.cache).set_node(node.clone()),
            }
            let heartbeat = matches!(change, Change::Updated { old, new } if is_heartbeat(old, new));
            if !heartbeat {
                this.cluster_changed();
            }
        });
        let this = self.clone();
        namespaces.on_change(move |change| {
            let meta = &change.object().metadata;
            let labels = (!matches!(change, Change::Deleted(_))).then(|| meta.labels.clone().unwrap_or_default());
            lock(&this.cache).set_namespace(meta.name.clone().unwrap_or_default(), labels);
        });
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let pod = change.object();
        let key = ObjectKey::of(&pod.metadata);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if let Change::Updated { old, .. } = change
            && old.metadata.uid != pod.metadata.uid
        {
            lock(&self.cache).remove_pod(old.metadata.uid.as_deref().unwrap_or_default());
            lock(&self.queue).remove(&key);
        }
        let gone = matches!(change, Change::Deleted(_));
        if !gone && is_running_somewhere(pod) {
            lock(&self.cache).put_pod(Arc::new(PodInfo::of(pod)));
            lock(&self.queue).remove(&key);
            if matches!(change, Change::Added(_)) || labels_changed(change) {
                // It may be what another pod wants to be near.
                self.cluster_changed();
            }
            return;
        }
        if !gone && waits_for_us(pod) {
            let own_status =
                matches!(change, Change::Updated { old, new } if old.spec == new.spec && !labels_changed(change));
            // A pod that is assumed to be somewhere waits for its binding, not for a node.
            if !own_status && !lock(&self.cache).has_pod(uid) {
                let info = PodInfo::of(pod);
                lock(&self.queue).add(key, info.priority, info.created);
                self.wake.notify_one();
            }
            return;
        }
        lock(&self.queue).remove(&key);
        let freed = {
            let mut cache = lock(&self.cache);
            let had = cache.has_pod(uid);
            cache.remove_pod(uid);
            had
        };
        if freed {
            self.cluster_changed();
        }
    }

    fn cluster_changed(&self) {
        lock(&self.queue).cluster_changed();
        self.wake.notify_one();
    }

    /// Schedules for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let (next, deadline) = {
                let mut queue = lock(&self.queue);
                (queue.pop(Instant::now()), queue.next_deadline())
            };
            match (next, deadline) {
                (Some(key), _) => {
                    self.attempt(key);
                    // Bindings and watches share this thread.
                    tokio::task::yield_now().await;
                }
                (None, None) => self.wake.notified().await,
                (None, Some(deadline)) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(deadline.into()) => {}
                },
            }
        }
    }

    fn attempt(self: &Arc<Self>, key: ObjectKey) {
        let informer = lock(&self.pods).clone();
        let Some(pod) = informer.and_then(|pods| pods.get(&key)).filter(|pod| waits_for_us(pod)) else {
            lock(&self.queue).remove(&key);
            return;
        };
        let mut info = PodInfo::of(&pod);
        let snapshot = lock(&self.cache).snapshot();
        let started = Instant::now();
        let choice = cycle::choose(&info, &snapshot);
        self.metrics.chose(started.elapsed());
        let this = self.clone();
        match choice {
            Ok(node) => {
                info.node = node.clone();
                lock(&self.cache).put_pod(Arc::new(info));
                self.tasks.spawn_finite(
                    format!("binding of {key}"),
                    async move { this.bind(key, pod, node).await },
                );
            }
            Err(why) => {
                debug!(pod = %key, why, "no node");
                self.metrics.attempted("unschedulable");
                lock(&self.queue).failed(&key, Instant::now());
                self.tasks.spawn_finite(
                    format!("status of {key}"),
                    async move { this.explain(key, pod, why).await },
                );
            }
        }
    }

    async fn bind(self: Arc<Self>, key: ObjectKey, pod: Arc<Pod>, node: String) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let binding = Binding {
            metadata: ObjectMeta {
                name: pod.metadata.name.clone(),
                namespace: pod.metadata.namespace.clone(),
                uid: pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.clone()),
                ..ObjectReference::default()
            },
        };
        let params = PostParams::default();
        match api
            .create_subresource::<_, Status>("binding", &key.name, &params, &binding)
            .await
        {
            Ok(_) => {
                info!(pod = %key, node, "bound");
                self.metrics.attempted("scheduled");
                lock(&self.queue).remove(&key);
                let text = format!("Successfully assigned {key} to {node}");
                self.recorder.event(pod.as_ref(), Severity::Normal, "Scheduled", text);
            }
            Err(error) => {
                warn!(pod = %key, node, %error, "cannot bind");
                self.metrics.attempted("error");
                self.unassume(&pod, &key);
            }
        }
    }

    /// The pod is nowhere after all, unless the informer meanwhile says otherwise.
    fn unassume(&self, pod: &Pod, key: &ObjectKey) {
        let current = lock(&self.pods).as_ref().and_then(|pods| pods.get(key));
        if current.is_some_and(|current| is_running_somewhere(&current)) {
            return;
        }
        lock(&self.cache).remove_pod(pod.metadata.uid.as_deref().unwrap_or_default());
        let mut queue = lock(&self.queue);
        queue.failed(key, Instant::now());
        queue.cluster_changed();
        drop(queue);
        self.wake.notify_one();
    }

    /// Says on the pod why it waits.
    async fn explain(self: Arc<Self>, key: ObjectKey, pod: Arc<Pod>, why: String) {
        self.recorder
            .event(pod.as_ref(), Severity::Warning, "FailedScheduling", why.clone());
        let current = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let current = current.and_then(|all| all.iter().find(|condition| condition.type_ == "PodScheduled"));
        let said = |condition: &k8s_openapi::api::core::v1::PodCondition| {
            condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
                && condition.message.as_deref() == Some(why.as_str())
        };
        if current.is_some_and(said) {
            return;
        }
        let since = current
            .filter(|condition| condition.status == "False")
            .and_then(|condition| condition.last_transition_time.clone());
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": why,
            "lastProbeTime": null,
            "lastTransitionTime": since.unwrap_or(Time(Timestamp::now())),
        });
        let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } });
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match api
            .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => warn!(pod = %key, %error, "cannot say on the pod why it waits"),
        }
    }
}

fn labels_changed(change: &Change<'_, Pod>) -> bool {
    matches!(change, Change::Updated { old, new } if old.metadata.labels != new.metadata.labels)
}

/// Whether nothing changed that decides about pods.
fn is_heartbeat(old: &Node, new: &Node) -> bool {
    let room = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.spec == new.spec && old.metadata.labels == new.metadata.labels && room(old) == room(new)
}
