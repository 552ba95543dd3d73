//! The proxy itself: requests go to the API server as the administrator's, and come back as the weather lets them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use chassis::lock;
use chassis::tls::{load_identity, server_config};
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::body::{Body, carried, held_back, whole};
use super::held::{self, Held};
use super::{Asked, Fault, Weather};
use crate::standalone::{Connection, Dialer};

/// How long a server that is not there is waited for before the client hears of it.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// A kubeconfig that leads through it.
    pub kubeconfig: PathBuf,
    shared: Arc<Shared>,
    end: CancellationToken,
}

struct Shared {
    dialer: Dialer,
    server: Mutex<Option<Connection>>,
    weather: Mutex<Weather>,
    asked: Mutex<BTreeSet<Asked>>,
    held: Held,
    /// Ends the connections of clients.
    connections: Mutex<CancellationToken>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("weather", &self.weather)
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Proxy {
    /// Starts one on `port` with a certificate and its key, for the server that `dialer` reaches.
    ///
    /// # Errors
    /// The port is taken, or the certificate cannot be used.
    pub async fn start(
        port: u16,
        (certificate, key): (&Path, &Path),
        dialer: Dialer,
        kubeconfig: PathBuf,
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let identity = load_identity(("the certificate", certificate), ("the key", key))?;
        let mut tls = server_config(identity, None)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let shared = Arc::new(Shared {
            dialer,
            server: Mutex::default(),
            weather: Mutex::new(Weather::calm()),
            asked: Mutex::default(),
            held: Held::default(),
            connections: Mutex::default(),
        });
        let end = CancellationToken::new();
        let accept = accept(listener, TlsAcceptor::from(Arc::new(tls)), shared.clone());
        tokio::spawn({
            let end = end.clone();
            async move { end.run_until_cancelled(accept).await }
        });
        Ok(Self {
            kubeconfig,
            shared,
            end,
        })
    }

    /// What goes wrong from now on. Watches that have fallen silent stay so.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// What has reached the server so far, every sort of request once.
    pub fn asked(&self) -> BTreeSet<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Breaks the connections of all clients, with everything that is under way on them.
    pub fn cut(&self) {
        std::mem::take(&mut *lock(&self.shared.connections)).cancel();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (tls, shared) = (tls.clone(), shared.clone());
        let cut = lock(&shared.connections).clone();
        tokio::spawn(async move { cut.run_until_cancelled(serve(stream, tls, shared)).await });
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { shared.answer(request).await }
    });
    // How a connection ends is the client's business.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let mut asked = Asked::new(request.method().as_str(), path);
        let fault = lock(&self.weather).next(&asked);
        match fault {
            Some(Fault::Refused(code, after)) => return refused(code, after),
            Some(Fault::Late(pause)) => tokio::time::sleep(pause).await,
            _ => {}
        }
        if request.headers().contains_key(UPGRADE) {
            return self.session(request, asked).await;
        }
        let resource = held::resource(&asked);
        let holds = lock(&self.weather).holds();
        if holds && fault == Some(Fault::AnswerLost) {
            self.held.hold(resource.clone());
        }
        let answer = self.forward(request).await?;
        asked.code = answer.status().as_u16();
        let (is_read, is_watch) = (asked.verb == "get", asked.verb == "watch");
        lock(&self.asked).insert(asked);
        if is_read {
            self.held.release(&resource);
        }
        if fault == Some(Fault::AnswerLost) {
            // It was done, whatever the client makes of this.
            let _ = answer.into_body().collect().await;
            bail!("the answer is lost");
        }
        let (mut parts, body) = answer.into_parts();
        if holds && is_watch {
            return Ok(Response::from_parts(
                parts,
                held_back(body, resource, self.held.clone()),
            ));
        }
        if matches!(fault, Some(Fault::BrokenOff(_))) {
            // Otherwise a short body would be an error of the proxy's own server.
            parts.headers.remove(CONTENT_LENGTH);
        }
        Ok(Response::from_parts(parts, carried(body, fault)))
    }

    /// Carries a session byte for byte once the server has let it in.
    async fn session(&self, mut request: Request<Incoming>, mut asked: Asked) -> Result<Response<Body>> {
        let client_side = hyper::upgrade::on(&mut request);
        let (mut parts, _) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::try_from(path)?;
        parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
        let mut answer = self.dialer.upgrade(Request::from_parts(parts, Empty::new())).await?;
        asked.code = answer.status().as_u16();
        lock(&self.asked).insert(asked);
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (parts, body) = answer.into_parts();
            return Ok(Response::from_parts(parts, carried(body, None)));
        }
        let server_side = hyper::upgrade::on(&mut answer);
        let cut = lock(&self.connections).clone();
        let carry = async move {
            if let Ok((client_side, server_side)) = tokio::try_join!(client_side, server_side) {
                let (mut client_side, mut server_side) = (TokioIo::new(client_side), TokioIo::new(server_side));
                // How a session ends is the business of the two.
                let _ = tokio::io::copy_bidirectional(&mut client_side, &mut server_side).await;
            }
        };
        tokio::spawn(async move { cut.run_until_cancelled(carry).await });
        let (parts, _) = answer.into_parts();
        Ok(Response::from_parts(parts, whole(Bytes::new())))
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Incoming>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::try_from(format!("https://localhost{path}"))?;
        parts.version = http::Version::HTTP_2;
        parts.headers.remove(HOST);
        parts.headers.remove(http::header::CONNECTION);
        let mut server = self.connected().await?;
        let sent = server.forward(Request::from_parts(parts, Full::new(body))).await;
        if sent.is_err() {
            *lock(&self.server) = None;
        }
        sent
    }

    async fn connected(&self) -> Result<Connection> {
        if let Some(connection) = lock(&self.server).clone().filter(Connection::is_open) {
            return Ok(connection);
        }
        let connection = tokio::time::timeout(DIAL_TIMEOUT, self.dialer.connect()).await??;
        *lock(&self.server) = Some(connection.clone());
        Ok(connection)
    }
}

/// What an API server, or something in front of it, says instead of the answer.
fn refused(code: u16, after: Option<u32>) -> Result<Response<Body>> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": "the proxy has drawn this", "details": after.map(|seconds| json!({"retryAfterSeconds": seconds})),
    });
    let mut answer = Response::new(whole(Bytes::from(status.to_string())));
    *answer.status_mut() = StatusCode::from_u16(code)?;
    let headers = answer.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(answer)
}
