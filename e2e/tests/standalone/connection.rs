//! Connections of the administrator, as plain as a client can have them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use chassis::tls::{client_config, load_authorities, load_identity};
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Opens connections.
pub(crate) struct Dialer {
    address: SocketAddr,
    config: ClientConfig,
}

impl Dialer {
    pub(crate) fn new(port: u16, authority: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let identity = load_identity(("the certificate", certificate), ("the key", key))?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            config: client_config(load_authorities("the authority", authority)?, Some(identity))?,
        })
    }

    /// A connection on which this protocol was agreed: `h2` or `http/1.1`.
    pub(crate) async fn tls(&self, protocol: &str) -> Result<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").context("no name")?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        anyhow::ensure!(agreed == Some(protocol.as_bytes()), "{agreed:?} was agreed");
        Ok(stream)
    }

    /// An HTTP/1.1 connection whose requests may switch protocols.
    pub(crate) async fn http1(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let stream = TokioIo::new(self.tls("http/1.1").await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// An HTTP/2 connection.
    pub(crate) async fn http2(&self) -> Result<http2::SendRequest<Full<Bytes>>> {
        let stream = TokioIo::new(self.tls("h2").await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The whole body of an answer as text.
pub(crate) async fn text(answer: Response<Incoming>) -> Result<String> {
    let body = answer.into_body().collect().await.context("the answer breaks off")?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}
