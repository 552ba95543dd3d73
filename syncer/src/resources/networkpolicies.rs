//! NetworkPolicies, to the host. Namespaces there are not those of the virtual cluster, so every selector of namespaces
//! becomes one of the labels that pods carry for theirs.

use serde_json::{Value, json};

use super::copied::{self, BARE, Copied, Fields};
use crate::engine::plan::Plan;
use crate::json;
use crate::names::{METADATA_NAME, Reference, merge_selectors};
use crate::world::World;

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let copied = Copied {
        wanted,
        actual: |host| copied::fields(host, &["spec"]),
        ..BARE
    };
    copied::plan(world, item, &copied)
}

fn wanted(world: &World, object: &Value, _: Option<&Value>) -> Fields {
    let namespace = json::text(object, &["metadata", "namespace"]);
    let mut spec = object["spec"].clone();
    // An empty selector means all pods of the namespace.
    let selector = spec.get("podSelector").cloned().unwrap_or_else(|| json!({}));
    let mut selector = world.names.label_selector_to_host(&selector);
    world.names.restrict(&mut selector, Some(namespace));
    json::put(&mut spec, "podSelector", Some(selector));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in json::items_mut(&mut spec, rules) {
            if let Some(Value::Array(all)) = rule.get_mut(peers) {
                *all = all.iter().flat_map(|peer| translate(world, namespace, peer)).collect();
            }
        }
    }
    Fields::from_iter([("spec".to_owned(), spec)])
}

/// A peer in the namespaces of the host where it can be: several, if virtual namespaces have some to themselves.
fn translate(world: &World, namespace: &str, peer: &Value) -> Vec<Value> {
    if peer.get("ipBlock").is_some_and(|block| !block.is_null()) {
        return vec![peer.clone()];
    }
    let pods = peer.get("podSelector").filter(|selector| !selector.is_null());
    let namespaces = peer.get("namespaceSelector").filter(|selector| !selector.is_null());
    let mut selector = pods.map_or_else(|| json!({}), |pods| world.names.label_selector_to_host(pods));
    let Some(namespaces) = namespaces else {
        world.names.restrict(&mut selector, Some(namespace));
        return vec![json!({"podSelector": selector})];
    };
    merge_selectors(&mut selector, &world.names.namespace_selector_to_host(namespaces));
    world.names.restrict(&mut selector, None);
    match world.names.namespaces_on_host() {
        None => vec![json!({"podSelector": selector})],
        Some(own) => {
            let joined = json!({"matchLabels": {METADATA_NAME: world.names.host_namespace()}});
            let all = [own, joined].into_iter();
            all.map(|namespaces| json!({"podSelector": selector, "namespaceSelector": namespaces}))
                .collect()
        }
    }
}
