//! The process of a service: what its parts share, in the order it starts and ends.

use crate::grpc::GrpcServices;
use crate::health::{Gate, Health};
use crate::metrics::Metrics;
use crate::net::{Addresses, BindAddress, Listener};
use crate::options::CommonOptions;
use crate::tasks::Tasks;
use crate::tls::{Protocols, Server, ServerFiles};
use crate::{admin, http};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the parts of a service share. Built before them, served after them, drained with them.
#[derive(Debug)]
pub struct Chassis {
    health: Health,
    metrics: Metrics,
    tasks: Tasks,
    /// Health and metrics stay up until everything else has ended.
    admin: Tasks,
    grpc: GrpcServices,
    grpc_address: Option<BindAddress>,
    addresses: Addresses,
    startup: Gate,
    drain_timeout: Duration,
    flags: BTreeMap<String, String>,
}

impl Chassis {
    /// Starts serving health and metrics (address `admin`), not ready yet.
    pub async fn start(options: &CommonOptions) -> Result<Self> {
        Self::start_secured(options, None).await
    }

    /// As [`Chassis::start`], with health and metrics over TLS if there are files for it.
    pub async fn start_secured(options: &CommonOptions, admin_tls: Option<ServerFiles>) -> Result<Self> {
        let health = Health::default();
        let startup = health.gate("startup");
        let chassis = Chassis {
            tasks: Tasks::new(health.clone(), CancellationToken::new()),
            admin: Tasks::new(health.clone(), CancellationToken::new()),
            metrics: Metrics::default(),
            grpc: GrpcServices::default(),
            grpc_address: options.grpc_bind_address.0.clone(),
            addresses: Addresses::default(),
            drain_timeout: options.drain_timeout,
            flags: BTreeMap::new(),
            startup,
            health,
        };
        if let Some(address) = &options.admin_bind_address.0 {
            let server = admin_tls.map(|files| Server::load(files, Protocols::Http1)).transpose();
            let server = server.map_err(|error| crate::usage(error.to_string()))?.map(Arc::new);
            let listener = Listener::bind(address)
                .await
                .context("--admin-bind-address")?
                .secured(server);
            chassis.addresses.insert("admin", listener.address().clone());
            let handler = admin::handler(chassis.health.clone(), chassis.metrics.clone());
            http::serve(&chassis.admin, "admin", listener, handler);
        }
        Ok(chassis)
    }

    /// The flags as they are in effect, defaults included, by name; lists in brackets. Empty unless the service was
    /// started from a command line.
    pub fn flags(&self) -> &BTreeMap<String, String> {
        &self.flags
    }

    pub(crate) fn set_flags(&mut self, flags: BTreeMap<String, String>) {
        self.flags = flags;
    }

    /// The readiness gates.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The Prometheus registry.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The owner of all tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Cancelled when the service must end.
    pub fn shutdown(&self) -> CancellationToken {
        self.tasks.shutdown()
    }

    /// The gRPC contracts, served by [`Chassis::serve`].
    pub fn grpc(&mut self) -> &mut GrpcServices {
        &mut self.grpc
    }

    /// Where the service listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves the collected gRPC contracts (address `grpc`) and opens the gate `startup`. Called once, after the service
    /// is built.
    pub async fn serve(&mut self) -> Result<()> {
        let grpc = std::mem::take(&mut self.grpc);
        if let Some(address) = self.grpc_address.take() {
            let listener = Listener::bind(&address).await.context("--grpc-bind-address")?;
            self.addresses.insert("grpc", listener.address().clone());
            grpc.serve(&self.tasks, "grpc", listener, &self.health).await?;
        }
        self.startup.ready();
        Ok(())
    }

    /// Ends every task: readiness goes first, health and metrics last.
    pub async fn drain(self) -> Result<()> {
        self.health.gate("shutdown").not_ready("the process is draining");
        let drained = self.tasks.drain(self.drain_timeout).await;
        self.admin.drain(Duration::from_secs(1)).await?;
        drained
    }
}

#[cfg(test)]
mod tests;
