//! The kubelet's HTTPS listener and its handlers.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use chassis::tls::{load_authorities, load_identity, server_config};
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tracing::debug;

use super::exec::{self, Terminal, Wanted};
use super::follow::Follower;
use super::logs;
use super::port_forward::{self, Dial};
use super::route::{Query, Route, Target, route};
use super::stats;
use super::upgrade::negotiate;
use crate::node::pods::Pods;
use crate::node::sandbox;
use crate::node::shell::{self, Output, Unknown};

type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An error for the client: status and one sentence.
type Refusal = (StatusCode, String);

/// Groups whose members may use the kubelet API.
const ALLOWED_GROUPS: &[&str] = &["system:masters", "kubeadm:cluster-admins"];

/// Files of a kubelet's serving identity, and of the CA of its clients.
#[derive(Debug, Clone)]
pub struct KubeletTls {
    /// Serving certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who may connect, PEM.
    pub client_ca: PathBuf,
}

impl KubeletTls {
    fn acceptor(&self) -> Result<TlsAcceptor> {
        let identity = load_identity(
            ("the kubelet's serving certificate", &self.certificate),
            ("the kubelet's serving key", &self.key),
        )?;
        let authorities = load_authorities("the kubelet's client CA", &self.client_ca)?;
        let mut config = server_config(identity, Some(authorities))?;
        // SPDY and WebSocket upgrades exist in HTTP/1.1 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The kubelet API of one node.
pub struct Kubelet {
    node: String,
    pods: Pods,
    started: Timestamp,
    acceptor: TlsAcceptor,
}

impl Kubelet {
    /// A kubelet for `node`.
    ///
    /// # Errors
    /// A certificate or key cannot be used.
    pub fn new(node: &str, pods: Pods, tls: &KubeletTls) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            node: node.to_string(),
            pods,
            started: Timestamp::now(),
            acceptor: tls.acceptor()?,
        }))
    }

    /// Serves until it is dropped; connections end with it.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let kubelet = self.clone();
                        connections.spawn(async move {
                            if let Err(error) = kubelet.connection(stream).await {
                                debug!(node = kubelet.node, %error, "a kubelet connection broke");
                            }
                        });
                    }
                    Err(error) => {
                        debug!(node = self.node, %error, "cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn connection(self: &Arc<Self>, stream: tokio::net::TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let stream = self.acceptor.accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let caller = certificate.map(Caller::read);
        let upgraded = JoinSet::new();
        let upgraded = Arc::new(tokio::sync::Mutex::new(upgraded));
        let tasks = upgraded.clone();
        let service = service_fn(move |request| {
            let (kubelet, caller, tasks) = (self.clone(), caller.clone(), tasks.clone());
            async move { Ok::<_, Infallible>(kubelet.answer(request, &caller, &tasks).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        // An upgraded connection lives on in its task; this one owns it.
        let mut tasks = upgraded.lock().await;
        while tasks.join_next().await.is_some() {}
        Ok(served?)
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: &Option<Caller>,
        tasks: &tokio::sync::Mutex<JoinSet<()>>,
    ) -> Response<Body> {
        let Some(caller) = caller else {
            return text(
                StatusCode::UNAUTHORIZED,
                "Unauthorized: the kubelet asks for a client certificate".to_string(),
            );
        };
        if !caller
            .groups
            .iter()
            .any(|group| ALLOWED_GROUPS.contains(&group.as_str()))
        {
            let message = format!("Forbidden (user={}, resource=nodes, subresource=proxy)", caller.name);
            return text(StatusCode::FORBIDDEN, message);
        }
        let Some(route) = route(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found".to_string());
        };
        let query = Query::parse(request.uri().query().unwrap_or_default());
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and POST are allowed".to_string(),
            );
        }
        let answered = match route {
            Route::Healthz => Ok(text(StatusCode::OK, "ok".to_string())),
            Route::Pods => {
                let pods = self.pods.on(&self.node);
                let items: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
                Ok(json_body(
                    &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}),
                ))
            }
            Route::StatsSummary => {
                let (started, pods) = (self.started.to_string(), self.pods.on(&self.node));
                Ok(json_body(&stats::summary(
                    &self.node,
                    &started,
                    Timestamp::now(),
                    &pods,
                )))
            }
            Route::Metrics(measured) => Ok(text(
                StatusCode::OK,
                stats::exposition(measured, Timestamp::now(), &self.pods.on(&self.node)),
            )),
            Route::Logs(target) => self.logs(target, &query).await,
            Route::Exec(target) => self.exec(target, query, request, tasks).await,
            Route::Attach(target) => self.attach(target, query, request, tasks).await,
            Route::PortForward { namespace, pod } => self.port_forward(&namespace, &pod, query, request, tasks).await,
        };
        answered.unwrap_or_else(|(status, message)| text(status, message))
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refusal> {
        let found = self.pods.find(&self.node, namespace, name);
        found.ok_or_else(|| {
            (
                StatusCode::NOT_FOUND,
                format!("pod \"{namespace}/{name}\" does not exist on this node"),
            )
        })
    }

    async fn logs(self: &Arc<Self>, target: Target, query: &Query) -> Result<Response<Body>, Refusal> {
        let pod = self.pod(&target.namespace, &target.pod)?;
        let bad = |message: String| (StatusCode::BAD_REQUEST, message);
        let options = logs::Options::parse(query, Timestamp::now()).map_err(bad)?;
        let run = logs::run(&pod, &target.container, options.previous).map_err(bad)?;
        let (_, plan) = self.pods.container(&pod, &target.container).await.map_err(bad)?;
        let now = Timestamp::now();
        let lines = logs::lines(&pod, &target.container, &plan, &run, now);
        let (first, mut left) = options.first(&lines);
        if !options.follow || options.previous {
            return Ok(text(StatusCode::OK, first));
        }
        let (sender, receiver) = mpsc::channel::<Bytes>(16);
        let over = run.finished.is_some();
        let (pods, node) = (self.pods.clone(), self.node.clone());
        let mut follower = Follower {
            pods,
            node,
            target,
            pod,
            plan,
            run,
            seen: now,
            over,
        };
        let follow = async move {
            let mut next = first;
            loop {
                if !next.is_empty() && sender.send(next.into()).await.is_err() || left == Some(0) {
                    return;
                }
                let lines = tokio::select! {
                    lines = follower.next() => lines,
                    () = sender.closed() => return,
                };
                let Some(lines) = lines else { return };
                (next, left) = options.more(&lines, left);
            }
        };
        // The body drives the producer: when the client leaves, both are dropped.
        let producer = futures::stream::once(follow).filter_map(|()| async { None::<Bytes> });
        let body = futures::stream::select(ReceiverStream::new(receiver), producer);
        let body = StreamBody::new(body.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        Ok(Response::new(body.boxed_unsync()))
    }

    async fn exec(
        self: &Arc<Self>,
        target: Target,
        query: Query,
        request: Request<Incoming>,
        tasks: &tokio::sync::Mutex<JoinSet<()>>,
    ) -> Result<Response<Body>, Refusal> {
        let pod = self.pod(&target.namespace, &target.pod)?;
        let bad = |message: String| (StatusCode::BAD_REQUEST, message);
        let wanted = Wanted::parse(&query).map_err(bad)?;
        let upgrade = negotiate(request.headers(), exec::SPDY_PROTOCOLS, exec::WEBSOCKET_PROTOCOLS)?;
        running(&pod, &target.container)?;
        let (view, _) = self.pods.container(&pod, &target.container).await.map_err(bad)?;
        let plan = shell::plan(query.all("command"), &view, Unknown::NotFound);
        let response = upgrade.response();
        tasks.lock().await.spawn(async move {
            let Some(io) = upgraded(request).await else { return };
            exec::serve(io, &upgrade, wanted, |Terminal { stdin, output }| {
                shell::run(plan, stdin, output)
            })
            .await;
        });
        Ok(response)
    }

    async fn attach(
        self: &Arc<Self>,
        target: Target,
        query: Query,
        request: Request<Incoming>,
        tasks: &tokio::sync::Mutex<JoinSet<()>>,
    ) -> Result<Response<Body>, Refusal> {
        let pod = self.pod(&target.namespace, &target.pod)?;
        let bad = |message: String| (StatusCode::BAD_REQUEST, message);
        let wanted = Wanted::parse(&query).map_err(bad)?;
        let upgrade = negotiate(request.headers(), exec::SPDY_PROTOCOLS, exec::WEBSOCKET_PROTOCOLS)?;
        running(&pod, &target.container)?;
        let run = logs::run(&pod, &target.container, false).map_err(bad)?;
        let (_, plan) = self.pods.container(&pod, &target.container).await.map_err(bad)?;
        let response = upgrade.response();
        let (pods, node) = (self.pods.clone(), self.node.clone());
        tasks.lock().await.spawn(async move {
            let Some(io) = upgraded(request).await else { return };
            // Attached clients see what the main program writes from now on; it reads nothing.
            let mut follower = Follower {
                pods,
                node,
                target,
                pod,
                plan,
                run,
                seen: Timestamp::now(),
                over: false,
            };
            exec::serve(io, &upgrade, wanted, |Terminal { output, .. }| async move {
                loop {
                    let lines = tokio::select! {
                        lines = follower.next() => lines,
                        () = output.closed() => return,
                    };
                    let Some(lines) = lines else { break };
                    for line in lines {
                        if output
                            .send(Output::Stdout(format!("{}\n", line.text).into()))
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                }
                // The main program is over; attach has no exit status of its own to report.
                let _ = output.send(Output::Exit(0)).await;
            })
            .await;
        });
        Ok(response)
    }

    async fn port_forward(
        self: &Arc<Self>,
        namespace: &str,
        name: &str,
        query: Query,
        request: Request<Incoming>,
        tasks: &tokio::sync::Mutex<JoinSet<()>>,
    ) -> Result<Response<Body>, Refusal> {
        let pod = self.pod(namespace, name)?;
        let upgrade = negotiate(
            request.headers(),
            port_forward::SPDY_PROTOCOLS,
            port_forward::WEBSOCKET_PROTOCOLS,
        )?;
        let response = upgrade.response();
        tasks.lock().await.spawn(async move {
            let Some(io) = upgraded(request).await else { return };
            port_forward::serve(io, &upgrade, &query, &PodPorts(pod)).await;
        });
        Ok(response)
    }
}

/// The declared ports of a pod: behind each listens a tiny HTTP server that says who answers and what was asked.
struct PodPorts(Arc<Pod>);

impl Dial for PodPorts {
    fn dial(&self, port: u16, io: DuplexStream) -> Result<impl Future<Output = ()> + Send, String> {
        let meta = &self.0.metadata;
        let (namespace, name) = (
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        );
        let container = sandbox::containers(&self.0).find(|container| {
            container
                .ports
                .iter()
                .flatten()
                .any(|declared| declared.container_port == i32::from(port))
        });
        let Some(container) = container.map(|container| container.name.clone()) else {
            let uid = meta.uid.as_deref().unwrap_or_default();
            return Err(format!(
                "error forwarding port {port} to pod {name}, uid {uid}: nothing listens on this port of the pod"
            ));
        };
        let answer = move |request: Request<Incoming>| {
            let body = format!(
                "pod {namespace}/{name}, container {container}, port {port}\n{} {}\n",
                request.method(),
                request.uri()
            );
            async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))) }
        };
        Ok(async move {
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service_fn(answer));
            if let Err(error) = served.await {
                debug!(%error, "a forwarded connection broke");
            }
        })
    }
}

/// Who a client certificate says the caller is.
#[derive(Debug, Clone, Default)]
struct Caller {
    name: String,
    groups: Vec<String>,
}

impl Caller {
    fn read(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
            return Self::default();
        };
        let subject = certificate.subject();
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_string);
        Self {
            name: subject.iter_common_name().find_map(text).unwrap_or_default(),
            groups: subject.iter_organization().filter_map(text).collect(),
        }
    }
}

fn running(pod: &Pod, container: &str) -> Result<(), Refusal> {
    let status = logs::status(pod, container);
    let running = status
        .and_then(|status| status.state.as_ref())
        .is_some_and(|state| state.running.is_some());
    if running {
        return Ok(());
    }
    Err((StatusCode::NOT_FOUND, format!("container not found (\"{container}\")")))
}

async fn upgraded(request: Request<Incoming>) -> Option<TokioIo<hyper::upgrade::Upgraded>> {
    match hyper::upgrade::on(request).await {
        Ok(io) => Some(TokioIo::new(io)),
        Err(error) => {
            debug!(%error, "an upgrade did not happen");
            None
        }
    }
}

fn text(status: StatusCode, message: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(message)).boxed_unsync());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

fn json_body(value: &serde_json::Value) -> Response<Body> {
    let mut response = text(StatusCode::OK, value.to_string());
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}
