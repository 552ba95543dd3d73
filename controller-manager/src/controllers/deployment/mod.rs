//! The deployment controller: rolls a template out through replica sets.

mod annotations;
mod plan;
mod sizes;
mod status;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use crate::common::ownership::{self, controller_of, is_controlled_by};
use crate::common::{deletion, pods, selector};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found, is_already_exists, is_namespace_terminating, message};
use crate::workers::{Reconcile, run};
use plan::{Action, State};

const NAME: &str = "deployment-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    deployments: Informer<Deployment>,
    replica_sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component(NAME),
        deployments: context.informers.deployments(),
        replica_sets: context.informers.replica_sets(),
        pods: context.informers.pods(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    run(
        NAME,
        context,
        context.settings.workers.concurrent_deployment_syncs,
        controller,
    )
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(deployment) = self.deployments.get(&key) else {
            return Ok(());
        };
        let Some(spec) = &deployment.spec else { return Ok(()) };
        if selector::is_empty(&spec.selector) {
            let text = "This deployment is selecting all pods. A non-empty selector is required.";
            self.recorder
                .event(deployment.as_ref(), Severity::Warning, "SelectingAll", text);
            return Ok(());
        }
        let labels = selector::parse(&spec.selector, &format!("deployment {key}"))?;
        let candidates = self.replica_sets.list_in(&key.namespace);
        let matches = |rs: &ReplicaSet| labels.matches(rs.metadata.labels.as_ref());
        let owned = ownership::claim(&self.client, deployment.as_ref(), candidates, matches).await?;
        let now = Timestamp::now();
        let old_pods_run = !sizes::is_rolling(&deployment) && self.old_pods_run(&deployment, &owned);
        let state = State {
            deployment: &deployment,
            owned: &owned,
            old_pods_run,
            now,
        };
        let actions = plan::plan(&state);
        let writer = Writer {
            controller: self,
            key: &key,
            deployment: &deployment,
        };
        for action in actions {
            writer.apply(action).await?;
        }
        if let Some(delay) = status::check_again_in(&deployment, now) {
            self.queue.add_after(key, delay);
        }
        Ok(())
    }
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let queue = self.queue.clone();
        self.deployments
            .on_change(move |change| queue.add(ObjectKey::of(&change.object().metadata)));
        let this = self.clone();
        self.replica_sets.on_change(move |change| {
            if let Change::Updated { old, new } = change
                && controller_of(&old.metadata).map(|owner| &owner.uid)
                    != controller_of(&new.metadata).map(|owner| &owner.uid)
            {
                this.enqueue_owner(&old.metadata);
            }
            this.enqueue_owner(&change.object().metadata);
        });
        // Recreate waits for the last old pod to go.
        let this = self.clone();
        self.pods.on_change(move |change| {
            if let Change::Deleted(pod) = change
                && let Some(rs) = ownership::resolve(&pod.metadata, &this.replica_sets)
                && let Some(deployment) = ownership::resolve(&rs.metadata, &this.deployments)
                && !sizes::is_rolling(&deployment)
            {
                this.queue.add(ObjectKey::of(&deployment.metadata));
            }
        });
    }

    fn enqueue_owner(&self, rs: &ObjectMeta) {
        if controller_of(rs).is_some() {
            if let Some(deployment) = ownership::resolve(rs, &self.deployments) {
                self.queue.add(ObjectKey::of(&deployment.metadata));
            }
            return;
        }
        selector::queue_matching(
            rs,
            &self.deployments,
            |one| Some(&one.spec.as_ref()?.selector),
            &self.queue,
        );
    }

    /// Whether a pod of any replica set but the new one has not ended (`oldPodsRunning`).
    fn old_pods_run(&self, deployment: &Deployment, owned: &[Arc<ReplicaSet>]) -> bool {
        let split = plan::Split::of(deployment, owned);
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        self.pods.list_in(namespace).iter().any(|pod| {
            !pods::is_terminal(pod) && split.old.iter().any(|rs| is_controlled_by(&pod.metadata, &rs.metadata))
        })
    }
}

/// Carries actions out.
struct Writer<'a> {
    controller: &'a Controller,
    key: &'a ObjectKey,
    deployment: &'a Deployment,
}

impl Writer<'_> {
    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.controller.client.clone(), &self.key.namespace)
    }

    fn replica_sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.controller.client.clone(), &self.key.namespace)
    }

    async fn apply(&self, action: Action) -> Result {
        match action {
            Action::CreateReplicaSet(rs) => self.create(&rs).await,
            Action::UpdateReplicaSet { rs, resized_from } => self.update(&rs, resized_from).await,
            Action::DeleteReplicaSet(rs) => self.delete(&rs).await,
            Action::UpdateStatus(deployment) => self.update_status(*deployment).await,
        }
    }

    async fn update_status(&self, deployment: Deployment) -> Result {
        let written = self
            .deployments()
            .replace_status(&self.key.name, &PostParams::default(), &deployment)
            .await;
        written
            .map(|_| ())
            .during(format_args!("updating the status of deployment {}", self.key))
    }

    async fn create(&self, rs: &ReplicaSet) -> Result {
        let name = rs.metadata.name.as_deref().unwrap_or_default();
        match self.replica_sets().create(&PostParams::default(), rs).await {
            Ok(created) => {
                if sizes::size(&created) > 0 {
                    self.scaled(name, 0, sizes::size(&created));
                }
                Ok(())
            }
            Err(error) if is_already_exists(&error) => self.resolve_collision(rs, name).await,
            Err(error) if is_namespace_terminating(&error) => Ok(()),
            Err(error) => {
                let text = message(&error);
                let event = format!("Failed to create new replica set {name:?}: {text}");
                self.controller
                    .recorder
                    .event(self.deployment, Severity::Warning, "ReplicaSetCreateError", event);
                let mut deployment = self.deployment.clone();
                status::note_create_failed(&mut deployment, name, &text, Timestamp::now());
                self.update_status(deployment).await?;
                Err(error).during(format_args!(
                    "creating replica set {} for deployment {}",
                    name, self.key
                ))
            }
        }
    }

    /// The name is taken: either by our own replica set that the informer has not shown yet, or by another template with
    /// the same hash, in which case the collision count gives the next attempt another name.
    async fn resolve_collision(&self, rs: &ReplicaSet, name: &str) -> Result {
        let existing = self
            .replica_sets()
            .get(name)
            .await
            .during(format_args!("looking at replica set {name}"))?;
        let template = |rs: &ReplicaSet| {
            rs.spec
                .as_ref()
                .and_then(|spec| spec.template.clone())
                .unwrap_or_default()
        };
        let ours = is_controlled_by(&existing.metadata, &self.deployment.metadata);
        if ours && plan::same_template(&template(&existing), &template(rs)) {
            return Ok(());
        }
        let mut deployment = self.deployment.clone();
        let status = deployment.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.update_status(deployment).await?;
        Err(crate::error::SyncError::Invalid(format!(
            "the name of replica set {name} for deployment {} is taken; trying another one",
            self.key
        )))
    }

    async fn update(&self, rs: &ReplicaSet, resized_from: Option<i32>) -> Result {
        let name = rs.metadata.name.as_deref().unwrap_or_default();
        let written = self.replica_sets().replace(name, &PostParams::default(), rs).await;
        written.during(format_args!("updating replica set {name} of deployment {}", self.key))?;
        if let Some(from) = resized_from {
            self.scaled(name, from, sizes::size(rs));
        }
        Ok(())
    }

    async fn delete(&self, rs: &ReplicaSet) -> Result {
        let name = rs.metadata.name.as_deref().unwrap_or_default();
        let params = deletion::only(&rs.metadata, DeleteParams::background());
        ignore_not_found(self.replica_sets().delete(name, &params).await).during(format_args!(
            "deleting old replica set {name} of deployment {}",
            self.key
        ))
    }

    fn scaled(&self, name: &str, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        let text = format!("Scaled {direction} replica set {name} from {from} to {to}");
        self.controller
            .recorder
            .event(self.deployment, Severity::Normal, "ScalingReplicaSet", text);
    }
}
