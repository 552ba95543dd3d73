//! The virtual cluster's kubeconfig as a Secret of the host namespace, where its users and their tools look for it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chassis::{Gate, usage};
use kube::config::Kubeconfig;
use serde_json::{Map, Value, json};

use crate::clusters::{Api, ApiError, Patch};
use crate::kinds::Kind;
use crate::settings::Settings;

const FLAG: &str = "--export-kubeconfig";
/// How long to wait before another attempt (vCluster `pkg/setup/controllers.go`).
const RETRY: Duration = Duration::from_secs(10);
/// Keys of the Secret besides `config`, and the places in a kubeconfig from which their values come, in base64 on both sides.
const PARTS: [(&str, &str); 3] = [
    (
        "certificate-authority",
        "/clusters/0/cluster/certificate-authority-data",
    ),
    ("client-certificate", "/users/0/user/client-certificate-data"),
    ("client-key", "/users/0/user/client-key-data"),
];

/// A kubeconfig on its way to the host. Its content does not show in debug output.
pub struct Export {
    namespace: String,
    name: String,
    labels: Value,
    data: Map<String, Value>,
}

/// Why the Secret is not there yet; a later attempt may succeed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Somebody else's Secret has the name.
    #[error("the Secret {namespace}/{name} on the host exists and is not of this virtual cluster; remove or rename it")]
    Taken {
        /// The host namespace.
        namespace: String,
        /// The name.
        name: String,
    },
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
        Self::new(&text, settings).map_err(unusable)
    }

    fn new(text: &str, settings: &Settings) -> Result<Self, String> {
        // The parser's own words may quote the file, which holds a key.
        let config = Kubeconfig::from_yaml(text).map_err(|_| "it is no kubeconfig".to_owned())?;
        let config = serde_json::to_value(config).map_err(|error| error.to_string())?;
        let mut data = Map::from_iter([("config".to_owned(), json!(BASE64_STANDARD.encode(text)))]);
        for (key, place) in PARTS {
            if let Some(value @ Value::String(_)) = config.pointer(place) {
                data.insert(key.to_owned(), value.clone());
            }
        }
        Ok(Self {
            namespace: settings.host_namespace.clone(),
            name: format!("vc-{}", settings.vcluster),
            labels: json!({"app": "vcluster", "vcluster-name": settings.vcluster}),
            data,
        })
    }

    /// Publishes until it succeeds, then opens the gate.
    pub async fn run(self, api: Api, gate: Gate) {
        while let Err(error) = self.publish(&api).await {
            tracing::warn!(%error, "cannot publish the kubeconfig yet");
            gate.not_ready(error.to_string());
            tokio::time::sleep(RETRY).await;
        }
        tracing::info!(
            namespace = self.namespace,
            secret = self.name,
            "the kubeconfig is published"
        );
        gate.ready();
    }

    /// Creates the Secret, or brings the one of an earlier run up to date.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn publish(&self, api: &Api) -> Result<(), ExportError> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels},
            "type": "Opaque",
            "data": self.data,
        });
        match api.create(Kind::Secret, &self.namespace, &secret).await {
            Err(error) if error.code() == 409 => {}
            done => return Ok(done.map(drop)?),
        }
        let existing = api.get(Kind::Secret, &self.namespace, &self.name).await?;
        let ours = self.labels.as_object().is_some_and(|labels| {
            labels
                .iter()
                .all(|(key, value)| existing["metadata"]["labels"][key] == *value)
        });
        if !ours {
            return Err(ExportError::Taken {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
            });
        }
        if existing["data"] != Value::Object(self.data.clone()) {
            let target = (Kind::Secret, self.namespace.as_str(), self.name.as_str());
            let body = json!({"metadata": {"uid": existing["metadata"]["uid"]}, "data": self.data});
            api.patch(target, "", Patch::Merge, &body).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Side;
    use crate::testing::fake::Fake;

    const KUBECONFIG: &str = "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://localhost:8443', \
        certificate-authority-data: Y2E=}}], users: [{name: u, user: {client-certificate-data: Y2VydA==, \
        client-key-data: a2V5}}], contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}";

    fn export(text: &str) -> Result<Export, String> {
        Export::new(text, &crate::testing::settings())
    }

    #[tokio::test]
    async fn a_secret_is_made_kept_and_renewed() {
        let fake = Fake::new();
        let api = Api::new(Side::Host, fake.client(), Default::default());
        let publish = async |text: &str| {
            export(text).unwrap().publish(&api).await.unwrap();
            let secret = fake.get(Kind::Secret, "host", "vc-vc").unwrap();
            (fake.take_writes().len(), secret["data"].clone())
        };
        let (writes, data) = publish(KUBECONFIG).await;
        let expected = json!({
            "config": BASE64_STANDARD.encode(KUBECONFIG),
            "certificate-authority": "Y2E=", "client-certificate": "Y2VydA==", "client-key": "a2V5",
        });
        assert_eq!((writes, data), (1, expected));
        // The attempt to create it is all that a second run writes.
        assert_eq!(publish(KUBECONFIG).await.0, 1);
        let (writes, data) = publish(&KUBECONFIG.replace("Y2E=", "Y2Ey")).await;
        assert_eq!((writes, &data["certificate-authority"]), (2, &json!("Y2Ey")));
    }

    #[tokio::test]
    async fn somebody_elses_secret_is_left_alone() {
        let fake = Fake::new();
        let api = Api::new(Side::Host, fake.client(), Default::default());
        fake.put(
            Kind::Secret,
            json!({"metadata": {"name": "vc-vc", "namespace": "host"}}),
        );
        let error = export(KUBECONFIG).unwrap().publish(&api).await.unwrap_err().to_string();
        assert!(
            error.contains("host/vc-vc") && error.contains("not of this virtual cluster"),
            "{error}"
        );
        let kept = fake.get(Kind::Secret, "host", "vc-vc").unwrap();
        assert!(kept.get("data").is_none());
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_not_quoted() {
        let error = export("client-key-data: [secret").err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }
}
