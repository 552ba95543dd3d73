//! CSIStorageCapacities: how much room there is for volumes of a class.

use super::GROUP;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::core::pod_template::validate_label_selector;
use crate::resources::shared::cells;
use crate::resources::shared::checks::{NEGATIVE, complaints, invalid_selector, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;

struct Capacity;

impl Strategy for Capacity {
    /// `ValidateCSIStorageCapacity`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        if let Some(selector) = meta::at(obj, &["nodeTopology"]) {
            errors.extend(validate_label_selector(selector, &Path::new("nodeTopology")));
        }
        let class = text(obj, &["storageClassName"]);
        let path = Path::new("storageClassName");
        errors.extend(complaints(&path, class, names::dns1123_subdomain(class)));
        if let Some(capacity) = meta::str_at(obj, &["capacity"])
            && Quantity::parse(capacity).is_ok_and(|quantity| quantity.sign() < 0)
        {
            errors.push(Error::invalid(&Path::new("capacity"), capacity, NEGATIVE));
        }
        errors
    }

    /// `ValidateCSIStorageCapacityUpdate`.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        let topology = |obj: &Value| obj.get("nodeTopology").cloned().unwrap_or_default();
        if topology(new) != topology(old) {
            let path = Path::new("nodeTopology");
            errors.push(invalid_selector(&path, &topology(new), "field is immutable"));
        }
        let class = |obj| text(obj, &["storageClassName"]);
        if class(new) != class(old) {
            let path = Path::new("storageClassName");
            errors.push(Error::invalid(&path, class(new), "field is immutable"));
        }
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        (GROUP, "v1", "CSIStorageCapacity"),
        ("csistoragecapacities", "csistoragecapacity"),
        "io.k8s.api.storage.v1.CSIStorageCapacity",
        Capacity,
        &cells::NAME_AND_CREATION,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_is_checked_as_a_whole() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let old = json!({"storageClassName": "c", "nodeTopology": {}, "capacity": "1"});
        for (new, expected) in [
            (
                json!({"storageClassName": "c", "nodeTopology": {}, "capacity": "-1"}),
                vec!["capacity"],
            ),
            (json!({"storageClassName": "c"}), vec!["nodeTopology"]),
            (
                json!({"storageClassName": "C!", "nodeTopology": {"matchLabels": {"a": "b"}}}),
                vec!["storageClassName", "nodeTopology", "storageClassName"],
            ),
        ] {
            let errors = Capacity.validate_update(&cx, &new, &old);
            assert_eq!(
                errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(),
                expected,
                "{new}"
            );
        }
    }
}
