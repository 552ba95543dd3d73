//! Tells the virtual API server that `metrics.k8s.io` is served here: an APIService, and the Service that it names.
//!
//! The API server runs beside this process, so the Service leads to `localhost`, as in vCluster.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tracing::debug;

use super::metrics_api::{GROUP, VERSION};
use crate::json;
use crate::names::keys;
use crate::world::World;

const SERVICE: &str = "/api/v1/namespaces/kube-system/services";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "metrics-server";
/// Delays between attempts.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Registers the API, or takes back what an earlier run registered; tries until that has worked.
pub async fn register(world: &World, client: Client) {
    let mut delay = *RETRY.start();
    loop {
        let done = if world.settings.metrics.is_on() {
            publish(world, &client).await
        } else {
            withdraw(&client).await
        };
        match done {
            Ok(()) => return,
            Err(error) => debug!(error, ?delay, "cannot tell the API server about metrics.k8s.io"),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 3 / 2).min(*RETRY.end());
    }
}

/// Marks what belongs to this, and has the Service not be synced to the host.
fn metadata(name: &str) -> Value {
    json!({"name": name, "annotations": {keys::CONTROLLED_BY: NAME}})
}

fn api_service_name() -> String {
    format!("{VERSION}.{GROUP}")
}

async fn publish(world: &World, client: &Client) -> Result<(), String> {
    let port = world.settings.nodes.kubelet_port;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(NAME),
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]},
    });
    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata(&api_service_name()),
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": NAME, "port": port},
        },
    });
    put(client, SERVICE, NAME, &service).await?;
    put(client, API_SERVICE, &api_service_name(), &api_service).await
}

/// Creates an object or changes the one that is there.
async fn put(client: &Client, collection: &str, name: &str, object: &Value) -> Result<(), String> {
    match send(client, Method::POST, collection, "application/json", Some(object)).await? {
        (StatusCode::CONFLICT, _) => {}
        (code, _) if code.is_success() => return Ok(()),
        (_, status) => return Err(json::text(&status, &["message"]).to_owned()),
    }
    let path = format!("{collection}/{name}");
    match send(
        client,
        Method::PATCH,
        &path,
        "application/merge-patch+json",
        Some(object),
    )
    .await?
    {
        (code, _) if code.is_success() => Ok(()),
        (_, status) => Err(json::text(&status, &["message"]).to_owned()),
    }
}

/// A tenant's own metrics server is left alone.
async fn withdraw(client: &Client) -> Result<(), String> {
    for path in [
        format!("{API_SERVICE}/{}", api_service_name()),
        format!("{SERVICE}/{NAME}"),
    ] {
        let (code, object) = send(client, Method::GET, &path, "application/json", None).await?;
        let ours = json::text(&object, &["metadata", "annotations", keys::CONTROLLED_BY]) == NAME;
        if !code.is_success() && code != StatusCode::NOT_FOUND {
            return Err(json::text(&object, &["message"]).to_owned());
        }
        if ours {
            send(client, Method::DELETE, &path, "application/json", None).await?;
        }
    }
    Ok(())
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &'static str,
    body: Option<&Value>,
) -> Result<(StatusCode, Value), String> {
    let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(bytes))
        .map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    let code = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    Ok((code, serde_json::from_slice(&body.to_bytes()).unwrap_or_default()))
}
