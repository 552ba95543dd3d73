//! A client's HTTP/2 connection, as cheap as it can be made with hyper.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use chassis::tls::{client_config, load_authorities, load_identity};
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Room for lists and for slow readers among many streams.
const WINDOW: u32 = 4 << 20;

/// Opens connections as the administrator.
#[derive(Clone)]
pub struct Dialer {
    address: SocketAddr,
    tls: TlsConnector,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// One connection.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Dialer {
    /// For the server on a port of 127.0.0.1.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(port: u16, authority: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let identity = load_identity(("the certificate", certificate), ("the key", key))?;
        let mut config = client_config(load_authorities("the authority", authority)?, Some(identity))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self) -> Result<Connection> {
        let stream = self.stream(&self.tls).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(16 * WINDOW)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            // It ends with the sender; an error shows in the requests.
            let _ = connection.await;
        });
        Ok(Connection { sender })
    }

    /// Sends a request for another protocol on a connection of its own, which is taken over with `hyper::upgrade` when the server
    /// agrees.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn upgrade(&self, request: Request<Empty<Bytes>>) -> Result<http::Response<Incoming>> {
        let mut config = rustls::ClientConfig::clone(self.tls.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = self.stream(&TlsConnector::from(Arc::new(config))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // It ends with the session; an error shows there.
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.context("no answer")
    }

    async fn stream(&self, tls: &TlsConnector) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("no name")?;
        tls.connect(name, stream).await.context("no TLS")
    }
}

impl Connection {
    /// Sends a request and reads the whole answer; an empty body for null.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn send(&mut self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        self.send_bytes(method, path, body.into()).await
    }

    /// The same with a body that is encoded already.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn send_bytes(&mut self, method: &str, path: &str, body: Bytes) -> Result<Answer> {
        let answer = self.open(method, path, "application/json", body).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.context("the answer breaks off")?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
        })
    }

    /// The body of a successful watch in a format, frame by frame.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn watch(&mut self, path: &str, accept: &str) -> Result<Incoming> {
        let answer = self.open("GET", path, accept, Bytes::new()).await?;
        ensure!(answer.status() == 200, "GET {path}: {}", answer.status());
        Ok(answer.into_body())
    }

    /// Whether requests can still be sent.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends somebody else's request as it is, under the administrator's name.
    ///
    /// # Errors
    /// The connection breaks before the answer begins.
    pub async fn forward(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>> {
        self.sender.ready().await.context("the connection is closed")?;
        self.sender.send_request(request).await.context("no answer")
    }

    async fn open(&mut self, method: &str, path: &str, accept: &str, body: Bytes) -> Result<http::Response<Incoming>> {
        let media_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, media_type)
            .header(header::USER_AGENT, "bench/1.0");
        self.sender.ready().await.context("the connection is closed")?;
        let answer = self.sender.send_request(request.body(Full::new(body))?);
        answer.await.context("no answer")
    }
}
