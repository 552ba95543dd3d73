//! From a parsed Corefile to servers with their routes, and to everything else it asks for.

use crate::corefile::{Directive, Error, ServerBlock, Sources};
use crate::metrics::PluginLabels;
use crate::plugins::{Block, Job, PLUGINS, Plan, Shared};
use crate::request::Handler;
use crate::router::Route;
use crate::zone::{self, Key};
use hickory_proto::rr::Name;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The port of addresses that name none.
const DEFAULT_PORT: u16 = 53;

/// Where to listen, as the command line says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen {
    /// For server blocks without `bind`.
    pub(crate) address: IpAddr,
    /// In place of the Corefile's ports.
    pub(crate) port: Option<u16>,
}

/// A Corefile in working form.
pub(crate) struct Configuration {
    /// The routes of each address, and the line that asks for it.
    pub(crate) servers: BTreeMap<SocketAddr, (Vec<Route>, String)>,
    pub(crate) plan: Plan,
    /// Jobs with an address of their server block.
    pub(crate) jobs: Vec<(SocketAddr, Job)>,
}

/// Sets up every plugin of every block.
pub(crate) fn configure(
    blocks: &[ServerBlock],
    listen: Listen,
    shared: &Shared,
    sources: &dyn Sources,
) -> Result<Configuration, Error> {
    let mut configuration = Configuration {
        servers: BTreeMap::new(),
        plan: Plan::default(),
        jobs: Vec::new(),
    };
    shared.metrics.plugin_enabled.clear();
    for server_block in blocks {
        add(server_block, listen, shared, sources, &mut configuration)?;
    }
    Ok(configuration)
}

fn add(
    server_block: &ServerBlock,
    listen: Listen,
    shared: &Shared,
    sources: &dyn Sources,
    configuration: &mut Configuration,
) -> Result<(), Error> {
    let keys: Vec<Key> = server_block
        .keys
        .iter()
        .map(zone::parse_key)
        .collect::<Result<_, _>>()?;
    let zones: Vec<Name> = keys.iter().flat_map(|key| key.zones.iter().cloned()).collect();
    let port = |key: &Key| listen.port.or(key.port).unwrap_or(DEFAULT_PORT);
    let Some(first_port) = keys.first().map(port) else {
        return Ok(());
    };
    let server = format!("dns://:{first_port}");
    let plan = &mut configuration.plan;
    let mut block = Block {
        zones: &zones,
        server: &server,
        shared,
        sources,
        plan,
        binds: Vec::new(),
    };
    let handlers: Arc<[Arc<dyn Handler>]> = handlers(&server_block.directives, &mut block)?.into();
    let addresses = if block.binds.is_empty() {
        vec![listen.address]
    } else {
        block.binds
    };
    for (token, key) in server_block.keys.iter().zip(&keys) {
        for address in &addresses {
            let address = SocketAddr::new(*address, port(key));
            let (routes, _) = configuration
                .servers
                .entry(address)
                .or_insert_with(|| (Vec::new(), token.at.to_string()));
            for zone in &key.zones {
                if routes.iter().any(|route| route.zone == *zone) {
                    return Err(token.error(format!("the zone {zone} is served on {address} already")));
                }
                routes.push(Route {
                    zone: zone.clone(),
                    handlers: handlers.clone(),
                });
            }
        }
    }
    if let Some(address) = addresses.first() {
        let address = SocketAddr::new(*address, first_port);
        let jobs = std::mem::take(&mut configuration.plan.jobs);
        configuration.jobs.extend(jobs.into_iter().map(|job| (address, job)));
    }
    Ok(())
}

fn handlers(directives: &[Directive], block: &mut Block<'_>) -> Result<Vec<Arc<dyn Handler>>, Error> {
    if let Some(unknown) = directives
        .iter()
        .find(|directive| PLUGINS.iter().all(|(name, _)| *name != directive.name.text))
    {
        let known: Vec<&str> = PLUGINS.iter().map(|(name, _)| *name).collect();
        let message = format!("there is no plugin {:?}, only {}", unknown.name.text, known.join(", "));
        return Err(unknown.name.error(message));
    }
    let mut handlers = Vec::new();
    for (name, setup) in PLUGINS {
        let lines: Vec<Directive> = directives
            .iter()
            .filter(|directive| directive.name.text == *name)
            .cloned()
            .collect();
        if lines.is_empty() {
            continue;
        }
        handlers.extend(setup(&lines, block)?);
        for zone in block.zones {
            let labels = PluginLabels {
                server: block.server.to_owned(),
                zone: zone.to_string(),
                view: "",
                name,
            };
            block.shared.metrics.plugin_enabled.get_or_create(&labels).set(1);
        }
    }
    tracing::debug!(
        plugins = handlers
            .iter()
            .map(|handler| handler.name())
            .collect::<Vec<_>>()
            .join(" "),
        "order"
    );
    Ok(handlers)
}
