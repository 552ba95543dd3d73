//! How a virtual Service takes over the addresses of its host copy.
//!
//! An API server lets nobody change a cluster IP, except on the way from or to an `ExternalName`, which has none
//! (`validateUpgradeDowngradeClusterIPs` in `pkg/apis/core/validation`). So the Service is one for a moment: the first patch
//! gives its addresses back and keeps in an annotation what the Service was, the second one makes it that again, with the
//! addresses of the host. The annotation is all that the second patch needs to know; whoever finds it goes on.
//! Giving back first also lets Services swap addresses with each other.

use serde_json::{Map, Value, json};

use crate::engine::plan::Step;
use crate::json;
use crate::names::{Reference, keys};
use crate::resources::pair;

/// What a Service without addresses points to; names under `invalid` never exist (RFC 2606).
const NOWHERE: &str = "address-pending.invalid";

/// Fields that an `ExternalName` may not have, or that API servers drop when a Service becomes one.
const GIVEN_UP: [&str; 10] = [
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
];

/// The older form of `loadBalancerSourceRanges`, which API servers check in the same way.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Fields that say which addresses a Service has.
const ADDRESSES: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// Fields that may not change once they are set.
const FIXED: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "healthCheckNodePort"];

/// Whether a virtual Service has given its addresses back and waits for new ones.
fn is_between(object: &Value) -> bool {
    json::at(object, &["metadata", "annotations", keys::SERVICE_BETWEEN]).is_some()
        && json::text(object, &["spec", "type"]) == "ExternalName"
        && json::text(object, &["spec", "externalName"]) == NOWHERE
}

/// A virtual Service as its owner means it, also while it is between two addresses; it then shows the earlier ones.
pub fn meant(mut object: Value) -> Value {
    let between = is_between(&object);
    let Some(annotations) = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut)
    else {
        return object;
    };
    let kept = annotations.remove(keys::SERVICE_BETWEEN);
    if between {
        let kept: Value = kept
            .and_then(|kept| serde_json::from_str(kept.as_str()?).ok())
            .unwrap_or_default();
        // Nothing but these two: the annotation is in the hands of the Service's owner.
        if kept["annotations"].is_object() {
            json::merge(&mut object, &json!({"metadata": {"annotations": kept["annotations"]}}));
        }
        if kept["spec"].is_object() {
            json::merge(&mut object, &json!({"spec": kept["spec"]}));
        }
        if json::text(&object, &["spec", "type"]) == "ExternalName" {
            json::merge(
                &mut object,
                &json!({"spec": {"type": "ClusterIP", "externalName": null}}),
            );
        }
    }
    object
}

/// The next steps on the way to these changes of the spec and the metadata of a virtual Service.
pub fn steps(item: &Reference, actual: &Value, metadata: Option<Value>, changes: Map<String, Value>) -> Vec<Step> {
    let before = meant(actual.clone());
    let mut wanted = before.clone();
    json::merge(&mut wanted, &json!({"spec": changes}));
    let mut steps = Vec::new();
    if !is_between(actual) && is_move(&before["spec"], &wanted["spec"]) {
        // What is given up must not be lost for addresses that cannot be had.
        if changes.contains_key("clusterIP") {
            steps.push(Step::TryAddresses {
                namespace: item.key.namespace.clone(),
                spec: ADDRESSES
                    .iter()
                    .filter_map(|field| Some(((*field).to_owned(), wanted["spec"].get(*field)?.clone())))
                    .collect::<Map<_, _>>()
                    .into(),
            });
        }
        wanted = between(&before);
    }
    let mut change = json::merge_diff(&shown(actual), &shown(&wanted)).unwrap_or_else(|| json!({}));
    if let Some(metadata) = metadata {
        json::merge_patch(&mut change, &json!({"metadata": metadata}));
    }
    let own = change.as_object_mut().and_then(|change| change.remove("metadata"));
    let rest = Some(change).filter(|change| *change != json!({}));
    let mut patch = pair::patch_step(crate::kinds::Side::Virtual, item, actual, own, rest);
    if let Some(Step::Patch { body, .. }) = &mut patch {
        // Lists and the kept fields are replaced as a whole: they must be what they were when this was decided.
        body["metadata"]["resourceVersion"] = actual["metadata"]["resourceVersion"].clone();
    }
    steps.extend(patch);
    steps
}

/// The parts that a step may change.
fn shown(object: &Value) -> Value {
    json!({
        "metadata": {"annotations": object["metadata"].get("annotations").cloned().unwrap_or_else(|| json!({}))},
        "spec": object["spec"],
    })
}

/// Whether an API server refuses the change of a Service that keeps its addresses, or may refuse it because another
/// Service has not yet given up what this one is to get.
fn is_move(old: &Value, new: &Value) -> bool {
    let set = |value: &&Value| !matches!(value, Value::Null) && **value != "" && **value != json!([]) && **value != 0;
    let fixed = |field: &&str| {
        old.get(*field)
            .filter(set)
            .is_some_and(|value| new.get(*field) != Some(value))
    };
    let node_ports = || {
        let after = json::items(new, &["ports"]);
        json::items(old, &["ports"]).iter().zip(after).any(|(old, new)| {
            let held = old.get("nodePort").filter(set);
            held.is_some_and(|held| new.get("nodePort") != Some(held))
        })
    };
    FIXED.iter().any(fixed) || node_ports()
}

/// The Service without addresses, with all that is needed to make it what it was.
fn between(before: &Value) -> Value {
    let mut bare = before.clone();
    if let Some(spec) = json::object_mut(&mut bare, "spec") {
        GIVEN_UP.iter().for_each(|field| {
            spec.remove(*field);
        });
        spec.insert("type".to_owned(), json!("ExternalName"));
        spec.insert("externalName".to_owned(), json!(NOWHERE));
    }
    if let Some(annotations) = bare["metadata"].get_mut("annotations") {
        json::remove(annotations, &[SOURCE_RANGES]);
    }
    let kept = json!({
        "spec": json::merge_diff(&bare["spec"], &before["spec"]),
        "annotations": json::merge_diff(&shown(&bare)["metadata"]["annotations"], &shown(before)["metadata"]["annotations"]),
    });
    if let Some(metadata) = json::object_mut(&mut bare, "metadata") {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        json::put(annotations, keys::SERVICE_BETWEEN, Some(json!(kept.to_string())));
    }
    bare
}

#[cfg(test)]
mod tests;
