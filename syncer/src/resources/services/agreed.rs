//! What either side may change in a Service: the virtual one's owner or somebody on the host. Who has done it is seen in comparison
//! with what both sides had.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{node_port, port_key, without_node_port};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Known, Newer};
use crate::world::World;

/// Fields that load balancers of the host fill in, some of which announce their address like this.
const FILLED_IN: [&str; 3] = ["externalIPs", "loadBalancerIP", "loadBalancerSourceRanges"];

/// What API servers say about a node port that cannot be had (`pkg/registry/core/service/portallocator` of Kubernetes).
const NOT_TO_BE_HAD: [&str; 2] = [
    "provided port is already allocated",
    "provided port is not in the valid range",
];

/// Which side has changed what.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    of_host: BTreeSet<&'static str>,
    asked_for: BTreeSet<(i64, String)>,
}

impl Agreement {
    /// Whether the host has changed a field.
    pub(super) fn is_of_host(&self, field: &str) -> bool {
        self.of_host.contains(field)
    }

    /// What the host has changed, as changes of the virtual spec.
    pub(super) fn of_host(&self, host: &Value) -> Map<String, Value> {
        let fields = self.of_host.iter();
        fields
            .map(|field| ((*field).to_owned(), json!(host["spec"].get(*field))))
            .collect()
    }

    /// Whether the virtual Service was given another node port.
    pub(super) fn asks_for_node_ports(&self) -> bool {
        !self.asked_for.is_empty()
    }

    /// The same for one of its ports.
    pub(super) fn asks_for(&self, port: &Value) -> bool {
        let (number, protocol) = port_key(port);
        self.asked_for.contains(&(number, protocol.to_owned()))
    }
}

fn spot((number, protocol): (i64, &str)) -> String {
    format!("nodePort/{number}/{protocol}")
}

/// Compares both sides, and remembers what they agree about.
pub(super) fn compare(world: &World, object: &Value, host: &Value) -> Agreement {
    let uid = json::text(object, &["metadata", "uid"]);
    world.agreed.revise(uid, |known| look(known, object, host))
}

fn look(known: &mut Known, object: &Value, host: &Value) -> Agreement {
    let mut agreement = Agreement::default();
    for field in FILLED_IN {
        let [ours, theirs] = [object, host].map(|service| service["spec"].get(field).map(Value::to_string));
        if known.compare(&format!("spec/{field}"), ours.as_ref(), theirs.as_ref()) == Newer::Host {
            agreement.of_host.insert(field);
        }
    }
    let [ports, host_ports] = [object, host].map(|service| json::items(service, &["spec", "ports"]));
    for port in ports {
        let key = port_key(port);
        let number = |port: Option<Value>| port.and_then(|port| port.as_i64()).filter(|port| *port != 0);
        let (ours, theirs) = (
            number(port.get("nodePort").cloned()),
            number(node_port(host_ports, port)),
        );
        if known.compare(&spot(key), ours.as_ref(), theirs.as_ref()) == Newer::Virtual && ours.is_some() {
            agreement.asked_for.insert((key.0, key.1.to_owned()));
        }
    }
    let spots: BTreeSet<String> = ports.iter().map(|port| spot(port_key(port))).collect();
    known.keep(|what| !what.starts_with("nodePort/") || spots.contains(what));
    agreement
}

/// What to write instead when the host refuses a Service for its node ports: the same, with any node ports. The virtual Service
/// takes over which ones these are.
pub(crate) fn without_node_ports(
    world: &World,
    (side, kind): (Side, Kind),
    virtual_: Option<&Value>,
    (body, refusal): (&Value, &str),
) -> Option<Value> {
    let refused =
        side == Side::Host && kind == Kind::Service && NOT_TO_BE_HAD.iter().any(|text| refusal.contains(text));
    if !refused {
        return None;
    }
    let ports = json::items(body, &["spec", "ports"]);
    if ports.iter().all(|port| port.get("nodePort").is_none()) {
        return None;
    }
    let mut other = body.clone();
    other["spec"]["ports"] = ports.iter().map(without_node_port).collect();
    if let Some(service) = virtual_ {
        give_up(world, service);
    }
    Some(other)
}

/// What was asked for cannot be had: from now on it counts as what was there before.
fn give_up(world: &World, service: &Value) {
    let uid = json::text(service, &["metadata", "uid"]);
    world.agreed.revise(uid, |known| {
        for port in json::items(service, &["spec", "ports"]) {
            let asked = port.get("nodePort").and_then(Value::as_i64);
            known.note(&spot(port_key(port)), asked.as_ref());
        }
    });
}
