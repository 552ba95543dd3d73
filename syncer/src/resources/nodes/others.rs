//! What the pods of others take from nodes: a scheduler of the virtual cluster must not count on it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use machinery::quantity::Quantity;
use serde_json::{Value, json};

use crate::clusters::{Cache, Change};
use crate::json;
use crate::object::{Object, ObjectKey};

/// Resources that are counted.
const COUNTED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Of these a pod as a whole can have requests, too.
const OF_PODS: [&str; 2] = ["cpu", "memory"];

type Amounts = [Quantity; COUNTED.len()];
type Pods = BTreeMap<ObjectKey, Amounts>;

/// The pods of the host that do not belong to this virtual cluster, by node.
#[derive(Debug, Default)]
pub struct OtherPods {
    cache: Cache,
    by_node: Mutex<BTreeMap<String, Pods>>,
}

/// Keeps of a pod its node and what it requests; nothing of one that has ended.
pub fn trim(pod: &mut Value) {
    let metadata = ["namespace", "name", "uid", "resourceVersion"].map(|field| (field, pod["metadata"][field].clone()));
    let ended = matches!(json::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    let node = json::text(pod, &["spec", "nodeName"]).to_owned();
    let requests = requests(pod).map(|amount| amount.to_string());
    *pod = json!({
        "metadata": metadata.into_iter().collect::<BTreeMap<_, _>>(),
        "node": if ended { String::new() } else { node },
        "requests": requests,
    });
}

impl OtherPods {
    /// The pods themselves, as a watch keeps them.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Takes over a change; returns the nodes that have more or less to give.
    pub fn observe(&self, change: &Change) -> Vec<String> {
        let (old, new) = (
            change.old.as_deref().and_then(place),
            change.new.as_deref().and_then(place),
        );
        if old == new {
            return Vec::new();
        }
        let Some(key) = change.object().map(|pod| pod.key().clone()) else {
            return Vec::new();
        };
        let mut by_node = self.by_node();
        let mut nodes = Vec::new();
        if let Some((node, _)) = old {
            if let Some(pods) = by_node.get_mut(&node) {
                pods.remove(&key);
            }
            nodes.push(node);
        }
        if let Some((node, amounts)) = new {
            by_node.entry(node.clone()).or_default().insert(key, amounts);
            nodes.push(node);
        }
        nodes
    }

    /// Takes from what the status says is allocatable what the pods on the node have.
    pub(super) fn subtract(&self, node: &str, status: &mut Value) {
        let by_node = self.by_node();
        let Some(pods) = by_node.get(node).filter(|pods| !pods.is_empty()) else {
            return;
        };
        let Some(allocatable) = status.get_mut("allocatable").and_then(Value::as_object_mut) else {
            return;
        };
        let mut take = |resource: &str, taken: &Quantity| {
            let amount = allocatable.get(resource).and_then(Value::as_str);
            if let Some(Ok(amount)) = amount.map(Quantity::parse) {
                let left = amount.minus(taken).max(Quantity::from_units(0));
                allocatable.insert(resource.to_owned(), json!(left.to_string()));
            }
        };
        for (position, resource) in COUNTED.iter().enumerate() {
            let none = Quantity::from_units(0);
            let taken = pods.values().fold(none, |sum, amounts| sum.plus(&amounts[position]));
            take(resource, &taken);
        }
        take(
            "pods",
            &Quantity::from_units(i64::try_from(pods.len()).unwrap_or(i64::MAX)),
        );
    }

    fn by_node(&self) -> MutexGuard<'_, BTreeMap<String, Pods>> {
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(pod: &Object) -> Option<(String, Amounts)> {
    let pod = pod.value();
    let node = json::text(&pod, &["node"]).to_owned();
    let requests = json::items(&pod, &["requests"]);
    let amounts = std::array::from_fn(|position| quantity(requests.get(position)));
    (!node.is_empty()).then_some((node, amounts))
}

fn quantity(value: Option<&Value>) -> Quantity {
    let parsed = value
        .and_then(Value::as_str)
        .and_then(|text| Quantity::parse(text).ok());
    parsed.unwrap_or(Quantity::from_units(0))
}

fn sum(a: &Amounts, b: &Amounts) -> Amounts {
    std::array::from_fn(|position| a[position].plus(&b[position]))
}

fn largest(a: &Amounts, b: &Amounts) -> Amounts {
    std::array::from_fn(|position| a[position].max(b[position]))
}

fn amounts(list: Option<&Value>) -> Amounts {
    COUNTED.map(|resource| quantity(list.and_then(|list| list.get(resource))))
}

/// What a pod requests (component-helpers `resource.PodRequests`): the sum of its containers, which init containers may
/// exceed one at a time and sidecars add to; or what it says for itself as a whole; and its overhead.
fn requests(pod: &Value) -> Amounts {
    let spec = &pod["spec"];
    let mut all = amounts(None);
    for container in json::items(spec, &["containers"]) {
        all = sum(&all, &of_container(pod, container, "containerStatuses"));
    }
    let (mut sidecars, mut most) = (amounts(None), amounts(None));
    for container in json::items(spec, &["initContainers"]) {
        if container["restartPolicy"] == "Always" {
            let own = of_container(pod, container, "initContainerStatuses");
            all = sum(&all, &own);
            sidecars = sum(&sidecars, &own);
            most = largest(&most, &sidecars);
        } else {
            let own = amounts(json::at(container, &["resources", "requests"]));
            most = largest(&most, &sum(&own, &sidecars));
        }
    }
    all = largest(&all, &most);
    if let Some(stated) = json::at(spec, &["resources", "requests"]) {
        for (position, resource) in COUNTED.iter().enumerate() {
            if OF_PODS.contains(resource) && stated.get(resource).is_some() {
                all[position] = quantity(stated.get(resource));
            }
        }
    }
    sum(&all, &amounts(spec.get("overhead")))
}

/// What a container requests, or has while it is being resized.
fn of_container(pod: &Value, container: &Value, statuses: &str) -> Amounts {
    let spec = amounts(json::at(container, &["resources", "requests"]));
    let status = json::items(pod, &["status", statuses])
        .iter()
        .find(|status| status["name"] == container["name"]);
    let Some(has) = status.and_then(|status| json::at(status, &["resources", "requests"])) else {
        return spec;
    };
    let allocated = amounts(status.and_then(|status| status.get("allocatedResources")));
    let actual = largest(&amounts(Some(has)), &allocated);
    let infeasible = |condition: &Value| condition["type"] == "PodResizePending" && condition["reason"] == "Infeasible";
    if json::items(pod, &["status", "conditions"]).iter().any(infeasible) {
        actual
    } else {
        largest(&actual, &spec)
    }
}
