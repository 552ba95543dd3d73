//! Nodes that show those of the host: what the host says holds, and what was added here stays.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::{ownership, pair};
use super::{addresses, back, status_step, taints};
use crate::engine::plan::Plan;
use crate::json::{self, Strings};
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::world::World;

/// Annotations of host nodes that mean something there only.
const NOT_SHOWN: [&str; 5] = [
    taints::ORIGINAL,
    "management.cattle.io/pod-limits",
    "management.cattle.io/pod-requests",
    keys::MANAGED_ANNOTATIONS,
    keys::MANAGED_LABELS,
];
/// Asks a cluster autoscaler to keep the node that the control plane runs on.
const KEEP: &str = "cluster-autoscaler.kubernetes.io/scale-down-disabled";
/// Fields of the spec that can be set once.
const FIXED: [&str; 3] = ["podCIDR", "podCIDRs", "providerID"];

/// A new virtual node.
pub(super) fn node(world: &World, name: &str, host: &Value) -> Value {
    let (labels, annotations) = metadata(world, name, host, None);
    let mut spec = host.get("spec").cloned().unwrap_or_else(|| json!({}));
    json::put(
        &mut spec,
        "taints",
        Some(Value::Array(taints::merged(world, host, None))),
    );
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": spec,
        "status": status(world, name, host, None),
    })
}

/// Brings an existing one up to date; with `syncBackChanges` what was changed here goes to the host first.
pub(super) fn update(world: &World, item: &Reference, host: &Value, actual: &Value) -> Plan {
    let name = &item.key.name;
    let replaced = FIXED.iter().any(|field| {
        let (ours, theirs) = (&actual["spec"][field], &host["spec"][field]);
        !ours.is_null() && !theirs.is_null() && ours != theirs
    });
    if replaced {
        // Another node of the same name.
        return pair::delete(Side::Virtual, item, actual);
    }
    let status = status_step(item, actual, status(world, name, host, Some(actual)));
    let plan = Plan::nothing().and(status);
    if world.settings.nodes.sync_back
        && let Some(step) = back::step(world, item, host, actual)
    {
        return plan.and([step]);
    }
    let (labels, annotations) = metadata(world, name, host, Some(actual));
    let current = ["labels", "annotations"].map(|map| json::strings(actual, &["metadata", map]));
    let mut change = json::merge_diff(
        &json!({"labels": current[0], "annotations": current[1]}),
        &json!({"labels": labels, "annotations": annotations}),
    );
    let mut spec = json!({});
    let wanted = Value::Array(taints::merged(world, host, Some(actual)));
    if json::items(actual, &["spec", "taints"]) != json::items(&wanted, &[]) {
        json::put(&mut spec, "taints", Some(wanted));
        // The list is written as a whole, and the controllers of this cluster write it, too.
        let metadata = change.get_or_insert_with(|| json!({}));
        metadata["resourceVersion"] = actual["metadata"]["resourceVersion"].clone();
    }
    let unschedulable = |node: &Value| json::flag(node, &["spec", "unschedulable"]).unwrap_or_default();
    if unschedulable(actual) != unschedulable(host) {
        spec["unschedulable"] = json!(unschedulable(host));
    }
    for field in FIXED {
        if actual["spec"].get(field).is_none() && host["spec"].get(field).is_some() {
            spec[field] = host["spec"][field].clone();
        }
    }
    let spec = (spec != json!({})).then(|| json!({"spec": spec}));
    plan.and(pair::patch_step(Side::Virtual, item, actual, change, spec))
}

/// Labels and annotations: the host's go before those that were added here, and what the host no longer has goes away.
fn metadata(world: &World, name: &str, host: &Value, actual: Option<&Value>) -> (Strings, Strings) {
    let none = json!({});
    let actual = actual.unwrap_or(&none);
    let recorded = |key: &str| -> BTreeSet<String> {
        let text = json::text(actual, &["metadata", "annotations", key]);
        text.split('\n').map(str::to_owned).collect()
    };
    let merge = |map: &str, record: &str, excluded: &[&str]| {
        let mut all = json::strings(host, &["metadata", map]);
        all.retain(|key, _| !excluded.contains(&key.as_str()));
        let owned: Vec<String> = all.keys().cloned().collect();
        let before = recorded(record);
        for (key, value) in json::strings(actual, &["metadata", map]) {
            let kept = excluded.contains(&key.as_str()) || !(owned.contains(&key) || before.contains(&key));
            if kept {
                all.insert(key, value);
            }
        }
        (all, owned.join("\n"))
    };
    let (mut annotations, managed_annotations) = merge("annotations", keys::MANAGED_ANNOTATIONS, &NOT_SHOWN);
    let (mut labels, managed_labels) = merge("labels", keys::MANAGED_LABELS, &[]);
    labels.insert(keys::MARKER.to_owned(), world.names.vcluster().to_owned());
    let mut note = |key: &str, value: Option<String>| match value.filter(|value| !value.is_empty()) {
        Some(value) => drop(annotations.insert(key.to_owned(), value)),
        None => drop(annotations.remove(key)),
    };
    note(keys::MANAGED_ANNOTATIONS, Some(managed_annotations));
    note(keys::MANAGED_LABELS, Some(managed_labels));
    note(taints::ORIGINAL, taints::to_remember(&taints::of_host(host)));
    back::remember(world, host, &mut note);
    if world.settings.nodes.own_node == name {
        annotations.insert(KEEP.to_owned(), "true".to_owned());
    }
    (labels, annotations)
}

/// The host's status, with the addresses of the virtual node.
fn status(world: &World, name: &str, host: &Value, actual: Option<&Value>) -> Value {
    let mut status = ownership::shown_status(world, Kind::Node, host.get("status"));
    let settings = &world.settings.nodes;
    status["addresses"] = addresses::of(world, name, json::items(host, &["status", "addresses"]));
    status["daemonEndpoints"] = addresses::endpoints(world);
    if settings.clear_images {
        json::put(&mut status, "images", None);
    }
    if settings.scheduled_here {
        world.other_pods.subtract(name, &mut status);
        // What was added to a virtual node for its own scheduler stays.
        for amounts in ["capacity", "allocatable"] {
            let mut all = actual
                .and_then(|node| node["status"].get(amounts))
                .cloned()
                .unwrap_or_else(|| json!({}));
            for (resource, amount) in status[amounts].as_object().into_iter().flatten() {
                json::put(&mut all, resource, Some(amount.clone()));
            }
            status[amounts] = all;
        }
    }
    status
}
