//! Connections of the secure port: TLS, HTTP/1.1 and HTTP/2 with upgrades, and a graceful end.

use super::chain::Chain;
use super::request::Peer;
use crate::authentication::certificate::{Presented, judge};
use crate::authentication::request_header::{Client, RequestHeader};
use chassis::net::Connection;
use chassis::{Listener, Tasks};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that has connected must have said hello after this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// As upstream's server (k8s.io/apiserver `server/secure_serving.go`).
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const MAX_STREAMS: u32 = 250;
/// What a client may send before it is read, per request and per connection; upstream's server takes as much per request.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What is read ahead from an HTTP/1.1 connection, and the longest headers.
const MAX_BUFFER: usize = 128 * 1024;
/// Clients that vanish are noticed after a few of these; Go's servers probe as often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How the secure port proves who it is and judges who comes.
#[derive(Clone)]
pub struct Security {
    /// For handshakes.
    pub tls: Arc<ServerConfig>,
    /// For client certificates; `None` without `--client-ca-file`.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// For the certificates of proxies; `None` without `--requestheader-client-ca-file`.
    pub proxies: Option<Arc<RequestHeader>>,
}

/// Serves the chain as tasks of `tasks` until its shutdown, when running requests are finished and nothing new is taken.
pub fn serve(tasks: &Tasks, listener: Listener, security: Security, chain: Arc<Chain>) {
    let connections = tasks.clone();
    tasks.spawn("secure-port", async move {
        let shutdown = connections.shutdown();
        let acceptor = TlsAcceptor::from(security.tls.clone());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            match accepted {
                Ok(connection) => {
                    let handled = handle(
                        connections.clone(),
                        connection,
                        acceptor.clone(),
                        security.clone(),
                        chain.clone(),
                    );
                    connections.spawn_finite("connection", handled);
                }
                Err(error) => {
                    // Usually: no file descriptors left.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

async fn handle(tasks: Tasks, connection: Connection, acceptor: TlsAcceptor, security: Security, chain: Arc<Chain>) {
    let mut peer = None;
    if let Connection::Tcp(stream, _) = &connection {
        peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
            tracing::debug!(%error, "no keepalive for a connection");
        }
    }
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let client = Arc::new(presented(&stream, &security));
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let (chain, client) = (chain.clone(), client.clone());
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        async move { Ok::<_, Infallible>(chain.handle(&client, request).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .max_buf_size(MAX_BUFFER)
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS);
    let mut served = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = tasks.shutdown().cancelled_owned() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

fn presented(stream: &TlsStream<Connection>, security: &Security) -> Client {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let by_verifier = |verifier| judge(verifier, chain);
    Client {
        certificate: security.verifier.as_ref().map_or(Presented::None, by_verifier),
        proxy: security
            .proxies
            .as_ref()
            .map_or(Presented::None, |proxies| proxies.judge(chain)),
    }
}
