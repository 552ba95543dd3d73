//! Outgoing connections: to kubelets with TLS and the server's client certificate, to others as they are asked for;
//! HTTP/1.1.

use crate::server::request::Body;
use crate::webhook::trust::handshake_error;
use chassis::Tasks;
use chassis::tls::{Identity, Trust};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machinery::status::Status;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A kubelet that does not answer within this time is reported as unreachable.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// With the server's certificate, towards a kubelet that is checked as the flags say.
    Kubelet,
    /// Encrypted, without knowing by whom: pods and services have certificates of their own.
    Encrypted,
    /// Towards a backend that has a name of its own, whatever address it is reached at.
    Named(Arc<Named>),
    /// Not at all.
    None,
}

/// How a backend is known, and who it hears from.
#[derive(Debug)]
pub struct Named {
    /// The name in its certificate.
    pub name: ServerName<'static>,
    /// Which certificates are trusted, and the one that is presented.
    pub tls: Arc<ClientConfig>,
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

impl Eq for Named {}

/// Dials kubelets, and what requests are proxied to.
#[derive(Clone)]
pub struct Transport {
    kubelets: Arc<ClientConfig>,
    anybody: Arc<ClientConfig>,
}

/// A connection, encrypted or not.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Transport {
    /// A transport that presents `identity` (`--kubelet-client-certificate`) and trusts `authorities`
    /// (`--kubelet-certificate-authority`), or any kubelet without that flag, as upstream does.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(authorities: Option<RootCertStore>, identity: Option<Identity>) -> anyhow::Result<Self> {
        let trust = authorities.map_or(Trust::Anything, Trust::Authorities);
        let kubelets = chassis::tls::client_config(trust, identity)?;
        let anybody = chassis::tls::client_config(Trust::Anything, None)?;
        Ok(Transport {
            kubelets: first_version(kubelets),
            anybody: first_version(anybody),
        })
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
        self.pass(&Security::Kubelet, (host, port), request, tasks)
            .await
            .map_err(failed)
    }

    /// Sends a request on a connection of its own, to anybody.
    ///
    /// # Errors
    /// In the words of Go's network library.
    pub(crate) async fn pass(
        &self,
        security: &Security,
        (host, port): (&str, u16),
        request: Request<Body>,
        tasks: &Tasks,
    ) -> Result<Response<Incoming>, String> {
        let connected = tokio::time::timeout(DIAL_TIMEOUT, self.connect(security, host, port)).await;
        let stream = connected
            .map_err(|_| format!("dial tcp {}: i/o timeout", authority(host, port)))?
            .map_err(|error| dial_error(host, port, &error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tasks.spawn_finite("outgoing-connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an outgoing connection ended");
            }
        });
        sender.send_request(request).await.map_err(|error| error.to_string())
    }

    async fn connect(&self, security: &Security, host: &str, port: u16) -> std::io::Result<Box<dyn Connection>> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let host = || ServerName::try_from(host.to_owned()).map_err(std::io::Error::other);
        let (tls, name) = match security {
            Security::None => return Ok(Box::new(stream)),
            Security::Kubelet => (&self.kubelets, host()?),
            Security::Encrypted => (&self.anybody, host()?),
            Security::Named(named) => (&named.tls, named.name.clone()),
        };
        Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }
}

/// Tunnels are upgrades, which HTTP/2 does not have.
pub(crate) fn first_version(mut tls: ClientConfig) -> Arc<ClientConfig> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
}

/// Why nobody was reached.
fn dial_error(host: &str, port: u16, error: &std::io::Error) -> String {
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused",
        ErrorKind::HostUnreachable => "connect: no route to host",
        ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        ErrorKind::TimedOut => "i/o timeout",
        _ => return handshake_error(error),
    };
    format!("dial tcp {}: {why}", authority(host, port))
}

/// Host and port of a URL.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
