//! Tells the virtual API server which APIs are served here: APIServices, and the Services that they name.
//!
//! The API server runs beside this process, so the Services lead to `localhost`, as in vCluster.

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
use crate::settings::Settings;
use crate::world::World;

const SERVICE: &str = "/api/v1/namespaces/kube-system/services";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
/// Says that an APIService is kept by the API server itself, as it is for what definitions of custom resources serve.
const AUTO_MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Delays between attempts.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// APIs that are served here together.
struct Registration {
    /// The name of their Service, which also marks what was made for them.
    name: &'static str,
    /// Groups and versions; there may be none.
    versions: Vec<(String, String)>,
    /// The priorities of the groups and of the versions in discovery.
    priorities: (u16, u16),
}

/// Everything that may be served here.
fn registrations(settings: &Settings) -> [Registration; 2] {
    let measured = settings.metrics.is_on();
    let proxied = settings.proxied.iter();
    [
        Registration {
            name: "metrics-server",
            versions: measured
                .then(|| (GROUP.to_owned(), VERSION.to_owned()))
                .into_iter()
                .collect(),
            priorities: (100, 100),
        },
        Registration {
            name: "custom-resource-proxy",
            versions: proxied
                .map(|version| (version.group.clone(), version.version.clone()))
                .collect(),
            // Those of custom resources.
            priorities: (1000, 100),
        },
    ]
}

/// Registers what is served, and takes back what an earlier run registered; tries until that has worked.
pub async fn register(world: &World, client: Client) {
    let port = world.settings.nodes.kubelet_port;
    for registration in registrations(&world.settings) {
        let mut delay = *RETRY.start();
        while let Err(error) = registration.settle(port, &client).await {
            debug!(
                error,
                api = registration.name,
                ?delay,
                "cannot tell the API server about an API"
            );
            tokio::time::sleep(delay).await;
            delay = (delay * 3 / 2).min(*RETRY.end());
        }
    }
}

impl Registration {
    async fn settle(&self, port: u16, client: &Client) -> Result<(), String> {
        let wanted: Vec<Value> = self.api_services(port).collect();
        if !wanted.is_empty() {
            put(client, SERVICE, &self.service(port)).await?;
        }
        for api_service in &wanted {
            put(client, API_SERVICE, api_service).await?;
        }
        self.withdraw(client, &wanted).await
    }

    /// Marks what belongs to this, and has the Service not be synced to the host.
    fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "annotations": {keys::CONTROLLED_BY: self.name}})
    }

    fn service(&self, port: u16) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(self.name),
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]},
        })
    }

    fn api_services(&self, port: u16) -> impl Iterator<Item = Value> {
        self.versions.iter().map(move |(group, version)| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": self.metadata(&format!("{version}.{group}")),
                "spec": {
                    "group": group, "version": version, "groupPriorityMinimum": self.priorities.0,
                    "versionPriority": self.priorities.1, "insecureSkipTLSVerify": true,
                    "service": {"namespace": "kube-system", "name": self.name, "port": port},
                },
            })
        })
    }

    /// Deletes what was made here and is not wanted any more. What a tenant has made is left alone.
    async fn withdraw(&self, client: &Client, wanted: &[Value]) -> Result<(), String> {
        let list = read(client, API_SERVICE).await?;
        let ours = |object: &Value| json::text(object, &["metadata", "annotations", keys::CONTROLLED_BY]) == self.name;
        let name = |object: &Value| json::text(object, &["metadata", "name"]).to_owned();
        let kept = |object: &Value| wanted.iter().any(|wanted| name(wanted) == name(object));
        let items = list
            .as_ref()
            .map(|list| json::items(list, &["items"]))
            .unwrap_or_default();
        for gone in items.iter().filter(|object| ours(object) && !kept(object)) {
            delete(client, &format!("{API_SERVICE}/{}", name(gone))).await?;
        }
        let path = format!("{SERVICE}/{}", self.name);
        if wanted.is_empty() && read(client, &path).await?.is_some_and(|service| ours(&service)) {
            delete(client, &path).await?;
        }
        Ok(())
    }
}

/// Creates an object or changes the one that is there.
async fn put(client: &Client, collection: &str, object: &Value) -> Result<(), String> {
    let refused = |status: Value| Err(json::text(&status, &["message"]).to_owned());
    match send(client, Method::POST, collection, "application/json", Some(object)).await? {
        (StatusCode::CONFLICT, _) => {}
        (code, _) if code.is_success() => return Ok(()),
        (_, status) => return refused(status),
    }
    let path = format!("{collection}/{}", json::text(object, &["metadata", "name"]));
    let mut patch = object.clone();
    patch["metadata"]["labels"] = json!({AUTO_MANAGED: null});
    let form = "application/merge-patch+json";
    match send(client, Method::PATCH, &path, form, Some(&patch)).await? {
        (code, _) if code.is_success() => Ok(()),
        (_, status) => refused(status),
    }
}

/// An object, if there is one.
async fn read(client: &Client, path: &str) -> Result<Option<Value>, String> {
    match send(client, Method::GET, path, "application/json", None).await? {
        (code, object) if code.is_success() => Ok(Some(object)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (_, status) => Err(json::text(&status, &["message"]).to_owned()),
    }
}

async fn delete(client: &Client, path: &str) -> Result<(), String> {
    match send(client, Method::DELETE, path, "application/json", None).await? {
        (StatusCode::NOT_FOUND, _) => Ok(()),
        (code, _) if code.is_success() => Ok(()),
        (_, status) => Err(json::text(&status, &["message"]).to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;

    use super::*;

    type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

    /// An API server with objects by their paths.
    fn server(objects: &Objects) -> Client {
        let objects = objects.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let objects = objects.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = answer(&objects, &parts.method, parts.uri.path(), body);
                let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
                *response.status_mut() = StatusCode::from_u16(code).expect("a status");
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "default")
    }

    fn answer(objects: &Objects, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let mut objects = objects.lock().expect("unpoisoned");
        let below = format!("{path}/");
        let named = format!("{below}{}", json::text(&body, &["metadata", "name"]));
        let taken = objects.contains_key(&named);
        match (method.as_str(), objects.get_mut(path)) {
            ("POST", _) if taken => (409, json!({})),
            ("POST", _) => {
                objects.insert(named, body);
                (201, json!({}))
            }
            ("PATCH", Some(object)) => {
                json::merge(object, &body);
                (200, object.clone())
            }
            ("GET", Some(object)) => (200, object.clone()),
            ("GET", None) if path == API_SERVICE => {
                let items = objects.iter().filter(|(path, _)| path.starts_with(&below));
                (
                    200,
                    json!({"items": items.map(|(_, object)| object).collect::<Vec<_>>()}),
                )
            }
            ("DELETE", Some(_)) => {
                objects.remove(path);
                (200, json!({}))
            }
            _ => (404, json!({})),
        }
    }

    fn proxy(versions: &[&str]) -> Registration {
        Registration {
            name: "custom-resource-proxy",
            versions: versions
                .iter()
                .map(|group| ((*group).to_owned(), "v1".to_owned()))
                .collect(),
            priorities: (1000, 100),
        }
    }

    #[tokio::test]
    async fn what_is_registered_follows_the_settings() {
        let objects = Objects::default();
        let client = server(&objects);
        let own = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let path = |name: &str| format!("{API_SERVICE}/{name}");
        {
            let mut objects = objects.lock().expect("unpoisoned");
            objects.insert(path("v1.tenant.io"), own("v1.tenant.io", json!({})));
            objects.insert(path("v1.a.io"), own("v1.a.io", json!({AUTO_MANAGED: "true"})));
        }
        let names = || -> Vec<String> {
            let objects = objects.lock().expect("unpoisoned");
            let names = objects
                .keys()
                .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
            names.collect()
        };
        proxy(&["a.io", "b.io"]).settle(10250, &client).await.expect("settled");
        assert_eq!(names(), ["custom-resource-proxy", "v1.a.io", "v1.b.io", "v1.tenant.io"]);
        let taken = objects.lock().expect("unpoisoned")[&path("v1.a.io")].clone();
        assert_eq!(
            taken["metadata"]["labels"],
            json!({}),
            "the API server keeps it no more"
        );
        assert_eq!(taken["spec"]["service"]["name"], "custom-resource-proxy");

        proxy(&["b.io"]).settle(10250, &client).await.expect("settled");
        assert_eq!(names(), ["custom-resource-proxy", "v1.b.io", "v1.tenant.io"]);
        proxy(&[]).settle(10250, &client).await.expect("settled");
        assert_eq!(names(), ["v1.tenant.io"]);
    }
}
