//! `default/kubernetes`: Service, Endpoints and EndpointSlice of the virtual API server, which follow the control plane's
//! Service on the host.

use serde_json::{Value, json};

use super::{address, pair};
use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::world::World;

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
/// The port of the control plane's Service behind which the API server listens.
const PORT_NAME: &str = "https";

/// The object of this kind that describes the API server.
pub(super) fn reference(kind: Kind) -> Reference {
    Reference::new(kind, NAMESPACE, NAME)
}

pub(super) fn plan_service(world: &World) -> Plan {
    let Some(control_plane) = world.control_plane_service() else {
        return Plan::nothing();
    };
    let wanted = service_spec(&control_plane.value()["spec"]);
    if matches!(json::text(&wanted, &["clusterIP"]), "" | "None") {
        return Plan::nothing();
    }
    let metadata = json!({
        "name": NAME, "namespace": NAMESPACE, "labels": {"component": "apiserver", "provider": "kubernetes"},
    });
    ensure(
        world,
        Kind::Service,
        metadata,
        json!({"spec": wanted}),
        |actual, wanted| {
            let (actual, wanted) = (address::meant(actual.clone()), &wanted["spec"]);
            let ports = |spec: &Value| {
                json::items(spec, &["ports"])
                    .iter()
                    .map(port_essence)
                    .collect::<Vec<_>>()
            };
            let mut change = json!({});
            for (field, value) in wanted.as_object().into_iter().flatten() {
                let same = if field == "ports" {
                    ports(&actual["spec"]) == ports(wanted)
                } else {
                    actual["spec"].get(field) == Some(value)
                };
                if !same {
                    json::put(&mut change, field, Some(value.clone()));
                }
            }
            (change != json!({})).then(|| json!({"spec": change}))
        },
    )
}

/// Name, protocol and number: what tells a client how to connect.
fn port_essence(port: &Value) -> Value {
    json!([port["name"], port["protocol"], port["port"], port["targetPort"]])
}

fn service_spec(host: &Value) -> Value {
    let ports: Vec<Value> = json::items(host, &["ports"])
        .iter()
        .filter(|port| json::text(port, &["name"]) != "kubelet")
        .map(|port| {
            let mut port = port.clone();
            json::remove(&mut port, &["nodePort"]);
            port
        })
        .collect();
    let mut spec = json!({"ports": ports});
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        json::put(&mut spec, field, host.get(field).cloned());
    }
    spec
}

pub(super) fn plan_endpoints(world: &World) -> Plan {
    let Some(subsets) = host_subsets(world) else {
        return Plan::nothing();
    };
    let metadata = json!({
        "name": NAME, "namespace": NAMESPACE, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
    });
    ensure(
        world,
        Kind::Endpoints,
        metadata,
        json!({"subsets": subsets}),
        differing_fields,
    )
}

pub(super) fn plan_slice(world: &World) -> Plan {
    let Some(subsets) = host_subsets(world) else {
        return Plan::nothing();
    };
    let subset = subsets.first().cloned().unwrap_or_default();
    let endpoints: Vec<Value> = json::items(&subset, &["addresses"])
        .iter()
        .map(|address| json!({"addresses": [address["ip"]], "conditions": {"ready": true}}))
        .collect();
    let v6 = json::items(&subset, &["addresses"])
        .iter()
        .any(|address| json::text(address, &["ip"]).contains(':'));
    let metadata = json!({
        "name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME},
    });
    let slice = json!({
        "addressType": if v6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": json::items(&subset, &["ports"]),
    });
    ensure(world, Kind::EndpointSlice, metadata, slice, differing_fields)
}

/// The addresses of the control plane, with the port of the API server only.
fn host_subsets(world: &World) -> Option<Vec<Value>> {
    let endpoints = world
        .control_plane
        .get(
            Kind::Endpoints,
            world.names.host_namespace(),
            &world.settings.service_name,
        )?
        .value();
    let subsets = json::items(&endpoints, &["subsets"]).iter().filter_map(|subset| {
        let ports: Vec<&Value> = json::items(subset, &["ports"])
            .iter()
            .filter(|port| json::text(port, &["name"]) == PORT_NAME)
            .collect();
        let addresses: Vec<Value> = json::items(subset, &["addresses"])
            .iter()
            .map(|address| json!({"ip": address["ip"]}))
            .collect();
        (!ports.is_empty() && !addresses.is_empty()).then(|| json!({"addresses": addresses, "ports": ports}))
    });
    Some(subsets.collect())
}

fn differing_fields(actual: &Value, wanted: &Value) -> Option<Value> {
    let mut change = json!({});
    for (field, value) in wanted.as_object().into_iter().flatten() {
        if actual.get(field) != Some(value) {
            json::put(&mut change, field, Some(value.clone()));
        }
    }
    (change != json!({})).then_some(change)
}

/// Creates the virtual object or changes what differs.
fn ensure(
    world: &World,
    kind: Kind,
    metadata: Value,
    content: Value,
    difference: fn(&Value, &Value) -> Option<Value>,
) -> Plan {
    let item = reference(kind);
    let Some(actual) = world
        .virtual_side
        .get(kind, NAMESPACE, NAME)
        .map(|object| object.value())
    else {
        let mut object = content;
        json::put(&mut object, "apiVersion", Some(json!(kind.api_version())));
        json::put(&mut object, "kind", Some(json!(kind.name())));
        json::put(&mut object, "metadata", Some(metadata));
        return pair::create_virtual(world, kind, object);
    };
    let change = difference(&actual, &content);
    match kind {
        Kind::Service => {
            let spec = change.as_ref().and_then(|change| change["spec"].as_object());
            Plan::nothing().and(address::steps(&item, &actual, None, spec.cloned().unwrap_or_default()))
        }
        _ => Plan::nothing().and(pair::patch_step(Side::Virtual, &item, &actual, None, change)),
    }
}
