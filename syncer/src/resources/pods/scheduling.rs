//! Where a pod may run: selectors on other pods are narrowed to this virtual cluster.

use serde_json::{Value, json};

use crate::engine::plan::Note;
use crate::json::{self, Strings, items_mut};
use crate::names::{keys, merge_selectors};
use crate::world::World;

/// Fields with keys of labels whose values in the pod itself are selected, or are not.
const LABEL_KEYS: [(&str, &str); 2] = [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")];

/// Translates node selector, affinity, spreading and tolerations of the spec of a pod with these labels.
pub(super) fn translate(world: &World, namespace: &str, labels: &Strings, spec: &mut Value) -> Vec<Note> {
    let mut notes = Vec::new();
    if world.settings.pods.scheduling.is_virtual(spec) {
        // They have been obeyed; the host would read them again, and differently.
        json::remove(spec, &["affinity", "nodeSelector", "topologySpreadConstraints"]);
    }
    require_labels(world, spec);
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.get_mut("affinity").and_then(|all| all.get_mut(affinity)) else {
            continue;
        };
        for term in items_mut(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            resolve_label_keys(term, labels);
            *term = affinity_term(world, namespace, term, &mut notes);
        }
        for weighted in items_mut(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                resolve_label_keys(term, labels);
                *term = affinity_term(world, namespace, term, &mut notes);
            }
        }
    }
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        resolve_label_keys(constraint, labels);
        if let Some(selector) = constraint.get_mut("labelSelector") {
            *selector = world.names.label_selector_to_host(selector);
            world.names.restrict(selector, Some(namespace));
        }
    }
    let tolerations = tolerations(world, json::items(spec, &["tolerations"]), &[]);
    json::put(
        spec,
        "tolerations",
        (!tolerations.is_empty()).then_some(Value::Array(tolerations)),
    );
    notes
}

/// Narrows a pod to the nodes that this cluster may use. The node's kubelet looks at this, too, whoever chose the node.
fn require_labels(world: &World, spec: &mut Value) {
    let required = &world.settings.nodes.required_labels;
    if required.is_empty() {
        return;
    }
    if let Some(selector) = json::object_mut(spec, "nodeSelector") {
        for (label, value) in required {
            selector.insert(label.clone(), json!(value));
        }
    }
}

fn affinity_term(world: &World, namespace: &str, term: &Value, notes: &mut Vec<Note>) -> Value {
    let mut host = json!({"topologyKey": term["topologyKey"]});
    let Some(selector) = term.get("labelSelector").filter(|selector| !selector.is_null()) else {
        return host;
    };
    let mut selector = world.names.label_selector_to_host(selector);
    let namespaces = json::items(term, &["namespaces"]);
    let namespace_selector = term.get("namespaceSelector").filter(|selector| !selector.is_null());
    let selects_all = namespace_selector.is_some_and(is_empty_selector);
    if !namespaces.is_empty() || namespace_selector.is_some() {
        // Both together: pods of namespaces without one of the host to themselves are with the control plane.
        if let Some(own) = world.names.namespaces_on_host() {
            host["namespaces"] = json!([world.names.host_namespace()]);
            host["namespaceSelector"] = own;
        }
    }
    if !namespaces.is_empty() && !selects_all {
        if namespace_selector.is_some() {
            let text = "pod affinity term uses both namespaces and namespaceSelector; the namespaceSelector is ignored";
            notes.push(Note::warning(text));
        }
        let requirement = json!({"key": keys::NAMESPACE, "operator": "In", "values": namespaces});
        merge_selectors(&mut selector, &json!({"matchExpressions": [requirement]}));
        world.names.restrict(&mut selector, None);
    } else if let Some(namespaces) = namespace_selector {
        merge_selectors(&mut selector, &world.names.namespace_selector_to_host(namespaces));
        world.names.restrict(&mut selector, None);
    } else {
        world.names.restrict(&mut selector, Some(namespace));
    }
    host["labelSelector"] = selector;
    host
}

/// Writes into the selector what keys of labels stand for, as API servers do (`applyLabelKeysToLabelSelector` of
/// pkg/registry/core/pod/strategy.go), and takes the keys away: a host that does so once more refuses the pod, because
/// a key must not be in both.
fn resolve_label_keys(holder: &mut Value, labels: &Strings) {
    for (field, operator) in LABEL_KEYS {
        let keys = json::items(holder, &[field]).to_vec();
        json::remove(holder, &[field]);
        let Some(selector) = holder.get_mut("labelSelector").filter(|selector| selector.is_object()) else {
            continue;
        };
        for key in keys.iter().filter_map(Value::as_str) {
            let Some(value) = labels.get(key) else { continue };
            let requirement = json!({"key": key, "operator": operator, "values": [value]});
            if !json::items(selector, &["matchExpressions"]).contains(&requirement) {
                merge_selectors(selector, &json!({"matchExpressions": [requirement]}));
            }
        }
    }
}

fn is_empty_selector(selector: &Value) -> bool {
    let empty_labels = json::at(selector, &["matchLabels"])
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty);
    empty_labels && json::items(selector, &["matchExpressions"]).is_empty()
}

/// The tolerations of the host pod: the virtual ones, those that only the host has, and those that are configured.
pub(super) fn tolerations(world: &World, virtual_: &[Value], host: &[Value]) -> Vec<Value> {
    let mut all = virtual_.to_vec();
    for toleration in host.iter().chain(&world.settings.pods.tolerations) {
        if !all.contains(toleration) {
            all.push(toleration.clone());
        }
    }
    all
}
