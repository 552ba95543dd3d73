//! The replica set controller: keeps as many pods as asked for.

mod plan;
mod rank;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;

use crate::common::expectations::Expectations;
use crate::common::ownership::{self, controller_of};
use crate::common::pod_control::{Failed, PodControl, generated_pod};
use crate::common::{pods, selector, status};
use crate::context::{Context, Task};
use crate::error::{During, Result};
use crate::informers::Informers;
use crate::workers::{Reconcile, run};
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
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        informers: context.informers.clone(),
        pod_control: PodControl::new(context, NAME),
        replica_sets: context.informers.replica_sets(),
        pods: context.informers.pods(),
        expectations: Expectations::default(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.workers.concurrent_replicaset_syncs,
        controller,
    )
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
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
        let failure = self.carry_out(&key, &rs, decision).await.err();
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
        status::write(&self.client, fresh.as_ref(), &status).await?;
        if let Some(failed) = failure {
            return Err(failed.into_error()).during(format_args!("changing the pods of replica set {key}"));
        }
        let min_ready = fresh.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        if let Some(wait) = pods::next_available(&owned, min_ready, now) {
            self.queue.add_after(key, wait);
        }
        Ok(())
    }
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
            None if !pods::is_deleting(pod) => {
                selector::queue_matching(
                    &pod.metadata,
                    &self.replica_sets,
                    |rs| Some(&rs.spec.as_ref()?.selector),
                    &self.queue,
                );
            }
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

    async fn carry_out(&self, key: &ObjectKey, rs: &ReplicaSet, decision: Decision) -> std::result::Result<(), Failed> {
        let (create, delete) = match decision {
            Decision::Nothing => return Ok(()),
            Decision::Create(count) => (count, Vec::new()),
            Decision::Delete(victims) => (0, victims),
        };
        let template = rs
            .spec
            .as_ref()
            .and_then(|spec| spec.template.clone())
            .unwrap_or_default();
        let new_pod = |_| generated_pod(&key.namespace, &template, ownership::reference_to(rs));
        self.pod_control
            .change(rs, &self.expectations, create, new_pod, &delete)
            .await
    }
}
