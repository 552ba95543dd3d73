//! What is scaled: any kind with the subresource `scale`, found through discovery.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use chassis::lock;
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};

use crate::common::discovery::{self, Kind};
use crate::error::message;

/// How long the kinds that were found stay known.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Conflicts that are tried again.
const ATTEMPTS: usize = 5;

/// Kinds that are scaled without asking which there are: group, version, kind and plural name.
const USUAL: [(&str, &str, &str, &str); 4] = [
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("", "v1", "ReplicationController", "replicationcontrollers"),
];

/// Finds and scales.
pub(super) struct Targets {
    client: Client,
    kinds: Mutex<Option<(Instant, Vec<Kind>)>>,
}

/// A scale and the resource that it belongs to.
pub(super) struct Target {
    api: Api<DynamicObject>,
    pub(super) scale: Scale,
}

impl Targets {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Mutex::new(None),
        }
    }

    /// The scale of an object.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    pub(super) async fn find(&self, version: &str, kind: &str, namespace: &str, name: &str) -> Result<Target, String> {
        let group = match version.split('/').collect::<Vec<_>>().as_slice() {
            [_] => "",
            [group, _] => group,
            _ => return Err(format!("unexpected GroupVersion string: {version}")),
        };
        let resource = self.kind(group, kind).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_scale(name).await {
            Ok(scale) => Ok(Target { api, scale }),
            Err(error) => Err(message(&error)),
        }
    }

    /// The plural name of a kind with its group, as in `deployments.apps`.
    pub(super) async fn resource(&self, group: &str, kind: &str) -> Result<String, String> {
        let resource = self.kind(group, kind).await?;
        Ok(match resource.group.as_str() {
            "" => resource.plural,
            group => format!("{}.{group}", resource.plural),
        })
    }

    async fn kind(&self, group: &str, kind: &str) -> Result<ApiResource, String> {
        let usual = USUAL
            .iter()
            .find(|(usual, _, name, _)| (*usual, *name) == (group, kind));
        if let Some((group, version, kind, plural)) = usual {
            let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
            return Ok(ApiResource::from_gvk_with_plural(&gvk, plural));
        }
        let find = |kinds: &[Kind]| {
            let is_meant = |known: &&Kind| known.resource.group == group && known.resource.kind == kind;
            kinds.iter().find(is_meant).map(|known| known.resource.clone())
        };
        let known = lock(&self.kinds)
            .as_ref()
            .filter(|(at, _)| at.elapsed() < REMEMBERED)
            .and_then(|(_, kinds)| find(kinds));
        if let Some(known) = known {
            return Ok(known);
        }
        let kinds = discovery::kinds(&self.client).await.map_err(|error| message(&error))?;
        let kinds: Vec<Kind> = kinds.into_values().collect();
        let found = find(&kinds);
        *lock(&self.kinds) = Some((Instant::now(), kinds));
        found.ok_or_else(|| format!("no matches for kind {kind:?} in group {group:?}"))
    }
}

impl Target {
    /// How many there are meant to be.
    pub(super) fn wanted(&self) -> i32 {
        self.scale
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn running(&self) -> i32 {
        self.scale
            .status
            .as_ref()
            .map(|status| status.replicas)
            .unwrap_or_default()
    }

    /// The labels of its pods.
    pub(super) fn selector(&self) -> String {
        self.scale
            .status
            .as_ref()
            .and_then(|status| status.selector.clone())
            .unwrap_or_default()
    }

    /// Makes it this many.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub(super) async fn scale_to(&mut self, replicas: i32) -> Result<(), String> {
        let name = self.scale.metadata.name.clone().unwrap_or_default();
        let mut attempt = 1;
        loop {
            self.scale.spec.get_or_insert_default().replicas = Some(replicas);
            let error = match self.api.replace_scale(&name, &PostParams::default(), &self.scale).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let conflict = matches!(&error, kube::Error::Api(status) if status.code == 409);
            if !conflict || attempt >= ATTEMPTS {
                return Err(message(&error));
            }
            attempt += 1;
            if let Ok(latest) = self.api.get_scale(&name).await {
                self.scale = latest;
            }
        }
    }
}
