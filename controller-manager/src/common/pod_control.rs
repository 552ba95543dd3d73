//! Creating and deleting the pods of a workload, with the events that say so (`pkg/controller/controller_utils.go`).

use std::future::Future;
use std::sync::Arc;

use client::events::Severity;
use client::{ObjectKey, Recorder};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource};

use super::deletion;
use super::expectations::Expectations;
use crate::context::Context;
use crate::error::{ignore_not_found, is_namespace_terminating, message};

/// Creates and deletes pods on behalf of one controller.
pub(crate) struct PodControl {
    client: Client,
    recorder: Recorder,
}

/// A pod from a template, without name and owner.
pub(crate) fn pod_from_template(namespace: &str, template: &PodTemplateSpec) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// A pod whose name the API server completes: `<owner>-<random>`.
pub(crate) fn generated_pod(namespace: &str, template: &PodTemplateSpec, owner: OwnerReference) -> Pod {
    let mut pod = pod_from_template(namespace, template);
    pod.metadata.generate_name = Some(format!("{}-", owner.name));
    pod.metadata.owner_references = Some(vec![owner]);
    pod
}

/// The first request that failed.
#[derive(Debug)]
pub(crate) enum Failed {
    Create(kube::Error),
    Delete(kube::Error),
}

impl Failed {
    pub(crate) fn into_error(self) -> kube::Error {
        match self {
            Failed::Create(error) | Failed::Delete(error) => error,
        }
    }
}

impl PodControl {
    pub(crate) fn new(context: &Context, controller: &'static str) -> Self {
        Self {
            client: context.client.clone(),
            recorder: context.recorder.for_component(controller),
        }
    }

    /// Creates `create` pods and deletes others for `owner`. Until the informer shows all of that, the expectations are not
    /// satisfied.
    pub(crate) async fn change<O>(
        &self,
        owner: &O,
        expectations: &Expectations,
        create: usize,
        new_pod: impl Fn(usize) -> Pod,
        delete: &[Arc<Pod>],
    ) -> Result<(), Failed>
    where
        O: Resource<DynamicType = ()>,
    {
        if create == 0 && delete.is_empty() {
            return Ok(());
        }
        let key = ObjectKey::of(owner.meta());
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        expectations.expect(&key, create, delete.iter().map(|pod| uid(pod)));
        let request = |index| {
            let pod = new_pod(index);
            async move {
                match self.create(owner, &pod).await {
                    Ok(_) => Ok(()),
                    Err(error) if is_namespace_terminating(&error) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        };
        let (created, create_error) = slow_start(create, request).await;
        // What was never created will never be seen.
        for _ in created..create {
            expectations.creation_observed(&key);
        }
        let key = &key;
        let deletions = delete.iter().map(|pod| async move {
            let result = self.delete(owner, pod).await;
            if result.is_err() {
                expectations.deletion_observed(key, &uid(pod));
            }
            result
        });
        let delete_error = join_all(deletions).await.into_iter().find_map(Result::err);
        match (create_error, delete_error) {
            (Some(error), _) => Err(Failed::Create(error)),
            (None, Some(error)) => Err(Failed::Delete(error)),
            (None, None) => Ok(()),
        }
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Creates a pod and records an event about it on its owner.
    pub(crate) async fn create<O>(&self, owner: &O, pod: &Pod) -> Result<Pod, kube::Error>
    where
        O: Resource<DynamicType = ()>,
    {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        match self.pods(namespace).create(&PostParams::default(), pod).await {
            Ok(created) => {
                let name = created.metadata.name.as_deref().unwrap_or_default();
                self.recorder.event(
                    owner,
                    Severity::Normal,
                    "SuccessfulCreate",
                    format!("Created pod: {name}"),
                );
                Ok(created)
            }
            Err(error) => {
                if !is_namespace_terminating(&error) {
                    let text = format!("Error creating: {}", message(&error));
                    self.recorder.event(owner, Severity::Warning, "FailedCreate", text);
                }
                Err(error)
            }
        }
    }

    /// Deletes exactly this pod; one that is already gone counts as deleted.
    pub(crate) async fn remove(&self, pod: &Pod) -> Result<(), kube::Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let params = deletion::only(&pod.metadata, DeleteParams::default());
        ignore_not_found(self.pods(namespace).delete(name, &params).await)
    }

    /// The same with an event about it on the owner.
    pub(crate) async fn delete<O>(&self, owner: &O, pod: &Pod) -> Result<(), kube::Error>
    where
        O: Resource<DynamicType = ()>,
    {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.remove(pod).await {
            Ok(()) => {
                self.recorder.event(
                    owner,
                    Severity::Normal,
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                );
                Ok(())
            }
            Err(error) => {
                let text = format!("Error deleting: {}", message(&error));
                self.recorder.event(owner, Severity::Warning, "FailedDelete", text);
                Err(error)
            }
        }
    }
}

/// Runs `count` requests in batches of 1, 2, 4, …, so that a request that can only fail fails once and not `count` times.
/// Returns how many succeeded and the first error; after an error no further batch is started (`slowStartBatch`).
pub(crate) async fn slow_start<F, Fut, E>(count: usize, request: F) -> (usize, Option<E>)
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let (mut started, mut succeeded, mut batch) = (0, 0, 1);
    while started < count {
        let size = batch.min(count - started);
        let results = join_all((started..started + size).map(&request)).await;
        started += size;
        let mut first_error = None;
        for result in results {
            match result {
                Ok(()) => succeeded += 1,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if first_error.is_some() {
            return (succeeded, first_error);
        }
        batch *= 2;
    }
    (succeeded, None)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn batches_double_and_stop_at_the_first_failure() {
        // count, index that fails, indexes tried, succeeded
        let table = [
            (0, 99, 0, 0),
            (1, 99, 1, 1),
            (10, 99, 10, 10),
            (10, 0, 1, 0),
            (10, 2, 3, 2),
            (10, 5, 7, 6),
        ];
        for (count, failing, tried, succeeded) in table {
            let seen = RefCell::new(0);
            let request = |index| {
                *seen.borrow_mut() += 1;
                async move { if index == failing { Err("no") } else { Ok(()) } }
            };
            let (good, error) = slow_start(count, request).await;
            assert_eq!(
                (*seen.borrow(), good),
                (tried, succeeded),
                "{count} requests, {failing} fails"
            );
            assert_eq!(error.is_some(), failing < count);
        }
    }
}
