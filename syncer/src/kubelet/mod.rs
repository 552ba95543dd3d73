//! The kubelet API of every virtual node: what the virtual API server, and whoever it lets, asks a kubelet, answered by the
//! host API server. Beside it, APIs that the virtual API server passes on to this process.

mod access;
mod authorization;
mod certificate;
mod exposition;
mod host;
pub mod metrics_api;
mod owned;
pub(crate) mod proxied;
mod proxy;
mod registration;
mod route;
mod server;
mod summary;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use kube::client::Body as HostBody;
use serde_json::{Value, json};

pub use access::Trust;
pub use certificate::tls;
pub use registration::register;
pub use server::serve;

use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::names::{Claim, claim};
use crate::object::ObjectKey;
use crate::resources::nodes::{self, addresses};
use crate::world::World;
use access::{Caller, Presented};
use authorization::{Action, Authority, Denied};
use exposition::Rewriter;
use owned::{Owners, has_container};
use proxied::Proxied;
use route::{Route, Target};

/// A body of either kind: made here or passed on from the host.
type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What vCluster says about pods of others, and those that do not exist.
const NOT_OURS: &str = "access denied: pod does not belong to this virtual cluster";
/// The formats in which kubelets show measurements that can be rewritten.
const TEXT_FORMAT: &str = "text/plain;version=0.0.4";

/// Answers requests of the kubelet API.
pub struct Kubelet {
    world: Arc<World>,
    host: Connection,
    authority: Authority,
    proxied: Proxied,
}

impl Kubelet {
    /// A kubelet that reaches the host through this connection, and asks the virtual API server about its callers.
    pub fn new(world: Arc<World>, host: Connection, virtual_: kube::Client) -> Arc<Self> {
        Arc::new(Self {
            proxied: Proxied::new(&world.settings, &host.shared, &virtual_),
            world,
            host,
            authority: Authority::new(virtual_),
        })
    }

    /// What is known.
    fn world(&self) -> &World {
        &self.world
    }

    /// Answers a request of somebody who may have shown a certificate.
    async fn handle(
        self: Arc<Self>,
        presented: Presented,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        Ok(self.answer(presented, request).await.unwrap_or_else(|refusal| refusal))
    }

    async fn answer(
        self: Arc<Self>,
        presented: Presented,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Response<Body>> {
        let path = request.uri().path();
        let route = route::route(path);
        if route == Some(Route::Healthz) {
            return Ok(text(StatusCode::OK, "ok"));
        }
        let caller = match presented {
            Presented::User(caller) => caller,
            Presented::Proxy => Caller::named(request.headers()).ok_or_else(|| denied(Denied::Unknown))?,
            Presented::Stranger => return Err(denied(Denied::Unknown)),
            Presented::Nothing => self.authority.authenticate(request.headers()).await.map_err(denied)?,
        };
        if self.world.settings.metrics.is_on()
            && let Some(query) = metrics_api::query(path)
        {
            return self.measurements(&caller, &query, &request).await;
        }
        if let Some(asked) = self.proxied.asked(path) {
            return Ok(self.proxied.answer(&self.authority, &caller, asked, request).await);
        }
        let verb = match *request.method() {
            Method::POST => "create",
            Method::GET => "get",
            _ => {
                return Err(text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "only GET and POST are allowed here",
                ));
            }
        };
        let node = self.node(&caller, &request);
        let action = Action::Node {
            verb,
            node: node.clone().unwrap_or_default(),
            subresources: route.as_ref().map_or(&["proxy"], Route::subresources),
        };
        self.authority.authorize(&caller, action).await.map_err(denied)?;
        let Some(route) = route else {
            return Err(text(
                StatusCode::FORBIDDEN,
                "proxy subpath not permitted in shared mode",
            ));
        };
        let streams = matches!(route, Route::Session(..) | Route::PortForward(..));
        if verb == "create" && !streams {
            return Err(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "POST is allowed for sessions only",
            ));
        }
        let node = node.as_deref();
        Ok(match route {
            Route::Healthz => text(StatusCode::OK, "ok"),
            Route::Pods => json_answer(StatusCode::OK, &self.pods(node, |_| true)),
            Route::RunningPods => json_answer(StatusCode::OK, &self.pods(node, is_running)),
            Route::Summary => {
                let node = self.served(node).await?;
                json_answer(StatusCode::OK, &summary::summary(&self.world, &self.host, &node).await)
            }
            Route::Metrics(path) => {
                let node = self.served(node).await?;
                if !self.world.settings.nodes.measured {
                    return Err(text(StatusCode::FORBIDDEN, host::NO_RIGHT));
                }
                let path = format!("/api/v1/nodes/{node}/proxy{path}");
                match host::open(&self.host, &path, TEXT_FORMAT).await {
                    Ok(body) => series(self.world.clone(), body),
                    Err(refused) => text(refused.status, &refused.message),
                }
            }
            Route::Logs(target) => {
                let host = self.host_pod(&target, node)?;
                proxy::logs(&self.host, self.copied(&target, &host), request).await
            }
            Route::Session(kind, target) => {
                let host = self.host_pod(&target, node)?;
                proxy::session(&self.host, self.copied(&target, &host), kind, request).await
            }
            Route::PortForward(target) => {
                let host = self.host_pod(&target, node)?;
                proxy::port_forward(&self.host, self.copied(&target, &host), request).await
            }
        })
    }

    /// Answers a request of `metrics.k8s.io`.
    async fn measurements(
        &self,
        caller: &Caller,
        query: &metrics_api::Query,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Response<Body>> {
        let refuse = |code: StatusCode, reason: &str, message: &str| {
            json_answer(code, &metrics_api::status(code, reason, message))
        };
        if request.method() != Method::GET {
            return Err(refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "only GET is allowed here",
            ));
        }
        let action = query.action(request.uri().path());
        self.authority.authorize(caller, action).await.map_err(denied)?;
        let parameters = route::parameters(request.uri().query().unwrap_or_default());
        let accept = header_text(request.headers(), header::ACCEPT.as_str());
        let wanted = metrics_api::Wanted::parse(&parameters, accept)
            .map_err(|why| refuse(StatusCode::BAD_REQUEST, "BadRequest", &why))?;
        match metrics_api::answer(&self.world, &self.host, query, &wanted).await {
            Ok(document) => Ok(json_answer(StatusCode::OK, &document)),
            Err(status) => {
                let code = json::integer(&status, &["code"]).and_then(|code| u16::try_from(code).ok());
                let code = code.and_then(|code| StatusCode::from_u16(code).ok());
                Err(json_answer(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &status))
            }
        }
    }

    /// The node that is asked: the one whose name or address was dialled, the one that the API server passes a request on
    /// to, or the only one.
    fn node<B>(&self, caller: &Caller, request: &Request<B>) -> Option<String> {
        let host = header_text(request.headers(), header::HOST.as_str());
        let host = host.parse::<http::uri::Authority>().ok();
        let dialled = host.and_then(|host| {
            let name = host.host().trim_start_matches('[').trim_end_matches(']');
            addresses::node_of_host(&self.world, name)
        });
        let passed_on = || {
            let known = caller.is_api_server().then(|| route::proxied_node(request.headers()));
            known.flatten()
        };
        let only = || match self.world.virtual_side.of(Kind::Node).list().as_slice() {
            [node] => Some(node.key().name.clone()),
            _ => None,
        };
        dialled.or_else(passed_on).or_else(only)
    }

    /// The node whose kubelet on the host is asked: only one that this cluster shows, whatever a tenant calls a node.
    async fn served(&self, node: Option<&str>) -> Result<String, Response<Body>> {
        let Some(node) = node else {
            return Err(text(
                StatusCode::BAD_REQUEST,
                "it is not known which node is meant: ask at its own name or address",
            ));
        };
        if nodes::is_served(&self.world, node) || self.is_selected(node).await {
            Ok(node.to_owned())
        } else {
            Err(text(
                StatusCode::NOT_FOUND,
                &format!("node {node:?} is none of the host's that is shown here"),
            ))
        }
    }

    /// Whether the host says that its node is one of those that are shown, which a process that stands by has to ask.
    async fn is_selected(&self, node: &str) -> bool {
        let (true, Some(selector)) = (self.world.stands_by(), nodes::shown(&self.world.settings.nodes)) else {
            return false;
        };
        if self.world.virtual_side.get(Kind::Node, "", node).is_none() {
            return false;
        }
        // There is a right to list nodes, none to read one.
        let path = format!("{}?fieldSelector=metadata.name%3D{node}", Kind::Node.path(""));
        let found = host::read(&self.host, &path).await.unwrap_or_default();
        let mut nodes = json::items(&found, &["items"]).iter();
        nodes.any(|node| selector.matches_labels(json::at(node, &["metadata", "labels"])))
    }

    /// The copy of a virtual pod on the host, as its own marks say.
    fn copy(&self, namespace: &str, name: &str) -> Option<ObjectKey> {
        let is_copy = |host: &Value| match claim(&self.world.names, &Kind::Pod.gvk(), host) {
            Claim::Ours {
                namespace: owner_namespace,
                name: owner,
                ..
            } => owner_namespace == *namespace && owner == *name,
            Claim::Foreign => false,
        };
        let key = self.world.host_key(Kind::Pod, namespace, name);
        let pods = self.world.host.of(Kind::Pod);
        if self
            .world
            .host
            .get(Kind::Pod, &key.namespace, &key.name)
            .is_some_and(|host| is_copy(&host.value()))
        {
            return Some(key);
        }
        // Names that were recorded otherwise are known to the leader only.
        let mut all = if self.world.stands_by() {
            pods.list()
        } else {
            Vec::new()
        }
        .into_iter();
        all.find(|host| is_copy(&host.value())).map(|host| host.key().clone())
    }

    /// The pods of a virtual node, or of all of them, as they are in the virtual cluster.
    fn pods(&self, node: Option<&str>, wanted: fn(&Value) -> bool) -> Value {
        let pods = self.world.virtual_side.of(Kind::Pod).list();
        let assigned: Vec<Value> = pods
            .iter()
            .map(|pod| pod.value())
            .filter(|pod| is_on(pod, node) && wanted(pod))
            .collect();
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": assigned})
    }

    fn copied<'a>(&'a self, target: &'a Target, host: &'a ObjectKey) -> proxy::Copied<'a> {
        let names = &self.world.names;
        proxy::Copied { names, target, host }
    }

    /// The host pod behind a virtual pod and its container. Only what this cluster owns can be reached.
    fn host_pod(&self, target: &Target, node: Option<&str>) -> Result<ObjectKey, Response<Body>> {
        let Target {
            namespace,
            pod: name,
            container,
        } = target;
        let pod = self
            .world
            .virtual_side
            .get(Kind::Pod, namespace, name)
            .map(|pod| pod.value())
            .filter(|pod| is_on(pod, node));
        let known = pod.is_some_and(|pod| container.is_empty() || has_container(&pod, container));
        if !known {
            return Err(text(StatusCode::FORBIDDEN, NOT_OURS));
        }
        let copy = self.copy(namespace, name);
        copy.ok_or_else(|| text(StatusCode::NOT_FOUND, &format!("pod {name:?} is not running")))
    }
}

/// Whether a pod is on this node, or on any.
fn is_on(pod: &Value, node: Option<&str>) -> bool {
    let assigned = json::text(pod, &["spec", "nodeName"]);
    !assigned.is_empty() && node.is_none_or(|node| node == assigned)
}

fn is_running(pod: &Value) -> bool {
    let mut containers = [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ]
    .iter()
    .flat_map(|list| json::items(pod, &["status", list]));
    containers.any(|container| json::at(container, &["state", "running"]).is_some())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Passes measurements on as they come.
fn series(world: Arc<World>, body: HostBody) -> Response<Body> {
    let rewriter = Some(Rewriter::default());
    let frames = stream::unfold((world, body, rewriter), |(world, mut body, rewriter)| async move {
        let mut rewriter = rewriter?;
        let frame = body.frame().await;
        let mut owners = Owners::new(&world);
        let mut find = |kind, namespace: &str, name: &str| owners.find(kind, namespace, name).cloned();
        let (out, left) = match frame {
            None => (Ok(rewriter.finish(&mut find)), None),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                (Ok(rewriter.push(&data, &mut find)), Some(rewriter))
            }
            // The client must not take a part for the whole.
            Some(Err(error)) => (Err(Box::<dyn std::error::Error + Send + Sync>::from(error)), None),
        };
        drop(owners);
        Some((out.map(|bytes| Frame::data(Bytes::from(bytes))), (world, body, left)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let content_type = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn denied(denied: Denied) -> Response<Body> {
    match denied {
        Denied::Unknown => text(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Denied::Forbidden(why) => text(StatusCode::FORBIDDEN, &why),
        Denied::Unanswered => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the virtual API server does not say who may do this",
        ),
    }
}

fn text(status: StatusCode, message: &str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", value.to_string())
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
