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
use tracing::info;

use super::board::Board;
use super::bootstrap;
use super::layout::Layout;
use super::state::{ClusterAccess, Phase, State};
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
    host: ControlPlane,
    nodes: Vec<NodeIdentity>,
    /// The port of the metrics server.
    metrics: u16,
    clusters: Vec<ControlPlane>,
    nested: bool,
}

impl Playground {
    /// Prepares the files and shows the first state; nothing runs yet but the tasks that keep the state.
    ///
    /// # Errors
    /// A file cannot be written, or no port is free.
    pub fn prepare(settings: &Settings, tasks: &Tasks) -> Result<Self> {
        let layout = &settings.layout;
        let mut ports = Ports::open(&layout.ports())?;
        let mut host = ControlPlane::prepare("host", &layout.host(), Role::Host, &mut ports)?;
        let mut clusters: Vec<ControlPlane> = Vec::new();
        let values = Some(layout.values()).filter(|values| values.exists());
        let scheduler = values.as_deref().map(schedules).transpose()?.unwrap_or_default();
        for name in &settings.clusters {
            let outer = clusters.last().filter(|_| settings.nested).unwrap_or(&host);
            let host_namespace = settings.namespace_of(name);
            let role = Role::Virtual {
                host_kubeconfig: outer.tenant_kubeconfig(name, &host_namespace)?,
                host_namespace,
                values: values.clone(),
                scheduler,
            };
            clusters.push(ControlPlane::prepare(name, &layout.cluster(name), role, &mut ports)?);
        }
        let mut nodes = Vec::new();
        for index in 1..=settings.nodes {
            let name = format!("node-{index}");
            let address = ([127, 0, 0, 1], ports.get(&format!("{name}/kubelet"))?).into();
            nodes.push(NodeIdentity { name, index, address });
        }
        let metrics = ports.get("metrics-server")?;
        host.set_kubelets(nodes.iter().map(|node| node.address.port()).collect());
        let access = |plane: &ControlPlane, namespace: Option<String>| ClusterAccess {
            name: plane.name.clone(),
            server: plane.server(),
            kubeconfig: plane.kubeconfig(),
            dns: namespace.as_ref().map(|_| plane.address("dns/dns")),
            namespace,
        };
        let all = clusters
            .iter()
            .map(|plane| access(plane, Some(settings.namespace_of(&plane.name))));
        let state = State {
            version: chassis::VERSION.to_string(),
            supervisor: std::process::id(),
            phase: Phase::Starting("the host".to_string()),
            clusters: std::iter::once(access(&host, None)).chain(all).collect(),
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
        let specs = self.host.processes(&settings.binaries, playground);
        let host = Starter {
            board: self.board.clone(),
            tasks: tasks.clone(),
        };
        host.control_plane(specs, &mut self.processes).await?;
        let client = connect(&self.host.pki().path(NODES), "vcluster-playground").await?;
        self.board.phase(Phase::Starting("the nodes of the host".to_string()));
        self.start_nodes(&client, tasks).await?;
        self.start_metrics_server(client, tasks).await?;
        // Those that live in one cluster do not wait for each other.
        let waves = self.clusters.chunks(if self.nested { 1 } else { usize::MAX });
        let mut outer = &self.host;
        for wave in waves {
            let client = connect(&outer.kubeconfig(), "vcluster-playground").await?;
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
            outer = wave.last().unwrap_or(outer);
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

    async fn start_metrics_server(&self, client: kube::Client, tasks: &Tasks) -> Result<()> {
        let files = self.host.metrics_server_files()?;
        let address = (Ipv4Addr::LOCALHOST, self.metrics);
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on port {} for measurements", self.metrics))?;
        let server = MetricsServer::register(client, self.metrics, &files).await?;
        tasks.spawn_finite("metrics server", stop_at(tasks, server.serve(listener)));
        Ok(())
    }

    async fn start_nodes(&self, client: &kube::Client, tasks: &Tasks) -> Result<()> {
        let (recorder, writer) = Recorder::new(client.clone(), "kubelet");
        tasks.spawn_finite("events", stop_at(tasks, writer.run()));
        let pods = Pods::new(client.clone(), &self.nodes, recorder);
        for node in &self.nodes {
            let certificate = self.host.node_certificate(&node.name)?;
            let tls = KubeletTls {
                certificate: self.host.pki().path(&format!("{certificate}.crt")),
                key: self.host.pki().path(&format!("{certificate}.key")),
                client_ca: self.host.pki().path("ca.crt"),
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
