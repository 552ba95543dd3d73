//! The job controller: runs pods until enough of them have succeeded.

mod backoff;
mod indexes;
mod per_index;
mod plan;
mod policy;
#[cfg(test)]
pub(super) mod tests;
pub(crate) mod ttl;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use futures::FutureExt;
use futures::future::{join, join_all};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::common::expectations::Expectations;
use crate::common::ownership::{self, controller_of};
use crate::common::pod_control::{Failed, PodControl, generated_pod};
use crate::common::{conditions, selector, status};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found};
use crate::workers::work;
use backoff::Backoff;
use indexes::INDEX_KEY;
use per_index::{FAILURES_KEY, Failures, IGNORED_KEY};
use plan::{FINALIZER, NewPod, Plan, State, has_finalizer, is_finished, is_indexed};

const NAME: &str = "job-controller";

struct Controller {
    client: Client,
    recorder: Recorder,
    pod_control: PodControl,
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    expectations: Expectations,
    backoffs: Mutex<HashMap<ObjectKey, Backoff>>,
    queue: WorkQueue<ObjectKey>,
    /// Pods that still carry the finalizer of a job that is gone or finished.
    orphans: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        recorder: context.recorder.for_component(NAME),
        pod_control: PodControl::new(context, NAME),
        jobs: context.informers.jobs(),
        pods: context.informers.pods(),
        expectations: Expectations::default(),
        backoffs: Mutex::default(),
        queue: WorkQueue::new(),
        orphans: WorkQueue::new(),
    });
    controller.listen();
    let context = context.clone();
    async move {
        context.informers.synced().await;
        let workers = context.settings.workers.concurrent_job_syncs;
        let jobs = work(NAME, &controller.queue, workers, &context.metrics, |key| {
            controller.sync(key)
        });
        let orphans = work(NAME, &controller.orphans, 1, &context.metrics, |key| {
            controller.release_orphan(key)
        });
        join(jobs, orphans).await;
    }
    .boxed()
}

impl Controller {
    fn backoffs(&self) -> MutexGuard<'_, HashMap<ObjectKey, Backoff>> {
        self.backoffs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>) {
        let this = self.clone();
        self.jobs.on_change(move |change| {
            let job = change.object();
            let key = ObjectKey::of(&job.metadata);
            if matches!(change, Change::Deleted(_)) {
                this.expectations.forget(&key);
                this.backoffs().remove(&key);
                for pod in this.pods.list_in(&key.namespace) {
                    if has_finalizer(&pod) && ownership::is_controlled_by(&pod.metadata, &job.metadata) {
                        this.orphans.add(ObjectKey::of(&pod.metadata));
                    }
                }
            }
            this.queue.add(key);
        });
        let this = self.clone();
        self.pods.on_change(move |change| this.pod_changed(change));
    }

    fn pod_changed(&self, change: &Change<'_, Pod>) {
        let pod = change.object();
        let owned_by_job = controller_of(&pod.metadata).is_some_and(|owner| owner.kind == "Job");
        let Some(job) = ownership::resolve(&pod.metadata, &self.jobs) else {
            if has_finalizer(pod)
                && (owned_by_job || controller_of(&pod.metadata).is_none())
                && !matches!(change, Change::Deleted(_))
            {
                self.orphans.add(ObjectKey::of(&pod.metadata));
            }
            return;
        };
        let key = ObjectKey::of(&job.metadata);
        self.expectations.observe(&key, change);
        if is_finished(&job) && has_finalizer(pod) {
            self.orphans.add(ObjectKey::of(&pod.metadata));
        }
        self.queue.add(key);
    }

    /// Lets a pod go that no job counts any more (`syncOrphanPod`).
    async fn release_orphan(&self, key: ObjectKey) -> Result {
        let Some(pod) = self.pods.get(&key).filter(|pod| has_finalizer(pod)) else {
            return Ok(());
        };
        let job = ownership::resolve(&pod.metadata, &self.jobs);
        if job.is_some_and(|job| !is_finished(&job)) {
            return Ok(());
        }
        if let Some(owner) = controller_of(&pod.metadata) {
            // The informer may be behind: only the API server knows that the job is gone.
            let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
            let found = api
                .get_opt(&owner.name)
                .await
                .during(format_args!("looking at the job of pod {key}"))?;
            let alive = found.is_some_and(|job| job.metadata.uid.as_ref() == Some(&owner.uid) && !is_finished(&job));
            if alive {
                return Ok(());
            }
        }
        self.release(&pod).await
    }

    async fn release(&self, pod: &Pod) -> Result {
        let key = ObjectKey::of(&pod.metadata);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let patch =
            json!({ "metadata": { "uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER] } });
        let written = api
            .patch_metadata(&key.name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
        ignore_not_found(written).during(format_args!("removing the job's finalizer from pod {key}"))
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(job) = self.jobs.get(&key) else {
            self.expectations.forget(&key);
            return Ok(());
        };
        let Some(spec) = &job.spec else { return Ok(()) };
        let managed_elsewhere = spec
            .managed_by
            .as_deref()
            .is_some_and(|manager| manager != "kubernetes.io/job-controller");
        if managed_elsewhere || is_finished(&job) {
            return Ok(());
        }
        let Some(job_selector) = &spec.selector else {
            return Ok(());
        };
        let labels = selector::parse(job_selector, &format!("job {key}"))?;
        let matches = |pod: &Pod| labels.matches(pod.metadata.labels.as_ref());
        let up_to_date = self.expectations.satisfied(&key);
        let owned = ownership::claim(&self.client, job.as_ref(), self.pods.list_in(&key.namespace), matches).await?;
        let backoff = self.backoffs().get(&key).copied().unwrap_or_default();
        let state = State {
            job: &job,
            pods: &owned,
            up_to_date,
            backoff,
            now: Timestamp::now(),
        };
        let plan = plan::plan(&state);

        let changed = self.change_pods(&key, &job, &plan).await;
        status::write(&self.client, job.as_ref(), &plan.status).await?;
        self.backoffs().insert(key.clone(), plan.backoff);
        // The status has recorded them: now they may go.
        let released = join_all(plan.release.iter().map(|pod| self.release(pod))).await;
        self.announce(&job, &plan.status);
        if let Some(delay) = plan.again_in {
            self.queue.add_after(key, delay);
        }
        changed.and(released.into_iter().collect())
    }

    async fn change_pods(&self, key: &ObjectKey, job: &Job, plan: &Plan) -> Result {
        let new_pod = |index: usize| new_pod(job, &plan.create[index]);
        let changed = self
            .pod_control
            .change(job, &self.expectations, plan.create.len(), new_pod, &plan.delete)
            .await;
        changed
            .map_err(Failed::into_error)
            .during(format_args!("changing the pods of job {key}"))
    }

    /// Events for the turns in a job's life that this status brings.
    fn announce(&self, job: &Job, status: &JobStatus) {
        let before = job.status.clone().unwrap_or_default().conditions;
        for condition in status.conditions.iter().flatten() {
            let was = conditions::find(&before, &condition.type_)
                .map(|old| old.status.as_str())
                .unwrap_or("False");
            if was == condition.status {
                continue;
            }
            let reason = condition.reason.as_deref().unwrap_or_default();
            let message = condition.message.clone().unwrap_or_default();
            match (condition.type_.as_str(), condition.status.as_str()) {
                ("Complete", "True") => self.recorder.event(job, Severity::Normal, "Completed", "Job completed"),
                ("Failed", "True") => self.recorder.event(job, Severity::Warning, reason, message),
                ("Suspended", "True") => self.recorder.event(job, Severity::Normal, "Suspended", message),
                ("Suspended", "False") => self.recorder.event(job, Severity::Normal, "Resumed", message),
                _ => {}
            }
        }
    }
}

/// Longest prefix that leaves room for the random end of a generated name (`names.MaxGeneratedNameLength`).
const LONGEST_PREFIX: usize = 58;

/// The pod of a job, for one index if it has indexes.
fn new_pod(job: &Job, new: &NewPod) -> Pod {
    let spec = job.spec.clone().unwrap_or_default();
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = generated_pod(namespace, &spec.template, ownership::reference_to(job));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    let Some(index) = new.index.filter(|_| is_indexed(&spec)) else {
        return pod;
    };
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let end = format!("-{index}-");
    let start: String = name.chars().take(LONGEST_PREFIX.saturating_sub(end.len())).collect();
    pod.metadata.generate_name = Some(start + &end);
    for map in [&mut pod.metadata.labels, &mut pod.metadata.annotations] {
        map.get_or_insert_default()
            .insert(INDEX_KEY.to_owned(), index.to_string());
    }
    if spec.backoff_limit_per_index.is_some() {
        let failures = Failures::for_replacement(job, new.replaces.as_deref());
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(FAILURES_KEY.to_owned(), failures.counted.to_string());
        if failures.ignored > 0 {
            annotations.insert(IGNORED_KEY.to_owned(), failures.ignored.to_string());
        }
    }
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(format!("{name}-{index}"));
    let variable = EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.labels['{INDEX_KEY}']"),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    for container in pod_spec
        .containers
        .iter_mut()
        .chain(pod_spec.init_containers.iter_mut().flatten())
    {
        let env = container.env.get_or_insert_default();
        if !env.iter().any(|known| known.name == variable.name) {
            env.push(variable.clone());
        }
    }
    pod
}
