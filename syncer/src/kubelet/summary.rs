//! `/stats/summary`: what the host's kubelets measured, of this cluster's pods only and under their virtual names.

use std::collections::BTreeSet;

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tracing::debug;

use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, claim};
use crate::world::World;

/// The summary over all nodes that run pods of this cluster. Where the host does not let its kubelets be asked, pods are
/// listed without measurements, as a kubelet does for pods that it has not measured yet.
pub(super) async fn summary(world: &World, connection: &Connection) -> Value {
    let host_pods: Vec<Value> = world.host.of(Kind::Pod).list().iter().map(|pod| pod.value()).collect();
    let nodes: BTreeSet<&str> = host_pods
        .iter()
        .map(|pod| json::text(pod, &["spec", "nodeName"]))
        .filter(|node| !node.is_empty())
        .collect();
    let mut measured = Vec::new();
    for node in &nodes {
        match measurements(connection, node).await {
            Ok(pods) => measured.extend(pods),
            Err(error) => debug!(node, error, "the host does not show measurements"),
        }
    }
    let pods: Vec<Value> = host_pods
        .iter()
        .filter_map(|host| entry(world, host, &measured))
        .collect();
    let name = if nodes.len() == 1 {
        nodes.first().copied().unwrap_or_default()
    } else {
        ""
    };
    json!({"node": {"nodeName": name}, "pods": pods})
}

async fn measurements(connection: &Connection, node: &str) -> Result<Vec<Value>, String> {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let request = Request::get(path)
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    let response = connection
        .shared
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    let summary: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    Ok(json::items(&summary, &["pods"]).to_vec())
}

/// The entry of one pod: the host's measurements if there are any, under the virtual name.
fn entry(world: &World, host: &Value, measured: &[Value]) -> Option<Value> {
    let Claim::Ours { namespace, name, .. } = claim(&world.names, &Kind::Pod.gvk(), host) else {
        return None;
    };
    let pod = world.virtual_side.get(Kind::Pod, &namespace, &name)?;
    let uid = &host["metadata"]["uid"];
    let mut entry = measured
        .iter()
        .find(|entry| &entry["podRef"]["uid"] == uid)
        .cloned()
        .unwrap_or_else(|| json!({}));
    json::put(
        &mut entry,
        "podRef",
        Some(json!({"name": name, "namespace": namespace, "uid": pod.uid()})),
    );
    if let Some(started) = host["status"].get("startTime") {
        json::put(&mut entry, "startTime", Some(started.clone()));
    }
    Some(entry)
}
