//! ConfigMaps.

use super::super::shared::cells;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const TYPE: &str = "io.k8s.api.core.v1.ConfigMap";
/// Upstream's `MaxSecretSize`, for the sum of all values.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Data", "string", TYPE, "data"),
        cells::AGE,
    ],
    cells: |obj, now| {
        let count = |field: &str| meta::map_at(obj, &[field]).map_or(0, serde_json::Map::len);
        vec![
            cells::name(obj),
            (count("data") + count("binaryData")).into(),
            cells::age(obj, now),
        ]
    },
};

struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let mut size = 0;
        let (data, binary) = (meta::map_at(obj, &["data"]), meta::map_at(obj, &["binaryData"]));
        for (field, map, other) in [("data", data, binary), ("binaryData", binary, data)] {
            for (key, value) in map.into_iter().flatten() {
                let path = Path::new(field).key(key);
                errors.extend(
                    names::config_map_key(key)
                        .into_iter()
                        .map(|e| Error::invalid(&path, key.clone(), e)),
                );
                let text = value.as_str().unwrap_or_default();
                size += if field == "data" {
                    text.len()
                } else {
                    text.len() / 4 * 3
                };
                if field == "data" && other.is_some_and(|o| o.contains_key(key)) {
                    errors.push(Error::invalid(
                        &path,
                        key.clone(),
                        "duplicate of key present in binaryData",
                    ));
                }
            }
        }
        if size > MAX_BYTES {
            errors.push(Error::too_long(&Path::root(), MAX_BYTES));
        }
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = immutable_data(new, old, &["data", "binaryData"]);
        errors.extend(self.validate(cx, new));
        errors
    }
}

/// What may not change any more once `immutable` is set, for ConfigMaps and Secrets.
pub(super) fn immutable_data(new: &Value, old: &Value, fields: &[&str]) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::bool_at(old, &["immutable"]) != Some(true) {
        return errors;
    }
    const TEXT: &str = "field is immutable when `immutable` is set";
    if meta::bool_at(new, &["immutable"]) != Some(true) {
        errors.push(Error::forbidden(&Path::new("immutable"), TEXT));
    }
    let filled = |obj: &Value, field: &str| meta::map_at(obj, &[field]).cloned().unwrap_or_default();
    for field in fields {
        if filled(new, field) != filled(old, field) {
            errors.push(Error::forbidden(&Path::new(field), TEXT));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["cm"].into(),
        ..Resource::namespaced_kind(
            ("", "v1", "ConfigMap"),
            ("configmaps", "configmap"),
            TYPE,
            ConfigMap,
            &COLUMNS,
        )
    }
}
