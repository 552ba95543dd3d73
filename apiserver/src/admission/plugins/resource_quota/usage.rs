//! What an object uses (kubernetes `pkg/quota/v1/evaluator/core`, `k8s.io/apiserver/pkg/quota/v1/generic`).

use crate::admission::pod_resources::{Amounts, amounts, of_pod};
use crate::admission::{Attributes, Operation};
use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const REQUESTS: &str = "requests.";
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

/// How the objects of a resource are counted.
pub(super) struct Evaluator {
    kind: Kind,
    /// `count/` and the resource.
    count: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pods,
    Services,
    Claims,
    /// By number only; for some, also under a plain name.
    Objects(Option<&'static str>),
}

impl Evaluator {
    /// The evaluator of a write; `None` for writes that use nothing.
    pub(super) fn of(attributes: &Attributes<'_>) -> Option<Self> {
        let resource = &attributes.resource;
        let (create, update) = (
            attributes.operation == Operation::Create,
            attributes.operation == Operation::Update,
        );
        let core = resource.group.is_empty();
        let kind = match resource.resource.as_str() {
            "pods" if core => Kind::Pods,
            "services" if core => Kind::Services,
            "persistentvolumeclaims" if core => Kind::Claims,
            name => Kind::Objects(PLAIN.into_iter().find(|plain| core && *plain == name)),
        };
        let handled = match (kind, attributes.subresource) {
            (Kind::Pods, "resize") => update,
            (Kind::Services | Kind::Claims, "") => create || update,
            (_, "") => create,
            _ => false,
        };
        handled.then(|| Evaluator {
            kind,
            count: format!("count/{resource}"),
        })
    }

    /// Whether pods are counted.
    pub(super) fn counts_pods(&self) -> bool {
        self.kind == Kind::Pods
    }

    /// Whether claims are counted.
    pub(super) fn counts_claims(&self) -> bool {
        self.kind == Kind::Claims
    }

    /// Whether a resource in a quota is about these objects (`MatchingResources`).
    pub(super) fn limits(&self, name: &str) -> bool {
        if name == self.count {
            return true;
        }
        match self.kind {
            Kind::Pods => {
                let request = name.strip_prefix(REQUESTS);
                let pages = name.starts_with(HUGE_PAGES) || request.is_some_and(|n| n.starts_with(HUGE_PAGES));
                OF_PODS.contains(&name) || pages || request.is_some_and(is_extended)
            }
            Kind::Services => OF_SERVICES.contains(&name),
            Kind::Claims => {
                let by_class = name.split_once(OF_STORAGE_CLASS).map(|(_, resource)| resource);
                OF_CLAIMS.contains(&by_class.unwrap_or(name))
            }
            Kind::Objects(plain) => plain == Some(name),
        }
    }

    /// What an object has to state for a quota but does not (`Constraints`).
    pub(super) fn missing(&self, restricted: &[&str], object: &Value) -> Option<String> {
        if self.kind != Kind::Pods {
            return None;
        }
        let of_pod = computed(
            &amounts(object, &["spec", "resources", "requests"]),
            &amounts(object, &["spec", "resources", "limits"]),
        );
        let stated = restricted
            .iter()
            .filter(|n| STATED.contains(*n) && !of_pod.contains_key(**n));
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
    pub(super) fn usage(&self, object: &Value) -> Amounts {
        let one = Quantity::from_units(1);
        let mut usage = Amounts::from([(self.count.clone(), one)]);
        match self.kind {
            Kind::Pods => {
                let finished = matches!(meta::str_at(object, &["status", "phase"]), Some("Succeeded" | "Failed"));
                if !finished {
                    usage.extend(computed(&of_pod(object, "requests"), &of_pod(object, "limits")));
                    usage.insert("pods".to_owned(), one);
                }
            }
            Kind::Services => usage.extend(of_service(object)),
            Kind::Claims => usage.extend(of_claim(object)),
            Kind::Objects(plain) => usage.extend(plain.map(|name| (name.to_owned(), one))),
        }
        usage
    }
}

/// Whether a resource is one that a device plugin may offer.
fn is_extended(name: &str) -> bool {
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
        if name.starts_with(HUGE_PAGES) || (is_extended(name) && !name.starts_with(REQUESTS)) {
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
    if let Some(size) = requested.into_iter().chain(allocated).max() {
        usage.insert(OF_CLAIMS[1].to_owned(), size);
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
    use crate::admission::testing::attributes;
    use serde_json::json;

    #[test]
    fn each_kind_is_counted_its_way() {
        for (plural, object, expected) in [
            ("secrets", json!({}), "count/secrets=1 secrets=1"),
            ("endpoints", json!({}), "count/endpoints=1"),
            (
                "services",
                json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}}),
                "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2",
            ),
            (
                "persistentvolumeclaims",
                json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}}),
                "count/persistentvolumeclaims=1 gold.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
                 gold.storageclass.storage.k8s.io/requests.storage=5Gi persistentvolumeclaims=1 requests.storage=5Gi",
            ),
            (
                "pods",
                json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "example.com/gpu": "2"},
                    "limits": {"cpu": "2"}}}]}}),
                "count/pods=1 cpu=1 limits.cpu=2 pods=1 requests.cpu=1 requests.example.com/gpu=2",
            ),
        ] {
            let mut warnings = Vec::new();
            let evaluator = Evaluator::of(&attributes(Operation::Create, plural, "n", "x", &mut warnings)).unwrap();
            let usage: Vec<String> = evaluator
                .usage(&object)
                .iter()
                .map(|(n, q)| format!("{n}={q}"))
                .collect();
            assert_eq!(usage.join(" "), expected);
        }
    }
}
