//! Fields by which custom resources are selected.

use super::super::shared::checks::text;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::BTreeSet;
use structural::field_path::follow;

const MAX_SELECTABLE: usize = 8;

/// `ValidateCustomResourceSelectableFields`.
pub(super) fn validate(fields: &[Value], schema: &Value, may_be_many: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let path = path.index(i).child("jsonPath");
        let json_path = text(field, &["jsonPath"]);
        if json_path.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let found = match follow(json_path, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if found.parts.first().is_some_and(|part| part == "metadata") {
            errors.push(Error::invalid(&path, json_path, "must not point to fields in metadata"));
        }
        if !["string", "boolean", "integer"].contains(&text(found.schema, &["type"])) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(Error::invalid(&path, json_path, detail));
        }
        if !seen.insert(found.parts) {
            errors.push(Error::duplicate(&path, json_path));
        }
    }
    if seen.len() > MAX_SELECTABLE && !may_be_many {
        errors.push(Error::too_many(path, seen.len(), MAX_SELECTABLE));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectable_fields_are_scalars_outside_of_metadata() {
        let schema = json!({"properties": {"spec": {"properties": {"a": {"type": "string"}, "o": {"type": "object"}}},
            "metadata": {"properties": {"name": {"type": "string"}}}}});
        let fields = [".spec.a", ".spec.a", ".spec.o", ".metadata.name", ".spec['a']"];
        let fields = fields.map(|path| json!({"jsonPath": path}));
        let errors = validate(&fields, &schema, false, &Path::new("f"));
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "f[1].jsonPath: Duplicate value: \".spec.a\"",
                "f[2].jsonPath: Invalid value: \".spec.o\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "f[3].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata",
                "f[4].jsonPath: Invalid value: \".spec['a']\": is an invalid path: array notation is not allowed",
            ]
        );
    }
}
