//! DNS over UDP and TCP. One server per address; its router can be exchanged while it runs.

mod tcp;
mod udp;
mod wire;

use crate::request::{Failure, Transport};
use crate::router::Router;
use chassis::{CancellationToken, Tasks, lock};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, UdpSocket};

/// Answers queries with whatever router is current.
#[derive(Debug)]
pub(crate) struct Server {
    router: Mutex<Arc<Router>>,
}

impl Server {
    pub(crate) fn new(router: Arc<Router>) -> Self {
        Server {
            router: Mutex::new(router),
        }
    }

    /// Serves later queries with other routes.
    pub(crate) fn set_router(&self, router: Arc<Router>) {
        *lock(&self.router) = router;
    }

    fn router(&self) -> Arc<Router> {
        lock(&self.router).clone()
    }

    /// The answer to the bytes of a query; nothing for what must not be answered.
    pub(crate) async fn answer(&self, query: &[u8], peer: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let (message, question) = match wire::accept(query) {
            wire::Accepted::Query(message, question) => (*message, question),
            wire::Accepted::Refused(reply) => return Some(reply),
            wire::Accepted::Ignored => return None,
        };
        let original = question.clone();
        let routed = self
            .router()
            .serve(message, question, (peer, transport, query.len()))
            .await;
        Some(wire::finish(routed, &original))
    }
}

/// A UDP and a TCP socket on the same port.
#[derive(Debug)]
pub(crate) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Binds both. Port 0 takes one that is free for both. The IPv6 wildcard serves IPv4 as well, and becomes the IPv4
    /// wildcard on a machine without IPv6.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        match Self::bind_exactly(address).await {
            Err(error) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&error) => {
                Self::bind_exactly(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port())).await
            }
            result => result,
        }
    }

    async fn bind_exactly(address: SocketAddr) -> io::Result<Self> {
        let mut attempts = if address.port() == 0 { 16 } else { 1 };
        loop {
            let udp = UdpSocket::bind(address).await?;
            attempts -= 1;
            match TcpListener::bind(udp.local_addr()?).await {
                Ok(tcp) => return Ok(Sockets { udp, tcp }),
                // Someone else has the free UDP port's number on TCP.
                Err(error) if attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where they are bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Serves both until `stop`.
    pub(crate) fn serve(self, server: &Arc<Server>, tasks: &Tasks, stop: &CancellationToken) {
        tasks.spawn_finite("dns-udp", udp::serve(self.udp, server.clone(), stop.clone()));
        tasks.spawn_finite("dns-tcp", tcp::serve(self.tcp, server.clone(), stop.clone()));
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL: IPv6 is not compiled in, or switched off.
    matches!(error.raw_os_error(), Some(97 | 99))
}

/// The error of a request without an answer, for the log of plugins.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.plugin {
            "" => f.write_str(&self.error),
            plugin => write!(f, "plugin/{plugin}: {}", self.error),
        }
    }
}
