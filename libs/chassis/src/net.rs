//! Listening on TCP or on a unix socket, without the difference showing.

use crate::sync::lock;
use crate::tls::Server;
use futures::{Stream, StreamExt};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

/// An address to listen on: `127.0.0.1:8443`, `:8443` (all interfaces), `tcp://…`, `http://…` or `unix:///path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// An IP address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl BindAddress {
    /// A free port of the loopback interface.
    pub const LOOPBACK: BindAddress = BindAddress::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));

    /// The URL a client on this machine dials: `http://127.0.0.1:PORT` or `unix:///path`.
    pub fn endpoint(&self) -> String {
        match self {
            BindAddress::Tcp(address) if address.ip().is_unspecified() => {
                let loopback: IpAddr = if address.is_ipv4() {
                    Ipv4Addr::LOCALHOST.into()
                } else {
                    Ipv6Addr::LOCALHOST.into()
                };
                format!("http://{}", SocketAddr::new(loopback, address.port()))
            }
            BindAddress::Tcp(address) => format!("http://{address}"),
            BindAddress::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            BindAddress::Tcp(address) => Some(*address),
            BindAddress::Unix(_) => None,
        }
    }
}

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            return if path.starts_with('/') {
                Ok(BindAddress::Unix(path.into()))
            } else {
                Err(format!(
                    "the unix socket {text:?} must have an absolute path, as in unix:///run/x.sock"
                ))
            };
        }
        let rest = ["tcp://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(text);
        let explicit = match rest.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None if rest.starts_with(':') => format!("0.0.0.0{rest}"),
            None => rest.to_owned(),
        };
        explicit
            .parse()
            .map(BindAddress::Tcp)
            .map_err(|_| format!("{text:?} is not IP:PORT, [IPv6]:PORT, :PORT or unix:///path"))
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Tcp(address) => write!(f, "{address}"),
            BindAddress::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: BindAddress,
    source: io::Error,
}

/// TLS handshakes of a listener at the same time; the next client waits for one of them.
const HANDSHAKES: usize = 64;

/// A bound TCP or unix socket. A unix socket's file goes when the listener is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: BindAddress,
    tls: Option<Arc<Server>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is left to tell when this fails; the next start replaces a socket nobody listens on.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds `address`. The file of a unix socket is readable by its owner only; one left behind by a dead process is
    /// replaced, one that still answers is an error.
    pub async fn bind(address: &BindAddress) -> Result<Self, BindError> {
        let failed = |source| BindError {
            address: address.clone(),
            source,
        };
        match address {
            BindAddress::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                Ok(Listener {
                    socket: Socket::Tcp(listener),
                    address: BindAddress::Tcp(bound),
                    tls: None,
                })
            }
            BindAddress::Unix(path) => {
                remove_stale_socket(path).await.map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let file = SocketFile(path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
                Ok(Listener {
                    socket: Socket::Unix { listener, _file: file },
                    address: address.clone(),
                    tls: None,
                })
            }
        }
    }

    /// Speaks TLS on TCP; a unix socket stays as it is, its file says who may connect.
    pub fn secured(mut self, server: Option<Arc<Server>>) -> Self {
        if matches!(self.socket, Socket::Tcp(_)) {
            self.tls = server;
        }
        self
    }

    /// Where it really listens: port 0 is resolved.
    pub fn address(&self) -> &BindAddress {
        &self.address
    }

    /// The URL a client on this machine dials: `http://127.0.0.1:PORT`, `https://127.0.0.1:PORT` or `unix:///path`.
    pub fn endpoint(&self) -> String {
        let plain = self.address.endpoint();
        match plain.strip_prefix("http://") {
            Some(address) if self.tls.is_some() => format!("https://{address}"),
            _ => plain,
        }
    }

    /// What makes an accepted connection ready for use.
    pub fn handshake(&self) -> Handshake {
        Handshake(self.tls.clone())
    }

    /// The next connection, before its [`Handshake`].
    pub async fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream, peer))
            }
            Socket::Unix { listener, .. } => Ok(Connection::Unix(listener.accept().await?.0)),
        }
    }

    /// All connections. Running out of file descriptors pauses it, nothing ends it, and a
    /// client that fails its handshake holds up nobody.
    pub fn into_incoming(self) -> impl Stream<Item = Connection> + Send {
        let handshake = self.handshake();
        let accepted = futures::stream::unfold(self, |listener| async move {
            loop {
                match listener.accept().await {
                    Ok(connection) => return Some((connection, listener)),
                    Err(error) => {
                        tracing::warn!(address = %listener.address, %error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        accepted
            .map(move |connection| handshake.clone().finish(connection))
            .buffer_unordered(HANDSHAKES)
            .filter_map(async |connection| connection)
    }
}

/// Makes accepted connections ready for use: by TLS where the listener speaks it.
#[derive(Debug, Clone)]
pub struct Handshake(Option<Arc<Server>>);

impl Handshake {
    /// The connection once its client has been let in, `None` if it has not.
    pub async fn finish(self, connection: Connection) -> Option<Connection> {
        let Some(server) = self.0 else {
            return Some(connection);
        };
        let peer = connection.peer();
        match server.accept(connection).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::warn!(?peer, %error, "a client was turned away");
                None
            }
        }
    }
}

async fn remove_stale_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is not a socket is in the way",
        )),
        Ok(_) if UnixStream::connect(path).await.is_ok() => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Ok(_) => std::fs::remove_file(path),
    }
}

/// An accepted connection.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP, with the peer's address.
    Tcp(TcpStream, SocketAddr),
    /// Over TLS on TCP, with the peer's address.
    Tls(Box<TlsStream<TcpStream>>, SocketAddr),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match self {
            Connection::Tcp(_, peer) | Connection::Tls(_, peer) => Peer::Tcp(*peer),
            Connection::Unix(_) => Peer::Unix,
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of a unix socket.
    Unix,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Connection::Tls(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Connection::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Tcp(stream, _) => Pin::new(stream).poll_write(cx, data),
            Connection::Tls(stream, _) => Pin::new(stream).poll_write(cx, data),
            Connection::Unix(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Tcp(stream, _) => Pin::new(stream).poll_write_vectored(cx, slices),
            Connection::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, slices),
            Connection::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Connection::Tls(stream, _) => stream.is_write_vectored(),
            Connection::Tcp(..) | Connection::Unix(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream, _) => Pin::new(stream).poll_flush(cx),
            Connection::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Tcp(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Connection::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
            Connection::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Every address a process listens on, by name.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<BTreeMap<String, BindAddress>>>);

impl Addresses {
    /// Records a bound address and writes it to the log.
    pub fn insert(&self, name: &str, address: BindAddress) {
        tracing::info!(name, %address, "listening");
        lock(&self.0).insert(name.to_owned(), address);
    }

    /// The address recorded under `name`.
    pub fn get(&self, name: &str) -> Option<BindAddress> {
        lock(&self.0).get(name).cloned()
    }

    /// The TCP or UDP address recorded under `name`.
    pub fn tcp(&self, name: &str) -> Option<SocketAddr> {
        self.get(name).and_then(|address| address.tcp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        for (text, shown) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("localhost:2", "127.0.0.1:2"),
            (":3", "0.0.0.0:3"),
            ("[::1]:4", "[::1]:4"),
            ("tcp://127.0.0.1:2379", "127.0.0.1:2379"),
            ("http://127.0.0.1:80", "127.0.0.1:80"),
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("unix:/run/a.sock", "unix:///run/a.sock"),
        ] {
            assert_eq!(text.parse::<BindAddress>().unwrap().to_string(), shown);
        }
        for wrong in ["", "8080", "host:1", "unix://relative", "127.0.0.1:65536", "http://"] {
            assert!(wrong.parse::<BindAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wildcard_is_dialled_on_loopback() {
        assert_eq!(":5".parse::<BindAddress>().unwrap().endpoint(), "http://127.0.0.1:5");
        assert_eq!("[::]:5".parse::<BindAddress>().unwrap().endpoint(), "http://[::1]:5");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_display_reads_back(text in ".{0,40}") {
            if let Ok(address) = text.parse::<BindAddress>() {
                prop_assert_eq!(address.to_string().parse::<BindAddress>().unwrap(), address);
            }
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let address = BindAddress::Unix(path.clone());
        let listener = Listener::bind(&address).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            Listener::bind(&address)
                .await
                .unwrap_err()
                .to_string()
                .contains("another process listens there")
        );
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&address).await.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
