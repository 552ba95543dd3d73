//! The Service on the host that gives a virtual node an address of its own, which leads to the kubelet API of this process.

use serde_json::{Value, json};

use super::super::pair;
use crate::engine::plan::Step;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys, safe_concat};
use crate::world::World;

const BELONGS_TO: &str = "vcluster.loft.sh/belongs-to";
const NODE: &str = "vcluster.loft.sh/node";
const PORT: &str = "kubelet";

fn name(world: &World, node: &str) -> String {
    safe_concat(&[world.names.vcluster(), "node", &node.replace('.', "-")])
}

/// The Service or Endpoints of a node on the host.
fn existing(world: &World, kind: Kind, node: &str) -> Option<Value> {
    let object = world
        .host
        .get(kind, world.names.host_namespace(), &name(world, node))?
        .value();
    (json::strings(&object, &["metadata", "labels"]) == labels(world, node)).then_some(object)
}

/// The marker has it seen by the watch of this cluster's Services.
fn labels(world: &World, node: &str) -> json::Strings {
    let vcluster = world.names.vcluster();
    [(keys::MARKER, vcluster), (BELONGS_TO, vcluster), (NODE, node)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The address of a node, once its Service has one.
pub(super) fn address(world: &World, node: &str) -> Option<String> {
    if !has_services(world) {
        return None;
    }
    if world.stands_by() {
        // Its Service is not known, but what the leader wrote down of it.
        let node = world.virtual_side.get(Kind::Node, "", node)?.value();
        let mut addresses = json::items(&node, &["status", "addresses"]).iter();
        let internal = addresses.find(|address| address["type"] == "InternalIP")?;
        return Some(json::text(internal, &["address"]).to_owned());
    }
    let service = existing(world, Kind::Service, node)?;
    let address = json::text(&service, &["spec", "clusterIP"]);
    (!matches!(address, "" | "None")).then(|| address.to_owned())
}

/// The node that a Service of the host belongs to.
pub(super) fn node_of(world: &World, service: &Value) -> Option<Reference> {
    let labels = json::strings(service, &["metadata", "labels"]);
    if labels.get(BELONGS_TO).map(String::as_str) != Some(world.names.vcluster()) {
        return None;
    }
    labels.get(NODE).map(|node| Reference::new(Kind::Node, "", node))
}

/// What brings the Service of a node, and the Endpoints that nobody else would make, into being or away.
pub(super) fn steps(world: &World, node: &str, shown: bool) -> Vec<Step> {
    let service = existing(world, Kind::Service, node);
    let endpoints = existing(world, Kind::Endpoints, node);
    let item = Reference::new(Kind::Service, world.names.host_namespace(), &name(world, node));
    let control_plane = world.control_plane_service().map(|service| service.value());
    let (true, Some(control_plane)) = (shown && has_services(world), control_plane) else {
        let services = service.filter(|_| !shown || !has_services(world));
        let left = [(Kind::Service, services)];
        return left
            .into_iter()
            .filter_map(|(kind, object)| Some((kind, object?)))
            .filter(|(_, object)| !pair::is_deleting(object))
            .map(|(kind, object)| pair::delete_step(Side::Host, &Reference { kind, ..item.clone() }, &object, None))
            .collect();
    };
    let spec = spec(world, &control_plane["spec"]);
    let mut steps = Vec::new();
    match &service {
        None => steps.push(create(world, Kind::Service, node, json!({"spec": spec}))),
        Some(service) => {
            let current = json!({"selector": service["spec"]["selector"], "ports": essence(&service["spec"])});
            let wanted = json!({"selector": spec["selector"], "ports": essence(&spec)});
            if current != wanted {
                let change = json!({"spec": spec});
                steps.extend(pair::patch_step(Side::Host, &item, service, None, Some(change)));
            }
        }
    }
    if spec.get("selector").is_none()
        && let Some(subsets) = subsets(world)
    {
        let item = Reference {
            kind: Kind::Endpoints,
            ..item
        };
        match &endpoints {
            None => steps.push(create(world, Kind::Endpoints, node, json!({"subsets": subsets}))),
            Some(endpoints) if endpoints["subsets"] != subsets => {
                let change = json!({"subsets": subsets});
                steps.extend(pair::patch_step(Side::Host, &item, endpoints, None, Some(change)));
            }
            Some(_) => {}
        }
    }
    steps
}

/// Whether nodes are to be reached by addresses of their own. That takes Services, which a virtual cluster that syncs none may
/// not make.
fn has_services(world: &World) -> bool {
    world.settings.nodes.by_ip && world.settings.to_host.contains(&Kind::Service)
}

fn create(world: &World, kind: Kind, node: &str, mut object: Value) -> Step {
    let mut metadata = json!({
        "name": name(world, node), "namespace": world.names.host_namespace(), "labels": labels(world, node),
    });
    pair::set_owner(world, &mut metadata, &Value::Null);
    json::put(&mut object, "apiVersion", Some(json!(kind.api_version())));
    json::put(&mut object, "kind", Some(json!(kind.name())));
    json::put(&mut object, "metadata", Some(metadata));
    Step::Create {
        side: Side::Host,
        kind,
        object,
    }
}

/// It selects what the control plane's Service selects.
fn spec(world: &World, control_plane: &Value) -> Value {
    let port = world.settings.nodes.kubelet_port;
    let mut spec = json!({"ports": [{"name": PORT, "port": port, "targetPort": port, "protocol": "TCP"}]});
    json::put(&mut spec, "selector", control_plane.get("selector").cloned());
    spec
}

fn essence(spec: &Value) -> Vec<Value> {
    let ports = json::items(spec, &["ports"]).iter();
    ports
        .map(|port| json!([port["name"], port["port"], port["targetPort"]]))
        .collect()
}

/// Where the control plane is, with the port of the kubelet API; `None` while that is not known.
fn subsets(world: &World) -> Option<Value> {
    let endpoints = world
        .control_plane
        .get(
            Kind::Endpoints,
            world.names.host_namespace(),
            &world.settings.service_name,
        )?
        .value();
    let places = |subset: &Value, field: &str| -> Vec<Value> {
        let addresses = json::items(subset, &[field]).iter();
        addresses.map(|address| json!({"ip": address["ip"]})).collect()
    };
    let port = json!({"name": PORT, "port": world.settings.nodes.kubelet_port, "protocol": "TCP"});
    let subsets = json::items(&endpoints, &["subsets"]).iter().map(|subset| {
        let mut copy = json!({"ports": [port]});
        for field in ["addresses", "notReadyAddresses"] {
            let places = places(subset, field);
            json::put(&mut copy, field, (!places.is_empty()).then_some(Value::Array(places)));
        }
        copy
    });
    Some(subsets.collect())
}
