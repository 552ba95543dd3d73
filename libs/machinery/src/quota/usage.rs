//! What an object uses, and which names in quotas are about it.

use super::devices::DeviceClasses;
use super::{COUNT, scopes};
use crate::gvk::GroupResource;
use crate::pod_resources::{Amounts, amounts, of_pod, states_its_own};
use crate::quantity::Quantity;
use crate::{meta, time};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const REQUESTS: &str = "requests.";
const HUGE_PAGES: &str = "hugepages-";
/// Between the name of a storage class and a resource of its claims.
const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The core kinds that are also counted under their plain name.
const PLAIN: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// What a quota on it obliges every container to state.
const STATED: [&str; 6] = [
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];
const OF_PODS: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
const OF_SERVICES: [&str; 3] = ["services", "services.nodeports", "services.loadbalancers"];
const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];

/// What stands for devices of a class in the requests of a pod.
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

/// How the objects of a resource are counted.
#[derive(Clone, Debug)]
pub struct Evaluator {
    kind: Kind,
    /// `count/` and the resource.
    count: String,
}

/// What objects are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By what pods request.
    Pods,
    /// By the ports and load balancers of services.
    Services,
    /// By the storage that volumes claim.
    Claims,
    /// By the devices that are claimed.
    DeviceClaims(DeviceClasses),
    /// By number only; for some, also under a plain name.
    Objects(Option<&'static str>),
}

impl Evaluator {
    /// The evaluator of a resource. The classes of devices matter for ResourceClaims only.
    pub fn of(resource: &GroupResource, classes: DeviceClasses) -> Self {
        let core = resource.group.is_empty();
        let kind = match (resource.group.as_str(), resource.resource.as_str()) {
            ("", "pods") => Kind::Pods,
            ("", "services") => Kind::Services,
            ("", "persistentvolumeclaims") => Kind::Claims,
            ("resource.k8s.io", "resourceclaims") => Kind::DeviceClaims(classes),
            (_, name) => Kind::Objects(PLAIN.into_iter().find(|plain| core && *plain == name)),
        };
        Evaluator {
            kind,
            count: format!("{COUNT}{resource}"),
        }
    }

    /// The evaluators of what quotas have names of its own for.
    pub fn with_own_names(classes: &DeviceClasses) -> impl Iterator<Item = (GroupResource, Self)> + use<> {
        let core = ["pods", "services", "persistentvolumeclaims"].into_iter().chain(PLAIN);
        let core = core.map(|name| GroupResource::new("", name));
        let all = core.chain([GroupResource::new("resource.k8s.io", "resourceclaims")]);
        let classes = classes.clone();
        all.map(move |resource| {
            let evaluator = Evaluator::of(&resource, classes.clone());
            (resource, evaluator)
        })
    }

    /// What the objects are counted by.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether a name in a quota takes no more than the number of the objects.
    pub fn only_counts(&self, name: &str) -> bool {
        name == self.count || matches!(self.kind, Kind::Objects(_))
    }

    /// Whether an object is within all scopes of a quota.
    pub fn within_scopes(&self, quota: &Value, object: &Value) -> bool {
        scopes::match_all(quota, object, &self.kind)
    }

    /// Whether a resource in a quota is about these objects (`MatchingResources`).
    pub fn limits(&self, name: &str) -> bool {
        if name == self.count {
            return true;
        }
        match &self.kind {
            Kind::Pods => {
                let request = name.strip_prefix(REQUESTS);
                let pages = name.starts_with(HUGE_PAGES) || request.is_some_and(|n| n.starts_with(HUGE_PAGES));
                let extended = |name: &str| is_extended(name) || name.starts_with(DEVICE_CLASS);
                OF_PODS.contains(&name) || pages || request.is_some_and(extended)
            }
            Kind::Services => OF_SERVICES.contains(&name),
            Kind::Claims => {
                let by_class = name.rsplit_once(OF_STORAGE_CLASS).map(|(_, resource)| resource);
                OF_CLAIMS.contains(&by_class.unwrap_or(name))
            }
            Kind::DeviceClaims(classes) => classes.limits(name),
            Kind::Objects(plain) => *plain == Some(name),
        }
    }

    /// What an object has to state for a quota but does not (`Constraints`).
    pub fn missing(&self, restricted: &[&str], object: &Value) -> Option<String> {
        if self.kind != Kind::Pods || states_its_own(object) {
            return None;
        }
        let stated = restricted.iter().filter(|name| STATED.contains(*name));
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for resource in stated {
            for list in ["containers", "initContainers"] {
                for container in meta::list_at(object, &["spec", list]) {
                    let list = |name| amounts(container, &["resources", name]);
                    if !computed(&list("requests"), &list("limits")).contains_key(*resource) {
                        let name = meta::str_at(container, &["name"]).unwrap_or_default();
                        missing.entry(*resource).or_default().insert(name);
                    }
                }
            }
        }
        let texts: Vec<String> = missing
            .into_iter()
            .map(|(resource, containers)| {
                let containers: Vec<&str> = containers.into_iter().collect();
                format!("{resource} for: {}", containers.join(","))
            })
            .collect();
        (!texts.is_empty()).then(|| format!("must specify {}", texts.join("; ")))
    }

    /// What an object uses.
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        let one = Quantity::from_units(1);
        let mut usage = Amounts::from([(self.count.clone(), one)]);
        match &self.kind {
            Kind::Pods => {
                if is_charged(object, now) {
                    usage.extend(computed(&of_pod(object, "requests"), &of_pod(object, "limits")));
                    usage.insert("pods".to_owned(), one);
                }
            }
            Kind::Services => usage.extend(of_service(object)),
            Kind::Claims => usage.extend(of_claim(object)),
            Kind::DeviceClaims(classes) => usage.extend(classes.usage(object)),
            Kind::Objects(plain) => usage.extend(plain.map(|name| (name.to_owned(), one))),
        }
        usage
    }
}

/// Whether a pod counts for more than an object: it has not ended, and is not overdue to be gone (`QuotaV1Pod`).
pub fn is_charged(pod: &Value, now: Timestamp) -> bool {
    let ended = matches!(meta::str_at(pod, &["status", "phase"]), Some("Succeeded" | "Failed"));
    let deleted = meta::str_at(pod, &["metadata", "deletionTimestamp"]).and_then(time::parse);
    let grace = meta::i64_at(pod, &["metadata", "deletionGracePeriodSeconds"]).map(SignedDuration::from_secs);
    let end = deleted
        .zip(grace)
        .and_then(|(deleted, grace)| deleted.checked_add(grace).ok());
    !ended && end.is_none_or(|end| now <= end)
}

/// Whether a resource is one that a device plugin may offer.
pub(super) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// Requests and limits under the names that quotas use (`podComputeUsageHelper`).
fn computed(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::new();
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.to_owned(), *request);
            usage.insert(format!("{REQUESTS}{name}"), *request);
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *limit);
        }
    }
    for (name, request) in requests {
        if name.starts_with(HUGE_PAGES) {
            usage.insert(name.clone(), *request);
        }
        let extended = is_extended(name) && !name.starts_with(REQUESTS);
        if name.starts_with(HUGE_PAGES) || extended || name.starts_with(DEVICE_CLASS) {
            usage.insert(format!("{REQUESTS}{name}"), *request);
        }
    }
    usage
}

fn of_service(service: &Value) -> [(String, Quantity); 3] {
    let ports = meta::list_at(service, &["spec", "ports"]);
    let wanted = ports
        .iter()
        .filter(|port| meta::i64_at(port, &["nodePort"]).unwrap_or_default() != 0);
    let (ports, balancers) = match meta::str_at(service, &["spec", "type"]).unwrap_or_default() {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if meta::bool_at(service, &["spec", "allocateLoadBalancerNodePorts"]) == Some(false) => {
            (wanted.count(), 1)
        }
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    let [services, node_ports, load_balancers] = OF_SERVICES.map(str::to_owned);
    let ports = i64::try_from(ports).unwrap_or(i64::MAX);
    [
        (services, Quantity::from_units(1)),
        (node_ports, Quantity::from_units(ports)),
        (load_balancers, Quantity::from_units(balancers)),
    ]
}

fn of_claim(claim: &Value) -> Amounts {
    let mut usage = Amounts::from([(OF_CLAIMS[0].to_owned(), Quantity::from_units(1))]);
    let requested = amounts(claim, &["spec", "resources", "requests"]).remove("storage");
    let allocated = amounts(claim, &["status", "allocatedResources"]).remove("storage");
    if let Some(requested) = requested {
        let size = allocated
            .filter(|allocated| *allocated > requested)
            .unwrap_or(requested);
        usage.insert(OF_CLAIMS[1].to_owned(), size.rounded_up());
    }
    let class = meta::str_at(claim, &["metadata", "annotations", BETA_CLASS])
        .or_else(|| meta::str_at(claim, &["spec", "storageClassName"]))
        .unwrap_or_default();
    if !class.is_empty() {
        let of_class: Vec<_> = usage
            .iter()
            .map(|(name, amount)| (format!("{class}{OF_STORAGE_CLASS}{name}"), *amount))
            .collect();
        usage.extend(of_class);
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn used(resource: (&str, &str), object: &Value) -> String {
        let evaluator = Evaluator::of(&GroupResource::new(resource.0, resource.1), DeviceClasses::default());
        let usage = evaluator.usage(object, Timestamp::UNIX_EPOCH);
        let usage: Vec<String> = usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        usage.join(" ")
    }

    #[test]
    fn each_kind_is_counted_its_way() {
        let pod = json!({"containers": [{"resources": {
            "requests": {"cpu": "1", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "2"}}}]});
        for (resource, object, expected) in [
            (("", "secrets"), json!({}), "count/secrets=1 secrets=1"),
            (("", "endpoints"), json!({}), "count/endpoints=1"),
            (
                ("shop.example.com", "secrets"),
                json!({}),
                "count/secrets.shop.example.com=1",
            ),
            (
                ("resource.k8s.io", "resourceclaims"),
                json!({}),
                "count/resourceclaims.resource.k8s.io=1",
            ),
            (
                ("", "services"),
                json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}}),
                "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2",
            ),
            (
                ("", "services"),
                json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                    "ports": [{"port": 1, "nodePort": 30000}, {"port": 2}]}}),
                "count/services=1 services=1 services.loadbalancers=1 services.nodeports=1",
            ),
            (
                ("", "persistentvolumeclaims"),
                json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}}),
                "count/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
                 gold.storageclass.storage.k8s.io/requests.storage=5Gi persistentvolumeclaims=1 requests.storage=5Gi",
            ),
            (
                ("", "persistentvolumeclaims"),
                json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}, "status": {"allocatedResources": {"storage": "1"}}}),
                "count/persistentvolumeclaims=1 persistentvolumeclaims=1 requests.storage=2",
            ),
            (
                ("", "pods"),
                json!({"spec": pod}),
                "count/pods=1 cpu=1 hugepages-2Mi=4Mi limits.cpu=2 pods=1 requests.cpu=1 requests.example.com/gpu=2 \
                 requests.hugepages-2Mi=4Mi",
            ),
            (
                ("", "pods"),
                json!({"spec": pod, "status": {"phase": "Failed"}}),
                "count/pods=1",
            ),
            (
                ("", "pods"),
                json!({"metadata": {"deletionTimestamp": "1969-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}, "spec": pod}),
                "count/pods=1",
            ),
        ] {
            assert_eq!(used(resource, &object), expected);
        }
    }

    #[test]
    fn names_are_about_kinds() {
        let about = |name: &str| -> Vec<String> {
            let all = Evaluator::with_own_names(&DeviceClasses::default());
            all.filter(|(_, evaluator)| evaluator.limits(name))
                .map(|(resource, _)| resource.to_string())
                .collect()
        };
        for (name, expected) in [
            ("pods", "pods"),
            ("requests.cpu", "pods"),
            ("requests.hugepages-2Mi", "pods"),
            ("requests.example.com/gpu", "pods"),
            ("requests.kubernetes.io/x", ""),
            ("example.com/gpu", ""),
            ("requests.storage", "persistentvolumeclaims"),
            (
                "gold.storageclass.storage.k8s.io/requests.storage",
                "persistentvolumeclaims",
            ),
            ("gold.storageclass.storage.k8s.io/other", ""),
            ("services.nodeports", "services"),
            ("secrets", "secrets"),
            ("count/secrets", "secrets"),
            ("count/things.shop.example.com", ""),
            (
                "gpu.deviceclass.resource.k8s.io/devices",
                "resourceclaims.resource.k8s.io",
            ),
        ] {
            assert_eq!(about(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn pods_say_what_they_use_unless_they_do_as_a_whole() {
        let evaluator = Evaluator::of(&GroupResource::new("", "pods"), DeviceClasses::default());
        let restricted = ["limits.cpu", "requests.memory", "requests.ephemeral-storage"];
        let mut pod = json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "resources": {"limits": {"cpu": "1"}}}],
            "initContainers": [{"name": "i"}]}});
        let missing = evaluator.missing(&restricted, &pod);
        assert_eq!(
            missing.as_deref(),
            Some("must specify limits.cpu for: b,i; requests.memory for: a,b,i")
        );
        pod["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(evaluator.missing(&restricted, &pod), None);
    }
}
