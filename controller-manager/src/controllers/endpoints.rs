//! The endpoints controller: one Endpoints object per Service with a selector (`pkg/controller/endpoint`).

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Change, Informer, ObjectKey, WorkQueue};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};

use crate::common::pods;
use crate::common::services::{self, HEADLESS_LABEL, TRIGGER_TIME, TriggerTimes};
use crate::context::{Context, Task};
use crate::error::{During, Result, ignore_not_found, is_namespace_terminating};
use crate::workers::{Reconcile, run};

const NAME: &str = "endpoints-controller";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Most addresses of one Endpoints object.
const CAPACITY: usize = 1000;

struct Controller {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    triggers: TriggerTimes,
    queue: WorkQueue<ObjectKey>,
}

pub(crate) fn start(context: &Arc<Context>) -> Task {
    let controller = Arc::new(Controller {
        client: context.client.clone(),
        services: context.informers.services(),
        pods: context.informers.pods(),
        endpoints: context.informers.endpoints(),
        triggers: TriggerTimes::default(),
        queue: WorkQueue::new(),
    });
    let this = controller.clone();
    controller
        .services
        .on_change(move |change| this.queue.add(ObjectKey::of(&change.object().metadata)));
    let this = controller.clone();
    controller
        .pods
        .on_change(move |change| services::queue_services_of(change, &this.services, &this.queue));
    let this = controller.clone();
    controller.endpoints.on_change(move |change| {
        if let Change::Deleted(endpoints) = change {
            this.queue.add(ObjectKey::of(&endpoints.metadata));
        }
    });
    run(
        NAME,
        context,
        context.settings.workers.concurrent_endpoint_syncs,
        controller,
    )
}

impl Reconcile for Controller {
    fn queue(&self) -> &WorkQueue<ObjectKey> {
        &self.queue
    }

    async fn sync(&self, key: ObjectKey) -> Result {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(service) = self.services.get(&key) else {
            self.triggers.forget(&key);
            // Endpoints without a service of that name may be somebody's own; only ours follow the service.
            let ours = self.endpoints.get(&key).is_some_and(|endpoints| is_managed(&endpoints));
            if !ours {
                return Ok(());
            }
            let deleted = api.delete(&key.name, &DeleteParams::default()).await;
            return ignore_not_found(deleted).during(format_args!("deleting endpoints {key}"));
        };
        let Some(selector) = services::selector(&service) else {
            return Ok(());
        };
        let pods = services::selected(&self.pods, &key.namespace, selector);
        let current = self.endpoints.get(&key);
        let trigger = self.triggers.update(&key, &service, &pods).map(services::format);
        let Some(wanted) = plan(&service, &pods, current.as_deref(), trigger) else {
            return Ok(());
        };
        let written = match current {
            None => api.create(&PostParams::default(), &wanted).await,
            Some(_) => api.replace(&key.name, &PostParams::default(), &wanted).await,
        };
        match written {
            Err(error) if is_namespace_terminating(&error) => Ok(()),
            written => written.map(|_| ()).during(format_args!("writing endpoints {key}")),
        }
    }
}

fn is_managed(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY))
        .is_some_and(|manager| manager == MANAGER)
}

/// The Endpoints the service should have; nothing when it has them.
fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    current: Option<&Endpoints>,
    trigger: Option<String>,
) -> Option<Endpoints> {
    let spec = service.spec.clone().unwrap_or_default();
    let mut subsets = subsets(service, pods);
    let truncated = truncate(&mut subsets);
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if services::has_cluster_ip(&spec) {
        labels.remove(HEADLESS_LABEL);
    } else {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    let subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    if let Some(current) = current {
        let annotations = current.metadata.annotations.as_ref();
        let noted = annotations
            .and_then(|all| all.get(OVER_CAPACITY))
            .is_some_and(|value| value == "truncated");
        let same = current.subsets.clone().filter(|subsets| !subsets.is_empty()) == subsets;
        if same && current.metadata.labels.as_ref() == Some(&labels) && noted == truncated {
            return None;
        }
    }
    let mut wanted = current.cloned().unwrap_or_default();
    wanted.metadata.name = service.metadata.name.clone();
    wanted.metadata.namespace = service.metadata.namespace.clone();
    wanted.metadata.labels = Some(labels);
    wanted.subsets = subsets;
    let mut annotations = wanted.metadata.annotations.take().unwrap_or_default();
    let mut note = |key: &str, value: Option<String>| match value {
        Some(value) => annotations.insert(key.to_owned(), value),
        None => annotations.remove(key),
    };
    note(TRIGGER_TIME, trigger);
    note(OVER_CAPACITY, truncated.then(|| "truncated".to_owned()));
    wanted.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    Some(wanted)
}

/// The addresses grouped by the ports they serve: pods may map a named port to different numbers. The order is by ports and
/// then by address, so that equal contents compare equal.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let tolerate = services::publishes_not_ready(&spec);
    let ipv6 = services::families_are_ipv6(&spec).first().copied().unwrap_or(false);
    let headless_without_ports = spec.ports.as_ref().is_none_or(Vec::is_empty) && !services::has_cluster_ip(&spec);
    let mut groups: BTreeMap<PortKey, Group> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| services::can_be_endpoint(pod, tolerate)) {
        let Some(ip) = services::address(pod, ipv6) else {
            continue;
        };
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: services::hostname(pod, service),
            node_name: Some(pods::node_name(pod).to_owned()),
            target_ref: Some(services::target_ref(pod)),
        };
        let mut ports: Vec<EndpointPort> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some(EndpointPort {
                    port: services::find_port(pod, port)?,
                    name: port.name.clone(),
                    protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect();
        if ports.is_empty() && !headless_without_ports {
            continue;
        }
        ports.sort_by_key(port_key);
        let group = groups
            .entry(ports.iter().map(port_key).collect())
            .or_insert_with(|| (ports, vec![], vec![]));
        if tolerate || pods::is_ready(pod) {
            group.1.push(address)
        } else {
            group.2.push(address)
        }
    }
    groups
        .into_values()
        .map(|(ports, ready, not_ready)| subset(ports, ready, not_ready))
        .collect()
}

/// Ports with the ready and the other addresses that serve them.
type Group = (Vec<EndpointPort>, Vec<EndpointAddress>, Vec<EndpointAddress>);
type PortKey = Vec<(Option<String>, i32, Option<String>, Option<String>)>;

fn port_key(port: &EndpointPort) -> (Option<String>, i32, Option<String>, Option<String>) {
    (
        port.name.clone(),
        port.port,
        port.protocol.clone(),
        port.app_protocol.clone(),
    )
}

fn subset(ports: Vec<EndpointPort>, ready: Vec<EndpointAddress>, not_ready: Vec<EndpointAddress>) -> EndpointSubset {
    let sorted = |mut addresses: Vec<EndpointAddress>| {
        let uid = |address: &EndpointAddress| address.target_ref.as_ref().and_then(|target| target.uid.clone());
        let ip = |address: &EndpointAddress| address.ip.parse::<std::net::IpAddr>().ok();
        addresses.sort_by_key(|address| (ip(address), uid(address)));
        Some(addresses).filter(|addresses| !addresses.is_empty())
    };
    EndpointSubset {
        addresses: sorted(ready),
        not_ready_addresses: sorted(not_ready),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}

/// Cuts down to the capacity, ready addresses before others, every subset by its share. Whether anything was cut
/// (`truncateEndpoints`).
fn truncate(subsets: &mut Vec<EndpointSubset>) -> bool {
    let len = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|subset| len(&subset.addresses)).sum();
    let not_ready: usize = subsets.iter().map(|subset| len(&subset.not_ready_addresses)).sum();
    if ready + not_ready <= CAPACITY {
        return false;
    }
    let room_ready = ready.min(CAPACITY);
    cut(
        subsets.iter_mut().map(|subset| &mut subset.addresses).collect(),
        ready,
        room_ready,
    );
    let room = CAPACITY - room_ready;
    cut(
        subsets
            .iter_mut()
            .map(|subset| &mut subset.not_ready_addresses)
            .collect(),
        not_ready,
        room,
    );
    subsets.retain(|subset| len(&subset.addresses) + len(&subset.not_ready_addresses) > 0);
    true
}

fn cut(mut lists: Vec<&mut Option<Vec<EndpointAddress>>>, total: usize, mut room: usize) {
    if total <= room {
        return;
    }
    let share = room;
    let last = lists.len().saturating_sub(1);
    for (index, list) in lists.iter_mut().enumerate() {
        let length = list.as_ref().map_or(0, Vec::len);
        let keep = if index == last {
            room.min(length)
        } else {
            (length * share).div_ceil(total).min(room)
        };
        room -= keep;
        if let Some(addresses) = list {
            addresses.truncate(keep);
            if addresses.is_empty() {
                **list = None;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "ns", "labels": { "team": "a" } },
            "spec": spec,
        }))
        .unwrap()
    }

    fn pod(name: &str, ip: &str, ready: bool, container_port: i32) -> Arc<Pod> {
        let pod = json!({
            "metadata": { "name": name, "namespace": "ns", "uid": name, "labels": { "app": "web" } },
            "spec": {
                "nodeName": "n1", "hostname": name, "subdomain": "web",
                "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": container_port, "protocol": "TCP" }] }],
            },
            "status": {
                "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
            },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn summary(endpoints: &Endpoints) -> Value {
        let subsets = endpoints.subsets.iter().flatten().map(|subset| {
            let ips =
                |list: &Option<Vec<EndpointAddress>>| list.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>();
            let ports: Vec<i32> = subset.ports.iter().flatten().map(|port| port.port).collect();
            json!([ips(&subset.addresses), ips(&subset.not_ready_addresses), ports])
        });
        Value::Array(subsets.collect())
    }

    /// What was written is not written again, however the server returns it.
    pub(crate) fn rests() {
        let service = service(json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "targetPort": 80 }] }));
        for pods in [
            vec![],
            vec![pod("a", "10.1.0.3", true, 80), pod("b", "10.1.0.4", false, 80)],
        ] {
            let written = plan(&service, &pods, None, Some("t".into())).unwrap();
            for returned in crate::common::status::as_returned(&written) {
                assert_eq!(
                    plan(&service, &pods, Some(&returned), Some("u".into())),
                    None,
                    "{returned:?}"
                );
            }
        }
    }

    #[test]
    fn addresses_are_grouped_by_ports_and_readiness() {
        let service = service(
            json!({ "clusterIP": "10.0.0.1", "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }] }),
        );
        let pods = [
            pod("b", "10.1.0.20", true, 8080),
            pod("a", "10.1.0.3", true, 8080),
            pod("c", "10.1.0.4", false, 8080),
            pod("d", "10.1.0.5", true, 9090),
        ];
        let endpoints = plan(&service, &pods, None, Some("t".into())).unwrap();
        assert_eq!(
            summary(&endpoints),
            json!([
                [["10.1.0.3", "10.1.0.20"], ["10.1.0.4"], [8080]],
                [["10.1.0.5"], [], [9090]]
            ])
        );
        let labels = endpoints.metadata.labels.clone().unwrap();
        assert_eq!(labels.get("team").map(String::as_str), Some("a"));
        assert!(!labels.contains_key(HEADLESS_LABEL));
        let first = &endpoints.subsets.as_ref().unwrap()[0].addresses.as_ref().unwrap()[0];
        assert_eq!(
            (first.hostname.as_deref(), first.node_name.as_deref()),
            (Some("a"), Some("n1"))
        );
        assert_eq!(
            plan(&service, &pods, Some(&endpoints), None),
            None,
            "nothing to do any more"
        );
        let emptied = plan(&service, &[], Some(&endpoints), None).unwrap();
        assert_eq!(emptied.subsets, None);
        assert_eq!(emptied.metadata.annotations, None);
    }

    #[test]
    fn headless_services_may_publish_not_ready_pods_and_have_no_ports() {
        let service = service(json!({ "clusterIP": "None", "publishNotReadyAddresses": true }));
        let endpoints = plan(&service, &[pod("a", "10.1.0.3", false, 1)], None, None).unwrap();
        assert_eq!(summary(&endpoints), json!([[["10.1.0.3"], [], []]]));
        assert_eq!(
            endpoints
                .metadata
                .labels
                .unwrap()
                .get(HEADLESS_LABEL)
                .map(String::as_str),
            Some("")
        );
    }

    #[test]
    fn more_than_a_thousand_addresses_are_cut_and_said_so() {
        let service = service(json!({ "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "targetPort": 80 }] }));
        let pods: Vec<_> = (0..1200)
            .map(|i| {
                pod(
                    &format!("p{i}"),
                    &format!("10.2.{}.{}", i / 250, i % 250 + 1),
                    i % 2 == 0,
                    1,
                )
            })
            .collect();
        let endpoints = plan(&service, &pods, None, None).unwrap();
        let subset = &endpoints.subsets.as_ref().unwrap()[0];
        assert_eq!(
            (
                subset.addresses.as_ref().unwrap().len(),
                subset.not_ready_addresses.as_ref().unwrap().len()
            ),
            (600, 400)
        );
        assert_eq!(endpoints.metadata.annotations.unwrap()[OVER_CAPACITY], "truncated");
    }
}
