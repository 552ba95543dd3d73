//! The kubelet API of every virtual node: what the virtual API server asks a kubelet, answered by the host API server.

mod access;
mod proxy;
mod route;
mod server;
mod summary;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

pub use server::{serve, tls};

use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, claim};
use crate::object::ObjectKey;
use crate::world::World;
use access::Caller;
use route::{Route, Target};

/// A body of either kind: made here or passed on from the host.
type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Answers requests of the kubelet API.
pub struct Kubelet {
    world: Arc<World>,
    host: Connection,
    /// Whether callers can prove who they are at all.
    authenticates: bool,
}

impl Kubelet {
    /// A kubelet that reaches the host through this connection. Without `authenticates` nobody can be let in.
    pub fn new(world: Arc<World>, host: Connection, authenticates: bool) -> Arc<Self> {
        Arc::new(Self {
            world,
            host,
            authenticates,
        })
    }

    async fn handle(self: Arc<Self>, caller: Caller, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let method = request.method().clone();
        let Some(route) = route::route(request.uri().path()) else {
            return Ok(text(StatusCode::NOT_FOUND, "404 page not found"));
        };
        if route == Route::Healthz {
            return Ok(text(StatusCode::OK, "ok"));
        }
        if !caller.is_api_server() {
            let why = if self.authenticates {
                "a client certificate of the API server"
            } else {
                "--client-ca-file"
            };
            return Ok(text(
                StatusCode::UNAUTHORIZED,
                &format!("Unauthorized: this needs {why}"),
            ));
        }
        let streams = matches!(route, Route::Session(..) | Route::PortForward(..));
        if !(method == Method::GET || (streams && method == Method::POST)) {
            return Ok(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET, and POST for sessions, is allowed here",
            ));
        }
        Ok(match route {
            Route::Healthz => text(StatusCode::OK, "ok"),
            Route::Pods => json_answer(&self.pods()),
            Route::Summary => json_answer(&summary::summary(&self.world, &self.host).await),
            Route::Logs(target) => match self.host_pod(&target) {
                Ok(host) => proxy::logs(&self.host, &host, &target, request).await,
                Err(missing) => text(StatusCode::NOT_FOUND, &missing),
            },
            Route::Session(kind, target) => match self.host_pod(&target) {
                Ok(host) => proxy::session(&self.host, &host, kind, &target, request).await,
                Err(missing) => text(StatusCode::NOT_FOUND, &missing),
            },
            Route::PortForward(target) => match self.host_pod(&target) {
                Ok(host) => proxy::port_forward(&self.host, &host, request).await,
                Err(missing) => text(StatusCode::NOT_FOUND, &missing),
            },
        })
    }

    /// The pods of all virtual nodes, as they are in the virtual cluster.
    fn pods(&self) -> Value {
        let pods = self.world.virtual_side.of(Kind::Pod).list();
        let running: Vec<Value> = pods
            .iter()
            .map(|pod| pod.value())
            .filter(|pod| !json::text(pod, &["spec", "nodeName"]).is_empty())
            .collect();
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": running})
    }

    /// The host pod behind a virtual pod and its container. Only what this cluster owns can be reached.
    fn host_pod(&self, target: &Target) -> Result<ObjectKey, String> {
        let Target {
            namespace,
            pod: name,
            container,
        } = target;
        let pod = self
            .world
            .virtual_side
            .get(Kind::Pod, namespace, name)
            .map(|pod| pod.value());
        let Some(pod) = pod else {
            return Err(format!("pod {name:?} not found in namespace {namespace:?}"));
        };
        let lists = ["containers", "initContainers", "ephemeralContainers"];
        let known = lists.iter().flat_map(|list| json::items(&pod, &["spec", list]));
        if !container.is_empty() && !known.into_iter().any(|known| json::text(known, &["name"]) == container) {
            return Err(format!(
                "container {container:?} not found in pod \"{namespace}/{name}\""
            ));
        }
        let key = self.world.host_key(Kind::Pod, namespace, name);
        let host = self
            .world
            .host
            .get(Kind::Pod, &key.namespace, &key.name)
            .map(|host| host.value());
        let ours = host
            .as_ref()
            .is_some_and(|host| match claim(&self.world.names, &Kind::Pod.gvk(), host) {
                Claim::Ours {
                    namespace: owner_namespace,
                    name: owner,
                    ..
                } => owner_namespace == *namespace && owner == *name,
                Claim::Foreign => false,
            });
        if ours {
            Ok(key)
        } else {
            Err(format!("pod {name:?} is not running"))
        }
    }
}

fn text(status: StatusCode, message: &str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

fn json_answer(value: &Value) -> Response<Body> {
    answer(StatusCode::OK, "application/json", value.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
