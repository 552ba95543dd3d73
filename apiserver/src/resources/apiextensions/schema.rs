//! The rules of schemas in definitions (apiextensions-apiserver `ValidateCustomResourceDefinitionOpenAPISchema`).

use super::super::shared::checks::{one_of, text};
use super::internal::fields;
use super::is_zero;
use super::rules::{self, Costs, Strictness};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;
use structural::field_path;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const LIST_TYPES: [&str; 3] = ["atomic", "set", "map"];
const MAP_TYPES: [&str; 2] = ["atomic", "granular"];
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];
/// The fields of every object.
const OBJECT_FIELDS: [&str; 3] = ["metadata", "kind", "apiVersion"];
/// Fields of OpenAPI that definitions do not have.
const UNSUPPORTED: [&str; 6] = [
    "id",
    "additionalItems",
    "patternProperties",
    "definitions",
    "dependencies",
    "$ref",
];

/// Calls `visit` with the schema and with every schema within it.
pub(super) fn each<'a>(schema: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    visit(schema);
    for field in ["items", "not", "additionalProperties", "additionalItems"] {
        if let Some(nested) = schema.get(field).filter(|nested| nested.is_object()) {
            each(nested, visit);
        }
    }
    for field in ["items", "allOf", "anyOf", "oneOf"] {
        for nested in meta::list_at(schema, &[field]) {
            each(nested, visit);
        }
    }
    for field in ["properties", "patternProperties", "definitions", "dependencies"] {
        for (_, nested) in fields(schema.get(field)).filter(|(_, nested)| nested.is_object()) {
            each(nested, visit);
        }
    }
}

/// What is asked of schemas, less when the old ones did not comply either.
#[derive(Clone, Copy)]
pub(super) struct Options {
    known_types: bool,
    atomic_sets: bool,
    complete_keys: bool,
    /// Whether the cost of each single rule counts.
    single_costs: bool,
}

impl Options {
    /// What is asked of the schemas of a definition that was this one.
    pub(super) fn of(old: Option<&Value>) -> Self {
        let mut options = Options {
            known_types: true,
            atomic_sets: true,
            complete_keys: true,
            single_costs: true,
        };
        let versions = old.map_or(&[][..], |old| meta::list_at(old, &["versions"]));
        let top = old.and_then(|old| meta::at(old, &["validation", "openAPIV3Schema"]));
        let of_versions = versions
            .iter()
            .filter_map(|version| meta::at(version, &["schema", "openAPIV3Schema"]));
        for root in top.into_iter().chain(of_versions) {
            each(root, &mut |schema| {
                let kind = text(schema, &["type"]);
                options.known_types &= kind.is_empty() || TYPES.contains(&kind);
                options.atomic_sets &= set_of_parts(schema, &Path::root()).is_none();
                options.complete_keys &= incomplete_keys(schema, &Path::root()).is_empty();
            });
        }
        options
    }

    /// The same for a schema that did not change: its rules may cost what they cost before.
    pub(super) fn unchanged(self, unchanged: bool) -> Self {
        Options {
            single_costs: self.single_costs && !unchanged,
            ..self
        }
    }
}

/// Where a schema stands.
#[derive(Clone)]
struct Place {
    is_root: bool,
    in_object_meta: bool,
    /// Why there may be no default.
    no_default: Option<String>,
    /// Whether rules are compiled here, and how often such a value occurs in an object if that is known.
    rules: Option<Option<u64>>,
    /// The place above that keeps rules from comparing with what was there before.
    uncorrelatable: Option<Path>,
}

/// Checks the schema of a whole object; its rules are compiled if it is structural.
pub(super) fn validate(root: &Value, options: &Options, structural: bool, path: &Path) -> ErrorList {
    let place = Place {
        is_root: true,
        in_object_meta: false,
        no_default: None,
        rules: structural.then_some(Some(1)),
        uncorrelatable: None,
    };
    let mut found = Found::default();
    check(root, options, &place, path, &mut found);
    let mut errors = found.errors;
    errors.extend(found.rules.finish(path));
    errors
}

/// What is wrong with schemas, and with the rules in them.
#[derive(Default)]
struct Found {
    errors: ErrorList,
    rules: Costs,
}

fn check(schema: &Value, options: &Options, place: &Place, path: &Path, found: &mut Found) {
    let before = found.errors.len();
    found.errors.extend(supported(schema, options, place, path));
    if meta::bool_at(schema, &["uniqueItems"]) == Some(true) {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        found.errors.push(Error::forbidden(&path.child("uniqueItems"), detail));
    }
    nested(schema, options, place, path, found);
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let path = path.child("x-kubernetes-preserve-unknown-fields");
        let detail = "must be true or undefined";
        found.errors.push(Error::invalid(&path, false, detail));
    }
    found.errors.extend(merging(schema, options, path));
    for (i, rule) in meta::list_at(schema, &["x-kubernetes-validations"]).iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(i);
        found.errors.extend(validate_rule(rule, schema, &path));
    }
    // Rules about malformed schemas would only be complained about in confusing ways.
    if let Some(cardinality) = place.rules
        && found.errors.len() == before
    {
        let strict = Strictness {
            whole: place.is_root || embedded(schema),
            cardinality,
            single_costs: options.single_costs,
            uncorrelatable: place.uncorrelatable.as_ref(),
        };
        rules::compile(schema, &strict, path, &mut found.rules);
    }
}

fn embedded(schema: &Value) -> bool {
    meta::bool_at(schema, &["x-kubernetes-embedded-resource"]) == Some(true)
}

/// `specStandardValidatorV3.validate`.
fn supported(schema: &Value, options: &Options, place: &Place, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(schema, &["type"]);
    if options.known_types && !kind.is_empty() {
        errors.extend(one_of(kind, &TYPES, &path.child("type")));
    }
    if let Some(why) = &place.no_default
        && schema.get("default").is_some_and(|default| !default.is_null())
    {
        errors.push(Error::forbidden(
            &path.child("default"),
            format!("must not be set {why}"),
        ));
    }
    for field in UNSUPPORTED {
        if schema.get(field).is_some_and(|value| {
            !is_zero(value) || value.is_boolean() || (field == "dependencies" && value.is_object())
        }) {
            errors.push(Error::forbidden(
                &path.child(field),
                format!("{field} is not supported"),
            ));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(Error::forbidden(&path.child("type"), detail));
    }
    if !meta::list_at(schema, &["items"]).is_empty() {
        let detail = "items must be a schema object and not an array";
        errors.push(Error::forbidden(&path.child("items"), detail));
    }
    if place.in_object_meta && meta::bool_at(schema, &["x-kubernetes-embedded-resource"]) == Some(true) {
        let detail = "must not be used inside of resource meta";
        errors.push(Error::forbidden(&path.child("x-kubernetes-embedded-resource"), detail));
    }
    errors
}

/// Goes through the schemas within a schema.
fn nested(schema: &Value, options: &Options, place: &Place, path: &Path, found: &mut Found) {
    let inner = Place {
        is_root: false,
        rules: place.rules.map(|cardinality| rules::within(schema, cardinality)),
        ..place.clone()
    };
    let aside = Place {
        rules: None,
        ..inner.clone()
    };
    let properties = schema.get("properties");
    if let Some(additional) = schema.get("additionalProperties") {
        let path = path.child("additionalProperties");
        if additional != &Value::Bool(true) && properties.is_some_and(|properties| !is_zero(properties)) {
            let detail = "additionalProperties and properties are mutual exclusive";
            found.errors.push(Error::forbidden(&path, detail));
        }
        let mut place = inner.clone();
        if place.in_object_meta {
            place.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        if additional.is_object() {
            check(additional, options, &place, &path, found);
        }
    }
    for (name, property) in fields(properties) {
        let mut place_of_property = inner.clone();
        if text(schema, &["x-kubernetes-map-type"]) == "atomic" {
            place_of_property.uncorrelatable.get_or_insert_with(|| path.clone());
        }
        if (place.is_root || embedded(schema)) && OBJECT_FIELDS.contains(&name.as_str()) {
            place_of_property.in_object_meta = true;
            if place.is_root {
                place_of_property.no_default = Some(format!("in top-level {name}"));
            }
        }
        let path = path.child("properties").key(name);
        check(property, options, &place_of_property, &path, found);
    }
    if let Some(not) = schema.get("not") {
        check(not, options, &aside, &path.child("not"), found);
    }
    for field in ["allOf", "oneOf", "anyOf", "items"] {
        for (i, nested) in meta::list_at(schema, &[field]).iter().enumerate() {
            check(nested, options, &aside, &path.child(field).index(i), found);
        }
    }
    for field in ["definitions", "dependencies"] {
        for (name, nested) in fields(schema.get(field)).filter(|(_, nested)| nested.is_object()) {
            check(nested, options, &aside, &path.child(field).key(name), found);
        }
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        let mut inner = inner;
        if text(schema, &["x-kubernetes-list-type"]) != "map" {
            inner.uncorrelatable.get_or_insert_with(|| path.clone());
        }
        check(items, options, &inner, &path.child("items"), found);
    }
}

/// How lists and maps are merged.
fn merging(schema: &Value, options: &Options, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(schema, &["type"]);
    let wrong_type = |wanted: &str, field: &str| {
        let detail = format!("must be {wanted} if {field} is specified");
        let path = path.child("type");
        if kind.is_empty() {
            Error::required(&path, detail)
        } else {
            Error::invalid(&path, kind, detail)
        }
    };
    let map_type = meta::str_at(schema, &["x-kubernetes-map-type"]);
    if let Some(map_type) = map_type {
        if kind != "object" {
            errors.push(wrong_type("object", "x-kubernetes-map-type"));
        }
        errors.extend(one_of(map_type, &MAP_TYPES, &path.child("x-kubernetes-map-type")));
    }
    let list_type = meta::str_at(schema, &["x-kubernetes-list-type"]);
    let type_path = path.child("x-kubernetes-list-type");
    if let Some(list_type) = list_type {
        if kind != "array" {
            errors.push(wrong_type("array", "x-kubernetes-list-type"));
        } else if options.atomic_sets {
            errors.extend(set_of_parts(schema, path));
        }
        errors.extend(one_of(list_type, &LIST_TYPES, &type_path));
    }
    if !meta::list_at(schema, &["x-kubernetes-list-map-keys"]).is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            None => errors.push(Error::required(&type_path, detail)),
            Some("map") => {}
            Some(other) => errors.push(Error::invalid(&type_path, other, detail)),
        }
    }
    if list_type == Some("map") {
        errors.extend(list_map(schema, path));
    }
    if options.complete_keys {
        errors.extend(incomplete_keys(schema, path));
    }
    errors
}

/// A complaint about a set whose items are merged by their parts.
fn set_of_parts(schema: &Value, path: &Path) -> Option<Error> {
    let items = schema.get("items").filter(|items| items.is_object())?;
    if text(schema, &["x-kubernetes-list-type"]) != "set" {
        return None;
    }
    let list_type = meta::str_at(items, &["x-kubernetes-list-type"]);
    let field = match text(items, &["type"]) {
        "array" if list_type.is_some_and(|list_type| list_type != "atomic") => "x-kubernetes-list-type",
        "object" if text(items, &["x-kubernetes-map-type"]) != "atomic" => "x-kubernetes-map-type",
        _ => return None,
    };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let shown = list_type.map_or(Value::Null, Value::from);
    Some(Error::invalid(&path.child("items").child(field), shown, detail))
}

/// The items and keys of a list that is a map.
fn list_map(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let keys = meta::list_at(schema, &["x-kubernetes-list-map-keys"]);
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(Error::required(&keys_path, detail));
    }
    let items_path = path.child("items");
    let Some(items) = schema.get("items") else {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        errors.push(Error::required(&items_path, detail));
        return errors;
    };
    if !items.is_object() {
        let detail = "must only have a single schema if x-kubernetes-list-type is map";
        errors.push(Error::invalid(&items_path, items.clone(), detail));
        return errors;
    }
    let kind = text(items, &["type"]);
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(&items_path.child("type"), kind, detail));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for key in keys.iter().filter_map(Value::as_str) {
        match meta::at(items, &["properties", key]) {
            Some(property) if ["array", "object"].contains(&text(property, &["type"])) => {
                let path = items_path.child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&path, kind, detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(Error::invalid(&keys_path, keys.to_vec(), detail));
            }
        }
        if !seen.insert(key) {
            let detail = "must not contain duplicate entries";
            errors.push(Error::invalid(&keys_path, keys.to_vec(), detail));
        }
    }
    errors
}

/// `validateMapListKeysMapSet`: every item has a value for each key.
fn incomplete_keys(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let list_type = text(schema, &["x-kubernetes-list-type"]);
    let Some(items) = schema.get("items").filter(|items| items.is_object()) else {
        return errors;
    };
    if !["map", "set"].contains(&list_type) {
        return errors;
    }
    let path = path.child("items");
    let nullable = |schema: &Value| meta::bool_at(schema, &["nullable"]) == Some(true);
    if nullable(items) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(Error::forbidden(&path.child("nullable"), detail));
    }
    if list_type == "set" {
        return errors;
    }
    let required = meta::list_at(items, &["required"]);
    for key in meta::list_at(schema, &["x-kubernetes-list-map-keys"])
        .iter()
        .filter_map(Value::as_str)
    {
        let Some(property) = meta::at(items, &["properties", key]) else {
            continue;
        };
        let path = path.child("properties").key(key);
        if property.get("default").is_none() && !required.iter().any(|name| name == key) {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(&path.child("default"), detail));
        }
        if nullable(property) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(&path.child("nullable"), detail));
        }
    }
    errors
}

/// What stands around the expression of a rule.
fn validate_rule(rule: &Value, schema: &Value, path: &Path) -> ErrorList {
    const NEWLINES: [char; 2] = ['\n', '\r'];
    const NOT_EMPTY: &str = "must be non-empty if specified";
    const ONE_LINE: &str = "must not contain line breaks";
    let mut errors = ErrorList::new();
    let field = |name: &str| text(rule, &[name]);
    let is_blank = |name: &str| !field(name).is_empty() && field(name).trim().is_empty();
    let message = path.child("message");
    if field("rule").trim().is_empty() {
        errors.push(Error::required(&path.child("rule"), "rule is not specified"));
    } else if is_blank("message") {
        errors.push(Error::invalid(&message, field("message"), NOT_EMPTY));
    } else if field("message").trim().contains(NEWLINES) {
        errors.push(Error::invalid(&message, field("message"), ONE_LINE));
    } else if field("rule").trim().contains(NEWLINES) && field("message").is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(Error::required(&message, detail));
    }
    if is_blank("messageExpression") {
        let detail = "messageExpression must be non-empty if specified";
        errors.push(Error::required(&path.child("messageExpression"), detail));
    }
    if let Some(reason) = meta::str_at(rule, &["reason"]) {
        errors.extend(one_of(reason, &REASONS, &path.child("reason")));
    }
    let field_path = field("fieldPath");
    let path = path.child("fieldPath");
    for (wrong, detail) in [
        (is_blank("fieldPath"), NOT_EMPTY),
        (field_path.contains(NEWLINES), ONE_LINE),
        (
            field_path::follow(field_path, schema, true).is_err(),
            "must be a valid path",
        ),
    ] {
        if wrong {
            errors.push(Error::invalid(&path, field_path, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(property: &Value) -> Vec<String> {
        let root = json!({"type": "object", "properties": {"a": property}});
        let found = validate(&root, &Options::of(None), true, &Path::new("s"));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_said_in_upstreams_words() {
        for (property, expected) in [
            (json!({"type": "string"}), None),
            (
                json!({"type": "foo"}),
                Some(
                    r#"type: Unsupported value: "foo": supported values: "array", "boolean", "integer", "number", "object", "string""#,
                ),
            ),
            (json!({"$ref": "#/x"}), Some("$ref: Forbidden: $ref is not supported")),
            (
                json!({"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
                Some("additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map",
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
                Some("x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"),
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
                Some(
                    "items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
                ),
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
                Some(
                    "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
                ),
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
                Some(
                    "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
                ),
            ),
            (
                json!({"type": "object", "properties": {"x": {"type": "string"}},
                    "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".nope"}]}),
                Some("x-kubernetes-validations[0].fieldPath: Invalid value: \".nope\": must be a valid path"),
            ),
            (
                json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "message": "a\nb"}]}),
                Some("x-kubernetes-validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks"),
            ),
        ] {
            let expected: Vec<String> = expected.iter().map(|e| format!("s.properties[a].{e}")).collect();
            assert_eq!(texts(&property), expected, "{property}");
        }
    }

    #[test]
    fn metadata_has_no_defaults() {
        let root = json!({"type": "object", "properties": {"kind": {"type": "string", "default": "x"}}});
        let found = validate(&root, &Options::of(None), true, &Path::new("s"));
        assert_eq!(
            found[0].to_string(),
            "s.properties[kind].default: Forbidden: must not be set in top-level kind"
        );
    }
}
