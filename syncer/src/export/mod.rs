//! Kubeconfigs of the virtual cluster as Secrets of the host, where its users and their tools look for them.

mod kubeconfig;
mod token;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chassis::{Gate, usage};
use config::KubeConfigSecret;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::clusters::{Api, ApiError, Patch};
use crate::kinds::Kind;
use crate::resources::copied_outside;
use crate::settings::Settings;
use kubeconfig::Source;
use token::{Login, TokenError};

const FLAG: &str = "--export-kubeconfig";
/// How long to wait before another attempt (vCluster `pkg/setup/controllers.go`).
const RETRY: Duration = Duration::from_secs(10);
/// How often Secrets in other namespaces are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Kubeconfigs on their way to the host. Their content does not show in debug output.
pub struct Export {
    source: Source,
    secrets: Vec<KubeConfigSecret>,
    labels: Value,
    namespace: String,
    /// The Service that owns the Secrets beside it; empty when nothing does.
    owner: String,
    /// The ClusterRole that owns those in other namespaces, if there is to be one; otherwise the namespace does.
    cluster_role: Option<String>,
}

/// Why a Secret is not there yet; a later attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Somebody else's Secret has the name.
    #[error("the Secret {namespace}/{name} on the host exists and is not of this virtual cluster; remove or rename it")]
    Taken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A service account cannot log in yet.
    #[error("exportKubeConfig: {0}")]
    Token(#[from] TokenError),
    /// The host refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Export {
    /// Reads the kubeconfig.
    ///
    /// # Errors
    /// The file cannot be read or is no kubeconfig.
    pub fn read(file: &Path, settings: &Settings) -> Result<Self> {
        let unusable = |why: String| usage(format!("{FLAG}: cannot use {}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        Self::new(text, settings).map_err(unusable)
    }

    fn new(text: String, settings: &Settings) -> Result<Self, String> {
        Ok(Self {
            source: Source::read(text)?,
            secrets: settings.exports.clone(),
            labels: json!({"app": "vcluster", "vcluster-name": settings.vcluster}),
            namespace: settings.host_namespace.clone(),
            owner: if settings.set_owner {
                settings.service_name.clone()
            } else {
                String::new()
            },
            cluster_role: copied_outside(settings).next().map(|_| settings.cluster_role_name()),
        })
    }

    /// Publishes until it succeeds, then opens the gate, and publishes again before a token expires.
    pub async fn run(self, host: Api, virtual_: kube::Client, gate: Gate) {
        loop {
            let pause = match self.publish(&host, &virtual_).await {
                Ok(refresh_at) => {
                    tracing::info!(secrets = self.secrets.len(), "the kubeconfig is published");
                    gate.ready();
                    let refresh = refresh_at.map(|refresh_at| {
                        Duration::try_from(refresh_at.duration_since(Timestamp::now()))
                            .unwrap_or_default()
                            .max(RETRY)
                    });
                    // Who owns those may come to be another one, which takes them along.
                    let elsewhere = self.secrets.iter().any(|secret| secret.namespace != self.namespace);
                    let look = (elsewhere && !self.owner.is_empty()).then_some(LOOK_AGAIN);
                    let Some(pause) = refresh.into_iter().chain(look).min() else {
                        return;
                    };
                    pause
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot publish the kubeconfig yet");
                    gate.not_ready(error.to_string());
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Creates the Secrets, or brings those of an earlier run up to date; returns when they have to be renewed.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn publish(&self, host: &Api, virtual_: &kube::Client) -> Result<Option<Timestamp>, ExportError> {
        let mut refresh_at = None;
        for secret in &self.secrets {
            let login = Login::of(&secret.service_account);
            let token = match login {
                Some(login) => Some(login.token(virtual_).await?),
                None => None,
            };
            if let Some(token) = &token {
                refresh_at = refresh_at.into_iter().chain([token.refresh_at]).min();
            }
            let data = self
                .source
                .data(secret, token.as_ref().map(|token| token.text.as_str()));
            self.publish_one(host, secret, data).await?;
        }
        Ok(refresh_at)
    }

    async fn publish_one(
        &self,
        api: &Api,
        KubeConfigSecret { name, namespace, .. }: &KubeConfigSecret,
        data: Map<String, Value>,
    ) -> Result<(), ExportError> {
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": self.labels},
            "type": "Opaque",
            "data": data,
        });
        let owner = if *namespace == self.namespace {
            self.owner(api).await?
        } else {
            self.owner_elsewhere(api).await?
        };
        if let Some(owner) = &owner {
            secret["metadata"]["ownerReferences"] = json!([owner]);
        }
        match api.create(Kind::Secret, namespace, &secret).await {
            Err(error) if error.code() == 409 => {}
            done => return Ok(done.map(drop)?),
        }
        let existing = api.get(Kind::Secret, namespace, name).await?;
        let ours = self.labels.as_object().is_some_and(|labels| {
            labels
                .iter()
                .all(|(key, value)| existing["metadata"]["labels"][key] == *value)
        });
        if !ours {
            return Err(ExportError::Taken {
                namespace: namespace.clone(),
                name: name.clone(),
            });
        }
        let owned = owner.is_none_or(|owner| existing["metadata"]["ownerReferences"][0]["uid"] == owner["uid"]);
        if existing["data"] != secret["data"] || !owned {
            let mut metadata = json!({"uid": existing["metadata"]["uid"]});
            if !owned {
                metadata["ownerReferences"] = secret["metadata"]["ownerReferences"].clone();
            }
            let target = (Kind::Secret, namespace.as_str(), name.as_str());
            let body = json!({"metadata": metadata, "data": secret["data"]});
            api.patch(target, "", Patch::Merge, &body).await?;
        }
        Ok(())
    }

    /// The reference that makes the host delete a Secret together with the control plane.
    async fn owner(&self, api: &Api) -> Result<Option<Value>, ApiError> {
        if self.owner.is_empty() {
            return Ok(None);
        }
        reference(api, Kind::Service, &self.namespace, &self.owner).await
    }

    /// The same for a Secret in another namespace, which only somebody in no namespace can own.
    async fn owner_elsewhere(&self, api: &Api) -> Result<Option<Value>, ApiError> {
        if self.owner.is_empty() {
            return Ok(None);
        }
        if let Some(role) = &self.cluster_role
            && let Some(owner) = reference(api, Kind::ClusterRole, "", role).await?
        {
            return Ok(Some(owner));
        }
        reference(api, Kind::Namespace, "", &self.namespace).await
    }
}

/// The reference to an owner, if there is one, and it may be read.
async fn reference(api: &Api, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
    match api.get(kind, namespace, name).await {
        Ok(owner) => Ok(Some(json!({
            "apiVersion": kind.api_version(), "kind": kind.name(), "name": name, "uid": owner["metadata"]["uid"],
        }))),
        Err(error) if matches!(error.code(), 403 | 404) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
