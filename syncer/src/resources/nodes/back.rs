//! Changes of a virtual node that go to the host: labels, taints, and whether pods may be scheduled.
//!
//! What a change is shows in comparison with what the host had when it was last looked at, which the virtual node carries in
//! annotations. What both sides changed in the meantime is the host's.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::pair;
use super::taints;
use crate::engine::plan::Step;
use crate::json::{self, Strings};
use crate::kinds::Side;
use crate::names::{Reference, keys};
use crate::world::World;

/// Annotation of a virtual node with the labels that its host node had.
const ORIGINAL_LABELS: &str = "vcluster.loft.sh/original-labels";
/// Annotation of a virtual node that says whether its host node was unschedulable.
const ORIGINAL_UNSCHEDULABLE: &str = "vcluster.loft.sh/original-unschedulable";

/// Notes what the host has.
pub(super) fn remember(world: &World, host: &Value, note: &mut impl FnMut(&str, Option<String>)) {
    let on = world.settings.nodes.sync_back;
    let labels = json!(json::strings(host, &["metadata", "labels"])).to_string();
    note(ORIGINAL_LABELS, on.then_some(labels));
    note(ORIGINAL_UNSCHEDULABLE, on.then(|| unschedulable(host).to_string()));
}

/// The change of the host's node, if the virtual one was changed since.
pub(super) fn step(world: &World, item: &Reference, host: &Value, actual: &Value) -> Option<Step> {
    let annotation = |key: &str| json::text(actual, &["metadata", "annotations", key]);
    let base: Strings = serde_json::from_str(annotation(ORIGINAL_LABELS)).ok()?;
    let labels = labels(&base, host, actual);
    let metadata = (!labels.is_empty()).then(|| json!({"labels": labels}));

    let mut spec = json!({});
    let before = annotation(ORIGINAL_UNSCHEDULABLE) == "true";
    if unschedulable(actual) != before && unschedulable(host) == before {
        spec["unschedulable"] = json!(unschedulable(actual));
    }
    let mut metadata = metadata;
    if let Some(taints) = changed_taints(world, host, actual) {
        spec["taints"] = Value::Array(taints);
        let metadata = metadata.get_or_insert_with(|| json!({}));
        metadata["resourceVersion"] = host["metadata"]["resourceVersion"].clone();
    }
    let spec = (spec != json!({})).then(|| json!({"spec": spec}));
    pair::patch_step(Side::Host, item, host, metadata, spec)
}

fn unschedulable(node: &Value) -> bool {
    json::flag(node, &["spec", "unschedulable"]).unwrap_or_default()
}

/// Labels to set on the host, or to remove there.
fn labels(base: &Strings, host: &Value, actual: &Value) -> Map<String, Value> {
    let [ours, theirs] = [actual, host].map(|node| json::strings(node, &["metadata", "labels"]));
    let all: BTreeSet<&String> = base.keys().chain(ours.keys()).collect();
    all.into_iter()
        .filter(|key| !key.starts_with(keys::PREFIX))
        .filter(|key| ours.get(*key) != base.get(*key) && theirs.get(*key) == base.get(*key))
        .map(|key| (key.clone(), json!(ours.get(key))))
        .collect()
}

/// All taints of the host's node after the change, if there is one.
fn changed_taints(world: &World, host: &Value, actual: &Value) -> Option<Vec<Value>> {
    let base = taints::original(actual);
    let theirs = json::items(host, &["spec", "taints"]);
    let ours: Vec<&Value> = json::items(actual, &["spec", "taints"])
        .iter()
        .filter(|taint| !taints::follows_conditions(taint))
        .collect();
    let removed = |taint: &Value| base.contains(taint) && !ours.contains(&taint) && !taints::is_hidden(world, taint);
    let mut wanted: Vec<Value> = theirs.iter().filter(|taint| !removed(taint)).cloned().collect();
    for taint in ours {
        if !base.contains(taint) && !wanted.contains(taint) {
            wanted.push(taint.clone());
        }
    }
    (wanted != theirs).then_some(wanted)
}
