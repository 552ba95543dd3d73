//! Defaults in schemas (apiextensions-apiserver `pkg/apiserver/schema/defaulting`): they fit where they stand.

use super::internal::fields;
use super::rules;
use super::values::{self, Place};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

/// `ValidateDefaults`: no default has unknown fields or values of another type.
pub(super) fn validate(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let path = path.child("default");
        if has_unknown_fields(default, schema) {
            let detail = "must not have unknown fields";
            errors.push(Error::invalid(&path, default.clone(), detail));
        }
        let before = errors.len();
        values::check(default, schema, &Place::root(&path), &mut errors);
        if errors.len() == before {
            rules::evaluate(default, schema, &path, &mut errors);
        }
    }
    if let Some(items) = schema.get("items") {
        errors.extend(validate(items, &path.child("items")));
    }
    for (name, property) in fields(schema.get("properties")) {
        errors.extend(validate(property, &path.child("properties").key(name)));
    }
    errors
}

fn is_true(schema: &Value, field: &str) -> bool {
    meta::bool_at(schema, &[field]) == Some(true)
}

/// Whether pruning would take something away.
fn has_unknown_fields(value: &Value, schema: &Value) -> bool {
    if let Some(list) = value.as_array() {
        let items = schema.get("items").unwrap_or(&Value::Null);
        return list.iter().any(|item| has_unknown_fields(item, items));
    }
    let known = |name: &str| {
        let object_field = ["apiVersion", "kind", "metadata"].contains(&name);
        object_field && is_true(schema, "x-kubernetes-embedded-resource")
    };
    fields(Some(value)).any(|(name, value)| {
        let property = meta::at(schema, &["properties", name]);
        match property.or(schema.get("additionalProperties")) {
            Some(Value::Bool(allowed)) => !allowed,
            Some(schema) => has_unknown_fields(value, schema),
            None => !is_true(schema, "x-kubernetes-preserve-unknown-fields") && !known(name),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_fit_their_schema() {
        for (property, expected) in [
            (json!({"type": "integer", "default": 1}), vec![]),
            (
                json!({"type": "integer", "default": "x"}),
                vec![r#"s.properties[a].default: Invalid value: "string":  in body must be of type integer: "string""#],
            ),
            (
                json!({"type": "object", "default": {"y": 1}, "properties": {"x": {"type": "string"}}}),
                vec![r#"s.properties[a].default: Invalid value: {"y":1}: must not have unknown fields"#],
            ),
            (
                json!({"type": "integer", "default": 1, "x-kubernetes-validations": [
                    {"rule": "self > 3"}, {"rule": "self >= oldSelf"}, {"rule": "self > 9", "message": "too small"}]}),
                vec![
                    "s.properties[a].default: Invalid value: 1: failed rule: self > 3",
                    "s.properties[a].default: Invalid value: 1: too small",
                ],
            ),
            (
                json!({"type": "string", "default": "c", "enum": ["a", "b"]}),
                vec![r#"s.properties[a].default: Unsupported value: "c": supported values: "a", "b""#],
            ),
        ] {
            let schema = json!({"type": "object", "properties": {"a": property}});
            let found = validate(&schema, &Path::new("s"));
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{schema}");
        }
    }
}
