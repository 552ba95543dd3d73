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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corefile::{Disk, parse};
    use crate::testing::{Lab, corefile_error, namespace, port, service, shared};

    /// What vCluster's chart writes with every option on, except for the addresses of this machine.
    const VCLUSTER: &str = ".:1053 {
    errors
    health 127.0.0.1:0
    ready 127.0.0.1:0
    rewrite name regex .*\\.nodes\\.vcluster\\.com kubernetes.default.svc.cluster.local
    kubernetes example.internal cluster.local in-addr.arpa ip6.arpa {
        kubeconfig /data/vcluster/admin.conf
        pods insecure
        fallthrough cluster.local in-addr.arpa ip6.arpa
    }
    hosts /does/not/exist/NodeHosts {
        10.9.9.9 node-1 node-1.example
        ttl 60
        reload 15s
        fallthrough
    }
    prometheus 127.0.0.1:0
    forward . 127.0.0.1 8.8.8.8 {
        policy sequential
    }
    cache 30
    loop
    reload
    loadbalance
}
import /does/not/exist/*.server
";

    fn configuration(text: &str) -> Configuration {
        let listen = Listen {
            address: IpAddr::from([127, 0, 0, 1]),
            port: None,
        };
        configure(&parse("Corefile", text, &Disk).unwrap(), listen, &shared(), &Disk).unwrap()
    }

    #[test]
    fn the_order_of_the_plugins_is_not_that_of_the_file() {
        let Configuration { servers, plan, jobs } = configuration(VCLUSTER);
        let (address, (routes, line)) = servers.iter().next().unwrap();
        assert_eq!(
            (address.to_string().as_str(), line.as_str()),
            ("127.0.0.1:1053", "Corefile:1")
        );
        let order: Vec<&str> = routes[0].handlers.iter().map(|handler| handler.name()).collect();
        let expected = "prometheus errors loadbalance cache rewrite hosts kubernetes loop forward";
        assert_eq!(order.join(" "), expected);
        assert_eq!(plan.http.len(), 3);
        assert!(plan.reload.is_some());
        assert_eq!(
            jobs.iter().map(|(_, job)| job.name).collect::<Vec<_>>(),
            ["hosts", "loop", "forward"]
        );
    }

    #[tokio::test]
    async fn vclusters_own_corefile_answers() {
        let records = vec![
            namespace("default"),
            service(
                "default/kubernetes",
                &["10.0.0.1"],
                vec![port("https", "TCP", 443)],
                vec![],
            ),
        ];
        let lab = Lab::new(VCLUSTER, records);
        for (question, expected) in [
            (
                "kubernetes.default.svc.example.internal. A",
                "NOERROR aa; an: kubernetes.default.svc.example.internal. 5 IN A 10.0.0.1",
            ),
            (
                "1.0.0.10.in-addr.arpa. PTR",
                "NOERROR aa; an: 1.0.0.10.in-addr.arpa. 5 IN PTR kubernetes.default.svc.example.internal.",
            ),
            ("node-1.example. A", "NOERROR aa; an: node-1.example. 30 IN A 10.9.9.9"),
            ("node-1. AAAA", "NOERROR aa"),
            (
                "9.9.9.10.in-addr.arpa. PTR",
                "NOERROR aa; an: 9.9.9.10.in-addr.arpa. 30 IN PTR node-1., 9.9.9.10.in-addr.arpa. 30 IN PTR node-1.example.",
            ),
            // The question is put back, the answer is not: regular expressions cannot be undone.
            (
                "node-1.nodes.vcluster.com. A",
                "NOERROR aa; an: kubernetes.default.svc.cluster.local. 5 IN A 10.0.0.1",
            ),
        ] {
            assert_eq!(lab.ask(question).await, expected, "{question}");
        }
        let message = lab.message("node-1.nodes.vcluster.com. A", None).await;
        assert_eq!(message.queries[0].name.to_string(), "node-1.nodes.vcluster.com.");
    }

    #[test]
    fn several_ports_and_addresses_are_several_servers() {
        let text = "a.example:53 b.example:54 {\n errors\n}\nc.example {\n bind 127.0.0.2 127.0.0.3\n errors\n}\n";
        let servers = configuration(text).servers;
        let shown: Vec<String> = servers
            .iter()
            .map(|(address, (routes, _))| {
                let zones: Vec<String> = routes.iter().map(|route| route.zone.to_string()).collect();
                format!("{address} {}", zones.join(" "))
            })
            .collect();
        let expected = [
            "127.0.0.1:53 a.example.",
            "127.0.0.1:54 b.example.",
            "127.0.0.2:53 c.example.",
            "127.0.0.3:53 c.example.",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn mistakes_name_the_line() {
        for (lines, expected) in [
            ("nonsense", "Corefile:2: there is no plugin \"nonsense\", only"),
            (
                "bind eth0",
                "Corefile:2: \"eth0\" is not an IP address; names of interfaces are not supported",
            ),
            (
                "errors {\n consolidate 5m x\n }",
                "Corefile:3: errors has no property \"consolidate\"",
            ),
            (
                "log . {\n class some\n }",
                "Corefile:3: class must have the form: class all|denial|error|success...",
            ),
            (
                "health {\n lameduck long\n }",
                "Corefile:3: \"long\" is not a duration such as 30s or 1m30s",
            ),
            ("reload 1s", "Corefile:2: the interval must be at least 2s"),
            (
                "loadbalance best",
                "Corefile:2: loadbalance has no policy \"best\", only round_robin",
            ),
            ("hosts {\n ttl 0\n }", "Corefile:3: the ttl must be between 1 and 65535"),
            ("hosts {\n 10.0.0.1\n }", "Corefile:3: the address 10.0.0.1 has no name"),
            (
                "rewrite name regex ( b",
                "Corefile:2: \"(\" is not a regular expression: unclosed group",
            ),
            ("rewrite ttl exact a 5", "Corefile:2: rewrite does not support ttl"),
            (
                "template IN",
                "Corefile:2: template must have the form: template CLASS TYPE [ZONES...]",
            ),
            (
                "template IN A {\n answer \"{{ range }}\"\n }",
                "Corefile:3: the template has an action that is not supported",
            ),
            ("loop x", "Corefile:2: loop must have the form: loop"),
        ] {
            let error = corefile_error(&format!(".:53 {{\n {lines}\n}}"));
            assert!(error.starts_with(expected), "{lines}: {error}");
        }
    }
}
