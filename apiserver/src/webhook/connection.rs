//! Connections to one webhook: HTTP/1.1 over TLS, kept for the next call.

use super::trust::handshake_error;
use crate::webhook::{ServiceReference, Services};
use bytes::Bytes;
use chassis::Tasks;
use http::response::Parts;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How long a connection is kept that nobody uses (Go's `IdleConnTimeout`).
pub(super) const IDLE: Duration = Duration::from_secs(90);
/// How many are kept (client-go's `MaxIdleConnsPerHost`).
const MAX_IDLE: usize = 25;

type Sender = SendRequest<Full<Bytes>>;

/// One webhook.
pub(super) struct Target {
    /// The scheme, host and port, as they stand in the URL.
    pub(super) base: String,
    /// The path; begins with a slash.
    pub(super) path: String,
    /// The `Host` header.
    pub(super) authority: HeaderValue,
    /// The `Authorization` header.
    pub(super) credentials: Option<HeaderValue>,
    /// Tells what the webhook is shown from other credentials.
    pub(super) shown: String,
    /// Where to dial, unless a Service says it.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) service: Option<ServiceReference>,
    /// The name in the certificate.
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) idle: Mutex<Vec<(Sender, Instant)>>,
}

impl Target {
    /// Closes the connections that nobody has used for so long. Answers whether some are left.
    pub(super) fn close_idle(&self, longer_than: Duration) -> bool {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < longer_than);
        !idle.is_empty()
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop())
            .map(|(sender, _)| sender)
            .find(|sender| !sender.is_closed())
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// In the words of Go's network library.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Bytes,
        services: Option<&Services>,
        tasks: &Tasks,
    ) -> Result<(Parts, Bytes), String> {
        let mut request = self.request(path, body.clone())?;
        loop {
            let kept = self.take_idle();
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect(services, tasks).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let body = read(body).await?;
                    if !tasks.shutdown().is_cancelled() {
                        self.keep(sender);
                    }
                    return Ok((parts, body));
                }
                Err(mut error) => match error.take_message() {
                    // A kept connection may have been closed by the other side: nothing of the request has left.
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(exchange_error(error.error())),
                },
            }
        }
    }

    fn request(&self, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(path)
            .header(http::header::HOST, &self.authority)
            .header(http::header::USER_AGENT, "kube-apiserver-admission")
            .header(http::header::ACCEPT, "application/json, */*")
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(credentials) = &self.credentials {
            request = request.header(http::header::AUTHORIZATION, credentials);
        }
        request.body(Full::new(body)).map_err(|error| error.to_string())
    }

    async fn connect(&self, services: Option<&Services>, tasks: &Tasks) -> Result<Sender, String> {
        let (host, port) = self.address(services).await?;
        let stream = dial(&host, port).await?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(self.server_name.clone(), stream)
            .await
            .map_err(|error| handshake_error(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tasks.spawn_finite("webhook-connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a webhook ended");
            }
        });
        Ok(sender)
    }

    async fn address(&self, services: Option<&Services>) -> Result<(String, u16), String> {
        let Some(reference) = &self.service else {
            return Ok((self.host.clone(), self.port));
        };
        let services = services.ok_or("the Services of the cluster are not known yet")?;
        services.address(reference).await
    }
}

/// A body that is not too long.
async fn read(body: hyper::body::Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(format!("the response is longer than {MAX_ANSWER} bytes"))
        }
        Err(_) => Err("unexpected EOF".to_owned()),
    }
}

fn exchange_error(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "EOF".to_owned();
    }
    error.to_string()
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let place = format!("{}:{port}", bracketed(host));
    let addresses: Vec<_> = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(format!("dial tcp: lookup {host}: no such host")),
    };
    let mut failure = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, place, "a connection stays slow");
                }
                return Ok(stream);
            }
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                    ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
                    ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
                    ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
                    _ => error.to_string(),
                };
                failure = format!("dial tcp {address}: {why}");
            }
        }
    }
    Err(failure)
}

/// A host as it stands before a port.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
