//! CSIStorageCapacities: how much room there is for volumes of a class.

use super::GROUP;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use crate::resources::core::pod_template::validate_label_selector;
use crate::resources::shared::cells;
use crate::resources::shared::checks::{NEGATIVE, complaints, immutable, text};
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
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        ["nodeTopology", "storageClassName"]
            .into_iter()
            .filter_map(|field| immutable(new.get(field), old.get(field), &Path::new(field)))
            .collect()
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
