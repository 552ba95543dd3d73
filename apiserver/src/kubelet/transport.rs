//! Connections to kubelets: TLS with the server's client certificate, HTTP/1.1.

use crate::server::request::Body;
use chassis::Tasks;
use chassis::tls::{Identity, Trust};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machinery::status::Status;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A kubelet that does not answer within this time is reported as unreachable.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials kubelets.
#[derive(Clone)]
pub struct Transport {
    tls: Arc<ClientConfig>,
}

impl Transport {
    /// A transport that presents `identity` (`--kubelet-client-certificate`) and trusts `authorities`
    /// (`--kubelet-certificate-authority`), or any kubelet without that flag, as upstream does.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(authorities: Option<RootCertStore>, identity: Option<Identity>) -> anyhow::Result<Self> {
        let trust = authorities.map_or(Trust::Anything, Trust::Authorities);
        let mut tls = chassis::tls::client_config(trust, identity)?;
        // Tunnels are upgrades, which HTTP/2 does not have.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Transport { tls: Arc::new(tls) })
    }

    /// Sends a request on a connection of its own, which lives as long as the answer or the tunnel it becomes.
    ///
    /// # Errors
    /// 500 with upstream's text when the kubelet cannot be reached.
    pub(super) async fn send(
        &self,
        host: &str,
        port: u16,
        request: Request<Body>,
        tasks: &Tasks,
    ) -> Result<Response<Incoming>, Status> {
        let url = format!("https://{}{}", authority(host, port), request.uri());
        let method = request.method().clone();
        let failed = |why: String| {
            // Go's http.Client puts the method into the text like this.
            let method = method.as_str();
            let method = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
            Status::internal(format!("{method} {url:?}: {why}"))
        };
        let connected = tokio::time::timeout(DIAL_TIMEOUT, self.connect(host, port)).await;
        let stream = connected
            .map_err(|_| failed(format!("dial tcp {}: i/o timeout", authority(host, port))))?
            .map_err(|error| failed(error.to_string()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(error.to_string()))?;
        tasks.spawn_finite("kubelet-connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to a kubelet ended");
            }
        });
        sender
            .send_request(request)
            .await
            .map_err(|error| failed(error.to_string()))
    }

    async fn connect(&self, host: &str, port: u16) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(self.tls.clone()).connect(name, stream).await
    }
}

/// Host and port of a URL.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
