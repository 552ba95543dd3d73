//! Pods that are not synced as they are: what they name or who they would be has no counterpart of its own on the host.

use machinery::pod_security::Violations;
use serde_json::Value;

use crate::engine::plan::Note;
use crate::json;
use crate::kinds::Kind;
use crate::world::World;

/// Sources of projected volumes that the host would fill from its own objects, and what they are.
const OF_THE_HOST: [(&str, &str); 2] = [
    ("clusterTrustBundle", "a cluster trust bundle"),
    ("podCertificate", "a pod certificate"),
];

/// Why a pod is not synced, or not any more: it asks for more than the configuration allows. The virtual API server says so
/// first, but whoever administers the virtual cluster can make it silent.
pub(super) fn violation(world: &World, pod: &Value) -> Option<Note> {
    let violations = Violations::of(pod, world.settings.pod_security?);
    let name = json::text(pod, &["metadata", "name"]);
    (!violations.is_empty()).then(|| Note::error(format!("Pod {name} is forbidden: {violations}")))
}

/// Why a pod is not synced.
pub(super) fn refusal(world: &World, pod: &Value) -> Option<Note> {
    let spec = &pod["spec"];
    node(world, json::text(spec, &["nodeName"]))
        .or_else(|| volumes(spec))
        .map(Note::warning)
}

/// A pod that names its node bypasses the host's scheduler. It may, where the host itself has shown the node.
fn node(world: &World, name: &str) -> Option<String> {
    if name.is_empty() {
        None
    } else if world.virtual_side.get(Kind::Node, "", name).is_none() {
        Some(format!("Given nodeName {name} does not exist in virtual cluster"))
    } else if world.host.get(Kind::Node, "", name).is_none() && !world.placement.runs_on(name) {
        Some(format!(
            "Given nodeName {name} is none of the host's nodes that the virtual cluster shows"
        ))
    } else {
        None
    }
}

fn volumes(spec: &Value) -> Option<String> {
    json::items(spec, &["volumes"]).iter().find_map(|volume| {
        let sources = json::items(volume, &["projected", "sources"]);
        let (_, what) = OF_THE_HOST
            .iter()
            .find(|(field, _)| sources.iter().any(|source| source.get(*field).is_some()))?;
        let name = json::text(volume, &["name"]);
        Some(format!(
            "volume {name:?} projects {what}, which would be the host's and not the virtual cluster's"
        ))
    })
}
