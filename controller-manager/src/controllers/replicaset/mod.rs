//! The replica set controller: keeps as many pods as asked for.

mod plan;
mod rank;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use futures::FutureExt;
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::common::expectations::Expectations;
use crate::common::ownership::{self, controller_of};
use crate::common::pod_control::{PodControl, generated_pod, slow_start};
use crate::common::{pods, selector};
use crate::context::{Context, Task};
use crate::error::{During, Result, SyncError, is_namespace_terminating, message};
use crate::informers::Informers;
use crate::workers::work;
use plan::{Decision, State};

const NAME: &str = "replicaset-controller";

struct Controller {
    client: Client,
    informers: Arc<Informers>,
    pod_control: PodControl,
    replica_sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    expectations: Expectations,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let recorder = context.recorder.for_component(NAME);
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        informers: context.informers.clone(),
        pod_control: PodControl {
            client: context.client.clone(),
            recorder,
        },
        replica_sets: context.informers.replica_sets(),
        pods: context.informers.pods(),
        expectations: Expectations::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let workers = context.settings.concurrent_replicaset_syncs;
        work(NAME, &controller.queue, workers, &context.metrics, |key| {
            controller.sync(key)
        })
        .await;
    }
    .boxed()
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let this = self.clone();
        self.replica_sets.on_change(move |change| {
            let key = ObjectKey::of(&change.object().metadata);
            if matches!(change, Change::Deleted(_)) {
                this.expectations.forget(&key);
            }
            this.queue.add(key);
        });
        let this = self.clone();
        self.pods.on_change(move |change| this.pod_changed(change));
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let pod = change.object();
        match change {
            Change::Added(_) if !pods::is_deleting(pod) => {
                if let Some(owner) = self.owner(&pod.metadata) {
                    self.expectations.creation_observed(&owner);
                }
            }
            Change::Added(_) | Change::Deleted(_) => self.deletion_seen(&pod.metadata),
            Change::Updated { old, new } => {
                if old.metadata.uid != new.metadata.uid {
                    self.deletion_seen(&old.metadata);
                }
                if pods::is_deleting(new) {
                    self.deletion_seen(&new.metadata);
                }
                let owner = |pod: &Pod| controller_of(&pod.metadata).map(|owner| owner.uid.clone());
                if owner(old) != owner(new)
                    && let Some(owner) = self.owner(&old.metadata)
                {
                    self.queue.add(owner);
                }
            }
        }
        match controller_of(&pod.metadata) {
            Some(_) => self.queue_owner(&pod.metadata),
            None if !pods::is_deleting(pod) => self.queue_matching(&pod.metadata),
            None => {}
        }
    }

    fn owner(&self, pod: &ObjectMeta) -> Option<ObjectKey> {
        ownership::resolve(pod, &self.replica_sets).map(|rs| ObjectKey::of(&rs.metadata))
    }

    fn deletion_seen(&self, pod: &ObjectMeta) {
        if let Some(owner) = self.owner(pod) {
            self.expectations
                .deletion_observed(&owner, pod.uid.as_deref().unwrap_or_default());
            self.queue.add(owner);
        }
    }

    fn queue_owner(&self, pod: &ObjectMeta) {
        if let Some(owner) = self.owner(pod) {
            self.queue.add(owner);
        }
    }

    fn queue_matching(&self, pod: &ObjectMeta) {
        for rs in self.replica_sets.list_in(pod.namespace.as_deref().unwrap_or_default()) {
            let matches = rs.spec.as_ref().is_some_and(|spec| {
                selector::parse(&spec.selector, "").is_ok_and(|labels| labels.matches(pod.labels.as_ref()))
            });
            if matches {
                self.queue.add(ObjectKey::of(&rs.metadata));
            }
        }
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(rs) = self.replica_sets.get(&key) else {
            self.expectations.forget(&key);
            return Ok(());
        };
        let Some(spec) = &rs.spec else { return Ok(()) };
        let may_manage = self.expectations.satisfied(&key) && rs.metadata.deletion_timestamp.is_none();
        let labels = selector::parse(&spec.selector, &format!("replica set {key}"))?;
        let candidates = self.pods.list_in(&key.namespace);
        let matches = |pod: &Pod| labels.matches(pod.metadata.labels.as_ref());
        let live = candidates.into_iter().filter(|pod| !pods::is_terminal(pod)).collect();
        let owned = ownership::claim(&self.client, rs.as_ref(), live, matches).await?;
        let now = Timestamp::now();
        let state = State {
            rs: &rs,
            owned: &owned,
            now,
        };
        let decision = if may_manage {
            plan::decide(&state, || self.related(&rs))
        } else {
            Decision::Nothing
        };
        let failure = self.carry_out(&key, &rs, decision).await;
        // After creating or deleting, the informer is behind, so the status is that of the pods seen before, as in upstream.
        let fresh = self.replica_sets.get(&key).unwrap_or(rs);
        let status = plan::status(
            &State {
                rs: &fresh,
                owned: &owned,
                now,
            },
            failure.as_ref(),
        );
        if fresh.status.as_ref() != Some(&status) {
            let mut updated = fresh.as_ref().clone();
            updated.status = Some(status.clone());
            let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
            let written = api.replace_status(&key.name, &PostParams::default(), &updated).await;
            written.during(format_args!("updating the status of replica set {key}"))?;
        }
        if let Some((_, error)) = failure {
            return Err(error);
        }
        let min_ready = fresh.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let next = owned
            .iter()
            .filter_map(|pod| pods::available_in(pod, min_ready, now))
            .filter(|wait| !wait.is_zero());
        if let Some(wait) = next.min() {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }

    /// The active pods of all replica sets that have the same owner: they share nodes with ours
    /// (`getIndirectlyRelatedPods`).
    fn related(&self, rs: &ReplicaSet) -> Vec<Arc<Pod>> {
        let owner = controller_of(&rs.metadata).map(|owner| &owner.uid);
        let sets = self
            .replica_sets
            .list_in(rs.metadata.namespace.as_deref().unwrap_or_default());
        let siblings = sets.iter().filter(|other| {
            other.metadata.uid == rs.metadata.uid
                || (owner.is_some() && controller_of(&other.metadata).map(|owner| &owner.uid) == owner)
        });
        siblings
            .flat_map(|sibling| {
                let uid = sibling.metadata.uid.as_deref().unwrap_or_default();
                self.pods.by_index(self.informers.pods_by_controller, uid)
            })
            .filter(|pod| pods::is_active(pod))
            .collect()
    }

    /// Returns the first error with whether it was a creation that failed.
    async fn carry_out(
        &self,
        key: &ObjectKey,
        rs: &ReplicaSet,
        decision: Decision,
    ) -> Option<(plan::Failed, SyncError)> {
        match decision {
            Decision::Nothing => None,
            Decision::Create(count) => {
                self.expectations.expect(key, count, []);
                let template = rs
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.template.clone())
                    .unwrap_or_default();
                let pod = generated_pod(&key.namespace, &template, ownership::reference_to(rs));
                let pod = &pod;
                let request = |_| async move {
                    match self.pod_control.create(rs, pod).await {
                        Ok(_) => Ok(()),
                        Err(error) if is_namespace_terminating(&error) => Ok(()),
                        Err(error) => Err(error),
                    }
                };
                let (created, error) = slow_start(count, request).await;
                // What was never created will never be seen.
                for _ in created..count {
                    self.expectations.creation_observed(key);
                }
                let error = error?;
                let text = message(&error);
                Some((
                    plan::Failed::Create(text),
                    api_error(format!("creating pods of replica set {key}"), error),
                ))
            }
            Decision::Delete(victims) => {
                let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
                self.expectations.expect(key, 0, victims.iter().map(|pod| uid(pod)));
                let deletions = victims.iter().map(|pod| async move {
                    let result = self.pod_control.delete(rs, pod).await;
                    if result.is_err() {
                        self.expectations.deletion_observed(key, &uid(pod));
                    }
                    result
                });
                let error = join_all(deletions)
                    .await
                    .into_iter()
                    .find_map(std::result::Result::err)?;
                let text = message(&error);
                Some((
                    plan::Failed::Delete(text),
                    api_error(format!("deleting pods of replica set {key}"), error),
                ))
            }
        }
    }
}

fn api_error(action: String, source: kube::Error) -> SyncError {
    SyncError::Api {
        action,
        source: Box::new(source),
    }
}
