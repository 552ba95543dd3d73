//! Volumes whose translation is more than a name.

use serde_json::{Value, json};

use crate::json::{self, items_mut};
use crate::object::ObjectKey;

/// Generic ephemeral volumes become the claim that the virtual cluster's controller makes for them.
pub(super) fn translate(pod: &ObjectKey, spec: &mut Value) {
    for volume in items_mut(spec, "volumes") {
        if volume.get("ephemeral").is_some() {
            let claim = format!("{}-{}", pod.name, json::text(volume, &["name"]));
            json::remove(volume, &["ephemeral"]);
            json::put(volume, "persistentVolumeClaim", Some(json!({"claimName": claim})));
        }
    }
}
