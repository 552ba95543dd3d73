//! Under which names and addresses the kubelet of a virtual node is reached, and which node such a name means.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::service;
use crate::kinds::Kind;
use crate::world::World;

/// DNS domain of virtual nodes.
pub const DOMAIN: &str = "nodes.vcluster.com";
/// Type of the address at which the virtual API server, which runs beside this process, finds it
/// (`--kubelet-preferred-address-types`). The other addresses lead through the host's network.
const BESIDE: &str = "VirtualKubelet";
/// Addresses of a host node that mean its own kubelet.
const OF_HOST_KUBELET: [&str; 3] = ["InternalIP", "InternalDNS", "Hostname"];

/// The host name of a node.
pub fn host_name(node: &str) -> String {
    format!("{}.{DOMAIN}", node.replace('.', "-"))
}

/// The addresses of a node, with those of the host's node that mean something else than its kubelet.
pub(super) fn of(world: &World, node: &str, host: &[Value]) -> Value {
    let settings = &world.settings.nodes;
    let address = |kind: &str, address: &str| json!({"type": kind, "address": address});
    let mut all = Vec::new();
    if settings.by_hostname {
        all.push(address("Hostname", &host_name(node)));
    }
    if let Some(ip) = service::address(world, node) {
        all.push(address("InternalIP", &ip));
    }
    let replaced = settings.by_hostname || settings.by_ip;
    let kept = host
        .iter()
        .filter(|address| !(replaced && OF_HOST_KUBELET.iter().any(|kind| address["type"] == *kind)));
    all.extend(kept.cloned());
    all.push(address(BESIDE, &settings.kubelet_address));
    Value::Array(all)
}

/// The port of the kubelet.
pub(super) fn endpoints(world: &World) -> Value {
    json!({"kubeletEndpoint": {"Port": world.settings.nodes.kubelet_port}})
}

/// The addresses that nodes have of their own.
pub fn of_nodes(world: &World) -> impl Iterator<Item = IpAddr> {
    let nodes = world.virtual_side.of(Kind::Node).list();
    nodes
        .into_iter()
        .filter_map(|node| service::address(world, &node.key().name)?.parse().ok())
}

/// The virtual node that a host, as in a URL without its port, means.
pub fn node_of_host(world: &World, host: &str) -> Option<String> {
    let nodes = world.virtual_side.of(Kind::Node).list();
    let mut names = nodes.iter().map(|node| node.key().name.as_str());
    let found = match host.strip_suffix(DOMAIN).and_then(|host| host.strip_suffix('.')) {
        Some(label) => {
            // Versions before 0.15 named the virtual cluster, too.
            let older = format!(".{}.{}", world.names.vcluster(), world.names.host_namespace());
            let label = label.strip_suffix(&older).unwrap_or(label);
            names.find(|name| name.replace('.', "-") == label)
        }
        None => names.find(|name| service::address(world, name).as_deref() == Some(host)),
    };
    found.map(str::to_owned)
}
