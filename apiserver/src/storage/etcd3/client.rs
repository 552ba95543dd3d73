//! The connection to the store: etcd v3 over TCP, TLS or a unix socket.

use super::errors::unavailable;
use crate::storage::interface::Error;
use etcd_client::{Channel, Client, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// etcd's own limit is 1.5 MiB per value, but a page of a list or a burst of events may hold many of them.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;
/// How long a request to the store may take before it is given up.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// As upstream's client (k8s.io/apiserver `storagebackend/factory/etcd3.go`); a unix socket needs none.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the store is and how to prove who we are: `--etcd-servers`, `--etcd-cafile`, `--etcd-certfile`, `--etcd-keyfile`.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// `http://`, `https://` or `unix://` URLs.
    pub endpoints: Vec<String>,
    /// Who signs the servers' certificates; the system's authorities when absent.
    pub ca_file: Option<PathBuf>,
    /// The client certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// The parts of the etcd API that are used. Clones share one connection, which is (re)established when needed.
#[derive(Clone)]
pub struct Connection {
    kv: KvClient,
    watch: WatchClient,
    lease: LeaseClient,
    maintenance: MaintenanceClient,
}

/// What a store says about itself.
#[derive(Clone, Debug)]
pub struct StoreState {
    /// Its version, such as `3.5.13`.
    pub version: String,
    /// The revision of the latest write.
    pub revision: u64,
    /// The size of the database.
    pub database_bytes: i64,
}

impl Connection {
    /// Prepares the connection; nothing is dialled before the first request.
    ///
    /// # Errors
    /// One sentence naming the flag whose value cannot be used.
    pub async fn open(servers: &Servers) -> Result<Self, String> {
        let endpoints = servers
            .endpoints
            .iter()
            .map(|url| endpoint(url, servers))
            .collect::<Result<Vec<_>, _>>()?;
        let channel = match <[Endpoint; 1]>::try_from(endpoints) {
            Ok([only]) => only.connect_lazy(),
            Err(several) if several.is_empty() => return Err("--etcd-servers must name at least one server".to_owned()),
            Err(several) => tonic::transport::Channel::balance_list(several.into_iter()),
        };
        let client = Client::from_channel(Channel::Tonic(channel), None)
            .await
            .map_err(|error| format!("--etcd-servers cannot be used: {error}"))?;
        Ok(Connection {
            kv: client
                .kv_client()
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES),
            lease: client.lease_client(),
            maintenance: client.maintenance_client(),
        })
    }

    /// Reads and writes.
    pub(in crate::storage) fn kv(&self) -> KvClient {
        self.kv.clone()
    }

    /// Leases.
    pub(super) fn lease(&self) -> LeaseClient {
        self.lease.clone()
    }

    /// Watches.
    pub(in crate::storage) fn watch(&self) -> WatchClient {
        self.watch.clone()
    }

    /// What the store says about itself.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn state(&self) -> Result<StoreState, Error> {
        let mut maintenance = self.maintenance.clone();
        let status = timed(maintenance.status()).await?;
        let revision = status.header().and_then(|header| u64::try_from(header.revision()).ok());
        Ok(StoreState {
            version: status.version().to_owned(),
            revision: revision.unwrap_or_default(),
            database_bytes: status.db_size(),
        })
    }

    /// Whether a progress notification that was asked for comes only after the events before it. Servers before
    /// 3.4.31 and 3.5.13 do not promise it (k8s.io/apiserver `storage/feature/feature_support_checker.go`).
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn progress_is_reliable(&self) -> Result<bool, Error> {
        Ok(reliable_progress(&self.state().await?.version))
    }
}

/// Waits for an answer of the store, but not forever.
pub(in crate::storage) async fn timed<T>(
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|error| unavailable(&error)),
        Err(_) => Err(Error::Unavailable(format!(
            "no answer within {} s",
            REQUEST_TIMEOUT.as_secs()
        ))),
    }
}

fn reliable_progress(version: &str) -> bool {
    let number = |part: &str| part.split(['-', '+']).next().unwrap_or_default().parse::<u32>().ok();
    let mut parts = version.trim_start_matches('v').splitn(3, '.').map(number);
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor), Some(patch)) => {
            let version = (major, minor, patch);
            version >= (3, 5, 13) || ((3, 4, 31)..(3, 5, 0)).contains(&version)
        }
        _ => false,
    }
}

fn endpoint(url: &str, servers: &Servers) -> Result<Endpoint, String> {
    let wrong = |why: &str| format!("--etcd-servers holds {url:?}, {why}");
    if let Some(path) = url.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err(wrong(
                "whose socket must be an absolute path, as in unix:///run/kine.sock",
            ));
        }
        let endpoint =
            Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&format!("which is no URL: {error}")))?;
        return Ok(endpoint.connect_timeout(CONNECT_TIMEOUT));
    }
    let secure = url.starts_with("https://");
    if !secure && !url.starts_with("http://") {
        return Err(wrong("which must start with http://, https:// or unix://"));
    }
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| wrong(&format!("which is no URL: {error}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if !secure {
        return Ok(endpoint);
    }
    let tls = tls(servers)?;
    endpoint
        .tls_config(tls)
        .map_err(|error| format!("--etcd-cafile, --etcd-certfile or --etcd-keyfile cannot be used: {error}"))
}

fn tls(servers: &Servers) -> Result<ClientTlsConfig, String> {
    let read = |flag: &str, path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("{flag} {}: cannot be read: {error}", path.display()))
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = &servers.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read("--etcd-cafile", path)?));
    }
    match (&servers.cert_file, &servers.key_file) {
        (Some(cert), Some(key)) => Ok(tls.identity(Identity::from_pem(
            read("--etcd-certfile", cert)?,
            read("--etcd-keyfile", key)?,
        ))),
        (None, None) => Ok(tls),
        _ => Err("--etcd-certfile and --etcd-keyfile must be given together".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_trusted_as_upstream_does() {
        for (version, expected) in [
            ("3.4.23", false),
            ("3.4.31", true),
            ("3.4.40", true),
            ("3.5.0", false),
            ("3.5.12", false),
            ("3.5.13", true),
            ("v3.6.0-rc.1", true),
            ("4.0.0", true),
            ("nonsense", false),
            ("3.5", false),
        ] {
            assert_eq!(reliable_progress(version), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn wrong_servers_name_the_flag() {
        for endpoints in [
            vec![],
            vec!["127.0.0.1:2379"],
            vec!["unix://relative"],
            vec!["http://"],
            vec!["ftp://x"],
        ] {
            let servers = Servers {
                endpoints: endpoints.iter().map(|e| (*e).to_owned()).collect(),
                ..Servers::default()
            };
            let error = Connection::open(&servers).await.err().unwrap();
            assert!(error.starts_with("--etcd-servers "), "{error}");
        }
        let servers = Servers {
            endpoints: vec!["https://127.0.0.1:1".to_owned()],
            cert_file: Some("/nowhere.crt".into()),
            ..Servers::default()
        };
        let error = Connection::open(&servers).await.err().unwrap();
        assert_eq!(error, "--etcd-certfile and --etcd-keyfile must be given together");
    }
}
