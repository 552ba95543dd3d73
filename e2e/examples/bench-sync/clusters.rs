//! A host and a virtual cluster: an API server and its store each, and the syncer between them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::{cpu_time, resident_memory};
use e2e::standalone::{Bridge, Connection, Dialer, Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::binary;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Options;
use crate::node::{self, Pace};
use crate::sightings::Sightings;

/// Name of the virtual cluster.
pub(crate) const NAME: &str = "vc";
/// Namespace of the host with its objects.
pub(crate) const HOST_NAMESPACE: &str = "vcluster";
/// Namespaces that pods are created in, on both sides.
pub(crate) const NAMESPACES: [&str; 2] = ["busy", "quiet"];

/// One of the two.
pub(crate) struct Cluster {
    pub(crate) pods: Sightings,
    server: Server,
    store: Store,
    dialer: Dialer,
    _site: Site,
}

pub(crate) struct Clusters {
    pub(crate) host: Cluster,
    pub(crate) virtual_: Cluster,
    pub(crate) bridge: Bridge,
    /// How fast the host starts pods.
    pub(crate) pace: Pace,
}

impl Clusters {
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let (news, received) = mpsc::unbounded_channel();
        let host = Cluster::start(options, Some(news)).await?;
        let pace = Pace::default();
        tokio::spawn(node::run(host.connect().await?, received, pace.clone()));
        let mut virtual_ = Cluster::start(options, None).await?;
        host.add_namespace(HOST_NAMESPACE).await?;
        let service = json!({
            "metadata": {"name": NAME}, "spec": {"selector": {"app": "vcluster"}, "ports": [{"name": "https", "port": 443}]},
        });
        host.create(&format!("/api/v1/namespaces/{HOST_NAMESPACE}/services"), &service)
            .await?;
        for cluster in [&host, &virtual_] {
            for namespace in NAMESPACES {
                cluster.add_namespace(namespace).await?;
            }
        }
        let syncer = match &options.syncer {
            Some(file) => file.clone(),
            None => binary("syncer")?,
        };
        let mut bridge = Bridge::start(
            &mut virtual_._site,
            &syncer,
            NAME,
            (&virtual_.server.kubeconfig, &virtual_.store),
            (&host.server.kubeconfig, HOST_NAMESPACE),
            // There is no controller manager that would make another service account.
            &["--workload-service-account=".to_string()],
        )?;
        bridge.ready().await?;
        Ok(Self {
            host,
            virtual_,
            bridge,
            pace,
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.bridge.program.stop().await?;
        for cluster in [self.virtual_, self.host] {
            cluster.server.program.stop().await?;
            cluster.store.program.stop().await?;
        }
        Ok(())
    }

    /// MiB that the syncer holds.
    pub(crate) fn memory(&self) -> Result<f64> {
        let pid = self.bridge.program.pid().context("the syncer has ended")?;
        Ok(resident_memory(pid).unwrap_or(0) as f64 / 1_048_576.0)
    }

    /// Processor time so far: of the syncer, the virtual cluster and the host.
    pub(crate) fn cpu(&self) -> [Duration; 3] {
        let of = |pid: Option<i32>| pid.and_then(cpu_time).unwrap_or_default();
        [
            of(self.bridge.program.pid()),
            of(self.virtual_.server.program.pid()) + of(self.virtual_.store.program.pid()),
            of(self.host.server.program.pid()) + of(self.host.store.program.pid()),
        ]
    }
}

impl Cluster {
    async fn start(options: &Options, news: Option<mpsc::UnboundedSender<crate::sightings::News>>) -> Result<Self> {
        let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        let mut site = Site::below(&parent)?;
        let store = site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await?;
        // All requests come from few users: what is measured is not how a server divides itself among many.
        let unlimited = ["--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000"].map(str::to_string);
        let server = site
            .server("server", &ServerKind::Ours(binary("apiserver")?), &store, &unlimited)
            .await?;
        let dialer = site.dialer(&server)?;
        let pods = Sightings::watch(dialer.connect().await?, news).await?;
        Ok(Self {
            pods,
            server,
            store,
            dialer,
            _site: site,
        })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        self.dialer.connect().await
    }

    /// A namespace with what controllers would put into it before the first pod.
    async fn add_namespace(&self, name: &str) -> Result<()> {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}))
            .await?;
        let account = json!({"metadata": {"name": "default"}});
        self.create(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account)
            .await
    }

    async fn create(&self, path: &str, object: &Value) -> Result<()> {
        let answer = self.connect().await?.send("POST", path, object).await?;
        ensure!(
            answer.status == 201,
            "POST {path}: {}: {:?}",
            answer.status,
            answer.body
        );
        Ok(())
    }
}
