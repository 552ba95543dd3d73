//! Virtual nodes: those of the host as they are, or made-up ones where the host does not show its own.
//!
//! Either way this process is their kubelet, so their addresses and port lead here.

pub mod addresses;
mod back;
mod invented;
mod mirrored;
pub mod others;
mod service;
mod taints;

use machinery::selector::label::Selector;
use serde_json::{Map, Value, json};

use super::{GET, HostRule, PATCH, READ, cluster_rule, pair};
use crate::clusters::Patch;
use crate::engine::plan::{Plan, Step};
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::{Reference, keys};
use crate::settings::{NodeSettings, Settings};
use crate::world::World;

const SHOWN: HostRule = cluster_rule("", "nodes", READ);
/// Measurements of kubelets, which the host's API server passes on.
const MEASURED: HostRule = cluster_rule("", "nodes/proxy", GET);
const CHANGED: HostRule = cluster_rule("", "nodes", PATCH);
/// Who schedules has to know what the pods of others take.
const OTHERS: HostRule = cluster_rule("", "pods", READ);

/// What it takes to show the host's nodes as they are; made-up nodes take nothing.
pub(super) fn host_rules(settings: &Settings) -> impl Iterator<Item = &'static HostRule> {
    let nodes = &settings.nodes;
    let rules = [
        (true, &SHOWN),
        (nodes.is_proxied(), &MEASURED),
        (nodes.sync_back, &CHANGED),
        (nodes.scheduled_here, &OTHERS),
    ];
    let from_host = nodes.from_host;
    rules
        .into_iter()
        .filter_map(move |(needed, rule)| (from_host && needed).then_some(rule))
}

/// What a virtual node is made from.
enum Origin {
    Host(Value),
    Invented,
}

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let name = item.key.name.as_str();
    let actual = world.virtual_side.get(Kind::Node, "", name).map(|node| node.value());
    let (plan, shown) = match (origin(world, name), &actual) {
        (None, Some(actual)) if is_ours(world, actual) => (pair::delete(Side::Virtual, item, actual), false),
        (None, _) => (Plan::nothing(), false),
        (Some(_), Some(actual)) if pair::is_deleting(actual) => (Plan::nothing(), true),
        (Some(Origin::Host(host)), Some(actual)) => (mirrored::update(world, item, &host, actual), true),
        (Some(Origin::Host(host)), None) => (create(world, name, mirrored::node(world, name, &host)), true),
        (Some(Origin::Invented), None) => (create(world, name, invented::node(name)), true),
        (Some(Origin::Invented), Some(actual)) if is_ours(world, actual) => (refresh(world, item, actual), true),
        (Some(Origin::Invented), Some(_)) => (Plan::nothing(), false),
    };
    plan.and(service::steps(world, name, shown))
}

/// What the node of this name is made from, if there is to be one.
fn origin(world: &World, name: &str) -> Option<Origin> {
    let settings = &world.settings.nodes;
    if !settings.from_host {
        return world.placement.is_used(name).then_some(Origin::Invented);
    }
    let host = world.host.get(Kind::Node, "", name)?.value();
    let wanted = match &settings.selector {
        Some(selector) => selector.matches_labels(json::at(&host, &["metadata", "labels"])),
        None => world.placement.is_used(name),
    };
    wanted.then_some(Origin::Host(host))
}

/// Whether the host's node of this name is shown here: not what the virtual cluster says of it counts, where tenants may
/// call a node anything, but what the host does.
pub fn is_served(world: &World, name: &str) -> bool {
    let settings = &world.settings.nodes;
    match (settings.from_host, &settings.selector) {
        (true, Some(_)) => origin(world, name).is_some(),
        _ => world.placement.runs_on(name),
    }
}

/// Which of the host's nodes are shown whether they run pods of this cluster or not; `None` when none is.
pub fn shown(settings: &NodeSettings) -> Option<&Selector> {
    settings.selector.as_ref().filter(|_| settings.from_host)
}

fn is_ours(world: &World, node: &Value) -> bool {
    json::text(node, &["metadata", "labels", invented::FAKE]) == "true"
        || json::text(node, &["metadata", "labels", keys::MARKER]) == world.names.vcluster()
}

fn create(world: &World, name: &str, mut node: Value) -> Plan {
    if node.get("status").is_none() {
        node["status"] = invented::status(world, name);
        node["status"]["addresses"] = addresses::of(world, name, &[]);
        node["status"]["daemonEndpoints"] = addresses::endpoints(world);
    }
    Plan::step(Step::Create {
        side: Side::Virtual,
        kind: Kind::Node,
        object: node,
    })
}

/// Brings back what a made-up node has to have; what else it was given stays, but taints, which nobody could tolerate away.
fn refresh(world: &World, item: &Reference, actual: &Value) -> Plan {
    let wanted = invented::node(&item.key.name);
    let mut metadata = json!({});
    for map in ["labels", "annotations"] {
        let current = json::strings(actual, &["metadata", map]);
        let missing: Map<String, Value> = json::strings(&wanted, &["metadata", map])
            .into_iter()
            .filter(|(key, value)| current.get(key) != Some(value))
            .map(|(key, value)| (key, json!(value)))
            .collect();
        let missing = (!missing.is_empty()).then_some(Value::Object(missing));
        json::put(&mut metadata, map, missing);
    }
    let (kept, dropped): (Vec<_>, Vec<_>) = json::items(actual, &["spec", "taints"])
        .iter()
        .partition(|taint| taints::follows_conditions(taint));
    let spec = (!dropped.is_empty()).then(|| {
        metadata["resourceVersion"] = actual["metadata"]["resourceVersion"].clone();
        json!({"spec": {"taints": kept}})
    });
    let metadata = (metadata != json!({})).then_some(metadata);
    let change = pair::patch_step(Side::Virtual, item, actual, metadata, spec);

    let mut status = actual.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut wanted = invented::status(world, &item.key.name);
    wanted["addresses"] = addresses::of(world, &item.key.name, &[]);
    wanted["daemonEndpoints"] = addresses::endpoints(world);
    for (field, value) in wanted.as_object().into_iter().flatten() {
        json::put(&mut status, field, Some(value.clone()));
    }
    Plan::nothing().and(change).and(status_step(item, actual, status))
}

/// Brings the status up to date. Conditions are compared without the times at which they were looked at.
fn status_step(item: &Reference, actual: &Value, mut wanted: Value) -> Option<Step> {
    let essence = |status: &Value| {
        let conditions = json::items(status, &["conditions"]).iter();
        conditions
            .map(|condition| {
                json!([
                    condition["type"],
                    condition["status"],
                    condition["reason"],
                    condition["message"]
                ])
            })
            .collect::<Vec<_>>()
    };
    let empty = json!({});
    let current = actual.get("status").unwrap_or(&empty);
    if essence(current) == essence(&wanted) {
        json::put(&mut wanted, "conditions", current.get("conditions").cloned());
    }
    if let Some(fields) = wanted.as_object_mut() {
        // What is empty is not stored.
        fields.retain(|field, value| !value.as_array().is_some_and(Vec::is_empty) || current.get(field).is_some());
    }
    let status = json::merge_diff(current, &wanted)?;
    Some(Step::Patch {
        side: Side::Virtual,
        kind: Kind::Node,
        key: item.key.clone(),
        subresource: "status",
        patch: Patch::Merge,
        body: json!({"metadata": {"uid": actual["metadata"]["uid"]}, "status": status}),
    })
}

/// The node whose Service on the host this is.
pub(super) fn of_service(world: &World, service: &Value) -> Option<Reference> {
    service::node_of(world, service)
}

/// All nodes that have a Service on the host: it is made after that of the control plane.
pub(super) fn with_service(world: &World) -> Vec<Reference> {
    if !world.settings.nodes.by_ip {
        return Vec::new();
    }
    let nodes = world.virtual_side.of(Kind::Node).list();
    nodes
        .iter()
        .map(|node| Reference::new(Kind::Node, "", &node.key().name))
        .collect()
}

#[cfg(test)]
mod tests;
