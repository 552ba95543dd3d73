//! The HTTPS server of the kubelet API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::{Listener, Tasks};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::Kubelet;
use super::access::Trust;
use super::certificate::Tls;

/// How long a client may take for its handshake and its headers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the kubelet API as a task, until shutdown.
pub fn serve(tasks: &Tasks, listener: Listener, kubelet: Arc<Kubelet>, tls: Tls, trust: Trust) {
    let connections = tasks.clone();
    tasks.spawn("kubelet", async move {
        let shutdown = connections.shutdown();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            let connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(tls.config(kubelet.world()));
            let (kubelet, trust, shutdown) = (kubelet.clone(), trust.clone(), shutdown.clone());
            connections.spawn_finite("kubelet connection", async move {
                tokio::select! {
                    served = talk(acceptor, kubelet, trust, connection) => {
                        if let Err(error) = served {
                            debug!(%error, "a connection to the kubelet API ended");
                        }
                    }
                    () = shutdown.cancelled() => {}
                }
            });
        }
    });
}

async fn talk(
    acceptor: TlsAcceptor,
    kubelet: Arc<Kubelet>,
    trust: Trust,
    connection: chassis::net::Connection,
) -> Result<()> {
    let stream = tokio::time::timeout(PATIENCE, acceptor.accept(connection))
        .await
        .context("no TLS handshake")??;
    let presented = trust.judge(stream.get_ref().1.peer_certificates());
    let service = service_fn(move |request| kubelet.clone().handle(presented.clone(), request));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}
