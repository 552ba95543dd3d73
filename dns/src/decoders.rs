//! What reads the bytes of others, for tests that try it with whatever there is.

use crate::corefile::{self, Sources};
use crate::request::Transport;
use crate::router::Router;
use crate::server::Server;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Answers a message of a client, as a server without zones.
///
/// # Errors
/// When there is no runtime.
pub fn packet(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let server = Server::new(Arc::new(Router::new(Vec::new())));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    Ok(runtime.block_on(server.answer(bytes, client, Transport::Udp)))
}

/// Reads a Corefile that can import nothing but its own snippets.
pub fn corefile(text: &str) {
    // Whatever it is, it ends.
    let _ = corefile::parse("Corefile", text, &Nothing);
}

/// Neither files nor variables.
struct Nothing;

impl Sources for Nothing {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}
