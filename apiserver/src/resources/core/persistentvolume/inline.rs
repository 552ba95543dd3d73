//! The spec of a volume that has no object of its own, as attachments may carry it (`ValidatePersistentVolumeSpec` for
//! inline volumes).

use super::super::persistentvolumeclaim::validate_modes;
use super::sources;
use crate::resources::shared::checks::{present, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const NOT_HERE: &str = "may not be specified in the context of inline volumes";

/// Checks the spec.
pub(in super::super::super) fn validate(spec: &Value, path: &Path) -> ErrorList {
    let forbidden = |field: &str| {
        let given = present(spec, field, path).is_none();
        given.then(|| Error::forbidden(&path.child(field), NOT_HERE))
    };
    let mut errors: ErrorList = ["claimRef", "capacity"].into_iter().filter_map(forbidden).collect();
    if spec.get("csi").is_none_or(Value::is_null) {
        let detail = "has to be specified in the context of inline volumes";
        errors.push(Error::required(&path.child("csi"), detail));
    }
    errors.extend(present(spec, "accessModes", path));
    let modes = meta::list_at(spec, &["accessModes"]);
    errors.extend(validate_modes(modes, &path.child("accessModes")));
    if !matches!(text(spec, &["persistentVolumeReclaimPolicy"]), "" | "Retain") {
        let detail = "may only be Retain in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
    errors.extend(forbidden("nodeAffinity"));
    errors.extend(sources::validate(spec, "", path));
    errors.extend(forbidden("storageClassName"));
    if !matches!(text(spec, &["volumeMode"]), "" | "Filesystem") {
        let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("volumeMode"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_drivers_serve_inline_volumes() {
        let csi = json!({"driver": "d.example.com", "volumeHandle": "h"});
        for (spec, fields) in [
            (json!({"csi": csi, "accessModes": ["ReadWriteOnce"]}), vec![]),
            (
                json!({"csi": csi, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "c"}),
                vec!["s.capacity", "s.storageClassName"],
            ),
            (
                json!({"hostPath": {"path": "/a"}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Block"}),
                vec!["s.csi", "s.volumeMode"],
            ),
        ] {
            let errors = validate(&spec, &Path::new("s"));
            assert_eq!(
                errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(),
                fields,
                "{spec}"
            );
        }
    }
}
