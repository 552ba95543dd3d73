//! The service: records, Corefile, servers, reload, in start order.

use crate::config::{Listen, configure};
use crate::corefile::{Disk, ServerBlock, Sources, parse};
use crate::instance::Instance;
use crate::metrics::Metrics;
use crate::networking::Networking;
use crate::options::Options;
use crate::plugins::{Reload, Shared};
use crate::records::{self, Store};
use anyhow::Result;
use chassis::{CancellationToken, Chassis};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Builds the name server. Its addresses are called `dns`, `health`, `ready` and `prometheus`.
pub async fn build(options: Options, chassis: &mut Chassis) -> Result<()> {
    let metrics = chassis.metrics().register(Metrics::register);
    let store = Arc::new(Store::default());
    let shared = Shared {
        metrics: metrics.clone(),
        records: store.clone(),
        has_records: options.records_endpoint.is_some(),
        own_addresses: own_addresses(options.bind_address),
        networking: Arc::new(Networking::read(&options, &Disk)?),
        tasks: chassis.tasks().clone(),
    };
    if let Some(endpoint) = &options.records_endpoint {
        let channel = chassis::grpc::channel("--records-endpoint", endpoint)?;
        let gate = chassis.health().gate("records");
        let stream = records::follow(store, channel, metrics, gate, chassis.shutdown());
        chassis.tasks().spawn("records", stream);
    }

    let listen = Listen {
        address: options.bind_address,
        port: options.dns_port,
    };
    let mut loader = Loader {
        file: options.conf,
        listen,
        shared,
        blocks: Vec::new(),
    };
    let mut instance = Instance::new(chassis.tasks(), chassis.addresses(), chassis.metrics());
    let reload = loader.load(&mut instance).await?;
    let shutdown = chassis.shutdown();
    chassis
        .tasks()
        .spawn("reload", async move { loader.watch(instance, reload, shutdown).await });
    Ok(())
}

/// Reads the Corefile, and reads it again when told to.
struct Loader {
    file: PathBuf,
    listen: Listen,
    shared: Shared,
    /// What is in use.
    blocks: Vec<ServerBlock>,
}

impl Loader {
    fn parse(&self) -> Result<Vec<ServerBlock>> {
        let text = read(&self.file)?;
        parse(&self.file.to_string_lossy(), &text, &Disk).map_err(|error| chassis::usage(error.to_string()))
    }

    /// Puts the Corefile to use; says how to go on watching it.
    async fn load(&mut self, instance: &mut Instance) -> Result<Option<Reload>> {
        let blocks = self.parse()?;
        self.apply(blocks, instance).await
    }

    async fn apply(&mut self, blocks: Vec<ServerBlock>, instance: &mut Instance) -> Result<Option<Reload>> {
        let configuration =
            configure(&blocks, self.listen, &self.shared, &Disk).map_err(|error| chassis::usage(error.to_string()))?;
        if configuration.servers.is_empty() {
            return Err(chassis::usage(format!(
                "{}: there is no server block in it",
                self.file.display()
            )));
        }
        let (reload, include_pods) = (configuration.plan.reload, configuration.plan.include_pods);
        instance.apply(configuration).await?;
        self.shared.records.include_pods(include_pods);
        self.blocks = blocks;
        Ok(reload)
    }

    /// Looks at the Corefile from time to time; one that cannot be used changes nothing.
    async fn watch(mut self, mut instance: Instance, reload: Option<Reload>, shutdown: CancellationToken) {
        let mut reload = reload;
        loop {
            let Some(Reload { interval, jitter }) = reload else {
                return shutdown.cancelled().await;
            };
            let pause = interval + jitter.mul_f64(f64::from(crate::plugins::random() as u16) / f64::from(u16::MAX));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => return,
            }
            let outcome = match self.parse() {
                Ok(blocks) if blocks == self.blocks => continue,
                Ok(blocks) => self.apply(blocks, &mut instance).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(next) => {
                    tracing::info!("the changed Corefile is in use");
                    reload = next;
                }
                Err(error) => {
                    self.shared.metrics.reload_failed.inc();
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the changed Corefile cannot be used; the old one is"
                    );
                }
            }
        }
    }
}

fn read(file: &Path) -> Result<String> {
    Disk.read(file)
        .map_err(|error| chassis::usage(format!("--conf: cannot read {}: {error}", file.display())))
}

/// The addresses this name server is known by: the one it is told to listen on, or else those it would send from.
fn own_addresses(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    // Connecting a UDP socket chooses a source address and sends nothing. The targets are documentation addresses.
    let source = |any: IpAddr, target: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(target, 53)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let v4 = source(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = source(
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    );
    let found: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
    if found.is_empty() {
        vec![Ipv4Addr::LOCALHOST.into()]
    } else {
        found
    }
}

#[cfg(test)]
mod tests;
