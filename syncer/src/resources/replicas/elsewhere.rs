//! Replicas on the host of Services whose pods lie in other namespaces there. No selector of a replica would reach them, so it
//! has no address of its own and Endpoints that lead to the Service's copy, or to what is behind it when that has no address.

use serde_json::{Value, json};

use super::{address_subset, differing_ports, is_replica, ports, replica_metadata};
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Claim, Reference, claim};
use crate::resources::{endpointslices, pair, services};
use crate::settings::Replica;
use crate::world::World;

/// Decides about a replica and its Endpoints.
pub(super) fn plan(world: &World, item: &Reference, source: Option<(&Replica, Value)>, actual: Option<Value>) -> Plan {
    let endpoints = Reference {
        kind: Kind::Endpoints,
        ..item.clone()
    };
    let held = world
        .host
        .get(Kind::Endpoints, world.names.host_namespace(), &item.key.name);
    let held = held.map(|held| held.value());
    if held.as_ref().is_some_and(|held| !is_replica(held)) {
        return Plan::nothing();
    }
    let Some((replica, service)) = source else {
        let left = [(item, actual), (&endpoints, held)];
        let steps = left.into_iter().filter_map(|(item, object)| {
            let object = object.filter(|object| !pair::is_deleting(object))?;
            Some(pair::delete_step(Side::Host, item, &object, None))
        });
        return Plan::nothing().and(steps);
    };
    let subsets = subsets(world, replica, &service);
    let create = |kind: Kind, mut object: Value| {
        json::put(&mut object, "apiVersion", Some(json!(kind.api_version())));
        json::put(&mut object, "kind", Some(json!(kind.name())));
        json::put(&mut object, "metadata", Some(replica_metadata(world, replica)));
        Step::Create {
            side: Side::Host,
            kind,
            object,
        }
    };
    let of_service = match &actual {
        None => Some(create(
            Kind::Service,
            json!({"spec": {"clusterIP": "None", "ports": ports(&service)}}),
        )),
        Some(actual) if pair::is_deleting(actual) => return Plan::nothing(),
        Some(actual) if !services::is_headless(actual) => return pair::delete(Side::Host, item, actual),
        Some(actual) => {
            let spec = differing_ports(&service, actual).map(|ports| json!({"spec": {"ports": ports}}));
            pair::patch_step(Side::Host, item, actual, None, spec)
        }
    };
    let of_endpoints = match &held {
        None => Some(create(Kind::Endpoints, json!({"subsets": subsets}))),
        Some(held) => {
            let change = (json::items(held, &["subsets"]) != subsets).then(|| json!({"subsets": subsets}));
            pair::patch_step(Side::Host, &endpoints, held, None, change)
        }
    };
    Plan::nothing().and(of_service).and(of_endpoints)
}

/// Where a replica leads: nowhere as long as the Service has no copy.
fn subsets(world: &World, replica: &Replica, service: &Value) -> Vec<Value> {
    let (namespace, name) = (replica.from.namespace.as_str(), replica.from.name.as_str());
    let key = world.host_key(Kind::Service, namespace, name);
    let copy = world.host.get(Kind::Service, &key.namespace, &key.name);
    let copy = copy
        .map(|copy| copy.value())
        .filter(|copy| claim(&world.names, &Kind::Service.gvk(), copy) != Claim::Foreign);
    match copy {
        None => Vec::new(),
        Some(copy) if !services::is_headless(&copy) => address_subset(&copy),
        Some(_) => endpointslices::of_name(world, namespace, name)
            .iter()
            .filter_map(|slice| behind(slice, service))
            .collect(),
    }
}

/// The addresses of a slice, as Endpoints have them.
fn behind(slice: &Value, service: &Value) -> Option<Value> {
    let shows_all = json::flag(service, &["spec", "publishNotReadyAddresses"]) == Some(true);
    let (mut ready, mut others) = (Vec::new(), Vec::new());
    for endpoint in json::items(slice, &["endpoints"]) {
        // An absent condition means ready (discovery/v1 EndpointConditions).
        let is_ready = shows_all || json::flag(endpoint, &["conditions", "ready"]) != Some(false);
        let list = if is_ready { &mut ready } else { &mut others };
        for ip in json::items(endpoint, &["addresses"]) {
            let mut address = json!({"ip": ip});
            json::put(&mut address, "hostname", endpoint.get("hostname").cloned());
            list.push(address);
        }
    }
    if ready.is_empty() && others.is_empty() {
        return None;
    }
    let mut subset = json!({});
    for (field, list) in [("addresses", ready), ("notReadyAddresses", others)] {
        json::put(&mut subset, field, (!list.is_empty()).then_some(Value::Array(list)));
    }
    let ports = json::items(slice, &["ports"]);
    json::put(&mut subset, "ports", (!ports.is_empty()).then(|| json!(ports)));
    Some(subset)
}
