//! Structural schemas: each value has one place where its type is said (apiextensions-apiserver
//! `pkg/apiserver/schema`).

use super::super::shared::checks::text;
use super::internal::fields;
use super::is_zero;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

/// What may not be said below `allOf`, `anyOf`, `oneOf` and `not`.
const FORBIDDEN_BELOW: [(&str, &str); 11] = [
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
];
const METADATA: &str =
    "must not specify anything other than name and generateName, but metadata is implicitly specified";

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// `ValidateStructural`.
pub(super) fn validate(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    invariants(schema, Level::Root, path, &mut errors);
    completeness(schema, schema, path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn is_true(schema: &Value, field: &str) -> bool {
    meta::bool_at(schema, &[field]) == Some(true)
}

/// `validateStructuralInvariants`.
fn invariants(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let kind = text(schema, &["type"]);
    let (items, additional) = (schema.get("items"), schema.get("additionalProperties"));
    let embedded = is_true(schema, "x-kubernetes-embedded-resource");
    let preserves = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    let int_or_string = is_true(schema, "x-kubernetes-int-or-string");
    match items {
        Some(items) => invariants(items, Level::Item, &path.child("items"), errors),
        None if kind == "array" => errors.push(Error::required(&path.child("items"), "must be specified")),
        None => {}
    }
    let properties = schema.get("properties");
    for (name, property) in fields(properties) {
        invariants(property, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(additional) = additional {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&path, "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &path, errors);
        }
    }
    for (wrong, field) in [
        (preserves, "x-kubernetes-preserve-unknown-fields"),
        (embedded, "x-kubernetes-embedded-resource"),
    ] {
        if int_or_string && wrong {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(Error::invalid(&path.child(field), true, detail));
        }
    }
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let skip = schema.get("anyOf") == Some(&either);
    let skip_first = schema.pointer("/allOf/0/anyOf") == Some(&either);
    junctors(schema, skip, skip_first, path, errors);

    let type_path = path.child("type");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            Error::required(&type_path, detail)
        } else {
            Error::invalid(&type_path, kind, detail)
        });
    } else if kind.is_empty() && !int_or_string && !preserves {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&type_path, detail));
    }
    if embedded && additional.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(&type_path, kind, "must be object at the root"));
    }
    object_meta(schema, level, embedded, path, errors);
    if embedded && !preserves && properties.is_none_or(is_zero) {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&path.child("properties"), detail));
    }
}

/// What may be said about the fields that every object has.
fn object_meta(schema: &Value, level: Level, embedded: bool, path: &Path, errors: &mut ErrorList) {
    let whole = level == Level::Root || embedded;
    let path = path.child("properties");
    let property = |name: &str| meta::at(schema, &["properties", name]);
    for name in ["kind", "apiVersion"] {
        if let Some(property) = property(name).filter(|_| whole)
            && text(property, &["type"]) != "string"
        {
            let path = path.key(name).child("type");
            errors.push(Error::invalid(&path, text(property, &["type"]), "must be string"));
        }
    }
    let Some(metadata) = property("metadata") else {
        return;
    };
    let path = path.key("metadata");
    let kind = text(metadata, &["type"]);
    if whole && kind != "object" {
        errors.push(Error::invalid(&path.child("type"), kind, "must be object"));
    }
    let allowed = |(field, value): (&String, &Value)| match field.as_str() {
        "type" | "default" => true,
        "properties" => fields(Some(value)).all(|(name, _)| name == "name" || name == "generateName"),
        _ => is_zero(value),
    };
    if level == Level::Root && !fields(Some(metadata)).all(allowed) {
        errors.push(Error::forbidden(&path, METADATA));
    }
}

/// `validateValueValidation`.
fn junctors(schema: &Value, skip_any_of: bool, skip_first: bool, path: &Path, errors: &mut ErrorList) {
    for (field, skipped) in [("anyOf", skip_any_of), ("allOf", false), ("oneOf", false)] {
        if skipped {
            continue;
        }
        for (i, nested) in meta::list_at(schema, &[field]).iter().enumerate() {
            let skip = field == "allOf" && skip_first && i == 0;
            below(nested, skip, &path.child(field).index(i), errors);
        }
    }
    if let Some(nested) = schema.get("not") {
        below(nested, false, &path.child("not"), errors);
    }
    let pattern = text(schema, &["pattern"]);
    if let Some(why) = cel::regex::complaint(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(&path.child("pattern"), pattern, detail));
    }
}

/// `validateNestedValueValidation`.
fn below(schema: &Value, skip_any_of: bool, path: &Path, errors: &mut ErrorList) {
    junctors(schema, skip_any_of, false, path, errors);
    if let Some(items) = schema.get("items") {
        below(items, false, &path.child("items"), errors);
    }
    for (name, property) in fields(schema.get("properties")) {
        below(property, false, &path.child("properties").key(name), errors);
    }
    for (field, detail) in FORBIDDEN_BELOW {
        if schema.get(field).is_some_and(|value| !is_zero(value)) {
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    if schema
        .get("additionalProperties")
        .is_some_and(|value| !is_zero(value) || value.is_object())
    {
        let detail = "must be undefined to be structural";
        errors.push(Error::forbidden(&path.child("additionalProperties"), detail));
    }
    if !meta::list_at(schema, &["x-kubernetes-validations"]).is_empty() {
        let detail = "must be empty to be structural";
        errors.push(Error::forbidden(&path.child("x-kubernetes-validations"), detail));
    }
    if meta::at(schema, &["properties", "metadata"]).is_some() {
        let path = path.child("properties").key("metadata");
        errors.push(Error::forbidden(&path, "must not be specified in a nested context"));
    }
}

/// `validateValueValidationCompleteness`: what is restricted below a junctor is also specified outside of it. The
/// restriction `schema` at `path` concerns what `specified` describes at `home`.
fn completeness(schema: &Value, specified: &Value, home: &Path, path: &Path, errors: &mut ErrorList) {
    if let Some(nested) = schema.get("not") {
        complete_below(nested, Some(specified), home, &path.child("not"), errors);
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        for (i, nested) in meta::list_at(schema, &[field]).iter().enumerate() {
            complete_below(nested, Some(specified), home, &path.child(field).index(i), errors);
        }
    }
}

fn complete_below(nested: &Value, specified: Option<&Value>, home: &Path, path: &Path, errors: &mut ErrorList) {
    let Some(specified) = specified else {
        let detail = format!("because it is defined in {}", path.as_str());
        errors.push(Error::required(home, detail));
        return;
    };
    completeness(nested, specified, home, path, errors);
    if let Some(items) = nested.get("items") {
        let path = path.child("items");
        complete_below(items, specified.get("items"), &home.child("items"), &path, errors);
    }
    for (name, property) in fields(nested.get("properties")) {
        let home = home.child("properties").key(name);
        let path = path.child("properties").key(name);
        let specified = meta::at(specified, &["properties", name]);
        complete_below(property, specified, &home, &path, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_type() {
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        for (schema, expected) in [
            (json!({"type": "object"}), vec![]),
            (
                json!({"properties": {"a": {"type": "array"}}}),
                vec![
                    "s.properties[a].items: Required value: must be specified",
                    "s.type: Required value: must not be empty at the root",
                ],
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "object", "anyOf": [
                    {"properties": {"x": {"type": "string"}}}]}}}),
                vec!["s.properties[a].anyOf[0].properties[x].type: Forbidden: must be empty to be structural"],
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "["}}}),
                vec![
                    "s.properties[a].pattern: Invalid value: \"[\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ]: `[`",
                ],
            ),
            (
                json!({"type": "object", "not": {"properties": {"x": {}}}}),
                vec!["s.properties[x]: Required value: because it is defined in s.not.properties[x]"],
            ),
            (
                json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true,
                    "anyOf": [{"type": "integer"}, {"type": "string"}]}}}),
                vec![],
            ),
            (
                json!({"type": "object", "properties": {"metadata": {"type": "object",
                    "properties": {"labels": {"type": "object"}}}}}),
                vec![
                    "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
                ],
            ),
            (
                json!({"type": "object", "properties": {"any": any,
                    "a": {"type": "string", "x-kubernetes-embedded-resource": true}}}),
                vec![
                    "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
                    "s.properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
                ],
            ),
        ] {
            let found = validate(&schema, &Path::new("s"));
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{schema}");
        }
    }
}
