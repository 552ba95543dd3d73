//! The metrics server of the embedded host: offers what the kubelets of the simulated nodes measure as `metrics.k8s.io`,
//! behind an APIService as any other, for `kubectl top` and autoscalers.

mod answer;
mod read;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chassis::tls::{load_authorities, load_identity, mutual_config};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

/// Namespace and name of its Service.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "metrics-server";
const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";

/// The DNS name that its certificate has to have.
pub const DNS_NAME: &str = "metrics-server.kube-system.svc";

/// Files of its serving identity, who may ask it, and who has issued the identity.
#[derive(Debug, Clone)]
pub struct Files {
    /// Serving certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authority of both, PEM.
    pub authority: PathBuf,
    /// The authority of the API server towards servers behind APIServices, PEM.
    pub front_proxy: PathBuf,
}

/// The metrics server.
pub struct MetricsServer {
    client: Client,
    acceptor: TlsAcceptor,
}

impl MetricsServer {
    /// Registers a metrics server that listens on a port of this machine.
    ///
    /// # Errors
    /// A file cannot be used, or the API server refuses.
    pub async fn register(client: Client, port: u16, files: &Files) -> Result<Self> {
        let identity = load_identity(
            ("the metrics server's certificate", &files.certificate),
            ("the metrics server's key", &files.key),
        )?;
        // Only the API server may ask, which has looked at who may: nothing is asked again.
        let front_proxy = load_authorities("the front proxy's CA", &files.front_proxy)?;
        let mut config = mutual_config(identity, front_proxy)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let authority =
            std::fs::read(&files.authority).with_context(|| format!("cannot read {}", files.authority.display()))?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        });
        let announced = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{VERSION}.{GROUP}")},
            "spec": {
                "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
                "caBundle": BASE64_STANDARD.encode(authority),
                "service": {"namespace": NAMESPACE, "name": NAME, "port": port},
            },
        });
        let apply = PatchParams::apply("vcluster-playground").force();
        let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
        let applied = services.patch(NAME, &apply, &Patch::Apply(&service)).await;
        applied.context("cannot make the Service of the metrics server")?;
        let announcements: Api<APIService> = Api::all(client.clone());
        let name = format!("{VERSION}.{GROUP}");
        let applied = announcements.patch(&name, &apply, &Patch::Apply(&announced)).await;
        applied.context("cannot make the APIService of the metrics server")?;
        Ok(Self {
            client,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// Serves until it is dropped; connections end with it.
    pub async fn serve(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let server = server.clone();
                        connections.spawn(async move {
                            if let Err(error) = server.connection(stream).await {
                                debug!(%error, "a connection to the metrics server broke");
                            }
                        });
                    }
                    Err(error) => {
                        debug!(%error, "the metrics server cannot accept");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: tokio::net::TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let stream = self.acceptor.accept(stream).await?;
        let service = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        Ok(http.serve_connection(TokioIo::new(stream), service).await?)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            let refusal = answer::refusal(405, "MethodNotAllowed", "measurements can only be read");
            return document(StatusCode::METHOD_NOT_ALLOWED, &refusal);
        }
        let Some(asked) = answer::Asked::parse(request.uri().path(), request.uri().query().unwrap_or_default()) else {
            let refusal = answer::refusal(404, "NotFound", "the server could not find the requested resource");
            return document(StatusCode::NOT_FOUND, &refusal);
        };
        let answered = match asked {
            answer::Asked::Document(document) => Ok(document),
            answer::Asked::Nodes(wanted) => read::nodes(&self.client)
                .await
                .map(|nodes| answer::nodes(nodes, &wanted)),
            answer::Asked::Pods(wanted) => read::pods(&self.client, &wanted)
                .await
                .map(|pods| answer::pods(pods, &wanted)),
        };
        match answered {
            Ok(found) if found["kind"] == "Status" => document(StatusCode::NOT_FOUND, &found),
            Ok(found) => document(StatusCode::OK, &found),
            Err(error) => {
                let refusal = answer::refusal(503, "ServiceUnavailable", &format!("{error:#}"));
                document(StatusCode::SERVICE_UNAVAILABLE, &refusal)
            }
        }
    }
}

fn document(code: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
