//! A TLS server whose certificate and authorities are read again when their files change.

use super::configs::{mutual_config, server_config};
use super::load::{TlsError, load_authorities, load_identity};
use crate::net::Connection;
use crate::sync::lock;
use rustls::ServerConfig;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;

/// How long a client may take to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A file with the flag that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
}

impl File {
    /// `path`, which `flag` names.
    pub fn new(flag: &'static str, path: &Path) -> Self {
        File {
            flag,
            path: path.to_owned(),
        }
    }
}

/// The files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The certificate chain.
    pub certificate: File,
    /// The key of its leaf.
    pub key: File,
    /// Every client has to present a certificate of one of these authorities; `None` asks for none.
    pub client_authorities: Option<File>,
}

impl ServerFiles {
    fn load(&self, protocols: Protocols) -> Result<ServerConfig, TlsError> {
        let identity = load_identity(
            (self.certificate.flag, &self.certificate.path),
            (self.key.flag, &self.key.path),
        )?;
        let mut config = match &self.client_authorities {
            None => server_config(identity, None),
            Some(file) => mutual_config(identity, load_authorities(file.flag, &file.path)?),
        }?;
        if protocols == Protocols::Http1 {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(config)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let files = [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.client_authorities);
        files.map(|file| Stamp::of(&file.path)).collect()
    }
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, or HTTP/1.1 with clients that do not.
    Http2,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: found.modified().ok(),
        })
    }
}

#[derive(Debug)]
struct Loaded {
    stamps: Vec<Option<Stamp>>,
    config: Arc<ServerConfig>,
}

/// A TLS server. Each new connection is met with what the files hold at that moment; files that cannot be used, for example
/// because only one of them has been replaced yet, are logged and what was read before goes on being used.
#[derive(Debug)]
pub struct Server {
    files: ServerFiles,
    protocols: Protocols,
    loaded: Mutex<Loaded>,
}

impl Server {
    /// Reads the files for the first time.
    pub fn load(files: ServerFiles, protocols: Protocols) -> Result<Self, TlsError> {
        // Stamps come first: what is written while the files are read counts as a change.
        let stamps = files.stamps();
        let config = Arc::new(files.load(protocols)?);
        Ok(Server {
            files,
            protocols,
            loaded: Mutex::new(Loaded { stamps, config }),
        })
    }

    /// The configuration for a new connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = lock(&self.loaded);
        let stamps = self.files.stamps();
        if stamps != loaded.stamps {
            loaded.stamps = stamps;
            match self.files.load(self.protocols) {
                Ok(config) => {
                    loaded.config = Arc::new(config);
                    tracing::info!(certificate = %self.files.certificate.path.display(), "TLS files were read again");
                }
                Err(error) => tracing::warn!(%error, "changed TLS files are not used yet"),
            }
        }
        Arc::clone(&loaded.config)
    }

    /// Shakes hands with the client of a connection over TCP.
    pub async fn accept(&self, connection: Connection) -> io::Result<Connection> {
        let Connection::Tcp(stream, peer) = connection else {
            return Ok(connection);
        };
        let acceptor = TlsAcceptor::from(self.config());
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
        Ok(Connection::Tls(Box::new(stream), peer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::issue::{Authority, Profile};
    use super::*;

    fn write(file: &File, text: &str) {
        // As Kubernetes replaces what it mounts: a new file takes the name of the old one.
        let new = file.path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file.path).unwrap();
    }

    #[test]
    fn changed_files_are_used_once_they_fit() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::generate("ca").unwrap();
        let [first, second] = ["a", "b"].map(|name| authority.issue(&Profile::server(name, [name])).unwrap());
        let files = ServerFiles {
            certificate: File::new("--cert", &dir.path().join("tls.crt")),
            key: File::new("--key", &dir.path().join("tls.key")),
            client_authorities: Some(File::new("--ca", &dir.path().join("ca.crt"))),
        };
        let error = Server::load(files.clone(), Protocols::Http2).unwrap_err().to_string();
        assert!(error.starts_with("--cert: cannot read"), "{error}");
        write(&files.certificate, &first.certificate);
        write(&files.key, first.key.as_str());
        let error = Server::load(files.clone(), Protocols::Http2).unwrap_err().to_string();
        assert!(error.starts_with("--ca: cannot read"), "{error}");
        write(files.client_authorities.as_ref().unwrap(), authority.certificate());
        let server = Server::load(files.clone(), Protocols::Http2).unwrap();
        let before = server.config();
        assert!(Arc::ptr_eq(&before, &server.config()));
        write(&files.certificate, &second.certificate);
        assert!(Arc::ptr_eq(&before, &server.config()), "half of a change");
        write(&files.key, second.key.as_str());
        let after = server.config();
        assert!(!Arc::ptr_eq(&before, &after));
        std::fs::remove_file(&files.key.path).unwrap();
        assert!(Arc::ptr_eq(&after, &server.config()), "a file that has gone");
    }
}
