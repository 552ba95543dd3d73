//! The disruption controller: says in the status of a PodDisruptionBudget how many of its pods may be evicted now
//! (`pkg/controller/disruption`).

mod plan;
mod scale;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use futures::FutureExt;
use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::common::{selector, status};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::workers::work;
use plan::Counts;
use scale::Scales;

const NAME: &str = "disruption-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    scales: Scales,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    queue: WorkQueue<ObjectKey>,
    /// Pods that are marked for a disruption which may never come.
    marked: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component("controllermanager"),
        scales: Scales::new(context),
        budgets: context.informers.budgets(),
        pods: context.informers.pods(),
        queue: WorkQueue::new(),
        marked: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller
        .budgets
        .on_change(move |change| queue.add(ObjectKey::of(&change.object().metadata)));
    let this = controller.clone();
    controller.pods.on_change(move |change| this.pod_changed(change));
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let budgets = work(NAME, &controller.queue, 1, &context.metrics, |key| controller.sync(key));
        let pods = work(NAME, &controller.marked, 1, &context.metrics, |key| {
            controller.unmark(key)
        });
        join(budgets, pods).await;
    }
    .boxed()
}

impl Controller {
    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let pod = change.object();
        self.queue_budgets_of(pod);
        if let Change::Updated { old, new } = change
            && old.metadata.labels != new.metadata.labels
        {
            self.queue_budgets_of(old);
        }
        if !matches!(change, Change::Deleted(_))
            && let Some(wait) = plan::unmark_after(pod, Timestamp::now())
        {
            self.marked.add_after(ObjectKey::of(&pod.metadata), wait);
        }
    }

    fn queue_budgets_of(&self, pod: &Pod) {
        let budgets = self
            .budgets
            .list_in(pod.metadata.namespace.as_deref().unwrap_or_default());
        let covering: Vec<_> = budgets.iter().filter(|budget| covers(budget, pod)).collect();
        if let [first, _, ..] = covering[..] {
            let key = ObjectKey::of(&pod.metadata);
            let chosen = first.metadata.name.as_deref().unwrap_or_default();
            let text = format!(
                "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {chosen:?} arbitrarily.",
                key.namespace, key.name
            );
            self.recorder
                .event(pod, Severity::Warning, "MultiplePodDisruptionBudgets", text);
        }
        for budget in covering {
            self.queue.add(ObjectKey::of(&budget.metadata));
        }
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(budget) = self.budgets.get(&key) else {
            return Ok(());
        };
        let now = Timestamp::now();
        let result = match self.judge(&key, &budget, now).await {
            Ok(new) => status::write(&self.client, budget.as_ref(), &new).await,
            Err(error) => Err(error),
        };
        match result {
            // Whatever is wrong, nobody may be evicted on the strength of an old status.
            Err(error) if !error.is_stale() => {
                tracing::warn!(budget = %key, %error, "no pod of it may be evicted");
                let failed = plan::failed(&budget, &error.to_string(), now);
                status::write(&self.client, budget.as_ref(), &failed).await
            }
            result => result,
        }
    }

    /// What the status of a budget has to be.
    async fn judge(
        &self,
        key: &ObjectKey,
        budget: &PodDisruptionBudget,
        now: Timestamp,
    ) -> Result<PodDisruptionBudgetStatus> {
        let spec = budget.spec.clone().unwrap_or_default();
        let labels = spec
            .selector
            .as_ref()
            .map(|labels| selector::parse(labels, &format!("budget {key}")));
        let labels = labels.transpose()?;
        let matches = |pod: &Pod| {
            labels
                .as_ref()
                .is_some_and(|labels| labels.matches(pod.metadata.labels.as_ref()))
        };
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| matches(pod));
        if pods.is_empty() {
            self.recorder
                .event(budget, Severity::Normal, "NoPods", "No matching pods found");
        }
        let expected = if plan::is_relative(&spec) {
            let expected = self.scales.total(&pods).await;
            let expected = expected.inspect_err(|error| {
                let text = format!("Failed to calculate the number of expected pods: {error}");
                self.recorder
                    .event(budget, Severity::Warning, "CalculateExpectedPodCountFailed", text);
            })?;
            if expected.unmanaged > 0 {
                let text = format!(
                    "Of the pods this PodDisruptionBudget selects, {} have no controller. They are not counted, so its \
                     status may be wrong; with an integer in \".spec.minAvailable\" they are.",
                    expected.unmanaged
                );
                self.recorder.event(budget, Severity::Warning, "UnmanagedPods", text);
            }
            expected.pods
        } else {
            i32::try_from(pods.len()).unwrap_or(i32::MAX)
        };
        let disrupted = plan::disrupted(budget, &pods, now);
        for pod in &disrupted.survivors {
            let text = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
            self.recorder.event(pod.as_ref(), Severity::Warning, "NotDeleted", text);
        }
        if let Some(wait) = disrupted.check_after {
            self.queue.add_after(key.clone(), wait);
        }
        let counts = Counts {
            expected,
            desired: plan::desired(&spec, expected),
            healthy: plan::healthy(&pods, &disrupted.pods),
        };
        Ok(plan::status(budget, counts, disrupted.pods, now))
    }

    /// Says of a pod that the disruption it is marked for did not come.
    async fn unmark(&self, key: ObjectKey) -> Result {
        let Some(pod) = self.pods.get(&key) else {
            return Ok(());
        };
        let now = Timestamp::now();
        match plan::unmark_after(&pod, now) {
            None => return Ok(()),
            Some(wait) if !wait.is_zero() => {
                self.marked.add_after(key, wait);
                return Ok(());
            }
            Some(_) => {}
        }
        let condition = json!({
            "type": plan::MARK,
            "status": "False",
            "reason": null,
            "message": null,
            "observedGeneration": pod.metadata.generation,
            "lastTransitionTime": Time(now),
        });
        let metadata = json!({ "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version });
        let patch = json!({ "metadata": metadata, "status": { "conditions": [condition] } });
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let written = api
            .patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        ignore_not_found(written).during(format_args!("saying that pod {key} is not disrupted"))
    }
}

/// Whether a budget selects a pod: without a selector it selects none, with an empty one all.
fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let labels = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels = labels.and_then(|labels| selector::parse(labels, "").ok());
    labels.is_some_and(|labels| labels.matches(pod.metadata.labels.as_ref()))
}
