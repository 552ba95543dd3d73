//! Replicas of Services in the other cluster, by the mappings of vcluster.yaml.
//!
//! A replica on the host selects the copies of the pods that its Service selects. One in the virtual cluster cannot select
//! pods of the host: it has no address of its own and Endpoints that lead to the Service, or to what is behind it. Only what
//! carries the label is ever changed.

mod elsewhere;

use serde_json::{Value, json};

use super::services::{self, address, essence, without_node_port};
use super::{endpointslices, pair};
use crate::clusters::Change;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::object::ObjectKey;
use crate::settings::Replica;
use crate::world::World;

/// Value of the label that replicas carry.
const CONTROLLER: &str = "vcluster";

/// Whether an object is a replica.
pub(super) fn is_replica(object: &Value) -> bool {
    json::text(object, &["metadata", "labels", keys::CONTROLLED_BY]) == CONTROLLER
}

/// Whether an object of the virtual cluster is a replica that we made, not one of a virtual cluster within this one.
fn is_ours(object: &Value) -> bool {
    is_replica(object) && json::text(object, &["metadata", "labels", keys::MARKER]).is_empty()
}

/// The item of a replica on the host: it has no virtual object of its own, and no virtual Service is without a namespace.
pub(super) fn item(name: &str) -> Reference {
    Reference::new(Kind::Service, "", name)
}

/// The replicas that the host should have.
pub(super) fn on_host(world: &World) -> Vec<Reference> {
    let replicas = world.settings.replicas.to_host.iter();
    replicas.map(|replica| item(&replica.to.name)).collect()
}

/// The replicas on the host of a virtual Service that changed.
pub(super) fn of_virtual_service(world: &World, change: &Change) -> Vec<Reference> {
    let changed = change.object().map(|object| object.key());
    let replicas = world.settings.replicas.to_host.iter();
    let concerned = replicas.filter(|replica| Some(&replica.from) == changed);
    concerned.map(|replica| item(&replica.to.name)).collect()
}

/// The replicas on the host of what has to be looked at: where they lead follows from the copies of Services, and from what is
/// behind them.
pub(super) fn of_items(world: &World, items: &[Reference], change: &Change) -> Vec<Reference> {
    if world.names.single_namespace().is_some() {
        return Vec::new();
    }
    let replicas = world.settings.replicas.to_host.iter();
    let concerned = replicas.filter(|replica| {
        let is_source = |item: &Reference| match item.kind {
            Kind::Service => item.key == replica.from,
            Kind::EndpointSlice => {
                let values = [change.old_value(), change.new_value()];
                let mut services = values.into_iter().flatten().map(endpointslices::service);
                services.any(|service| service.key == replica.from)
            }
            _ => false,
        };
        items.iter().any(is_source)
    });
    concerned.map(|replica| item(&replica.to.name)).collect()
}

/// The replicas in the virtual cluster of a Service of the host that changed, or that has other endpoints.
pub(super) fn of_host_service(world: &World, change: &Change) -> Vec<Reference> {
    let changed = change.object().map(|object| object.key());
    let replicas = world.settings.replicas.from_host.iter();
    let concerned = replicas.filter(|replica| Some(&replica.from) == changed);
    concerned
        .flat_map(|replica| {
            [Kind::Service, Kind::Endpoints].map(|kind| Reference {
                kind,
                key: replica.to.clone(),
            })
        })
        .collect()
}

/// Decides about a Service that is, or has to become, a replica.
pub(super) fn plan_service(world: &World, item: &Reference) -> Option<Plan> {
    if item.key.namespace.is_empty() {
        return Some(plan_on_host(world, item));
    }
    let actual = virtual_object(world, item);
    if actual.as_ref().is_some_and(|actual| !is_ours(actual)) {
        return None;
    }
    let Some(replica) = from_host(world, &item.key) else {
        // Made for an earlier configuration.
        return actual.map(|stale| pair::delete(Side::Virtual, item, &stale));
    };
    Some(match (host_service(world, replica), actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) => remove(world, item, replica, &actual),
        (Some(host), None) => pair::create_in_namespace(
            world,
            Kind::Service,
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata(&item.key),
                "spec": {"clusterIP": "None", "ports": ports(&host)},
            }),
        ),
        (Some(_), Some(actual)) if pair::is_deleting(&actual) => Plan::nothing(),
        (Some(host), Some(actual)) => {
            let spec = differing_ports(&host, &actual).map(|ports| json!({"spec": {"ports": ports}}));
            Plan::nothing().and(pair::patch_step(Side::Virtual, item, &actual, None, spec))
        }
    })
}

/// Decides about Endpoints that belong, or have to belong, to a replica.
pub(super) fn plan_endpoints(world: &World, item: &Reference) -> Option<Plan> {
    let actual = virtual_object(world, item);
    if actual.as_ref().is_some_and(|actual| !is_ours(actual)) {
        return None;
    }
    let Some(replica) = from_host(world, &item.key) else {
        return actual.map(|stale| pair::delete(Side::Virtual, item, &stale));
    };
    let service = virtual_object(
        world,
        &Reference::new(Kind::Service, &item.key.namespace, &item.key.name),
    );
    if service.as_ref().is_some_and(|service| !is_ours(service)) {
        return None;
    }
    let wanted = host_service(world, replica).map(|host| subsets(world, replica, &host));
    Some(match (wanted, actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) => remove(world, item, replica, &actual),
        // Endpoints without their Service would be cleaned up; with it comes another look.
        (Some(_), None) if service.is_none() => Plan::nothing(),
        (Some(subsets), None) => pair::create_in_namespace(
            world,
            Kind::Endpoints,
            json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata(&item.key), "subsets": subsets,
            }),
        ),
        (Some(subsets), Some(actual)) => {
            let differs = json::items(&actual, &["subsets"]) != subsets;
            let change = differs.then(|| json!({"subsets": subsets}));
            Plan::nothing().and(pair::patch_step(Side::Virtual, item, &actual, None, change))
        }
    })
}

fn from_host<'a>(world: &'a World, replica: &ObjectKey) -> Option<&'a Replica> {
    let mut replicas = world.settings.replicas.from_host.iter();
    replicas.find(|mapped| mapped.to == *replica)
}

fn virtual_object(world: &World, item: &Reference) -> Option<Value> {
    let object = world.virtual_side.get(item.kind, &item.key.namespace, &item.key.name)?;
    Some(object.value())
}

/// The Service of the host behind a replica, if it has anything that can be replicated: an external name has no address.
fn host_service(world: &World, replica: &Replica) -> Option<Value> {
    let ObjectKey { namespace, name } = &replica.from;
    let service = world.foreign.caches.get(Kind::Service, namespace, name)?.value();
    (json::text(&service, &["spec", "type"]) != "ExternalName").then_some(service)
}

/// Takes a replica away when the host is known to have no such Service.
fn remove(world: &World, item: &Reference, replica: &Replica, actual: &Value) -> Plan {
    if world.foreign.is_known(Kind::Service, &replica.from) {
        pair::delete(Side::Virtual, item, actual)
    } else {
        Plan::nothing()
    }
}

fn metadata(key: &ObjectKey) -> Value {
    json!({"name": key.name, "namespace": key.namespace, "labels": {keys::CONTROLLED_BY: CONTROLLER}})
}

fn ports(service: &Value) -> Vec<Value> {
    json::items(service, &["spec", "ports"])
        .iter()
        .map(without_node_port)
        .collect()
}

fn differing_ports(source: &Value, replica: &Value) -> Option<Vec<Value>> {
    let (wanted, actual) = (ports(source), ports(replica));
    (!wanted.iter().map(essence).eq(actual.iter().map(essence))).then_some(wanted)
}

/// Where a replica leads: to the address of the host's Service, or, if that has none, to what is behind it.
fn subsets(world: &World, replica: &Replica, host: &Value) -> Vec<Value> {
    if !services::is_headless(host) {
        return address_subset(host);
    }
    let ObjectKey { namespace, name } = &replica.from;
    let endpoints = world
        .foreign
        .caches
        .get(Kind::Endpoints, namespace, name)
        .map(|object| object.value());
    let mut subsets = json::items(&endpoints.unwrap_or_default(), &["subsets"]).to_vec();
    for subset in &mut subsets {
        for list in ["addresses", "notReadyAddresses"] {
            // The pods and nodes of others are none of the tenant's business.
            json::items_mut(subset, list).for_each(|address| json::remove(address, &["targetRef", "nodeName"]));
        }
    }
    subsets
}

/// The subset of Endpoints that leads to the address of a Service, once it has one.
fn address_subset(service: &Value) -> Vec<Value> {
    let address = json::text(service, &["spec", "clusterIP"]);
    let ports: Vec<Value> = json::items(service, &["spec", "ports"])
        .iter()
        .map(endpoint_port)
        .collect();
    let leads_somewhere = !address.is_empty();
    leads_somewhere
        .then(|| json!({"addresses": [{"ip": address}], "ports": ports}))
        .into_iter()
        .collect()
}

fn endpoint_port(port: &Value) -> Value {
    let mut endpoint = json!({"port": port["port"]});
    for field in ["name", "protocol", "appProtocol"] {
        json::put(&mut endpoint, field, port.get(field).cloned());
    }
    endpoint
}

fn plan_on_host(world: &World, item: &Reference) -> Plan {
    let actual = world
        .host
        .get(Kind::Service, world.names.host_namespace(), &item.key.name)
        .map(|object| object.value());
    if actual.as_ref().is_some_and(|actual| !is_replica(actual)) {
        return Plan::nothing();
    }
    let mut replicas = world.settings.replicas.to_host.iter();
    let source = replicas
        .find(|replica| replica.to.name == item.key.name)
        .and_then(|replica| {
            let service = Reference {
                kind: Kind::Service,
                key: replica.from.clone(),
            };
            let service = virtual_object(world, &service).map(address::meant)?;
            let replicable = json::text(&service, &["spec", "type"]) != "ExternalName";
            replicable.then_some((replica, service))
        });
    if world.names.single_namespace().is_none() {
        return elsewhere::plan(world, item, source, actual);
    }
    match (source, actual) {
        (None, None) => Plan::nothing(),
        (None, Some(actual)) => pair::delete(Side::Host, item, &actual),
        (Some(_), Some(actual)) if pair::is_deleting(&actual) => Plan::nothing(),
        (Some((replica, service)), None) => create_on_host(world, replica, &service),
        (Some((_, service)), Some(actual)) if services::is_headless(&service) != services::is_headless(&actual) => {
            pair::delete(Side::Host, item, &actual)
        }
        (Some((replica, service)), Some(actual)) => {
            let mut spec = json!({});
            if let Some(ports) = differing_ports(&service, &actual) {
                spec["ports"] = json!(ports);
            }
            let selector = selector(world, replica, &service);
            let held = actual["spec"].get("selector").cloned().unwrap_or_else(|| json!({}));
            json::put(&mut spec, "selector", json::merge_diff(&held, &selector));
            let change = (spec != json!({})).then(|| json!({"spec": spec}));
            Plan::nothing().and(pair::patch_step(Side::Host, item, &actual, None, change))
        }
    }
}

/// The metadata of what replicates a Service on the host.
fn replica_metadata(world: &World, replica: &Replica) -> Value {
    let mut metadata = metadata(&replica.to);
    // The mark is what the inventory of the virtual cluster is made by; whose copy it is, is nowhere stated.
    metadata["labels"][keys::MARKER] = json!(world.names.vcluster());
    json::put(
        &mut metadata,
        "ownerReferences",
        world.owner_reference(&replica.to.namespace, false),
    );
    metadata
}

fn create_on_host(world: &World, replica: &Replica, service: &Value) -> Plan {
    let metadata = replica_metadata(world, replica);
    let mut spec = json!({"ports": ports(service), "selector": selector(world, replica, service)});
    if services::is_headless(service) {
        spec["clusterIP"] = json!("None");
    }
    Plan::step(Step::Create {
        side: Side::Host,
        kind: Kind::Service,
        object: json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}),
    })
}

fn selector(world: &World, replica: &Replica, service: &Value) -> Value {
    let selector = json::at(service, &["spec", "selector"]).and_then(Value::as_object);
    let names = &world.names;
    let mapped = selector.map(|selector| names.map_selector_to_host(selector, &replica.from.namespace));
    Value::Object(mapped.unwrap_or_default())
}
