//! A host and a virtual cluster, each an API server on its store, and the syncer that reaches both through a faulty proxy.
//! Every process can be killed and paused.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::faulty::Proxy;
use e2e::standalone::{Bridge, Program, Server, ServerKind, Site, Store, StoreKind};
use e2e::suite::binary;
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::comparer::{Objects, VCLUSTER};
use crate::host::NAMESPACE;
use crate::kinds::{KINDS, NAMESPACES};

/// What the virtual cluster syncs besides what it does by default.
const VALUES: &str = "sync: {toHost: {ingresses: {enabled: true}, secrets: {all: true}}}\n";
/// How often the syncer compares what it knows with what there is, in seconds.
const COMPARE_INTERVAL: u32 = 5;
/// Nothing here makes service accounts, nor takes finalizers of claims away. A server that is killed leaves node ports reserved for
/// nobody, which takes three looks to be given up: with the usual interval, longer than anybody waits here.
const FLAGS: [&str; 2] = [
    "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",
    "--service-allocation-repair-interval=10s",
];

/// A process that can be gone or paused, until a moment each.
struct Part<P> {
    running: Option<P>,
    back_at: Option<Instant>,
}

impl<P> Part<P> {
    fn new(process: P) -> Self {
        Self {
            running: Some(process),
            back_at: None,
        }
    }

    /// Whether it has to be dealt with by now.
    fn is_due(&self, now: Instant) -> bool {
        self.back_at.is_some_and(|back_at| back_at <= now)
    }
}

/// An API server, its store, and the proxy in front of it.
pub(crate) struct Cluster {
    site: Site,
    store: Part<Store>,
    server: Part<Server>,
    pub(crate) proxy: Proxy,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let mut site = Site::new()?;
        let store = start_store(&mut site).await?;
        let server = start_server(&mut site, &store).await?;
        let proxy = site.proxy(&server).await?;
        Ok(Self {
            site,
            store: Part::new(store),
            server: Part::new(server),
            proxy,
        })
    }

    pub(crate) fn client(&self) -> Result<Client> {
        let server = self.server.running.as_ref().context("the API server does not run")?;
        Ok(Client::new(self.site.dialer(server)?))
    }

    /// Starts what was killed, and lets go on what was paused, if its time has come.
    async fn recover(&mut self, now: Instant) -> Result<()> {
        let is_needed = self.server.is_due(now) && self.server.running.is_none();
        if self.store.is_due(now) || is_needed {
            self.store.back_at = None;
            match &self.store.running {
                Some(store) => store.program.resume(),
                None => self.store.running = Some(start_store(&mut self.site).await?),
            }
        }
        if self.server.is_due(now) {
            self.server.back_at = None;
            match (&self.server.running, &self.store.running) {
                (Some(server), _) => server.program.resume(),
                (None, Some(store)) => self.server.running = Some(start_server(&mut self.site, store).await?),
                (None, None) => {}
            }
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        if let Some(server) = self.server.running {
            server.program.stop().await?;
        }
        match self.store.running {
            Some(store) => store.program.stop().await,
            None => Ok(()),
        }
    }
}

async fn start_store(site: &mut Site) -> Result<Store> {
    site.store("store", &StoreKind::KineShim(binary("kine-shim")?)).await
}

async fn start_server(site: &mut Site, store: &Store) -> Result<Server> {
    let ours = ServerKind::Ours(binary("apiserver")?);
    site.server("apiserver", &ours, store, &FLAGS.map(str::to_string)).await
}

/// The processes that trouble can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    VirtualServer,
    VirtualStore,
    HostServer,
    HostStore,
    Syncer,
}

pub(crate) const VICTIMS: [Victim; 5] = [
    Victim::VirtualServer,
    Victim::VirtualStore,
    Victim::HostServer,
    Victim::HostStore,
    Victim::Syncer,
];

pub(crate) struct Clusters {
    pub(crate) virtual_: Cluster,
    pub(crate) host: Cluster,
    syncer: Part<Bridge>,
    values: PathBuf,
}

impl Clusters {
    pub(crate) async fn start() -> Result<Self> {
        let (virtual_, host) = (Cluster::start().await?, Cluster::start().await?);
        let mut client = virtual_.client()?;
        for namespace in NAMESPACES {
            client
                .create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))
                .await?;
        }
        let mut client = host.client()?;
        client
            .create("/api/v1/namespaces", &json!({"metadata": {"name": NAMESPACE}}))
            .await?;
        let service = json!({
            "metadata": {"name": VCLUSTER},
            "spec": {"selector": {"app": "vcluster"}, "ports": [{"name": "https", "port": 443}]},
        });
        client
            .create(&format!("/api/v1/namespaces/{NAMESPACE}/services"), &service)
            .await?;
        let values = virtual_.site.path("vcluster.yaml");
        std::fs::write(&values, VALUES).context("cannot write the values")?;
        let mut clusters = Self {
            virtual_,
            host,
            syncer: Part {
                running: None,
                back_at: None,
            },
            values,
        };
        clusters.start_syncer()?;
        if let Some(syncer) = &mut clusters.syncer.running {
            syncer.ready().await?;
        }
        Ok(clusters)
    }

    /// Starts it; what it meets may keep it from becoming ready.
    fn start_syncer(&mut self) -> Result<()> {
        let store = self.virtual_.store.running.as_ref().context("the store does not run")?;
        let extra = [
            "--workload-service-account=".to_string(),
            format!("--compare-interval={COMPARE_INTERVAL}"),
            format!("--config={}", self.values.display()),
        ];
        let bridge = Bridge::start(
            &mut self.virtual_.site,
            &binary("syncer")?,
            VCLUSTER,
            (&self.virtual_.proxy.kubeconfig, store),
            (&self.host.proxy.kubeconfig, NAMESPACE),
            &extra,
        )?;
        self.syncer = Part::new(bridge);
        Ok(())
    }

    /// Kills a process without warning; it comes back after a while.
    pub(crate) async fn kill(&mut self, victim: Victim, absence: Duration) -> Result<()> {
        let back_at = Some(Instant::now() + absence);
        let program = match victim {
            Victim::VirtualServer => take(&mut self.virtual_.server, back_at).map(|server| server.program),
            Victim::VirtualStore => take(&mut self.virtual_.store, back_at).map(|store| store.program),
            Victim::HostServer => take(&mut self.host.server, back_at).map(|server| server.program),
            Victim::HostStore => take(&mut self.host.store, back_at).map(|store| store.program),
            Victim::Syncer => take(&mut self.syncer, back_at).map(|syncer| syncer.program),
        };
        match program {
            Some(program) => program.kill().await,
            None => Ok(()),
        }
    }

    /// Pauses a process for a while.
    pub(crate) fn pause(&mut self, victim: Victim, absence: Duration) {
        let back_at = Instant::now() + absence;
        match victim {
            Victim::VirtualServer => pause(&mut self.virtual_.server, back_at, |server| &server.program),
            Victim::VirtualStore => pause(&mut self.virtual_.store, back_at, |store| &store.program),
            Victim::HostServer => pause(&mut self.host.server, back_at, |server| &server.program),
            Victim::HostStore => pause(&mut self.host.store, back_at, |store| &store.program),
            Victim::Syncer => pause(&mut self.syncer, back_at, |syncer| &syncer.program),
        }
    }

    /// Brings back what has been away until `now`.
    pub(crate) async fn recover(&mut self, now: Instant) -> Result<()> {
        self.virtual_.recover(now).await?;
        self.host.recover(now).await?;
        if self.syncer.is_due(now) && self.virtual_.store.running.is_some() {
            self.syncer.back_at = None;
            match &self.syncer.running {
                Some(syncer) => syncer.program.resume(),
                None => self.start_syncer()?,
            }
        }
        Ok(())
    }

    /// Brings everything back.
    pub(crate) async fn recover_all(&mut self) -> Result<()> {
        self.recover(Instant::now() + Duration::from_secs(3_600)).await
    }

    /// Says the last things that the syncer said.
    pub(crate) fn syncer_log(&self) -> String {
        let log = std::fs::read_to_string(self.virtual_.site.path("syncer.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub(crate) async fn stop(self) -> Result<()> {
        if let Some(syncer) = self.syncer.running {
            syncer.program.stop().await?;
        }
        self.virtual_.stop().await?;
        self.host.stop().await
    }
}

/// Takes a process that runs; one that is away stays so for as long as it was to.
fn take<P>(part: &mut Part<P>, back_at: Option<Instant>) -> Option<P> {
    let process = part.running.take()?;
    part.back_at = back_at;
    Some(process)
}

fn pause<P>(part: &mut Part<P>, back_at: Instant, program: fn(&P) -> &Program) {
    if let Some(process) = &part.running {
        program(process).pause();
        part.back_at = Some(back_at);
    }
}

/// Everything of the synced kinds in one cluster, or in one namespace of it.
pub(crate) async fn objects(client: &mut Client, namespace: Option<&str>) -> Result<Objects> {
    let mut objects = Objects::new();
    for kind in &KINDS {
        let path = namespace.map_or_else(|| kind.everywhere(), |namespace| kind.path(namespace));
        objects.insert(kind.name, client.list(&path).await?);
    }
    Ok(objects)
}
