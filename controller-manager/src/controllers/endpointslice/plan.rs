//! Which slices a Service should have, changing as few of the existing ones as possible
//! (`k8s.io/endpointslice/reconciler.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::common::services::{self, HEADLESS_LABEL, TRIGGER_TIME};
use crate::common::slices::{Changes, MANAGED_BY, PortKey, SERVICE_NAME, address_type, port_key};
use crate::common::{ownership, pods};

pub(crate) const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Most endpoints of one slice.
const MAX_ENDPOINTS: usize = 100;

pub(crate) struct State<'a> {
    pub(crate) service: &'a Service,
    /// The pods it selects.
    pub(crate) pods: &'a [Arc<Pod>],
    /// Its slices that are not being deleted.
    pub(crate) existing: &'a [Arc<EndpointSlice>],
    pub(crate) node: &'a (dyn Fn(&str) -> Option<Arc<Node>> + Sync),
    pub(crate) trigger: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) changes: Changes,
    /// A node that pods run on and that the informer does not show; they are left out until it does.
    pub(crate) waiting_for_node: Option<String>,
}

pub(crate) fn plan(state: &State<'_>) -> Plan {
    let mut plan = Plan::default();
    let families = services::families_are_ipv6(&state.service.spec.clone().unwrap_or_default());
    let types: Vec<&str> = families.iter().map(|ipv6| address_type(*ipv6)).collect();
    let strays = state
        .existing
        .iter()
        .filter(|slice| !types.contains(&slice.address_type.as_str()));
    plan.changes.delete.extend(strays.cloned());
    for ipv6 in families {
        plan_family(state, ipv6, &mut plan);
    }
    plan
}

fn plan_family(state: &State<'_>, ipv6: bool, plan: &mut Plan) {
    let mut desired: BTreeMap<PortKey, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    let spec = state.service.spec.clone().unwrap_or_default();
    for pod in state.pods.iter().filter(|pod| services::can_be_endpoint(pod, true)) {
        let Some(ip) = services::address(pod, ipv6) else {
            continue;
        };
        let name = pods::node_name(pod);
        let node = (state.node)(name);
        if node.is_none() && !services::publishes_not_ready(&spec) {
            plan.waiting_for_node.get_or_insert_with(|| name.to_owned());
            continue;
        }
        let ports = ports(state.service, pod);
        let group = desired.entry(port_key(&ports)).or_insert_with(|| (ports, Vec::new()));
        group.1.push(endpoint(state.service, pod, ip, node.as_deref()));
    }

    let existing: Vec<&Arc<EndpointSlice>> = state
        .existing
        .iter()
        .filter(|slice| slice.address_type == address_type(ipv6))
        .collect();
    let mut by_ports: BTreeMap<PortKey, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in &existing {
        by_ports
            .entry(port_key(slice.ports.as_deref().unwrap_or_default()))
            .or_default()
            .push(slice);
    }

    let mut changes = Changes::default();
    for (key, (ports, endpoints)) in desired {
        let slices = by_ports.remove(&key).unwrap_or_default();
        fill(state, ipv6, &ports, endpoints, &slices, &mut changes);
    }
    // Nobody serves these ports any more.
    changes.delete.extend(by_ports.into_values().flatten().cloned());

    // A service without endpoints has one empty slice, so that its absence is never mistaken for ignorance.
    if changes.delete.len() == existing.len() && changes.create.is_empty() {
        let placeholder = new_slice(state, ipv6, &[], Vec::new());
        match changes.delete.as_slice() {
            [only] if same_content(only, &placeholder) => changes.delete.clear(),
            _ => changes.create.push(placeholder),
        }
    }
    // Renaming a slice that goes into one that comes saves a request.
    while !changes.delete.is_empty()
        && let Some(mut slice) = changes.create.pop()
    {
        let reused = changes.delete.remove(0);
        slice.metadata = ObjectMeta {
            name: reused.metadata.name.clone(),
            generate_name: reused.metadata.generate_name.clone(),
            uid: reused.metadata.uid.clone(),
            resource_version: reused.metadata.resource_version.clone(),
            generation: reused.metadata.generation,
            creation_timestamp: reused.metadata.creation_timestamp.clone(),
            ..slice.metadata
        };
        changes.update.push(slice);
    }
    plan.changes.create.append(&mut changes.create);
    plan.changes.update.append(&mut changes.update);
    plan.changes.delete.append(&mut changes.delete);
}

/// Distributes the endpoints of one set of ports (`reconcileByPortMapping`).
fn fill(
    state: &State<'_>,
    ipv6: bool,
    ports: &[EndpointPort],
    mut desired: Vec<Endpoint>,
    slices: &[&Arc<EndpointSlice>],
    changes: &mut Changes,
) {
    let wanted_meta = metadata(state);
    let mut untouched: Vec<&Arc<EndpointSlice>> = Vec::new();
    let mut touched: Vec<EndpointSlice> = Vec::new();
    for slice in slices {
        let current = slice.endpoints.as_deref().unwrap_or_default();
        let mut kept = Vec::new();
        let mut changed = false;
        for endpoint in current {
            match desired.iter().position(|candidate| same_identity(candidate, endpoint)) {
                Some(index) => {
                    let candidate = desired.swap_remove(index);
                    changed |= candidate != *endpoint;
                    kept.push(candidate);
                }
                None => changed = true,
            }
        }
        let relabelled = slice.metadata.labels != wanted_meta.labels
            || slice.metadata.owner_references != wanted_meta.owner_references;
        if kept.is_empty() {
            changes.delete.push((*slice).clone());
        } else if changed || relabelled {
            let mut updated = slice.as_ref().clone();
            updated.endpoints = Some(kept);
            touched.push(updated);
        } else {
            untouched.push(slice);
        }
    }
    desired.sort_by(|a, b| a.addresses.cmp(&b.addresses));

    // New endpoints go where a write is due anyway, the fullest slice first.
    touched.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.as_ref().map_or(0, Vec::len)));
    for slice in &mut touched {
        let endpoints = slice.endpoints.get_or_insert_default();
        let room = MAX_ENDPOINTS.saturating_sub(endpoints.len()).min(desired.len());
        endpoints.extend(desired.drain(..room));
    }
    // What is left of less than a slice goes into the fullest untouched one that takes all of it.
    let rest = desired.len() % MAX_ENDPOINTS;
    if rest > 0 && desired.len() < MAX_ENDPOINTS {
        let length = |slice: &EndpointSlice| slice.endpoints.as_ref().map_or(0, Vec::len);
        let fitting = untouched.iter().filter(|slice| length(slice) + rest <= MAX_ENDPOINTS);
        if let Some(slice) = fitting.max_by_key(|slice| length(slice)) {
            let mut updated = slice.as_ref().clone();
            updated.endpoints.get_or_insert_default().append(&mut desired);
            touched.push(updated);
        }
    }
    while !desired.is_empty() {
        let chunk = desired.drain(..desired.len().min(MAX_ENDPOINTS)).collect();
        changes.create.push(new_slice(state, ipv6, ports, chunk));
    }
    for mut slice in touched {
        slice.metadata.labels = wanted_meta.labels.clone();
        slice.metadata.owner_references = wanted_meta.owner_references.clone();
        set_trigger(&mut slice.metadata, state.trigger.clone());
        changes.update.push(slice);
    }
}

fn same_identity(a: &Endpoint, b: &Endpoint) -> bool {
    let uid = |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    a.addresses == b.addresses && uid(a) == uid(b)
}

fn same_content(existing: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let empty = |slice: &EndpointSlice| {
        slice.endpoints.as_ref().is_none_or(Vec::is_empty) && slice.ports.as_ref().is_none_or(Vec::is_empty)
    };
    empty(existing)
        && empty(wanted)
        && existing.metadata.labels == wanted.metadata.labels
        && existing.metadata.owner_references == wanted.metadata.owner_references
}

fn new_slice(state: &State<'_>, ipv6: bool, ports: &[EndpointPort], endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut metadata = metadata(state);
    set_trigger(&mut metadata, state.trigger.clone());
    EndpointSlice {
        metadata,
        address_type: address_type(ipv6).to_owned(),
        ports: Some(ports.to_vec()),
        endpoints: Some(endpoints),
    }
}

fn metadata(state: &State<'_>) -> ObjectMeta {
    let service = state.service;
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    if !service.spec.as_ref().is_some_and(services::has_cluster_ip) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    let name = service.metadata.name.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![ownership::reference_to(service)]),
        ..ObjectMeta::default()
    }
}

fn set_trigger(metadata: &mut ObjectMeta, trigger: Option<String>) {
    let annotations = metadata.annotations.get_or_insert_default();
    match trigger {
        Some(time) => annotations.insert(TRIGGER_TIME.to_owned(), time),
        None => annotations.remove(TRIGGER_TIME),
    };
    if annotations.is_empty() {
        metadata.annotations = None;
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().filter_map(|spec| spec.ports.as_ref()).flatten();
    let resolved = ports.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(services::find_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    resolved.collect()
}

fn endpoint(service: &Service, pod: &Pod, ip: &str, node: Option<&Node>) -> Endpoint {
    let publish = service.spec.as_ref().is_some_and(services::publishes_not_ready);
    let serving = pods::is_ready(pod);
    let terminating = pods::is_deleting(pod);
    let labels = node.and_then(|node| node.metadata.labels.as_ref());
    Endpoint {
        addresses: vec![ip.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: services::hostname(pod, service),
        node_name: Some(pods::node_name(pod).to_owned()).filter(|name| !name.is_empty()),
        target_ref: Some(services::target_ref(pod)),
        zone: labels
            .and_then(|labels| labels.get("topology.kubernetes.io/zone"))
            .cloned(),
        ..Endpoint::default()
    }
}
