//! How Services and Pods relate, shared by the two controllers that write endpoints.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use client::{Change, Informer, ObjectKey, WorkQueue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::common::{pods, selector};

/// Marks the endpoints of a headless service.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// When the change happened that the last write reacted to.
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The selector, unless the service gets its endpoints from elsewhere.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

pub(crate) fn has_cluster_ip(spec: &ServiceSpec) -> bool {
    !matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

pub(crate) fn publishes_not_ready(spec: &ServiceSpec) -> bool {
    spec.publish_not_ready_addresses.unwrap_or(false)
}

/// The pods a service selects.
pub(crate) fn selected(pods: &Informer<Pod>, namespace: &str, wanted: &BTreeMap<String, String>) -> Vec<Arc<Pod>> {
    let mut all = pods.list_in(namespace);
    all.retain(|pod| selector::includes(pod.metadata.labels.as_ref(), wanted));
    all
}

/// Whether a pod can be an endpoint at all (`endpointslice/util.ShouldPodBeInEndpoints`).
pub(crate) fn can_be_endpoint(pod: &Pod, include_terminating: bool) -> bool {
    !pods::is_terminal(pod) && !pods::ips(pod).is_empty() && (include_terminating || !pods::is_deleting(pod))
}

/// The host name under which a headless service publishes the pod.
pub(crate) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let host = spec.hostname.as_ref().filter(|host| !host.is_empty())?;
    let ours = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    (ours && pod.metadata.namespace == service.metadata.namespace).then(|| host.clone())
}

pub(crate) fn target_ref(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The pod's address of a family.
pub(crate) fn address(pod: &Pod, ipv6: bool) -> Option<&str> {
    pods::ips(pod)
        .into_iter()
        .find(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == ipv6))
}

/// The families a service has addresses of, its primary one first; IPv4 when it says nothing.
pub(crate) fn families_are_ipv6(spec: &ServiceSpec) -> Vec<bool> {
    let families: Vec<bool> = spec
        .ip_families
        .iter()
        .flatten()
        .map(|family| family == "IPv6")
        .collect();
    if !families.is_empty() {
        return families;
    }
    let ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    vec![ip.is_some_and(|ip| ip.is_ipv6())]
}

/// The pod's port that a service port means; a named one is looked up in the containers (`FindPort`).
pub(crate) fn find_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => return Some(*number),
        None | Some(IntOrString::Int(_)) => return Some(port.port),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let protocol = |protocol: &Option<String>| protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let of = |container: &Container| {
        let ports = container.ports.iter().flatten();
        let mut found = ports.filter(|candidate| {
            candidate.name.as_ref() == Some(name) && protocol(&candidate.protocol) == protocol(&port.protocol)
        });
        found.next().map(|candidate| candidate.container_port)
    };
    spec.containers.iter().chain(sidecars).find_map(of)
}

/// Queues the services that a change of a pod concerns.
pub(crate) fn queue_services_of(change: &Change<'_, Pod>, services: &Informer<Service>, queue: &WorkQueue<ObjectKey>) {
    let mut states: Vec<&Pod> = vec![change.object()];
    if let Change::Updated { old, new } = change {
        if !matters(old, new) {
            return;
        }
        if old.metadata.labels != new.metadata.labels {
            states.push(old);
        }
    }
    for service in services.list_in(change.object().metadata.namespace.as_deref().unwrap_or_default()) {
        let Some(wanted) = selector(&service) else { continue };
        if states
            .iter()
            .any(|pod| selector::includes(pod.metadata.labels.as_ref(), wanted))
        {
            queue.add(ObjectKey::of(&service.metadata));
        }
    }
}

/// Whether anything an endpoint shows has changed (`podEndpointsChanged`).
fn matters(old: &Pod, new: &Pod) -> bool {
    let facts = |pod: &Pod| {
        let host = pod
            .spec
            .as_ref()
            .map(|spec| (spec.hostname.clone(), spec.subdomain.clone()));
        let ips: Vec<String> = pods::ips(pod).into_iter().map(str::to_owned).collect();
        (
            pod.metadata.uid.clone(),
            pods::is_deleting(pod),
            pods::is_terminal(pod),
            pods::is_ready(pod),
            ips,
            host,
        )
    };
    old.metadata.labels != new.metadata.labels
        || facts(old) != facts(new)
        || pods::node_name(old) != pods::node_name(new)
}

/// Remembers when the pods of a service last became ready or not, to say which change a write reacts to
/// (`endpointslice/util/trigger_time_tracker.go`).
#[derive(Default)]
pub(crate) struct TriggerTimes {
    known: Mutex<HashMap<ObjectKey, Known>>,
}

#[derive(Default)]
struct Known {
    service: Option<Timestamp>,
    pods: HashMap<String, Timestamp>,
}

impl TriggerTimes {
    /// The earliest change since the last call, if anything changed.
    pub(crate) fn update(&self, key: &ObjectKey, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(key.clone()).or_default();
        let mut earliest: Option<Timestamp> = None;
        let mut note = |time: Timestamp| earliest = Some(earliest.map_or(time, |earliest| earliest.min(time)));
        let mut seen = HashSet::new();
        for pod in pods {
            let Some(uid) = &pod.metadata.uid else { continue };
            seen.insert(uid.clone());
            let ready = pods::condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
            if let Some(time) = ready
                && known
                    .pods
                    .insert(uid.clone(), time.0)
                    .is_none_or(|before| before < time.0)
            {
                note(time.0);
            }
        }
        known.pods.retain(|uid, _| seen.contains(uid));
        let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if known.service != created
            && let Some(created) = created
        {
            known.service = Some(created);
            note(created);
        }
        earliest
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// A time as the annotation shows it.
pub(crate) fn format(time: Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn named_ports_are_found_in_containers_and_sidecars() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {},
            "spec": {
                "containers": [{ "name": "a", "ports": [
                    { "name": "web", "containerPort": 8080, "protocol": "TCP" },
                    { "name": "dns", "containerPort": 53, "protocol": "UDP" },
                ] }],
                "initContainers": [
                    { "name": "once", "ports": [{ "name": "setup", "containerPort": 1 }] },
                    { "name": "side", "restartPolicy": "Always", "ports": [{ "name": "proxy", "containerPort": 15000 }] },
                ],
            },
        }))
        .unwrap();
        let table = [
            (json!({ "port": 80, "targetPort": "web" }), Some(8080)),
            (json!({ "port": 80, "targetPort": 9090 }), Some(9090)),
            (json!({ "port": 80 }), Some(80)),
            (json!({ "port": 53, "targetPort": "dns" }), None),
            (json!({ "port": 53, "targetPort": "dns", "protocol": "UDP" }), Some(53)),
            (json!({ "port": 1, "targetPort": "setup" }), None),
            (json!({ "port": 1, "targetPort": "proxy" }), Some(15000)),
        ];
        for (port, expected) in table {
            let parsed: ServicePort = serde_json::from_value(port.clone()).unwrap();
            assert_eq!(find_port(&pod, &parsed), expected, "{port}");
        }
    }
}
