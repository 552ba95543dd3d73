//! What scheduling needs to know about a pod, read once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, Node, NodeAffinity, Pod, PodAffinity, PodAntiAffinity, PodSpec, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use machinery::quantity;

/// What a container is assumed to need for scoring when it does not say (`GetNonzeroRequests`).
const ASSUMED_CPU: i64 = 100;
const ASSUMED_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name: CPU in thousandths of a core, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources(pub(crate) BTreeMap<String, i64>);

impl Resources {
    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn parse(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let amount = |name: &str, quantity: &Quantity| {
            let parsed = quantity::Quantity::parse(&quantity.0).ok()?;
            Some(if name == "cpu" { parsed.millis() } else { parsed.units() })
        };
        let entries = list
            .into_iter()
            .flatten()
            .filter_map(|(name, quantity)| Some((name.clone(), amount(name, quantity)?)));
        Self(entries.collect())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let total = self.0.entry(name.clone()).or_default();
            *total = total.saturating_add(*amount);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let total = self.0.entry(name.clone()).or_default();
            *total = total.saturating_sub(*amount);
        }
    }

    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let total = self.0.entry(name.clone()).or_default();
            *total = (*total).max(*amount);
        }
    }
}

/// A port of the node a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) ip: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

impl HostPort {
    /// Ports conflict unless they are on two different specific addresses.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

/// A pod as the plugins see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodInfo {
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) priority: i32,
    pub(crate) created: Option<Timestamp>,
    pub(crate) deleting: bool,
    pub(crate) requests: Resources,
    /// The same with assumptions for what is not said; used for scores only.
    pub(crate) assumed_requests: Resources,
    pub(crate) host_ports: Vec<HostPort>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) node_affinity: Option<NodeAffinity>,
    pub(crate) pod_affinity: Option<PodAffinity>,
    pub(crate) pod_anti_affinity: Option<PodAntiAffinity>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) spread: Vec<TopologySpreadConstraint>,
}

impl PodInfo {
    pub(crate) fn of(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let affinity = spec.affinity.clone().unwrap_or_default();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            node: spec.node_name.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or(0),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            requests: requests(spec, &Resources::default()),
            assumed_requests: requests(
                spec,
                &Resources([("cpu".to_owned(), ASSUMED_CPU), ("memory".to_owned(), ASSUMED_MEMORY)].into()),
            ),
            host_ports: host_ports(spec),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            node_affinity: affinity.node_affinity,
            pod_affinity: affinity.pod_affinity,
            pod_anti_affinity: affinity.pod_anti_affinity,
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            spread: spec.topology_spread_constraints.clone().unwrap_or_default(),
        }
    }
}

/// What the pod needs while it runs: its containers together, or the most that any step of its start needs, whichever is
/// more; pod-level requests replace the sum, the overhead comes on top (`resourcehelper.PodRequests`).
fn requests(spec: &PodSpec, assumed: &Resources) -> Resources {
    let of = |container: &Container| {
        let requests = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        let mut requests = Resources::parse(requests);
        for (name, amount) in &assumed.0 {
            requests.0.entry(name.clone()).or_insert(*amount);
        }
        requests
    };
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut step = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&step);
            total.add(&step);
            step = sidecars.clone();
        } else {
            step.add(&sidecars);
        }
        starting.raise_to(&step);
    }
    total.raise_to(&starting);
    let pod_level = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    for (name, amount) in Resources::parse(pod_level).0 {
        total.0.insert(name, amount);
    }
    total.add(&Resources::parse(spec.overhead.as_ref()));
    total
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten());
    let asked = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        Some(HostPort {
            ip: port.host_ip.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: number,
        })
    });
    asked.collect()
}

/// Whether the pod takes up room on its node.
pub(crate) fn is_running_somewhere(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let assigned = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .is_some_and(|node| !node.is_empty());
    assigned && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether it is for this scheduler to find a node for the pod.
pub(crate) fn waits_for_us(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ours = matches!(spec.scheduler_name.as_deref(), None | Some("" | "default-scheduler"));
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let unassigned = spec.node_name.as_deref().unwrap_or_default().is_empty();
    ours && unassigned
        && !gated
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Drops what no plugin looks at.
pub(crate) fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        spec.ephemeral_containers = None;
        for container in spec
            .containers
            .iter_mut()
            .chain(spec.init_containers.iter_mut().flatten())
        {
            *container = Container {
                resources: container.resources.take(),
                ports: container.ports.take(),
                restart_policy: container.restart_policy.take(),
                ..Container::default()
            };
        }
    }
    if let Some(status) = &mut pod.status {
        status.container_statuses = None;
        status.init_container_statuses = None;
    }
}

/// A node reports every image it has; no plugin asks.
pub(crate) fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_follow_upstreams_formula() {
        let requests = |spec: serde_json::Value| {
            let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
            let info = PodInfo::of(&pod);
            (info.requests.get("cpu"), info.assumed_requests.get("cpu"))
        };
        let with = |cpu: &str| json!({ "name": "c", "resources": { "requests": { "cpu": cpu } } });
        let sidecar = json!({ "name": "s", "restartPolicy": "Always", "resources": { "requests": { "cpu": "50m" } } });
        let table = [
            (json!({ "containers": [with("100m"), with("0.2")] }), (300, 300)),
            (json!({ "containers": [{ "name": "c" }] }), (0, 100)),
            (
                json!({ "containers": [with("100m")], "initContainers": [with("1")] }),
                (1000, 1000),
            ),
            (
                json!({ "containers": [with("100m")], "initContainers": [sidecar, with("1")] }),
                (1050, 1050),
            ),
            (
                json!({ "containers": [with("100m")], "overhead": { "cpu": "10m" } }),
                (110, 110),
            ),
            (
                json!({ "containers": [with("100m")], "resources": { "requests": { "cpu": "2" } } }),
                (2000, 2000),
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(requests(spec.clone()), expected, "{spec}");
        }
    }
}
