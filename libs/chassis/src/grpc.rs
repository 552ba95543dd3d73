//! The gRPC side of a service: its contracts, health (`grpc.health.v1`) and reflection (v1 and v1alpha), on TCP or a unix
//! socket; and channels to other services.

mod connections;
mod deadline;
mod routes;
mod unary;

pub use self::routes::Contract;
pub use self::unary::unary;

use self::routes::Routes;
use crate::health::Health;
use crate::net::Listener;
use crate::reflection::Described;
use crate::tasks::Tasks;
use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The contracts a process serves, collected while it is built.
#[derive(Debug, Default)]
pub struct GrpcServices {
    routes: Routes,
    descriptors: Vec<&'static [u8]>,
    limits: Limits,
}

/// What one connection may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Most calls at the same time, `None` for any number.
    pub concurrent_streams: Option<u32>,
    /// Bytes of requests that may wait to be read, `None` for 1 MiB. It also decides how many small messages may: about one
    /// for every 512 bytes; a connection with more of them is closed.
    pub window: Option<u32>,
}

impl GrpcServices {
    /// Adds a generated server, for example `RecordsServer::new(…)`.
    pub fn add(&mut self, service: impl Contract) -> &mut Self {
        self.routes.add(service);
        self
    }

    /// Adds an encoded file descriptor set, for reflection. Adding one twice is harmless.
    pub fn descriptors(&mut self, encoded: &'static [u8]) -> &mut Self {
        if !self.descriptors.contains(&encoded) {
            self.descriptors.push(encoded);
        }
        self
    }

    /// Limits what one connection may take.
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Adds health and reflection and starts serving everything on `listener` as a task called `name`. Health follows
    /// `health`, for the process ("") and for each contract.
    pub async fn serve(mut self, tasks: &Tasks, name: &'static str, listener: Listener, health: &Health) -> Result<()> {
        let reporter = HealthReporter::new();
        let health_service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
        self.add(tonic_health::pb::health_server::HealthServer::new(health_service));
        self.descriptors(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let names = self.routes.names();
        let limits = self.limits;
        let routes = self.with_reflection();
        follow_readiness(tasks, reporter, names, health.subscribe()).await;
        connections::serve(tasks, name, listener, routes, limits);
        Ok(())
    }

    /// Reflection lists what is served, not everything the descriptor sets describe.
    fn with_reflection(mut self) -> Routes {
        let described = Described {
            sets: self.descriptors,
            names: self.routes.names(),
        };
        self.routes.add(described.clone().v1());
        self.routes.add(described.v1alpha());
        self.routes
    }
}

async fn follow_readiness(
    tasks: &Tasks,
    reporter: HealthReporter,
    names: Vec<&'static str>,
    mut ready: watch::Receiver<bool>,
) {
    let shutdown = tasks.shutdown();
    let publish = move |ready: bool| {
        let (reporter, names) = (reporter.clone(), names.clone());
        async move {
            let status = if ready {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for name in std::iter::once("").chain(names) {
                reporter.set_service_status(name, status).await;
            }
        }
    };
    let now = *ready.borrow_and_update();
    publish(now).await;
    tasks.spawn("grpc-health", async move {
        loop {
            tokio::select! {
                changed = ready.changed() => changed.context("readiness is no longer known")?,
                () = shutdown.cancelled() => return anyhow::Ok(()),
            }
            let now = *ready.borrow_and_update();
            publish(now).await;
        }
    });
}

/// A channel to another service, connected when first used and again whenever it breaks. `url` is `http://HOST:PORT` or
/// `unix:///path`; `flag` is named when it is not.
pub fn channel(flag: &str, url: &str) -> Result<Channel> {
    let wrong = || crate::usage(format!("{flag}: {url:?} is neither http://HOST:PORT nor unix:///path"));
    if !(url.starts_with("http://") || url.starts_with("unix:///")) {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .connect_lazy())
}
