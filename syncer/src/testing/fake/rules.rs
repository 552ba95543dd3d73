//! What API servers of some version do with what is written: what they drop, and what they refuse.

use serde_json::{Value, json};

use crate::json;
use crate::kinds::Kind;

/// A server of some version.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    /// Its minor version.
    pub(crate) minor: u32,
    /// Takes away what a server of a minor version does not know of an object.
    pub(crate) drop_unknown: fn(u32, Kind, &mut Value),
}

/// Says why an update is refused, if it is.
pub(super) fn refusal(kind: Kind, old: &Value, new: &Value) -> Option<&'static str> {
    let class = |pod: &Value| json::text(pod, &["status", "qosClass"]).to_owned();
    let balanced = !json::items(new, &["status", "loadBalancer", "ingress"]).is_empty();
    match kind {
        Kind::Pod if !class(old).is_empty() && class(old) != class(new) => {
            Some("status.qosClass: Invalid value: field is immutable")
        }
        Kind::Service if balanced && json::text(new, &["spec", "type"]) != "LoadBalancer" => {
            Some("status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is LoadBalancer")
        }
        _ => None,
    }
}

/// Whether an update changes nothing, so that there is no new version of the object.
pub(super) fn is_same(old: &Value, new: &Value) -> bool {
    let mut new = new.clone();
    new["metadata"]["resourceVersion"] = json!(old["metadata"]["resourceVersion"]);
    *old == new
}
