//! The endpoint slice mirroring controller: EndpointSlices for Endpoints that somebody writes for a service without selector
//! (`pkg/controller/endpointslicemirroring`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::events::Severity;
use client::{Change, Informer, ObjectKey, Recorder, WorkQueue};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::common::ownership::reference_to;
use crate::common::services::TRIGGER_TIME;
use crate::common::slices::{Changes, MANAGED_BY, PortKey, SERVICE_NAME, STALE_RETRY, Slices, address_type, port_key};
use crate::context::{Context, Task};
use crate::error::Result;
use crate::workers::{Reconcile, run};

const NAME: &str = "endpointslice-mirroring-controller";
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label of Endpoints whose writer sees to the slices too.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that are only somebody's lock.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that say nothing about the slices.
const NOT_COPIED: [&str; 2] = [TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"];
/// Most addresses of a subset that are mirrored, so that a subset fits into one slice.
const MAX_ENDPOINTS: usize = 1000;

struct Controller {
    recorder: Recorder,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Slices,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        recorder: context.recorder.for_component(NAME),
        services: context.informers.services(),
        endpoints: context.informers.endpoints(),
        slices: Slices::new(context, MANAGER),
        queue: WorkQueue::new(),
    });
    let queue = controller.queue.clone();
    controller
        .endpoints
        .on_change(move |change| queue.add(ObjectKey::of(&change.object().metadata)));
    let queue = controller.queue.clone();
    controller.services.on_change(move |change| {
        if !matches!(change, Change::Updated { old, new } if has_selector(old) == has_selector(new)) {
            queue.add(ObjectKey::of(&change.object().metadata));
        }
    });
    controller.slices.listen(&controller.queue);
    let workers = context.settings.workers.mirroring_concurrent_service_endpoint_syncs;
    run(NAME, context, workers, controller)
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let Some(existing) = self.slices.existing(&key) else {
            self.queue.add_after(key, STALE_RETRY);
            return Ok(());
        };
        let service = self.services.get(&key);
        let endpoints = self.endpoints.get(&key);
        let mirrored = endpoints.filter(|endpoints| is_mirrored(endpoints, service.as_deref()));
        let Some(endpoints) = mirrored else {
            let nothing = Changes {
                delete: existing,
                ..Changes::default()
            };
            return self.slices.carry_out(&key, nothing).await;
        };
        let plan = plan(&endpoints, &existing);
        for (reason, text) in plan.complaints() {
            self.recorder.event(endpoints.as_ref(), Severity::Warning, reason, text);
        }
        self.slices.carry_out(&key, plan.changes).await
    }
}

fn has_selector(service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| !selector.is_empty())
}

/// Whether nobody else makes slices of these Endpoints.
fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let meta = &endpoints.metadata;
    let get = |map: &Option<BTreeMap<String, String>>, key: &str| map.as_ref().and_then(|map| map.get(key)).cloned();
    get(&meta.labels, SKIP_MIRROR).as_deref() != Some("true")
        && get(&meta.annotations, LEADER).is_none()
        && service.is_some_and(|service| !has_selector(service))
}

#[derive(Debug, Default)]
struct Plan {
    changes: Changes,
    /// Addresses that are not IP addresses.
    invalid: usize,
    /// Addresses beyond the limit of their subset.
    surplus: usize,
}

impl Plan {
    /// Reasons and messages of the events about what is not mirrored.
    fn complaints(&self) -> Vec<(&'static str, String)> {
        let mut events = Vec::new();
        if self.invalid > 0 {
            let text = format!(
                "Skipped {} invalid IP addresses when mirroring to EndpointSlices",
                self.invalid
            );
            events.push(("InvalidIPAddress", text));
        }
        if self.surplus > 0 {
            let text = format!(
                "A max of {MAX_ENDPOINTS} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
                self.surplus
            );
            events.push(("TooManyAddressesToMirror", text));
        }
        events
    }
}

/// Address family and ports, of which each combination has one slice.
type Key = (bool, PortKey);
type Desired = BTreeMap<Key, (Vec<EndpointPort>, Vec<Endpoint>)>;

fn plan(endpoints: &Endpoints, existing: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut desired = Desired::new();
    for subset in endpoints.subsets.iter().flatten() {
        collect(subset, &mut desired, &mut plan);
    }
    let mut by_key: BTreeMap<Key, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        let key = port_key(slice.ports.as_deref().unwrap_or_default());
        let ipv6 = slice.address_type == address_type(true);
        by_key.entry((ipv6, key)).or_default().push(slice);
    }

    let changes = &mut plan.changes;
    for (key, (ports, wanted)) in desired {
        let slice = EndpointSlice {
            metadata: metadata(endpoints),
            address_type: address_type(key.0).to_owned(),
            ports: Some(ports),
            endpoints: Some(wanted),
        };
        let mut present = by_key.remove(&key).unwrap_or_default().into_iter();
        match present.next() {
            None => changes.create.push(slice),
            Some(current) if says_the_same(current, &slice) => {}
            Some(current) => changes.update.push(in_place_of(current, slice)),
        }
        changes.delete.extend(present.cloned());
    }
    changes.delete.extend(by_key.into_values().flatten().cloned());
    // A slice that goes may as well become one that comes; only its family cannot change.
    for slice in std::mem::take(&mut changes.create) {
        let same_family = |old: &Arc<EndpointSlice>| old.address_type == slice.address_type;
        match changes.delete.iter().position(same_family) {
            Some(index) => {
                let old = changes.delete.remove(index);
                changes.update.push(in_place_of(&old, slice));
            }
            None if endpoints.metadata.deletion_timestamp.is_none() => changes.create.push(slice),
            None => {}
        }
    }
    plan
}

/// Adds the addresses of one subset, ready ones first.
fn collect(subset: &EndpointSubset, desired: &mut Desired, plan: &mut Plan) {
    let ports: Vec<EndpointPort> = subset
        .ports
        .iter()
        .flatten()
        .map(|port| EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(port.port),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
        .collect();
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let others = subset.not_ready_addresses.iter().flatten();
    let mut added = 0;
    for (address, ready) in ready.chain(others.map(|address| (address, false))) {
        if added >= MAX_ENDPOINTS {
            plan.surplus += 1;
            continue;
        }
        let Ok(ip) = address.ip.parse::<IpAddr>() else {
            plan.invalid += 1;
            continue;
        };
        added += 1;
        let key = (ip.is_ipv6(), port_key(&ports));
        let (_, endpoints) = desired.entry(key).or_insert_with(|| (ports.clone(), Vec::new()));
        let endpoint = endpoint(address, ip, ready);
        // Subsets with the same ports share a slice.
        if endpoints.contains(&endpoint) {
            continue;
        }
        if endpoints.len() < MAX_ENDPOINTS {
            endpoints.push(endpoint);
        } else {
            plan.surplus += 1;
        }
    }
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            ..EndpointConditions::default()
        }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![reference_to(endpoints)]),
        ..ObjectMeta::default()
    }
}

fn says_the_same(current: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let list = |slice: &EndpointSlice| slice.endpoints.clone().unwrap_or_default();
    let (current_list, wanted_list) = (list(current), list(wanted));
    let annotations = |slice: &EndpointSlice| slice.metadata.annotations.clone().unwrap_or_default();
    current_list.len() == wanted_list.len()
        && wanted_list.iter().all(|endpoint| current_list.contains(endpoint))
        && current.metadata.labels == wanted.metadata.labels
        && annotations(current) == annotations(wanted)
}

/// The new content under the name of an existing slice.
fn in_place_of(current: &EndpointSlice, mut slice: EndpointSlice) -> EndpointSlice {
    let old = &current.metadata;
    slice.metadata.name.clone_from(&old.name);
    slice.metadata.uid.clone_from(&old.uid);
    slice.metadata.resource_version.clone_from(&old.resource_version);
    slice
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(subsets: Value) -> Endpoints {
        serde_json::from_value(json!({
            "metadata": {
                "name": "db", "namespace": "ns", "uid": "e1",
                "labels": { "team": "a" }, "annotations": { "note": "x", TRIGGER_TIME: "t" },
            },
            "subsets": subsets,
        }))
        .unwrap()
    }

    fn subset(ready: &[&str], not_ready: &[&str], port: i32) -> Value {
        let list = |ips: &[&str]| ips.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
        json!({ "addresses": list(ready), "notReadyAddresses": list(not_ready), "ports": [{ "port": port, "protocol": "TCP" }] })
    }

    /// Carries a plan out as an API server would.
    fn apply(slices: &mut Vec<Arc<EndpointSlice>>, changes: Changes) {
        slices.retain(|slice| {
            !changes
                .delete
                .iter()
                .any(|gone| gone.metadata.name == slice.metadata.name)
        });
        for slice in changes.update {
            slices.retain(|old| old.metadata.name != slice.metadata.name);
            slices.push(Arc::new(slice));
        }
        for mut slice in changes.create {
            slice.metadata.name = Some(format!("db-{}{}", slice.address_type, slices.len()));
            slices.push(Arc::new(slice));
        }
    }

    /// What was written is not written again, however the server returns it.
    pub(crate) fn rests() {
        let endpoints = endpoints(json!([
            subset(&["10.0.0.1", "fd00::1"], &["10.0.0.2"], 80),
            subset(&["10.0.0.1"], &[], 81)
        ]));
        let mut slices = Vec::new();
        apply(&mut slices, plan(&endpoints, &[]).changes);
        for slice in &mut slices {
            *slice = Arc::new(serde_json::from_value(serde_json::to_value(slice.as_ref()).unwrap()).unwrap());
        }
        let again = plan(&endpoints, &slices).changes;
        assert!(
            again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(),
            "{again:?}"
        );
    }

    #[test]
    fn every_family_and_set_of_ports_has_one_slice() {
        let first = endpoints(json!([
            subset(&["10.0.0.1", "fd00:0::1"], &["10.0.0.2"], 80),
            subset(&["10.0.0.3"], &[], 81)
        ]));
        let mut slices = Vec::new();
        apply(&mut slices, plan(&first, &[]).changes);
        let summary = |slices: &[Arc<EndpointSlice>]| {
            let mut all: Vec<_> = slices
                .iter()
                .map(|slice| {
                    let endpoints = slice.endpoints.iter().flatten();
                    let all =
                        endpoints.map(|one| (one.addresses[0].clone(), one.conditions.clone().unwrap().ready.unwrap()));
                    (slice.ports.as_ref().unwrap()[0].port, all.collect::<Vec<_>>())
                })
                .collect();
            all.sort();
            all
        };
        let address = |ip: &str, ready: bool| (ip.to_owned(), ready);
        let expected = vec![
            (Some(80), vec![address("10.0.0.1", true), address("10.0.0.2", false)]),
            (Some(80), vec![address("fd00::1", true)]),
            (Some(81), vec![address("10.0.0.3", true)]),
        ];
        assert_eq!(summary(&slices), expected);
        let labels = slices[0].metadata.labels.clone().unwrap();
        assert_eq!(
            (
                labels["team"].as_str(),
                labels[SERVICE_NAME].as_str(),
                labels[MANAGED_BY].as_str()
            ),
            ("a", "db", MANAGER)
        );
        assert_eq!(
            slices[0].metadata.annotations,
            Some([("note".to_owned(), "x".to_owned())].into())
        );

        let moved = plan(&endpoints(json!([subset(&["10.0.0.1"], &[], 82)])), &slices).changes;
        assert_eq!(
            (moved.create.len(), moved.update.len(), moved.delete.len()),
            (0, 1, 2),
            "one is reused"
        );
        assert_eq!(moved.update[0].address_type, "IPv4");
    }

    #[test]
    fn what_is_not_mirrored_is_said() {
        let many: Vec<String> = (0..1100).map(|i| format!("10.1.{}.{}", i / 250, i % 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let plan = plan(
            &endpoints(json!([subset(&many, &[], 80), subset(&["nonsense"], &[], 81)])),
            &[],
        );
        assert_eq!(plan.changes.create.len(), 1);
        assert_eq!(plan.changes.create[0].endpoints.as_ref().unwrap().len(), 1000);
        let reasons: Vec<&str> = plan.complaints().into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["InvalidIPAddress", "TooManyAddressesToMirror"]);
    }

    #[test]
    fn only_endpoints_of_nobody_else_are_mirrored() {
        let service = |selector: Value| -> Service {
            serde_json::from_value(json!({ "metadata": {}, "spec": { "selector": selector } })).unwrap()
        };
        let with = |labels: Value, annotations: Value| -> Endpoints {
            serde_json::from_value(json!({ "metadata": { "labels": labels, "annotations": annotations } })).unwrap()
        };
        let table = [
            (with(json!({}), json!({})), Some(service(Value::Null)), true),
            (with(json!({}), json!({})), Some(service(json!({ "app": "db" }))), false),
            (with(json!({}), json!({})), None, false),
            (
                with(json!({ SKIP_MIRROR: "true" }), json!({})),
                Some(service(Value::Null)),
                false,
            ),
            (
                with(json!({ SKIP_MIRROR: "no" }), json!({})),
                Some(service(Value::Null)),
                true,
            ),
            (
                with(json!({}), json!({ LEADER: "{}" })),
                Some(service(Value::Null)),
                false,
            ),
        ];
        for (endpoints, service, mirrored) in table {
            assert_eq!(
                is_mirrored(&endpoints, service.as_ref()),
                mirrored,
                "{endpoints:?} {service:?}"
            );
        }
    }
}
