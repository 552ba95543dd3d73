//! Namespaces of the virtual cluster: their labels tell its API server the pod security standard of the configuration. A
//! tenant may remove them, which only moves the refusal of a pod from its creation to its syncing.

use serde_json::{Map, json};

use super::pair;
use crate::engine::plan::Plan;
use crate::json;
use crate::kinds::{Kind, Side};
use crate::names::Reference;
use crate::world::World;

/// Prefix of the labels.
const PREFIX: &str = "pod-security.kubernetes.io/";

pub(super) fn plan(world: &World, item: &Reference) -> Plan {
    let (Some(standard), Some(namespace)) = (
        world.settings.pod_security,
        world.virtual_side.get(Kind::Namespace, "", &item.key.name),
    ) else {
        return Plan::nothing();
    };
    let namespace = namespace.value();
    let (level, version) = (standard.level.to_string(), standard.version.to_string());
    let wanted = [
        ("enforce", &level),
        ("enforce-version", &version),
        ("warn", &level),
        ("warn-version", &version),
    ];
    let labels: Map<_, _> = wanted
        .into_iter()
        .map(|(mode, value)| (format!("{PREFIX}{mode}"), json!(value)))
        .filter(|(label, value)| json::at(&namespace, &["metadata", "labels", label]) != Some(value))
        .collect();
    let metadata = (!labels.is_empty() && !pair::is_deleting(&namespace)).then(|| json!({"labels": labels}));
    Plan::nothing().and(pair::patch_step(Side::Virtual, item, &namespace, metadata, None))
}
