//! Asks the kubelets, through the API server.

use std::collections::HashMap;

use anyhow::{Context, Result};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::Value;
use tracing::debug;

use super::answer::Wanted;

/// Something and what its kubelet says of it.
pub(super) type Measured<K> = (K, Value);

/// All nodes that answer.
pub(super) async fn nodes(client: &Client) -> Result<Vec<Measured<Node>>> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.context("cannot list the nodes")?.items;
    let summaries = join_all(nodes.iter().map(|node| summary(client, node))).await;
    let measured = nodes.into_iter().zip(summaries);
    Ok(measured.filter_map(|(node, summary)| Some((node, summary?))).collect())
}

/// The pods that are wanted and run somewhere.
pub(super) async fn pods(client: &Client, wanted: &Wanted) -> Result<Vec<Measured<Pod>>> {
    let api: Api<Pod> = match wanted.namespace.as_str() {
        "" => Api::all(client.clone()),
        namespace => Api::namespaced(client.clone(), namespace),
    };
    let params = ListParams::default().labels(&wanted.labels).fields(&wanted.fields);
    let pods = api.list(&params).await.context("cannot list the pods")?.items;
    let mut by_uid: HashMap<String, Value> = HashMap::new();
    for (_, mut summary) in nodes(client).await? {
        let measured = summary["pods"].as_array_mut().map(std::mem::take).unwrap_or_default();
        by_uid.extend(
            measured
                .into_iter()
                .map(|pod| (pod["podRef"]["uid"].as_str().unwrap_or_default().to_owned(), pod)),
        );
    }
    let of = |pod: &Pod| by_uid.get(pod.metadata.uid.as_deref()?).cloned();
    Ok(pods
        .into_iter()
        .filter_map(|pod| of(&pod).map(|measured| (pod, measured)))
        .collect())
}

async fn summary(client: &Client, node: &Node) -> Option<Value> {
    let name = node.metadata.name.as_deref()?;
    let request = http::Request::get(format!("/api/v1/nodes/{name}/proxy/stats/summary")).body(Vec::new());
    match client.request(request.ok()?).await {
        Ok(summary) => Some(summary),
        Err(error) => {
            debug!(node = name, %error, "a kubelet does not say what it has measured");
            None
        }
    }
}
