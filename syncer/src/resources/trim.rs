//! What the caches need not keep. Ten thousand pods are kept twice, so every field that nobody reads counts.

use serde_json::{Map, Value};

use super::endpoints::MANAGED_BY;
use crate::json::{self, items_mut};
use crate::kinds::{Kind, Side};
use crate::names::keys;

/// Fields of a host pod's spec that are compared or shown.
const POD_SPEC: &[&str] = &[
    "nodeName",
    "tolerations",
    "readinessGates",
    "schedulingGates",
    "activeDeadlineSeconds",
    "initContainers",
    "containers",
    "ephemeralContainers",
];
/// Fields of a host container that are compared.
const CONTAINER: &[&str] = &["name", "image", "resources"];

/// What to drop from objects of one kind of one side.
pub fn trim(side: Side, kind: Kind) -> fn(&mut Value) {
    match (side, kind) {
        (Side::Host, Kind::Pod) => host_pod,
        (_, Kind::Endpoints) => endpoints,
        (_, Kind::Namespace) => |namespace| json::remove(namespace, &["spec", "status"]),
        _ => |_| (),
    }
}

fn host_pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    keep(spec, POD_SPEC);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            keep(container, CONTAINER);
        }
    }
}

/// Endpoints that a controller made are recognised by their labels, and never copied.
fn endpoints(endpoints: &mut Value) {
    let made_by_controller = !json::text(endpoints, &["metadata", "labels", MANAGED_BY]).is_empty()
        && json::text(endpoints, &["metadata", "annotations", keys::OBJECT_NAME]).is_empty();
    if made_by_controller {
        json::remove(endpoints, &["subsets"]);
    }
}

fn keep(value: &mut Value, fields: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        let kept: Map<String, Value> = fields
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), map.remove(*field)?)))
            .collect();
        *map = kept;
    }
}
