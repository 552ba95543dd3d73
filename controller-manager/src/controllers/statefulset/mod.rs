//! The stateful set controller: pods with names, order and claims of their own.

mod identity;
mod plan;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::common::ownership::{self, controller_of, is_controlled_by};
use crate::common::pod_control::PodControl;
use crate::common::{history, pods, selector, status};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, ignore_not_found, is_already_exists, is_namespace_terminating, message};
use crate::workers::{Reconcile, run};
use plan::{Action, State};

const NAME: &str = "statefulset-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    pod_control: PodControl,
    sets: Informer<StatefulSet>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    revisions: Informer<ControllerRevision>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component(NAME),
        pod_control: PodControl::new(context, NAME),
        sets: context.informers.stateful_sets(),
        pods: context.informers.pods(),
        claims: context.informers.claims(),
        revisions: context.informers.revisions(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.workers.concurrent_statefulset_syncs,
        controller,
    )
}

/// The revisions a pass works with.
struct Revisions {
    all: Vec<Arc<ControllerRevision>>,
    current: Arc<ControllerRevision>,
    update: Arc<ControllerRevision>,
    collisions: Option<i32>,
}

fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(set) = self.sets.get(&key) else { return Ok(()) };
        let Some(spec) = &set.spec else { return Ok(()) };
        let labels = selector::parse(&spec.selector, &format!("stateful set {key}"))?;
        let matches =
            |pod: &Pod| labels.matches(pod.metadata.labels.as_ref()) && identity::ordinal(&set, pod).is_some();
        let owned = ownership::claim(&self.client, set.as_ref(), self.pods.list_in(&key.namespace), matches).await?;
        let revisions = self.revisions(&key, &set, &labels).await?;
        let now = Timestamp::now();

        let mut current_set = set.as_ref().clone();
        if let Some(template) = history::template(&revisions.current)
            && let Some(spec) = &mut current_set.spec
        {
            spec.template = template;
        }
        let state = State {
            set: &set,
            pods: &owned,
            current_set: &current_set,
            current_revision: name_of(&revisions.current.metadata),
            update_revision: name_of(&revisions.update.metadata),
            collisions: revisions.collisions,
            now,
        };
        let plan = plan::plan(&state);
        let mut result = Ok(());
        for action in plan.actions {
            result = self.carry_out(&key, &set, action).await;
            if result.is_err() {
                break;
            }
        }
        status::write(&self.client, set.as_ref(), &plan.status).await?;
        result?;
        self.forget_old_revisions(&set, &owned, &revisions).await?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        if let Some(wait) = pods::next_available(&owned, min_ready, now) {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let queue = self.queue.clone();
        self.sets
            .on_change(move |change| queue.add(ObjectKey::of(&change.object().metadata)));
        let this = self.clone();
        self.pods.on_change(move |change| {
            if let Change::Updated { old, new } = change
                && controller_of(&old.metadata) != controller_of(&new.metadata)
            {
                this.enqueue_owner(&old.metadata);
            }
            this.enqueue_owner(&change.object().metadata);
        });
    }

    fn enqueue_owner(&self, pod: &ObjectMeta) {
        if controller_of(pod).is_some() {
            if let Some(set) = ownership::resolve(pod, &self.sets) {
                self.queue.add(ObjectKey::of(&set.metadata));
            }
            return;
        }
        selector::queue_matching(pod, &self.sets, |set| Some(&set.spec.as_ref()?.selector), &self.queue);
    }

    /// Finds the revisions of the running and of the wanted template; a template nobody has seen becomes a new one.
    async fn revisions(&self, key: &ObjectKey, set: &StatefulSet, labels: &selector::Labels) -> Result<Revisions> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let candidates = self.revisions.list_in(&key.namespace);
        let matches = |revision: &ControllerRevision| labels.matches(revision.metadata.labels.as_ref());
        let mut all = ownership::claim(&self.client, set, candidates, matches).await?;
        history::sort(&mut all);
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let next = all.last().map_or(1, |last| last.revision + 1);
        let content = history::content(&template);
        let known = all
            .iter()
            .rev()
            .find(|revision| history::holds(revision, &content))
            .cloned();
        let update = match known {
            Some(known) if known.revision + 1 == next => known,
            Some(known) => self.renumber(key, &known, next).await?,
            None => self.create_revision(key, set, &template, next, &mut collisions).await?,
        };
        let running = set
            .status
            .as_ref()
            .and_then(|status| status.current_revision.as_deref());
        let current = all
            .iter()
            .find(|revision| running == Some(name_of(&revision.metadata)))
            .cloned();
        let current = current.unwrap_or_else(|| update.clone());
        Ok(Revisions {
            all,
            current,
            update,
            collisions,
        })
    }

    /// Going back to an older template makes its revision the newest.
    async fn renumber(
        &self,
        key: &ObjectKey,
        known: &ControllerRevision,
        next: i64,
    ) -> Result<Arc<ControllerRevision>> {
        let api: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &key.namespace);
        let mut revision = known.clone();
        revision.revision = next;
        let name = name_of(&known.metadata);
        let written = api.replace(name, &PostParams::default(), &revision).await;
        Ok(Arc::new(written.during(format_args!(
            "renumbering revision {name} of stateful set {key}"
        ))?))
    }

    async fn create_revision(
        &self,
        key: &ObjectKey,
        set: &StatefulSet,
        template: &k8s_openapi::api::core::v1::PodTemplateSpec,
        next: i64,
        collisions: &mut Option<i32>,
    ) -> Result<Arc<ControllerRevision>> {
        let api: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &key.namespace);
        loop {
            let count = collisions.unwrap_or(0);
            let revision = history::new_revision(set, template, next, Some(count));
            let name = name_of(&revision.metadata).to_owned();
            match api.create(&PostParams::default(), &revision).await {
                Ok(created) => return Ok(Arc::new(created)),
                Err(error) if is_already_exists(&error) => {
                    let existing = api
                        .get(&name)
                        .await
                        .during(format_args!("looking at revision {name}"))?;
                    let ours = is_controlled_by(&existing.metadata, &set.metadata);
                    if ours && history::holds(&existing, &history::content(template)) {
                        return Ok(Arc::new(existing));
                    }
                    *collisions = Some(count + 1);
                }
                Err(error) => return Err(error).during(format_args!("creating a revision of stateful set {key}")),
            }
        }
    }

    async fn forget_old_revisions(&self, set: &StatefulSet, owned: &[Arc<Pod>], revisions: &Revisions) -> Result {
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let in_use = |revision: &ControllerRevision| {
            let name = name_of(&revision.metadata);
            name == name_of(&revisions.current.metadata)
                || name == name_of(&revisions.update.metadata)
                || owned.iter().any(|pod| identity::revision(pod) == name)
        };
        history::forget(&self.client, set, &revisions.all, limit, in_use).await
    }

    async fn carry_out(&self, key: &ObjectKey, set: &StatefulSet, action: Action) -> Result {
        match action {
            Action::Create { pod, ordinal } => self.create(key, set, &pod, ordinal).await,
            Action::Restart(pod) => {
                let name = name_of(&pod.metadata);
                let (reason, word) = match pods::phase(&pod) {
                    "Failed" => ("RecreatingFailedPod", "failed"),
                    _ => ("RecreatingTerminatedPod", "terminated"),
                };
                let text = format!("StatefulSet {key} is recreating {word} Pod {name}");
                self.recorder.event(set, Severity::Warning, reason, text);
                self.delete(key, set, &pod).await
            }
            Action::Delete(pod) => self.delete(key, set, &pod).await,
            Action::Relabel(pod) => self.relabel(key, set, &pod).await,
            Action::Claims {
                pod,
                ordinal,
                condemned,
            } => self.see_to_claims(key, set, Some(&pod), ordinal, condemned).await,
        }
    }

    async fn create(&self, key: &ObjectKey, set: &StatefulSet, pod: &Pod, ordinal: i32) -> Result {
        self.see_to_claims(key, set, None, ordinal, false).await?;
        let name = name_of(&pod.metadata);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), pod).await {
            Ok(_) => {
                let text = format!("create Pod {name} in StatefulSet {} successful", key.name);
                self.recorder.event(set, Severity::Normal, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) if is_namespace_terminating(&error) => Ok(()),
            // The informer has not shown it yet, or it is still on its way out.
            Err(error) if is_already_exists(&error) => {
                Err(error).during(format_args!("creating pod {name} of stateful set {key}"))
            }
            Err(error) => {
                let text = format!(
                    "create Pod {name} in StatefulSet {} failed error: {}",
                    key.name,
                    message(&error)
                );
                self.recorder.event(set, Severity::Warning, "FailedCreate", text);
                Err(error).during(format_args!("creating pod {name} of stateful set {key}"))
            }
        }
    }

    async fn delete(&self, key: &ObjectKey, set: &StatefulSet, pod: &Pod) -> Result {
        let name = name_of(&pod.metadata);
        let deleted = self.pod_control.remove(pod).await;
        match &deleted {
            Ok(()) => {
                let text = format!("delete Pod {name} in StatefulSet {} successful", key.name);
                self.recorder.event(set, Severity::Normal, "SuccessfulDelete", text);
            }
            Err(error) => {
                let text = format!(
                    "delete Pod {name} in StatefulSet {} failed error: {}",
                    key.name,
                    message(error)
                );
                self.recorder.event(set, Severity::Warning, "FailedDelete", text);
            }
        }
        deleted.during(format_args!("deleting pod {name} of stateful set {key}"))
    }

    async fn relabel(&self, key: &ObjectKey, set: &StatefulSet, pod: &Pod) -> Result {
        let name = name_of(&pod.metadata);
        let Some(ordinal) = identity::ordinal(set, pod) else {
            return Ok(());
        };
        let labels = json!({ identity::POD_NAME_LABEL: name, identity::POD_INDEX_LABEL: ordinal.to_string() });
        let patch = Patch::Merge(json!({ "metadata": { "uid": pod.metadata.uid, "labels": labels } }));
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let written = api.patch_metadata(name, &PatchParams::default(), &patch).await;
        ignore_not_found(written).during(format_args!("labelling pod {name} of stateful set {key}"))
    }

    /// Creates the claims a pod needs and gives them the owner that the retention policy asks for.
    async fn see_to_claims(
        &self,
        key: &ObjectKey,
        set: &StatefulSet,
        pod: Option<&Pod>,
        ordinal: i32,
        condemned: bool,
    ) -> Result {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        for mut wanted in identity::claims(set, ordinal) {
            let name = name_of(&wanted.metadata).to_owned();
            let existing = self.claims.get(&ObjectKey::new(&key.namespace, &name));
            match existing {
                Some(claim) if claim.metadata.deletion_timestamp.is_some() => {
                    if pod.is_none() {
                        return Err(SyncError::Invalid(format!(
                            "claim {name} of stateful set {key} is still being deleted"
                        )));
                    }
                }
                Some(claim) => {
                    let Some(owners) = identity::corrected_owners(set, pod, &claim, condemned) else {
                        continue;
                    };
                    let metadata = json!({
                        "uid": claim.metadata.uid,
                        "resourceVersion": claim.metadata.resource_version,
                        "ownerReferences": owners,
                    });
                    let patch = Patch::Merge(json!({ "metadata": metadata }));
                    let written = api.patch_metadata(&name, &PatchParams::default(), &patch).await;
                    written.during(format_args!("setting the owner of claim {name} of stateful set {key}"))?;
                }
                None if condemned => {}
                None => {
                    wanted.metadata.owner_references = identity::claim_owner(set, pod, false).map(|owner| vec![owner]);
                    match api.create(&PostParams::default(), &wanted).await {
                        Ok(_) => {
                            let pod_name = identity::pod_name(set, ordinal);
                            let text =
                                format!("create Claim {name} Pod {pod_name} in StatefulSet {} success", key.name);
                            self.recorder.event(set, Severity::Normal, "SuccessfulCreate", text);
                        }
                        Err(error) if is_already_exists(&error) => {}
                        Err(error) => {
                            return Err(error).during(format_args!("creating claim {name} of stateful set {key}"));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
