//! Pods that are created and deleted.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::clusters::{Cluster, HOST_NAMESPACE, NAME};

/// Requests under way at a time.
const IN_FLIGHT: usize = 64;

/// A pod by its names.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
}

impl Name {
    /// `prefix-0`, `prefix-1`, ...
    pub(crate) fn many(namespace: &'static str, prefix: &str, count: usize) -> Vec<Self> {
        let names = (0..count).map(|number| format!("{prefix}-{number}"));
        names.map(|name| Self { namespace, name }).collect()
    }

    /// As the cluster that it is created in knows it.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// As the host knows the copy of a virtual pod.
    pub(crate) fn host_key(&self) -> String {
        format!("{HOST_NAMESPACE}/{}-x-{}-x-{NAME}", self.name, self.namespace)
    }

    fn pod(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "labels": {"app": "bench", "tier": "front", "version": "1"}},
            "spec": {
                // Tokens are made by the virtual cluster; their Secrets are requests of their own.
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "app", "image": "registry.example.com/app:1.0", "ports": [{"containerPort": 8080}],
                    "env": [{"name": "MODE", "value": "bench"}, {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }],
            },
        })
    }
}

/// Creates pods as fast as the server lets; returns when each was asked for.
pub(crate) async fn create(cluster: &Cluster, names: &[Name]) -> Result<Vec<Instant>> {
    let connection = cluster.connect().await?;
    let requests = names.iter().map(|name| {
        let mut connection = connection.clone();
        async move {
            let asked = Instant::now();
            let path = format!("/api/v1/namespaces/{}/pods", name.namespace);
            let answer = connection.send("POST", &path, &name.pod()).await?;
            ensure!(
                answer.status == 201,
                "POST {path}: {}: {:?}",
                answer.status,
                answer.body
            );
            Ok(asked)
        }
    });
    futures::stream::iter(requests).buffered(IN_FLIGHT).try_collect().await
}

/// Deletes pods as their owners do.
pub(crate) async fn delete(cluster: &Cluster, names: &[Name]) -> Result<()> {
    let connection = cluster.connect().await?;
    let requests = names.iter().map(|name| {
        let mut connection = connection.clone();
        async move {
            let path = format!("/api/v1/namespaces/{}/pods/{}", name.namespace, name.name);
            let answer = connection.send("DELETE", &path, &Value::Null).await?;
            ensure!(answer.status == 200, "DELETE {path}: {}", answer.status);
            Ok(())
        }
    });
    futures::stream::iter(requests).buffered(IN_FLIGHT).try_collect().await
}
