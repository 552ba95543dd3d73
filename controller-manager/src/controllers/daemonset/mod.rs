//! The daemon set controller: one pod on every node that fits.

pub(crate) mod node;
mod plan;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::common::expectations::Expectations;
use crate::common::history::{self, REVISION_LABEL};
use crate::common::ownership::{self, controller_of, is_controlled_by};
use crate::common::pod_control::{Failed, PodControl};
use crate::common::{hash, pods, selector, status};
use crate::context::{Context, Task};
use crate::error::{During, Result, is_already_exists};
use crate::workers::{Reconcile, run};
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
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component(NAME),
        pod_control: PodControl::new(context, NAME),
        sets: context.informers.daemon_sets(),
        pods: context.informers.pods(),
        nodes: context.informers.nodes(),
        revisions: context.informers.revisions(),
        expectations: Expectations::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.workers.concurrent_daemonset_syncs,
        controller,
    )
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

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
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
            self.forget_old_revisions(&set, &owned, &revisions).await?;
        }
        let status = plan::status(&state, revisions.collisions);
        status::write(&self.client, set.as_ref(), &status).await?;
        result?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        if let Some(wait) = pods::next_available(&owned, min_ready, now) {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }
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
        self.expectations.observe(&key, change);
        self.queue.add(key);
    }

    fn queue_matching(&self, pod: &ObjectMeta) {
        if controller_of(pod).is_none() && pod.deletion_timestamp.is_none() {
            selector::queue_matching(pod, &self.sets, |set| Some(&set.spec.as_ref()?.selector), &self.queue);
        }
    }

    async fn carry_out(&self, key: &ObjectKey, set: &DaemonSet, plan: Plan, hash: &str) -> Result {
        for (pod, why) in &plan.delete {
            self.say_why(set, pod, *why);
        }
        let new_pod = |index: usize| node::new_pod(set, &plan.create[index], hash);
        let delete: Vec<Arc<Pod>> = plan.delete.into_iter().map(|(pod, _)| pod).collect();
        let changed = self
            .pod_control
            .change(set, &self.expectations, plan.create.len(), new_pod, &delete)
            .await;
        changed
            .map_err(Failed::into_error)
            .during(format_args!("changing the pods of daemon set {key}"))
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

    async fn forget_old_revisions(&self, set: &DaemonSet, owned: &[Arc<Pod>], revisions: &Revisions) -> Result {
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let in_use = |revision: &ControllerRevision| {
            let hash = hash_of(&revision.metadata);
            owned.iter().any(|pod| hash_of(&pod.metadata) == hash)
        };
        history::forget(&self.client, set, &revisions.old, limit, in_use).await
    }
}
