//! Who is measured.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::process::{cpu_time, peak_memory, resident_memory};
use e2e::standalone::{Connection, Dialer, Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::binary;
use serde_json::{Value, json};

use crate::Options;

/// A server on its store.
pub(crate) struct Peer {
    /// How it is called in tables.
    pub(crate) name: &'static str,
    /// Whether it is what is measured, and not what it is measured beside.
    pub(crate) ours: bool,
    server: Server,
    store: Store,
    dialer: Rc<Dialer>,
    _site: Site,
}

/// All of them; ours comes first.
pub(crate) struct Peers(pub(crate) Vec<Peer>);

impl Peers {
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let kine = || -> Result<StoreKind> { Ok(StoreKind::KineShim(binary("kine-shim")?)) };
        let mut wanted = vec![("apiserver", ServerKind::Ours(binary("apiserver")?), kine()?)];
        if let Some(before) = &options.before {
            wanted.push(("before", ServerKind::Ours(before.clone()), kine()?));
        }
        if let Some(reference) = &options.kube_apiserver {
            let kind = ServerKind::Upstream {
                binary: reference.clone(),
                json: false,
            };
            wanted.push(("kube-apiserver", kind, StoreKind::Etcd(options.etcd.clone())));
        }
        let mut peers = Vec::new();
        for (name, server, store) in &wanted {
            let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
            peers.push(Peer::start(&parent, name, server, store).await?);
        }
        Ok(Self(peers))
    }

    pub(crate) async fn stop(self) -> Result<()> {
        for peer in self.0 {
            peer.server.program.stop().await?;
            peer.store.program.stop().await?;
        }
        Ok(())
    }
}

impl Peer {
    async fn start(parent: &Path, name: &'static str, server: &ServerKind, store: &StoreKind) -> Result<Self> {
        let mut site = Site::below(parent)?;
        let store = site.store("store", store).await?;
        // All requests come from one user: what is measured is not how a server divides itself among several.
        let unlimited = ["--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000"].map(str::to_string);
        let ours = matches!(server, ServerKind::Ours(_));
        let server = site.server("server", server, &store, &unlimited).await?;
        let dialer = Rc::new(site.dialer(&server)?);
        let peer = Self {
            name,
            ours: ours && name == "apiserver",
            server,
            store,
            dialer,
            _site: site,
        };
        let mut connection = peer.connect().await?;
        let namespace = json!({"metadata": {"name": "bench"}});
        connection.send("POST", "/api/v1/namespaces", &namespace).await?;
        Ok(peer)
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        self.dialer.connect().await
    }

    pub(crate) fn dialer(&self) -> Rc<Dialer> {
        self.dialer.clone()
    }

    /// Creates an object in `path`, or fails.
    pub(crate) async fn create(&self, connection: &mut Connection, path: &str, object: &Value) -> Result<()> {
        let answer = connection.send("POST", path, object).await?;
        anyhow::ensure!(answer.status == 201, "{}: POST {path}: {}", self.name, answer.status);
        Ok(())
    }

    fn server_pid(&self) -> Result<i32> {
        self.server
            .program
            .pid()
            .with_context(|| format!("{} has ended", self.name))
    }

    /// Processor time of server and store.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let server = cpu_time(self.server_pid()?).unwrap_or_default();
        let store = self.store.program.pid().and_then(cpu_time).unwrap_or_default();
        Ok(server + store)
    }

    /// MiB the server holds.
    pub(crate) fn memory(&self) -> Result<f64> {
        Ok(mebibytes(resident_memory(self.server_pid()?)))
    }

    /// The most MiB the server has held.
    pub(crate) fn peak(&self) -> Result<f64> {
        Ok(mebibytes(peak_memory(self.server_pid()?)))
    }
}

fn mebibytes(bytes: Option<u64>) -> f64 {
    bytes.unwrap_or(0) as f64 / 1_048_576.0
}
