//! The HTTPS server of the kubelet API.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::tls::{Authority, Identity, Profile, load_authorities, load_identity, server_config};
use chassis::{Listener, Tasks};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::Kubelet;
use super::access::Caller;
use crate::options::Options;
use crate::resources::nodes::addresses;

/// How long a client may take for its handshake and its headers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The TLS side of the server: the certificate that the flags name, or a self-signed one.
pub fn tls(options: &Options) -> Result<ServerConfig> {
    let identity = match (&options.tls_cert_file, &options.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            load_identity(("--tls-cert-file", certificate), ("--tls-private-key-file", key))?
        }
        _ => self_signed(options)?,
    };
    let authorities = match &options.client_ca_file {
        Some(file) => Some(load_authorities("--client-ca-file", file)?),
        None => None,
    };
    let mut config = server_config(identity, authorities)?;
    // Sessions are upgrades, which HTTP/2 does not have.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn self_signed(options: &Options) -> Result<Identity> {
    let failed = "cannot make a certificate for the kubelet API";
    let authority = Authority::generate("vcluster-syncer-kubelet").context(failed)?;
    let names = [
        options
            .kubelet_advertise_address
            .unwrap_or(options.kubelet_address)
            .to_string(),
        "localhost".to_owned(),
        format!("*.{}", addresses::DOMAIN),
    ];
    let issued = authority
        .issue(&Profile::server("system:node:syncer", names))
        .context(failed)?;
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).context(failed)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_str().as_bytes()).context(failed)?;
    Ok(Identity {
        certificates: vec![certificate],
        key,
    })
}

/// Serves the kubelet API as a task, until shutdown.
pub fn serve(tasks: &Tasks, listener: Listener, kubelet: Arc<Kubelet>, tls: ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
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
            let (acceptor, kubelet, shutdown) = (acceptor.clone(), kubelet.clone(), shutdown.clone());
            connections.spawn_finite("kubelet connection", async move {
                tokio::select! {
                    served = talk(acceptor, kubelet, connection) => {
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

async fn talk(acceptor: TlsAcceptor, kubelet: Arc<Kubelet>, connection: chassis::net::Connection) -> Result<()> {
    let stream = tokio::time::timeout(PATIENCE, acceptor.accept(connection))
        .await
        .context("no TLS handshake")??;
    let caller = Caller::of(stream.get_ref().1.peer_certificates());
    let service = service_fn(move |request| kubelet.clone().handle(caller.clone(), request));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    Ok(())
}
