//! The daemon set controller: one pod on every node that fits.

pub(crate) mod node;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use crate::common::expectations::Expectations;
use crate::common::history::{self, REVISION_LABEL};
use crate::common::ownership::{self, controller_of, is_controlled_by};
use crate::common::pod_control::{PodControl, slow_start};
use crate::common::{hash, pods, selector};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found, is_already_exists, is_namespace_terminating};
use crate::workers::work;
use plan::{Plan, State, Why};

const NAME: &str = "daemonset-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    pod_control: PodControl,
    sets: Informer<DaemonSet>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    expectations: Expectations,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let recorder = context.recorder.for_component(NAME);
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: recorder.clone(),
        pod_control: PodControl {
            client: context.client.clone(),
            recorder,
        },
        sets: context.informers.daemon_sets(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        revisions: context.informers.revisions(),
        expectations: Expectations::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let workers = context.settings.concurrent_daemonset_syncs;
        work(NAME, &controller.queue, workers, &context.metrics, |key| {
            controller.sync(key)
        })
        .await;
    }
    .boxed()
}

/// The revisions a pass works with.
struct Revisions {
    old: Vec<Arc<ControllerRevision>>,
    hash: String,
    collisions: Option<i32>,
}

fn hash_of(meta: &ObjectMeta) -> &str {
    meta.labels
        .as_ref()
        .and_then(|labels| labels.get(REVISION_LABEL))
        .map(String::as_str)
        .unwrap_or_default()
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let this = self.clone();
        self.sets.on_change(move |change| {
            let key = ObjectKey::of(&change.object().metadata);
            if matches!(change, Change::Deleted(_)) {
                this.expectations.forget(&key);
            }
            this.queue.add(key);
        });
        let this = self.clone();
        self.pods.on_change(move |change| this.pod_changed(change));
        let this = self.clone();
        self.nodes.on_change(move |change| {
            // Only what decides about daemons: not the heartbeats.
            if let Change::Updated { old, new } = change
                && old.metadata.labels == new.metadata.labels
                && old.spec == new.spec
            {
                return;
            }
            for set in this.sets.list() {
                this.queue.add(ObjectKey::of(&set.metadata));
            }
        });
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let pod = change.object();
        let Some(set) = ownership::resolve(&pod.metadata, &self.sets) else {
            return self.queue_matching(&pod.metadata);
        };
        let key = ObjectKey::of(&set.metadata);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        match change {
            Change::Added(_) if !pods::is_deleting(pod) => self.expectations.creation_observed(&key),
            Change::Updated { .. } if !pods::is_deleting(pod) => {}
            _ => self.expectations.deletion_observed(&key, uid),
        }
        self.queue.add(key);
    }

    fn queue_matching(&self, pod: &ObjectMeta) {
        if controller_of(pod).is_some() || pod.deletion_timestamp.is_some() {
            return;
        }
        for set in self.sets.list_in(pod.namespace.as_deref().unwrap_or_default()) {
            let matches = set.spec.as_ref().is_some_and(|spec| {
                selector::parse(&spec.selector, "").is_ok_and(|labels| labels.matches(pod.labels.as_ref()))
            });
            if matches {
                self.queue.add(ObjectKey::of(&set.metadata));
            }
        }
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(set) = self.sets.get(&key) else {
            self.expectations.forget(&key);
            return Ok(());
        };
        let Some(spec) = &set.spec else { return Ok(()) };
        if selector::is_empty(&spec.selector) {
            let text = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.recorder
                .event(set.as_ref(), Severity::Warning, "SelectingAll", text);
            return Ok(());
        }
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let labels = selector::parse(&spec.selector, &format!("daemon set {key}"))?;
        let revisions = self.revisions(&key, &set, &labels).await?;
        let matches = |pod: &Pod| labels.matches(pod.metadata.labels.as_ref());
        let owned = ownership::claim(&self.client, set.as_ref(), self.pods.list_in(&key.namespace), matches).await?;
        let nodes = self.nodes.list();
        let now = Timestamp::now();
        let state = State {
            set: &set,
            nodes: &nodes,
            pods: &owned,
            hash: &revisions.hash,
            now,
        };
        let mut result = Ok(());
        if self.expectations.satisfied(&key) {
            result = self.carry_out(&key, &set, plan::plan(&state), &revisions.hash).await;
            self.forget_old_revisions(&key, &set, &owned, &revisions).await?;
        }
        let status = plan::status(&state, revisions.collisions);
        if set.status.as_ref() != Some(&status) {
            let mut updated = set.as_ref().clone();
            updated.status = Some(status);
            let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &key.namespace);
            let written = api.replace_status(&key.name, &PostParams::default(), &updated).await;
            written.during(format_args!("updating the status of daemon set {key}"))?;
        }
        result?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let next = owned
            .iter()
            .filter_map(|pod| pods::available_in(pod, min_ready, now))
            .filter(|wait| !wait.is_zero());
        if let Some(wait) = next.min() {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }

    async fn carry_out(&self, key: &ObjectKey, set: &DaemonSet, plan: Plan, hash: &str) -> Result {
        if plan.create.is_empty() && plan.delete.is_empty() {
            return Ok(());
        }
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        self.expectations
            .expect(key, plan.create.len(), plan.delete.iter().map(|(pod, _)| uid(pod)));
        let create = &plan.create;
        let request = |index: usize| async move {
            let pod = node::new_pod(set, &create[index], hash);
            match self.pod_control.create(set, &pod).await {
                Ok(_) => Ok(()),
                Err(error) if is_namespace_terminating(&error) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let (created, create_error) = slow_start(create.len(), request).await;
        for _ in created..create.len() {
            self.expectations.creation_observed(key);
        }
        let deletions = plan.delete.iter().map(|(pod, why)| async move {
            self.say_why(set, pod, *why);
            let result = self.pod_control.delete(set, pod).await;
            if result.is_err() {
                self.expectations.deletion_observed(key, &uid(pod));
            }
            result
        });
        let delete_error = join_all(deletions).await.into_iter().find_map(std::result::Result::err);
        match create_error.or(delete_error) {
            None => Ok(()),
            Some(source) => Err(SyncError::Api {
                action: format!("changing the pods of daemon set {key}"),
                source: Box::new(source),
            }),
        }
    }

    fn say_why(&self, set: &DaemonSet, pod: &Pod, why: Why) {
        let pod_key = ObjectKey::of(&pod.metadata);
        let node = pods::node_name(pod);
        match why {
            Why::Failed => {
                let text = format!("Found failed daemon pod {pod_key} on node {node}, will try to kill it");
                self.recorder.event(set, Severity::Warning, "FailedDaemonPod", text);
            }
            Why::Succeeded => {
                let text = format!("Found succeeded daemon pod {pod_key} on node {node}, will try to delete it");
                self.recorder.event(set, Severity::Normal, "SucceededDaemonPod", text);
            }
            Why::Surplus | Why::Outdated => {}
        }
    }

    /// Finds or creates the revision of the wanted template; its hash is the one pods carry (`constructHistory`).
    async fn revisions(&self, key: &ObjectKey, set: &DaemonSet, labels: &selector::Labels) -> Result<Revisions> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let candidates = self.revisions.list_in(&key.namespace);
        let matches = |revision: &ControllerRevision| labels.matches(revision.metadata.labels.as_ref());
        let mut all = ownership::claim(&self.client, set, candidates, matches).await?;
        history::sort(&mut all);
        let content = history::content(&template);
        let api: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &key.namespace);
        let newest = all.last().map_or(0, |last| last.revision);
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let known = all
            .iter()
            .rev()
            .find(|revision| history::holds(revision, &content))
            .cloned();
        let hash = match known {
            Some(known) => {
                let name = known.metadata.name.clone().unwrap_or_default();
                if known.revision < newest {
                    let mut renumbered = known.as_ref().clone();
                    renumbered.revision = newest + 1;
                    let written = api.replace(&name, &PostParams::default(), &renumbered).await;
                    written.during(format_args!("renumbering revision {name} of daemon set {key}"))?;
                }
                hash_of(&known.metadata).to_owned()
            }
            None => loop {
                let hash = hash::pod_template(&template, collisions);
                let mut labels = template
                    .metadata
                    .as_ref()
                    .and_then(|meta| meta.labels.clone())
                    .unwrap_or_default();
                labels.insert(REVISION_LABEL.to_owned(), hash.clone());
                let revision = history::named_revision(set, labels, &hash, content.clone(), newest + 1);
                match api.create(&PostParams::default(), &revision).await {
                    Ok(_) => break hash,
                    Err(error) if is_already_exists(&error) => {
                        let name = revision.metadata.name.as_deref().unwrap_or_default();
                        let existing = api.get(name).await.during(format_args!("looking at revision {name}"))?;
                        if is_controlled_by(&existing.metadata, &set.metadata) && history::holds(&existing, &content) {
                            break hash;
                        }
                        collisions = Some(collisions.unwrap_or(0) + 1);
                    }
                    Err(error) => return Err(error).during(format_args!("creating a revision of daemon set {key}")),
                }
            },
        };
        all.retain(|revision| hash_of(&revision.metadata) != hash);
        Ok(Revisions {
            old: all,
            hash,
            collisions,
        })
    }

    async fn forget_old_revisions(
        &self,
        key: &ObjectKey,
        set: &DaemonSet,
        owned: &[Arc<Pod>],
        revisions: &Revisions,
    ) -> Result {
        let limit = set
            .spec
            .as_ref()
            .and_then(|spec| spec.revision_history_limit)
            .unwrap_or(10);
        let in_use = |revision: &ControllerRevision| {
            let hash = hash_of(&revision.metadata);
            owned.iter().any(|pod| hash_of(&pod.metadata) == hash)
        };
        let api: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &key.namespace);
        for revision in history::excess(&revisions.old, limit, in_use) {
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            ignore_not_found(api.delete(name, &DeleteParams::default()).await)
                .during(format_args!("deleting old revision {name} of daemon set {key}"))?;
        }
        Ok(())
    }
}
