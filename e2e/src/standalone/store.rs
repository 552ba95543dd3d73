//! Stores: kine-shim on SQLite, or etcd.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use etcd_client::{Client, CompactionOptions, GetOptions};

use super::{Program, Site};

/// Which store, and its binary.
#[derive(Debug, Clone)]
pub enum StoreKind {
    /// kine-shim on SQLite.
    KineShim(PathBuf),
    /// etcd.
    Etcd(PathBuf),
}

/// A running store.
#[derive(Debug)]
pub struct Store {
    /// The process.
    pub program: Program,
    /// Where API servers connect.
    pub endpoint: String,
    /// Where everybody else does, over TCP.
    pub address: String,
}

impl Store {
    pub(super) async fn start(site: &mut Site, name: &str, kind: &StoreKind) -> Result<Self> {
        let address = site.url("http", &format!("{name}/client"))?;
        let (binary, arguments, endpoint) = match kind {
            StoreKind::KineShim(binary) => {
                let socket = format!("unix://{}", site.path(&format!("{name}.sock")).display());
                let listen = format!("{socket},{}", address.replace("http:", "tcp:"));
                let database = site.path(&format!("{name}.db"));
                let arguments = vec![
                    format!("--endpoint=sqlite://{}", database.display()),
                    format!("--listen-address={listen}"),
                ];
                (binary, arguments, socket)
            }
            StoreKind::Etcd(binary) => {
                let peer = site.url("http", &format!("{name}/peer"))?;
                let arguments = vec![
                    format!("--data-dir={}", site.path(name).display()),
                    "--log-level=error".to_string(),
                    format!("--listen-client-urls={address}"),
                    format!("--advertise-client-urls={address}"),
                    format!("--listen-peer-urls={peer}"),
                    format!("--initial-advertise-peer-urls={peer}"),
                    format!("--initial-cluster=default={peer}"),
                ];
                (binary, arguments, address.clone())
            }
        };
        let mut program = site.program(name, binary, &arguments)?;
        program
            .works(async || Ok(connect(&address).await?.get("/", None).await?))
            .await?;
        Ok(Self {
            program,
            endpoint,
            address,
        })
    }

    /// All keys below `prefix` with their values, in order.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn entries(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut client = connect(&self.address).await?;
        let answer = client.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let entries = answer.kvs().iter();
        entries
            .map(|entry| Ok((entry.key_str()?.to_string(), entry.value().to_vec())))
            .collect()
    }

    /// Writes a value as it is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put(&self, key: &str, value: Vec<u8>) -> Result<()> {
        connect(&self.address).await?.put(key, value, None).await?;
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// The store does not answer, or has no such key.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let answer = connect(&self.address).await?.delete(key, None).await?;
        ensure!(answer.deleted() == 1, "the store has no {key}");
        Ok(())
    }
}

/// Forgets everything that is older than now, as the compactor of an API server does: its record of the revision first,
/// then the compaction (upstream `storage/etcd3/compact.go`).
///
/// # Errors
/// The store does not answer.
pub async fn compact(address: &str) -> Result<()> {
    let mut client = connect(address).await?;
    let now = client.status().await?;
    let revision = now.header().context("the store does not say its revision")?.revision();
    client.put("compact_rev_key", revision.to_string(), None).await?;
    let physically = CompactionOptions::new().with_physical();
    client.compact(revision, Some(physically)).await?;
    Ok(())
}

async fn connect(address: &str) -> Result<Client> {
    Client::connect([address], None)
        .await
        .with_context(|| format!("cannot reach the store at {address}"))
}
