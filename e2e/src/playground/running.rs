//! Starting and stopping a playground in this process.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use chassis::Tasks;
use client::{Recorder, connect};
use futures::future::{join_all, try_join_all};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::board::Board;
use super::layout::Layout;
use super::state::{ClusterAccess, Phase, State};
use super::{bootstrap, existing};
use crate::controlplane::{ControlPlane, FOUNDATION, NODES, Role};
use crate::measurements::MetricsServer;
use crate::node::kubelet::{Kubelet, KubeletTls};
use crate::node::{NodeIdentity, Pods, register};
use crate::process::{Health, Ports, Process, Spec};

/// How long a process may take to be ready; debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory.
    pub layout: Layout,
    /// Where the services' binaries are.
    pub binaries: PathBuf,
    /// Number of simulated nodes.
    pub nodes: u8,
    /// Names of the virtual clusters.
    pub clusters: Vec<String>,
    /// The namespace that all of them live in; one of its own for each when there is none.
    pub namespace: Option<String>,
    /// Whether each of them lives in the one before it, and only the first one in the host.
    pub nested: bool,
    /// Kubeconfig of a cluster that somebody else runs, which is the host then; there are no simulated nodes.
    pub host_kubeconfig: Option<PathBuf>,
}

impl Settings {
    /// The namespace that a virtual cluster lives in.
    fn namespace_of(&self, cluster: &str) -> String {
        self.namespace.clone().unwrap_or_else(|| format!("vcluster-{cluster}"))
    }
}

/// A running playground.
#[derive(Debug)]
pub struct Playground {
    board: Board,
    processes: Vec<Process>,
    host: Host,
    nodes: Vec<NodeIdentity>,
    /// The port of the metrics server.
    metrics: u16,
    clusters: Vec<ControlPlane>,
    nested: bool,
    /// What is to be taken away from a host of somebody else: a namespace, and manifests of rights.
    borrowed: Vec<(String, String)>,
}

/// The cluster that the first virtual clusters live in.
#[derive(Debug)]
enum Host {
    Own(Box<ControlPlane>),
    /// Somebody else's, by its kubeconfig.
    Existing(PathBuf),
}

impl Host {
    fn kubeconfig(&self) -> PathBuf {
        match self {
            Host::Own(plane) => plane.kubeconfig(),
            Host::Existing(kubeconfig) => kubeconfig.clone(),
        }
    }
}

impl Playground {
    /// Prepares the files and shows the first state; nothing runs yet but the tasks that keep the state.
    ///
    /// # Errors
    /// A file cannot be written, or no port is free.
    pub fn prepare(settings: &Settings, tasks: &Tasks) -> Result<Self> {
        let layout = &settings.layout;
        let mut ports = Ports::open(&layout.ports())?;
        let mut host = match &settings.host_kubeconfig {
            Some(kubeconfig) => Host::Existing(kubeconfig.clone()),
            None => Host::Own(Box::new(ControlPlane::prepare(
                "host",
                &layout.host(),
                Role::Host,
                &mut ports,
            )?)),
        };
        let mut clusters: Vec<ControlPlane> = Vec::new();
        let values = Some(layout.values()).filter(|values| values.exists());
        let scheduler = values.as_deref().map(schedules).transpose()?.unwrap_or_default();
        for name in &settings.clusters {
            let host_namespace = settings.namespace_of(name);
            let host_kubeconfig = match (clusters.last().filter(|_| settings.nested), &host) {
                (Some(outer), _) => outer.tenant_kubeconfig(name, &host_namespace)?,
                (None, Host::Own(host)) => host.tenant_kubeconfig(name, &host_namespace)?,
                // Made as soon as there is an account that it can be for.
                (None, Host::Existing(_)) => layout.cluster(name).join("host.conf"),
            };
            let role = Role::Virtual {
                host_kubeconfig,
                host_namespace,
                values: values.clone(),
                scheduler,
            };
            clusters.push(ControlPlane::prepare(name, &layout.cluster(name), role, &mut ports)?);
        }
        let mut nodes = Vec::new();
        let simulated = if settings.host_kubeconfig.is_some() {
            0
        } else {
            settings.nodes
        };
        for index in 1..=simulated {
            let name = format!("node-{index}");
            let address = ([127, 0, 0, 1], ports.get(&format!("{name}/kubelet"))?).into();
            nodes.push(NodeIdentity { name, index, address });
        }
        let metrics = ports.get("metrics-server")?;
        if let Host::Own(host) = &mut host {
            host.set_kubelets(nodes.iter().map(|node| node.address.port()).collect());
        }
        let access = |plane: &ControlPlane, namespace: Option<String>| ClusterAccess {
            name: plane.name.clone(),
            server: plane.server(),
            kubeconfig: plane.kubeconfig(),
            dns: namespace.as_ref().map(|_| plane.address("dns/dns")),
            namespace,
        };
        let of_host = match &host {
            Host::Own(host) => access(host, None),
            Host::Existing(kubeconfig) => ClusterAccess {
                name: "host".to_string(),
                server: String::new(),
                kubeconfig: kubeconfig.clone(),
                dns: None,
                namespace: None,
            },
        };
        let all = clusters
            .iter()
            .map(|plane| access(plane, Some(settings.namespace_of(&plane.name))));
        let state = State {
            version: chassis::VERSION.to_string(),
            supervisor: std::process::id(),
            phase: Phase::Starting("the host".to_string()),
            clusters: std::iter::once(of_host).chain(all).collect(),
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            processes: Vec::new(),
        };
        let board = Board::new(layout.state(), state);
        board.write();
        tasks.spawn_finite("state", stop_at(tasks, board.clone().publish()));
        Ok(Self {
            board,
            processes: Vec::new(),
            host,
            nodes,
            metrics,
            clusters,
            nested: settings.nested,
            borrowed: Vec::new(),
        })
    }

    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// Something is not ready in time; says what and where its log is. Call [`Playground::stop`] all the same.
    pub async fn start(&mut self, settings: &Settings, tasks: &Tasks) -> Result<()> {
        let started = self.start_all(settings, tasks).await;
        self.board.phase(match &started {
            Ok(()) => Phase::Ready,
            Err(error) => Phase::Failed(format!("{error:#}")),
        });
        self.board.write();
        started
    }

    async fn start_all(&mut self, settings: &Settings, tasks: &Tasks) -> Result<()> {
        let playground = settings.layout.dir();
        match &self.host {
            Host::Own(host) => {
                let starter = Starter {
                    board: self.board.clone(),
                    tasks: tasks.clone(),
                };
                let specs = host.processes(&settings.binaries, playground);
                starter.control_plane(specs, &mut self.processes).await?;
                let client = connect(&host.pki().path(NODES), "vcluster-playground").await?;
                self.board.phase(Phase::Starting("the nodes of the host".to_string()));
                self.start_nodes(host, &client, tasks).await?;
                self.start_metrics_server(host, client, tasks).await?;
            }
            Host::Existing(kubeconfig) => {
                let kubeconfig = kubeconfig.clone();
                self.enter(settings, &kubeconfig).await?;
            }
        }
        // Those that live in one cluster do not wait for each other.
        let waves = self.clusters.chunks(if self.nested { 1 } else { usize::MAX });
        let mut outer = self.host.kubeconfig();
        for wave in waves {
            let client = connect(&outer, "vcluster-playground").await?;
            let starts = wave
                .iter()
                .map(|plane| self.start_cluster(settings, tasks, &client, plane));
            let mut outcome = Ok(());
            let mut processes = Vec::new();
            for (started, result) in join_all(starts).await {
                processes.extend(started);
                outcome = outcome.and(result);
            }
            self.processes.extend(processes);
            outcome?;
            if let Some(last) = wave.last() {
                outer = last.kubeconfig();
            }
        }
        Ok(())
    }

    /// Gives the virtual clusters that live in somebody else's cluster what they need there before they start.
    async fn enter(&mut self, settings: &Settings, kubeconfig: &Path) -> Result<()> {
        let client = connect(kubeconfig, "vcluster-playground").await?;
        let network = existing::service_network(&client).await;
        let direct = if self.nested { 1 } else { self.clusters.len() };
        for plane in self.clusters.iter_mut().take(direct) {
            let namespace = settings.namespace_of(&plane.name);
            let rights = plane.rights(&settings.binaries).await?;
            self.borrowed.push((namespace.clone(), rights.clone()));
            if let Some(network) = &network {
                plane.set_host_network(network.clone());
            }
            let tenant = bootstrap::Tenant {
                name: &plane.name,
                namespace: &namespace,
                kubelet: plane.address("syncer/kubelet").port(),
                rights: Ok(rights),
            };
            tenant.prepare(&client).await?;
            let login = existing::login(&client, kubeconfig, &plane.name, &namespace).await?;
            if let Some(file) = plane.host_kubeconfig() {
                pki::write_secret(file, &login)?;
            }
        }
        Ok(())
    }

    /// Takes away what the virtual clusters have in somebody else's cluster, as long as their syncers run.
    async fn leave(&mut self) -> Result<()> {
        let Host::Existing(kubeconfig) = &self.host else {
            return Ok(());
        };
        let client = connect(kubeconfig, "vcluster-playground").await?;
        for (namespace, rights) in self.borrowed.drain(..) {
            existing::leave(&client, &namespace, &rights).await?;
        }
        Ok(())
    }

    /// Starts one virtual cluster in the cluster of `client`; the processes are those that run, also on failure.
    async fn start_cluster(
        &self,
        settings: &Settings,
        tasks: &Tasks,
        client: &kube::Client,
        plane: &ControlPlane,
    ) -> (Vec<Process>, Result<()>) {
        let specs = plane.processes(&settings.binaries, settings.layout.dir());
        let starter = Starter {
            board: self.board.clone(),
            tasks: tasks.clone(),
        };
        let tenant = bootstrap::Tenant {
            name: &plane.name,
            namespace: &settings.namespace_of(&plane.name),
            kubelet: plane.address("syncer/kubelet").port(),
            rights: plane.rights(&settings.binaries).await,
        };
        let mut processes = Vec::new();
        let started = match tenant.prepare(client).await {
            Ok(()) => starter.control_plane(specs, &mut processes).await,
            Err(error) => Err(error),
        };
        (processes, started)
    }

    async fn start_metrics_server(&self, host: &ControlPlane, client: kube::Client, tasks: &Tasks) -> Result<()> {
        let files = host.metrics_server_files()?;
        let address = (Ipv4Addr::LOCALHOST, self.metrics);
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on port {} for measurements", self.metrics))?;
        let server = MetricsServer::register(client, self.metrics, &files).await?;
        tasks.spawn_finite("metrics server", stop_at(tasks, server.serve(listener)));
        Ok(())
    }

    async fn start_nodes(&self, host: &ControlPlane, client: &kube::Client, tasks: &Tasks) -> Result<()> {
        let (recorder, writer) = Recorder::new(client.clone(), "kubelet");
        tasks.spawn_finite("events", stop_at(tasks, writer.run()));
        let pods = Pods::new(client.clone(), &self.nodes, recorder);
        for node in &self.nodes {
            let certificate = host.node_certificate(&node.name)?;
            let tls = KubeletTls {
                certificate: host.pki().path(&format!("{certificate}.crt")),
                key: host.pki().path(&format!("{certificate}.key")),
                client_ca: host.pki().path("ca.crt"),
            };
            let listener = TcpListener::bind(node.address).await;
            let listener = listener.with_context(|| format!("cannot listen on {} for {}", node.address, node.name))?;
            let kubelet = Kubelet::new(&node.name, pods.clone(), &tls)?;
            tasks.spawn_finite(
                format!("kubelet of {}", node.name),
                stop_at(tasks, kubelet.serve(listener)),
            );
        }
        tasks.spawn_finite("pods", stop_at(tasks, async move { pods.run().await }));
        let (told, mut registered) = mpsc::channel(self.nodes.len().max(1));
        for node in &self.nodes {
            let told = told.clone();
            let name = format!("registration of {}", node.name);
            let register = register(client.clone(), node.clone(), move || {
                // The queue has room for all; nobody listens only after a timeout.
                let _ = told.try_send(());
            });
            tasks.spawn_finite(name, stop_at(tasks, register));
        }
        let all = async {
            for _ in &self.nodes {
                registered.recv().await;
            }
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .context("the nodes have not registered in time; see playground.log")
    }

    /// What it tells about itself.
    pub fn state(&self) -> State {
        self.board.state()
    }

    /// Stops all processes, last started first.
    pub async fn stop(&mut self) {
        // Why it could not start stays readable.
        self.board.change(|state| {
            if !matches!(state.phase, Phase::Failed(_)) {
                state.phase = Phase::Stopping;
            }
        });
        self.board.write();
        if let Err(error) = self.leave().await {
            warn!("something of a virtual cluster may be left in its host: {error:#}");
        }
        // Virtual clusters do not depend on each other, nor do the parts of one after its API server.
        let mut waves: Vec<Vec<Process>> = Vec::new();
        for process in self.processes.drain(..).rev() {
            let name = process.reports().borrow().name.clone();
            let foundation = name.ends_with("/apiserver") || name.ends_with("/kine-shim");
            match waves.last_mut() {
                Some(wave) if !foundation => wave.push(process),
                _ => waves.push(vec![process]),
            }
        }
        for wave in waves {
            join_all(wave.into_iter().map(Process::stop)).await;
        }
        self.board.change(|state| {
            for report in state.processes.iter_mut().filter(|report| report.pid.is_some()) {
                (report.health, report.pid) = (Health::Stopped, None);
            }
        });
        self.board.write();
        info!("all processes have ended");
    }
}

/// Starts the processes of one control plane.
struct Starter {
    board: Board,
    tasks: Tasks,
}

impl Starter {
    /// The first ones one after the other, the rest together; `processes` holds what has been started, also on failure.
    async fn control_plane(&self, specs: Vec<Spec>, processes: &mut Vec<Process>) -> Result<()> {
        let mut rest = Vec::new();
        for (position, spec) in specs.into_iter().enumerate() {
            let name = spec.name.clone();
            let process = Process::start(spec);
            self.tasks.spawn_finite(
                format!("state of {name}"),
                stop_at(&self.tasks, self.board.clone().show(process.reports())),
            );
            if position < FOUNDATION {
                self.board.phase(Phase::Starting(name));
                let ready = process.ready(PATIENCE).await;
                processes.push(process);
                ready?;
            } else {
                rest.push(process);
            }
        }
        let names: Vec<String> = rest
            .iter()
            .map(|process| process.reports().borrow().name.clone())
            .collect();
        self.board.phase(Phase::Starting(names.join(", ")));
        let ready = try_join_all(rest.iter().map(|process| process.ready(PATIENCE))).await;
        processes.extend(rest);
        ready.map(drop)
    }
}

/// Whether the virtual clusters assign their pods to nodes themselves.
fn schedules(values: &Path) -> Result<bool> {
    let text = fs::read_to_string(values).with_context(|| format!("cannot read {}", values.display()))?;
    let config = config::Config::parse(&values.display().to_string(), &text)?;
    Ok(config.has_scheduler())
}

/// Ends a task without an end of its own when the process is asked to end.
fn stop_at<F>(tasks: &Tasks, task: F) -> impl Future<Output = ()> + Send + use<F>
where
    F: Future<Output = ()> + Send,
{
    let shutdown = tasks.shutdown();
    async move {
        tokio::select! {
            () = task => {}
            () = shutdown.cancelled() => {}
        }
    }
}
