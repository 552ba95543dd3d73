//! Services, to the host. The host assigns addresses and node ports; the virtual Service takes them over.

pub mod address;
mod agreed;

use serde_json::{Map, Value, json};

use super::pair::{self, Pair};
use super::{kubernetes, ownership, replicas, strangers};
use crate::engine::plan::{Awaited, Place, Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{DNS_NAME, DNS_NAMESPACE, Reference, host_metadata, reconcile_metadata};
use crate::object::ObjectKey;
use crate::world::World;
use agreed::Agreement;

/// The port on which the control plane's DNS server listens.
const DNS_TARGET_PORT: u16 = 1053;

const EXCLUDED: &[&str] = &["field.cattle.io/publicEndpoints"];

pub(crate) use agreed::without_node_ports;

/// Fields that follow the virtual Service, and whether their absence means something: the API servers give the others a
/// default of their own, which is not taken away.
const DOWN: &[(&str, bool)] = &[
    ("type", false),
    ("externalName", true),
    ("externalIPs", true),
    ("loadBalancerIP", true),
    ("loadBalancerSourceRanges", true),
    ("loadBalancerClass", false),
    ("publishNotReadyAddresses", true),
    ("externalTrafficPolicy", false),
    ("internalTrafficPolicy", false),
    ("sessionAffinity", false),
    ("sessionAffinityConfig", true),
    ("allocateLoadBalancerNodePorts", false),
    ("trafficDistribution", true),
    ("selector", true),
];

/// Fields that follow the host's Service.
const UP: &[&str] = &[
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "healthCheckNodePort",
];

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    if *item == kubernetes::reference(Kind::Service) {
        return kubernetes::plan_service(world);
    }
    if let Some(plan) = replicas::plan_service(world, item) {
        return plan;
    }
    match pair::load(world, item) {
        Pair::Nothing if is_dns(item) && is_dns_kept(world) => create_dns(world),
        Pair::Nothing => Plan {
            forget: true,
            ..Plan::nothing()
        },
        Pair::Taken(_) => pair::taken(world, item),
        Pair::Host(host) => pair::delete(Side::Host, item, &host),
        Pair::Virtual(object) if pair::is_deleting(&object) => Plan::nothing(),
        Pair::Virtual(object) => create(world, item, &address::meant(object)),
        // The copy of an earlier Service keeps its address: clients may hold it.
        Pair::Both(object, host) | Pair::Replaced(object, host) => {
            if pair::is_deleting(&object) {
                return pair::delete(Side::Host, item, &host);
            }
            update(world, item, &object, &host)
        }
    }
}

fn is_dns(item: &Reference) -> bool {
    item.key.namespace == DNS_NAMESPACE && item.key.name == DNS_NAME
}

/// Whether the DNS Service is ours to make. Without a copy on the host it would have an address that leads nowhere.
fn is_dns_kept(world: &World) -> bool {
    world.settings.dns_service && world.settings.to_host.contains(&Kind::Service)
}

fn create_dns(world: &World) -> Plan {
    let port = |name: &str, protocol: &str, port: u16, target: u16| json!({"name": name, "protocol": protocol, "port": port, "targetPort": target});
    let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": DNS_NAME,
                "namespace": DNS_NAMESPACE,
                "labels": {
                    "k8s-app": "vcluster-kube-dns",
                    "kubernetes.io/cluster-service": "true",
                    "kubernetes.io/name": "CoreDNS",
                },
            },
            "spec": {
                "type": "ClusterIP",
                "ports": [
                    port("dns", "UDP", 53, DNS_TARGET_PORT),
                    port("dns-tcp", "TCP", 53, DNS_TARGET_PORT),
                ],
            },
    });
    pair::create_virtual(world, Kind::Service, service)
}

/// The selector on the host. The DNS Service has none in the virtual cluster: its server runs in the control plane's pod.
fn host_selector(world: &World, item: &Reference, object: &Value, host: Option<&Value>) -> Option<Value> {
    let selector = match json::at(object, &["spec", "selector"]) {
        Some(Value::Object(selector)) => selector.clone(),
        _ => Map::new(),
    };
    if selector.is_empty() && is_dns(item) {
        return world.control_plane_service()?.value()["spec"].get("selector").cloned();
    }
    // What was there before goes on with whatever it had.
    let plain = host.is_some_and(strangers::is_marked);
    let selected = |selector: &Map<String, Value>| match plain {
        true => world.names.map_keys_to_host(selector),
        false => world.names.map_selector_to_host(selector, &item.key.namespace),
    };
    (!selector.is_empty()).then(|| Value::Object(selected(&selector)))
}

/// The part of the host's spec that follows the virtual Service.
fn wanted_spec(world: &World, item: &Reference, object: &Value, host: Option<&Value>) -> Map<String, Value> {
    let spec = &object["spec"];
    let mut wanted: Map<String, Value> = DOWN
        .iter()
        .filter_map(|(field, _)| Some(((*field).to_owned(), spec.get(*field)?.clone())))
        .collect();
    match host_selector(world, item, object, host) {
        Some(selector) => wanted.insert("selector".to_owned(), selector),
        None => wanted.remove("selector"),
    };
    // The owner was told when the copy was made.
    ownership::fit_fields(world, item.kind, &mut wanted);
    wanted
}

fn create(world: &World, item: &Reference, object: &Value) -> Plan {
    if is_dns(item) && !world.settings.service_name.is_empty() && world.control_plane_service().is_none() {
        let key = ObjectKey::new(world.names.host_namespace(), &world.settings.service_name);
        return Plan::wait(Awaited {
            place: Place::ControlPlane,
            kind: Kind::Service,
            key,
        });
    }
    let gvk = item.kind.gvk();
    let mapping = pair::mapping(world, item);
    let mut metadata = host_metadata(&pair::source(world, &gvk, &mapping.host.name, object, EXCLUDED));
    pair::set_owner(world, &mut metadata, object);
    let mut spec = wanted_spec(world, item, object, None);
    if json::text(object, &["spec", "clusterIP"]) == "None" {
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    // The node ports are those that the host is asked for. It may have given them to others.
    if let Some(ports) = object["spec"].get("ports") {
        spec.insert("ports".to_owned(), ports.clone());
    }
    let host = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
    let step = Step::Create {
        side: Side::Host,
        kind: Kind::Service,
        object: host,
    };
    let notes = ownership::fit(world, item.kind, &mut object["spec"].clone());
    let plan = Plan {
        mapping: Some(mapping),
        ..Plan::step(step)
    };
    notes.into_iter().fold(plan, Plan::note)
}

pub(super) fn without_node_port(port: &Value) -> Value {
    let mut port = port.clone();
    json::remove(&mut port, &["nodePort"]);
    port
}

fn update(world: &World, item: &Reference, actual: &Value, host: &Value) -> Plan {
    let object = &address::meant(actual.clone());
    if has_address(object) && has_address(host) && is_headless(object) != is_headless(host) {
        // This never changes: the copy is another Service's.
        return pair::delete(Side::Host, item, host);
    }
    let gvk = item.kind.gvk();
    let name = &pair::key_of(host).name;
    let change = reconcile_metadata(&pair::source(world, &gvk, name, object, EXCLUDED), host);
    let agreed = agreed::compare(world, object, host);
    let down = pair::patch_step(
        Side::Host,
        item,
        host,
        change.host,
        in_spec(spec_down(world, item, object, host, &agreed)),
    );
    let up = match spec_up(object, host, &agreed) {
        Some(spec) => address::steps(item, actual, change.virtual_, spec),
        None => Vec::from_iter(pair::patch_step(Side::Virtual, item, actual, change.virtual_, None)),
    };
    // An address that is still to come must not be confused with one that the Service does not have.
    let status = if up.is_empty() {
        pair::status_step(world, item, object, &with_status_for(object, host))
    } else {
        None
    };
    Plan {
        mapping: Some(pair::mapping(world, item)),
        ..Plan::nothing()
    }
    .and(down)
    .and(up)
    .and(status)
}

/// The host's Service with a status that the virtual one can have: API servers refuse addresses of load balancers for any other
/// type, and the host's are there for a while after it has followed.
fn with_status_for(object: &Value, host: &Value) -> Value {
    let mut host = host.clone();
    if type_of(object) != "LoadBalancer"
        && let Some(status) = host.pointer_mut("/status/loadBalancer")
    {
        json::remove(status, &["ingress"]);
    }
    host
}

fn type_of(service: &Value) -> &str {
    match json::text(service, &["spec", "type"]) {
        "" => "ClusterIP",
        kind => kind,
    }
}

fn has_address(service: &Value) -> bool {
    !json::text(service, &["spec", "clusterIP"]).is_empty()
}

pub(super) fn is_headless(service: &Value) -> bool {
    json::text(service, &["spec", "clusterIP"]) == "None"
}

fn in_spec(changes: Map<String, Value>) -> Option<Value> {
    (!changes.is_empty()).then(|| json!({"spec": changes}))
}

fn spec_down(world: &World, item: &Reference, object: &Value, host: &Value, agreed: &Agreement) -> Map<String, Value> {
    let wanted = wanted_spec(world, item, object, Some(host));
    let mut changes = Map::new();
    for (field, absence_counts) in DOWN.iter().filter(|(field, _)| !agreed.is_of_host(field)) {
        match (wanted.get(*field), host["spec"].get(*field)) {
            (Some(new), old) if old != Some(new) => {
                // Merging maps key by key would keep what is to go.
                let difference = old
                    .and_then(|old| json::merge_diff(old, new))
                    .unwrap_or_else(|| new.clone());
                changes.insert((*field).to_owned(), difference);
            }
            (None, Some(_)) if *absence_counts => {
                changes.insert((*field).to_owned(), Value::Null);
            }
            _ => {}
        }
    }
    if is_headless(object) && !has_address(host) {
        changes.insert("clusterIP".to_owned(), json!("None"));
    }
    let (ports, host_ports) = (
        json::items(object, &["spec", "ports"]),
        json::items(host, &["spec", "ports"]),
    );
    if agreed.asks_for_node_ports() || !ports.iter().map(essence).eq(host_ports.iter().map(essence)) {
        let with_node_ports = ports.iter().map(|port| {
            let mut wanted = without_node_port(port);
            let assigned = node_port(host_ports, port).filter(|_| !agreed.asks_for(port));
            json::put(
                &mut wanted,
                "nodePort",
                assigned.or_else(|| port.get("nodePort").cloned()),
            );
            wanted
        });
        changes.insert("ports".to_owned(), with_node_ports.collect());
    }
    changes
}

/// What identifies a port of a Service.
fn port_key(port: &Value) -> (i64, &str) {
    let protocol = match json::text(port, &["protocol"]) {
        "" => "TCP",
        protocol => protocol,
    };
    (json::integer(port, &["port"]).unwrap_or_default(), protocol)
}

/// A port with the defaults that an API server fills in, without the node port.
pub(super) fn essence(port: &Value) -> Value {
    let (number, protocol) = port_key(port);
    let target = port.get("targetPort").cloned().unwrap_or_else(|| json!(number));
    json!([
        json::text(port, &["name"]),
        protocol,
        number,
        target,
        json::text(port, &["appProtocol"])
    ])
}

fn node_port(ports: &[Value], port: &Value) -> Option<Value> {
    ports
        .iter()
        .find(|other| port_key(other) == port_key(port))?
        .get("nodePort")
        .cloned()
}

/// What the host's API server assigned; `None` while it has not followed.
fn spec_up(object: &Value, host: &Value, agreed: &Agreement) -> Option<Map<String, Value>> {
    if type_of(object) != type_of(host) || (type_of(host) != "ExternalName" && !has_address(host)) {
        return None;
    }
    let mut changes = agreed.of_host(host);
    if type_of(host) == "ExternalName" || is_headless(host) {
        return Some(changes);
    }
    for field in UP {
        if let Some(value) = host["spec"].get(*field)
            && object["spec"].get(*field) != Some(value)
        {
            changes.insert((*field).to_owned(), value.clone());
        }
    }
    let (ports, host_ports) = (
        json::items(object, &["spec", "ports"]),
        json::items(host, &["spec", "ports"]),
    );
    let with_node_ports: Vec<Value> = ports
        .iter()
        .map(|port| {
            let mut port = port.clone();
            if let Some(assigned) = node_port(host_ports, &port).filter(|_| !agreed.asks_for(&port)) {
                json::put(&mut port, "nodePort", Some(assigned));
            }
            port
        })
        .collect();
    if with_node_ports != ports {
        changes.insert("ports".to_owned(), Value::Array(with_node_ports));
    }
    Some(changes)
}
