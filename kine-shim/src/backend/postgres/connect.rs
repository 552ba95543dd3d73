//! How a connection to PostgreSQL is made.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::SslMode,
    error::SqlState,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect},
};
use tokio_rustls::TlsConnector;

use super::errors::{fault, text};
use crate::backend::{
    Fault,
    endpoint::{Address, DatastoreOptions, Server, TlsMode},
    tls,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After how long a silent peer is asked whether it is there, and given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The database that is always there.
const DEFAULT_DATABASE: &str = "postgres";

/// Makes connections to one database.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    server: Server,
    options: DatastoreOptions,
}

impl Connector {
    pub(super) fn new(server: &Server, options: &DatastoreOptions) -> Self {
        Self {
            server: server.clone(),
            options: options.clone(),
        }
    }

    /// Connects. Files are read again every time, so that certificates and passwords can change.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream<Socket>>), Fault> {
        self.connect_to(&self.server.database).await
    }

    /// Connects to the database, creating it if it is missing.
    pub(super) async fn connect_or_create(&self) -> Result<(), Fault> {
        let (config, tls) = self.config(&self.server.database)?;
        match config.connect(tls).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {}
            Err(error) => return Err(fault(&error)),
        }
        let name = &self.server.database;
        let failed = |reason: String| {
            Fault::Other(format!(
                "database {name} does not exist and cannot be created: {reason}"
            ))
        };
        let (client, connection) = self
            .connect_to(DEFAULT_DATABASE)
            .await
            .map_err(|fault| failed(fault.to_string()))?;
        let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
        let created = tokio::select! {
            created = client.batch_execute(&create) => created,
            ended = connection => ended,
        };
        match created {
            // Another store may have been faster.
            Err(error) if !matches!(error.code().map(SqlState::code), Some("42P04" | "23505")) => {
                Err(failed(text(&error)))
            }
            _ => Ok(()),
        }
    }

    async fn connect_to(&self, database: &str) -> Result<(Client, Connection<Socket, Stream<Socket>>), Fault> {
        let (config, tls) = self.config(database)?;
        config.connect(tls).await.map_err(|error| fault(&error))
    }

    fn config(&self, database: &str) -> Result<(Config, Tls), Fault> {
        let mut config = Config::new();
        config
            .user(&self.server.user)
            .dbname(database)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(KEEPALIVE);
        match &self.server.address {
            Address::Tcp(host, port) => config.host(host).port(*port),
            Address::Unix(directory, port) => config.host_path(directory).port(*port),
        };
        if let Some(password) = self.options.password(&self.server).map_err(Fault::Other)? {
            config.password(password);
        }
        let mode = tls::mode(&self.server, &self.options);
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            TlsMode::Disable => None,
            mode => Some(tls::client_config(&self.server, &self.options, mode).map_err(Fault::Other)?),
        };
        Ok((config, Tls(tls.map(Arc::new))))
    }
}

/// Makes TLS streams for one host.
#[derive(Clone)]
pub(super) struct Tls(Option<Arc<ClientConfig>>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        Ok(Handshake {
            config: self.0.clone(),
            host: host.to_owned(),
        })
    }
}

/// A handshake to come.
pub(super) struct Handshake {
    config: Option<Arc<ClientConfig>>,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let config = self.config.ok_or_else(|| io::Error::other("TLS is turned off"))?;
            let name = ServerName::try_from(self.host)
                .map_err(|error| io::Error::other(format!("the host has no name to check: {error}")))?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(Stream(stream))
        })
    }
}

/// A TLS stream.
pub(super) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
