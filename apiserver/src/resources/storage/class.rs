//! What classes of volumes have in common: who provides them, parameters, and which one is the default.

use super::super::shared::cells;
use super::super::shared::checks::complaints;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;

/// Complaints about the name of a provisioner (`validateProvisioner`).
pub(super) fn validate_provisioner(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let lower = name.to_lowercase();
    complaints(path, lower.clone(), names::qualified_name(&lower))
}

/// Complaints about parameters (`validateParameters`).
pub(super) fn validate_parameters(obj: &Value, may_be_empty: bool) -> ErrorList {
    let path = Path::new("parameters");
    let parameters = meta::map_at(obj, &["parameters"]);
    let count = parameters.map_or(0, serde_json::Map::len);
    if count > MAX_PARAMETERS {
        return vec![Error::too_long(&path, MAX_PARAMETERS)];
    }
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in parameters.into_iter().flatten() {
        if key.is_empty() {
            errors.push(Error::invalid(&path, "", "field can not be empty."));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_PARAMETER_BYTES {
        errors.push(Error::too_long(&path, MAX_PARAMETER_BYTES));
    }
    if !may_be_empty && count == 0 {
        errors.push(Error::required(&path, "must contain at least one key/value pair"));
    }
    errors
}

/// The name cell, which tells the default class when one of the annotations says so.
pub(super) fn name(obj: &Value, annotations: &[&str]) -> Value {
    let says_so = |name: &&str| meta::str_at(obj, &["metadata", "annotations", name]) == Some("true");
    if annotations.iter().any(says_so) {
        format!("{} (default)", meta::name(obj)).into()
    } else {
        cells::name(obj)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_limited() {
        let many: Value = (0..513)
            .map(|i| (i.to_string(), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for (parameters, may_be_empty, errors) in [
            (json!({"a": "b"}), false, 0),
            (json!({}), true, 0),
            (json!({}), false, 1),
            (json!({"": "x"}), true, 1),
            (json!({"a": "x".repeat(MAX_PARAMETER_BYTES)}), true, 1),
            (many, true, 1),
        ] {
            let found = validate_parameters(&json!({"parameters": parameters}), may_be_empty);
            assert_eq!(found.len(), errors);
        }
    }

    #[test]
    fn the_default_class_is_told() {
        let class = |value: &str| json!({"metadata": {"name": "c", "annotations": {"a/b": value}}});
        assert_eq!(name(&class("true"), &["a/b"]), "c (default)");
        assert_eq!(name(&class("false"), &["a/b"]), "c");
    }
}
