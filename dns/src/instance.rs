//! The running name server: sockets that outlive a Corefile, and what belongs to the current one.

use crate::config::Configuration;
use crate::plugins::{EndpointKind, JobContext, Plan, ReadyCheck};
use crate::router::Router;
use crate::server::{Server, Sockets};
use anyhow::{Context, Result};
use chassis::http::{Answer, Handler};
use chassis::{Addresses, BindAddress, CancellationToken, Listener, Metrics, Tasks, lock};
use hyper::StatusCode;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The servers and endpoints that run, and how to change them.
pub(crate) struct Instance {
    tasks: Tasks,
    addresses: Addresses,
    metrics: Metrics,
    servers: BTreeMap<SocketAddr, Running>,
    endpoints: BTreeMap<(EndpointKind, SocketAddr), CancellationToken>,
    /// Ends the jobs of the current Corefile.
    generation: CancellationToken,
    /// Ends the servers: some time after the process was asked to end.
    stop: CancellationToken,
    current: Arc<Mutex<Current>>,
}

struct Running {
    server: Arc<Server>,
    bound: SocketAddr,
    stop: CancellationToken,
}

/// What endpoints and the end of the process need to know of the current Corefile.
#[derive(Default)]
struct Current {
    ready: Vec<(&'static str, ReadyCheck)>,
    lameduck: Duration,
}

impl Instance {
    pub(crate) fn new(tasks: &Tasks, addresses: &Addresses, metrics: &Metrics) -> Self {
        let instance = Instance {
            tasks: tasks.clone(),
            addresses: addresses.clone(),
            metrics: metrics.clone(),
            servers: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            generation: CancellationToken::new(),
            stop: CancellationToken::new(),
            current: Arc::default(),
        };
        let (shutdown, stop, current) = (tasks.shutdown(), instance.stop.clone(), instance.current.clone());
        tasks.spawn_finite("lameduck", async move {
            shutdown.cancelled().await;
            let lameduck = lock(&current).lameduck;
            tokio::time::sleep(lameduck).await;
            stop.cancel();
        });
        instance
    }

    /// Takes over a Corefile: first binds what is new, and leaves everything as it was if that fails; then exchanges the
    /// routes and ends what is no longer asked for.
    pub(crate) async fn apply(&mut self, configuration: Configuration) -> Result<()> {
        let Configuration { servers, plan, jobs } = configuration;
        let mut sockets = Vec::new();
        for (address, (_, line)) in servers
            .iter()
            .filter(|(address, _)| !self.servers.contains_key(address))
        {
            let bound = Sockets::bind(*address).await;
            sockets.push((
                *address,
                bound.with_context(|| format!("{line}: cannot listen on {address} over UDP and TCP"))?,
            ));
        }
        let mut listeners = Vec::new();
        for endpoint in &plan.http {
            let key = (endpoint.kind, endpoint.address);
            let fresh = !self.endpoints.contains_key(&key) && listeners.iter().all(|(known, _)| *known != key);
            if fresh {
                let listener = Listener::bind(&BindAddress::Tcp(endpoint.address)).await;
                let name = &endpoint.directive.name;
                listeners.push((key, listener.with_context(|| format!("{}: {}", name.at, name.text))?));
            }
        }

        self.stop_removed(&servers, &plan);
        for (address, (routes, _)) in servers {
            let router = Arc::new(Router::new(routes));
            match self.servers.get(&address) {
                Some(running) => running.server.set_router(router),
                None => {
                    if let Some(index) = sockets.iter().position(|(known, _)| *known == address) {
                        self.start_server(address, sockets.swap_remove(index).1, router)?;
                    }
                }
            }
        }
        for (key, listener) in listeners {
            self.start_endpoint(key, listener);
        }
        *lock(&self.current) = Current {
            ready: plan.ready,
            lameduck: plan.lameduck,
        };
        self.generation.cancel();
        self.generation = self.stop.child_token();
        for (address, job) in jobs {
            let bound = self.servers.get(&address).map_or(address, |running| running.bound);
            let context = JobContext {
                stop: self.generation.clone(),
                address: reachable(bound),
            };
            self.tasks.spawn_finite(job.name, job.start(context));
        }
        Ok(())
    }

    fn stop_removed<T>(&mut self, servers: &BTreeMap<SocketAddr, T>, plan: &Plan) {
        self.servers.retain(|address, running| {
            let keep = servers.contains_key(address);
            if !keep {
                running.stop.cancel();
            }
            keep
        });
        self.endpoints.retain(|(kind, address), stop| {
            let keep = plan
                .http
                .iter()
                .any(|endpoint| endpoint.kind == *kind && endpoint.address == *address);
            if !keep {
                stop.cancel();
            }
            keep
        });
    }

    fn start_server(&mut self, address: SocketAddr, sockets: Sockets, router: Arc<Router>) -> Result<()> {
        let bound = sockets.address().context("the address of a socket is unknown")?;
        let name = if self.servers.is_empty() {
            "dns".to_owned()
        } else {
            format!("dns-{bound}")
        };
        self.addresses.insert(&name, BindAddress::Tcp(bound));
        let server = Arc::new(Server::new(router));
        let stop = self.stop.child_token();
        sockets.serve(&server, &self.tasks, &stop);
        self.servers.insert(address, Running { server, bound, stop });
        Ok(())
    }

    fn start_endpoint(&mut self, key: (EndpointKind, SocketAddr), listener: Listener) {
        let (name, handler): (_, Handler) = match key.0 {
            EndpointKind::Health => (
                "health",
                Arc::new(|path, _| at("/health", path, || Answer::text(StatusCode::OK, "OK"))),
            ),
            EndpointKind::Ready => {
                let (current, shutdown) = (self.current.clone(), self.tasks.shutdown());
                (
                    "ready",
                    Arc::new(move |path, _| at("/ready", path, || ready(&current, &shutdown))),
                )
            }
            EndpointKind::Prometheus => {
                let metrics = self.metrics.clone();
                (
                    "prometheus",
                    Arc::new(move |path, _| at("/metrics", path, || Answer::metrics(&metrics))),
                )
            }
        };
        self.addresses.insert(name, listener.address().clone());
        let stop = self.stop.child_token();
        chassis::http::serve_until(&self.tasks, name, listener, handler, stop.clone());
        self.endpoints.insert(key, stop);
    }
}

fn at(path: &str, asked: &str, answer: impl FnOnce() -> Answer) -> Answer {
    if asked == path { answer() } else { Answer::not_found() }
}

fn ready(current: &Mutex<Current>, shutdown: &CancellationToken) -> Answer {
    if shutdown.is_cancelled() {
        return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    }
    let checks = lock(current).ready.clone();
    let missing: Vec<&str> = checks
        .iter()
        .filter(|(_, check)| !check())
        .map(|(name, _)| *name)
        .collect();
    match missing.is_empty() {
        true => Answer::text(StatusCode::OK, "OK"),
        false => Answer::text(StatusCode::SERVICE_UNAVAILABLE, missing.join(",")),
    }
}

/// How a client on this machine reaches an address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
