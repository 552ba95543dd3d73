//! Taints of virtual nodes: those of the host and those that were added here, without those that no pod has to mind.

use serde_json::{Value, json};

use crate::json;
use crate::world::World;

/// Annotation of a virtual node with the taints that its host node had when they were last looked at.
pub(super) const ORIGINAL: &str = "vcluster.loft.sh/original-taints";
const PREFIX: &str = "node.kubernetes.io/";
/// Taints that say what the conditions of a node say, without their common prefix.
const OF_CONDITIONS: [&str; 7] = [
    "not-ready",
    "unreachable",
    "memory-pressure",
    "disk-pressure",
    "pid-pressure",
    "network-unavailable",
    "unschedulable",
];

/// The host's controllers taint nodes as their conditions change. Here the conditions are mirrored, and the taints that follow
/// from them belong to the controllers of this cluster.
pub(super) fn follows_conditions(taint: &Value) -> bool {
    let key = json::text(taint, &["key"]).strip_prefix(PREFIX);
    let effect = json::text(taint, &["effect"]);
    OF_CONDITIONS.iter().any(|name| key == Some(name)) && matches!(effect, "NoSchedule" | "NoExecute")
}

/// The taints of a host node that are the host's to set.
pub(super) fn of_host(host: &Value) -> Vec<Value> {
    let taints = json::items(host, &["spec", "taints"]).iter();
    taints.filter(|taint| !follows_conditions(taint)).cloned().collect()
}

/// The taints that the host node had when they were last looked at.
pub(super) fn original(node: &Value) -> Vec<Value> {
    let text = json::text(node, &["metadata", "annotations", ORIGINAL]);
    // As vCluster writes it: a list of texts, each of which is a taint.
    let texts: Vec<String> = serde_json::from_str(text).unwrap_or_default();
    texts
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

/// What to remember of the host's taints, if there are any.
pub(super) fn to_remember(taints: &[Value]) -> Option<String> {
    let texts: Vec<String> = taints.iter().map(Value::to_string).collect();
    (!texts.is_empty()).then(|| json!(texts).to_string())
}

/// The taints of the virtual node: the host's and its own, but not those that have disappeared from the host.
pub(super) fn merged(world: &World, host: &Value, actual: Option<&Value>) -> Vec<Value> {
    let mut all = of_host(host);
    let gone = |taint: &Value, original: &[Value]| original.contains(taint) && !all.contains(taint);
    let own: Vec<Value> = actual
        .map(|actual| {
            let original = original(actual);
            let taints = json::items(actual, &["spec", "taints"]).iter();
            taints
                .filter(|taint| !gone(taint, &original) && !is_outlived(taint, host))
                .cloned()
                .collect()
        })
        .unwrap_or_default();
    for taint in own {
        if !all.contains(&taint) {
            all.push(taint);
        }
    }
    all.retain(|taint| follows_conditions(taint) || !is_hidden(world, taint));
    all
}

/// A node is tainted as not ready when it is made; this ends as soon as the host's node is ready.
fn is_outlived(taint: &Value, host: &Value) -> bool {
    let not_ready = |taint: &Value| json::text(taint, &["key"]).strip_prefix(PREFIX) == Some("not-ready");
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    not_ready(taint)
        && !json::items(host, &["spec", "taints"]).iter().any(not_ready)
        && json::items(host, &["status", "conditions"]).iter().any(ready)
}

/// Whether every pod tolerates it on the host anyway.
pub(super) fn is_hidden(world: &World, taint: &Value) -> bool {
    world.settings.pods.tolerations.iter().any(|toleration| {
        let text = |field| json::text(toleration, &[field]);
        let exists = text("operator") == "Exists";
        if text("key").is_empty() {
            return exists;
        }
        text("key") == json::text(taint, &["key"])
            && (text("effect").is_empty() || text("effect") == json::text(taint, &["effect"]))
            && (exists || text("value") == json::text(taint, &["value"]))
    })
}
