//! How many pods there are meant to be, by the controllers of those that are there.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Informer, ObjectKey};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use kube::{Api, Client};

use crate::common::discovery;
use crate::common::ownership::{self, controller_of};
use crate::context::Context;
use crate::error::{During, Result, SyncError, is_not_found};

/// Looks up the scale of controllers: of the usual ones in the informers, of all others with a request.
pub(super) struct Scales {
    client: Client,
    deployments: Informer<Deployment>,
    replica_sets: Informer<ReplicaSet>,
    stateful_sets: Informer<StatefulSet>,
}

/// What was found out about some pods.
pub(super) struct Total {
    /// How many pods their controllers are to have together.
    pub(super) pods: i32,
    /// How many of them have no controller.
    pub(super) unmanaged: usize,
}

/// UID and replicas of a controller.
type Found = Option<(String, i32)>;

impl Scales {
    pub(super) fn new(context: &Context) -> Self {
        Scales {
            client: context.client.clone(),
            deployments: context.informers.deployments(),
            replica_sets: context.informers.replica_sets(),
            stateful_sets: context.informers.stateful_sets(),
        }
    }

    /// How many pods the controllers of these are to have together (`getExpectedScale`).
    pub(super) async fn total(&self, pods: &[Arc<Pod>]) -> Result<Total> {
        let mut unmanaged = 0;
        // By the UID of what counts, which is a Deployment rather than its ReplicaSets.
        let mut scales: HashMap<String, i32> = HashMap::new();
        for pod in pods {
            let Some(reference) = controller_of(&pod.metadata) else {
                unmanaged += 1;
                continue;
            };
            if scales.contains_key(&reference.uid) {
                continue;
            }
            let found = match self.known(pod) {
                None => self.ask(pod, reference).await?,
                known => known,
            };
            let Some((uid, replicas)) = found else {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                return Err(SyncError::Invalid(format!("found no controllers for pod {name:?}")));
            };
            scales.insert(uid, replicas);
        }
        let pods = scales
            .values()
            .fold(0_i32, |sum, replicas| sum.saturating_add(*replicas));
        Ok(Total { pods, unmanaged })
    }

    fn known(&self, pod: &Pod) -> Found {
        let uid = |meta: &Option<String>| meta.clone().unwrap_or_default();
        if let Some(set) = ownership::resolve(&pod.metadata, &self.stateful_sets) {
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            return Some((uid(&set.metadata.uid), replicas.unwrap_or(1)));
        }
        let set = ownership::resolve(&pod.metadata, &self.replica_sets)?;
        if let Some(deployment) = ownership::resolve(&set.metadata, &self.deployments) {
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            return Some((uid(&deployment.metadata.uid), replicas.unwrap_or(1)));
        }
        if controller_of(&set.metadata).is_some_and(|owner| owner.kind == "Deployment") {
            return None;
        }
        let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
        Some((uid(&set.metadata.uid), replicas.unwrap_or(1)))
    }

    /// Reads the subresource `scale` of a controller (`getScaleController`).
    async fn ask(&self, pod: &Pod, reference: &OwnerReference) -> Result<Found> {
        let key = ObjectKey::new(pod.metadata.namespace.as_deref().unwrap_or_default(), &reference.name);
        let (group, version) = reference
            .api_version
            .split_once('/')
            .unwrap_or(("", &reference.api_version));
        let kinds = discovery::kinds(&self.client)
            .await
            .during("asking which kinds there are")?;
        let kind = kinds
            .into_values()
            .find(|kind| kind.resource.group == group && kind.resource.kind == reference.kind);
        let Some(kind) = kind else {
            let (kind, text) = (&reference.kind, format!("{group}/{version}"));
            return Err(SyncError::Invalid(format!(
                "no matches for kind {kind:?} in version {text:?}"
            )));
        };
        if !kind.scalable {
            let resource = match group {
                "" => kind.resource.plural,
                group => format!("{}.{group}", kind.resource.plural),
            };
            return Err(SyncError::Invalid(format!(
                "{resource} does not implement the scale subresource"
            )));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource);
        let scale = match api.get_scale(&key.name).await {
            Err(error) if is_not_found(&error) => return Ok(None),
            scale => scale.during(format_args!("reading the scale of {} {key}", reference.kind))?,
        };
        let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
        let is_meant = scale.metadata.uid.as_deref() == Some(&reference.uid);
        Ok(is_meant.then(|| (reference.uid.clone(), replicas)))
    }
}
