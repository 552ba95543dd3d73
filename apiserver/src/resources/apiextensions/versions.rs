//! What a definition says about its group, names, versions and conversion (apiextensions-apiserver
//! `pkg/apis/apiextensions/validation`).

use super::super::shared::checks::text;
use super::super::shared::webhooks;
use super::internal::fields;
use super::{invariants, is_zero, names, schema, selectable};
use crate::registry::object_meta;
use crate::resources::shared::checks::complaints;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names as rules};
use serde_json::Value;
use std::collections::BTreeSet;
use structural::{Structural, validate_defaults};

const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const STRATEGIES: [&str; 2] = ["None", "Webhook"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];
const MAX_WARNING: usize = 256;
/// What may stand at the root of a schema whose status is checked by itself, as upstream names it.
const ROOT_FIELDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]";
/// What may not.
const NOT_AT_ROOT: [&str; 21] = [
    "id",
    "$schema",
    "$ref",
    "nullable",
    "default",
    "enum",
    "maxProperties",
    "minProperties",
    "allOf",
    "oneOf",
    "anyOf",
    "not",
    "additionalProperties",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
];

/// `validateCustomResourceDefinitionSpec`; both specs are in the form that [`super::internal`] makes.
pub(super) fn validate(spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(group(text(spec, &["group"]), &path.child("group")));
    errors.extend(enumeration(text(spec, &["scope"]), &SCOPES, &path.child("scope")));
    let versions = meta::list_at(spec, &["versions"]);
    let versions_path = path.child("versions");
    let has_schema = |owner: &Value, field: &str| meta::at(owner, &[field, "openAPIV3Schema"]).is_some();
    let complete = |spec: &Value| {
        let versions = meta::list_at(spec, &["versions"]);
        has_schema(spec, "validation") || versions.iter().all(|version| has_schema(version, "schema"))
    };
    if !has_schema(spec, "validation") && old.is_none_or(complete) {
        for (i, version) in versions.iter().enumerate() {
            if !has_schema(version, "schema") {
                let path = versions_path.index(i).child("schema").child("openAPIV3Schema");
                errors.push(Error::required(&path, ""));
            }
        }
    }
    for (i, version) in versions.iter().enumerate() {
        let path = versions_path.index(i);
        errors.extend(names::label(text(version, &["name"]), false, &path.child("name")));
        errors.extend(validate_version(version, spec, old, &path));
    }
    let unique: BTreeSet<&str> = versions.iter().map(|version| text(version, &["name"])).collect();
    if unique.len() != versions.len() {
        let detail = "must contain unique version names";
        errors.push(Error::invalid(&versions_path, versions.to_vec(), detail));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(Error::invalid(&versions_path, versions.to_vec(), detail));
    }
    // Upstream's internal form also names the first version by itself.
    let first = versions.first().map_or("", |version| text(version, &["name"]));
    let found = rules::dns1035_label(first);
    if !first.is_empty() && !found.is_empty() {
        errors.push(Error::invalid(&path.child("version"), first, found.join(",")));
    }
    errors.extend(validate_names(spec, &path.child("names")));
    let has_status = |owner: &Value| meta::at(owner, &["subresources", "status"]).is_some();
    if let Some(validation) = spec.get("validation") {
        let with_status = has_status(spec) || versions.iter().any(has_status);
        errors.extend(validation_of(validation, with_status, old, &path.child("validation")));
    }
    errors.extend(parts(
        spec,
        "validation",
        old.is_some_and(|old| many_fields(spec, old)),
        path,
    ));
    errors.extend(conversion(spec, old, &path.child("conversion")));
    errors
}

fn group(group: &str, path: &Path) -> Option<Error> {
    let found = rules::dns1123_subdomain(group);
    if group.is_empty() {
        Some(Error::required(path, ""))
    } else if !found.is_empty() {
        Some(Error::invalid(path, group, found.join(",")))
    } else {
        let detail = "should be a domain with at least one dot";
        (!group.contains('.')).then(|| Error::invalid(path, group, detail))
    }
}

/// `validateEnumStrings` of something that has to be there.
fn enumeration(value: &str, known: &[&str], path: &Path) -> Option<Error> {
    match value {
        "" => Some(Error::required(path, "")),
        _ => (!known.contains(&value)).then(|| Error::not_supported(path, value, known)),
    }
}

fn validate_names(spec: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = ["plural", "singular", "kind", "listKind"]
        .iter()
        .filter(|field| text(spec, &["names", field]).is_empty())
        .map(|field| Error::required(&path.child(field), ""))
        .collect();
    errors.extend(names::validate(spec.get("names").unwrap_or(&Value::Null), path));
    errors
}

/// Whether there were too many selectable fields before, and they are the same.
fn many_fields(new: &Value, old: &Value) -> bool {
    let fields = |owner| meta::list_at(owner, &["selectableFields"]);
    fields(new) == fields(old)
}

/// `validateCustomResourceDefinitionVersion`.
fn validate_version(version: &Value, spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(warning) = meta::str_at(version, &["deprecationWarning"]) {
        let deprecated = meta::bool_at(version, &["deprecated"]).unwrap_or_default();
        errors.extend(complaints(
            &path.child("deprecationWarning"),
            warning,
            warning_complaints(warning, deprecated),
        ));
    }
    let versions = meta::list_at(spec, &["versions"]);
    let each_its_own = versions.iter().any(|version| version.get("subresources").is_some());
    let owner = if each_its_own { version } else { spec };
    let has_status = meta::at(owner, &["subresources", "status"]).is_some();
    if let Some(validation) = version.get("schema") {
        errors.extend(validation_of(validation, has_status, old, &path.child("schema")));
    }
    let before = old.and_then(|old| {
        let versions = meta::list_at(old, &["versions"]);
        versions.iter().find(|old| old["name"] == version["name"])
    });
    let many = before.is_some_and(|old| many_fields(version, old));
    errors.extend(parts(version, "schema", many, path));
    errors
}

fn warning_complaints(warning: &str, deprecated: bool) -> Vec<String> {
    if !deprecated {
        return vec!["can only be set for deprecated versions".to_owned()];
    }
    let mut found = Vec::new();
    if warning.len() > MAX_WARNING {
        found.push(format!("must be <= {MAX_WARNING} characters long"));
    }
    if warning.is_empty() {
        found.push("must not be an empty string".to_owned());
    }
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        found.push(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        ));
    }
    found
}

/// Subresources, columns and selectable fields, of one version or of all.
fn parts(owner: &Value, schema_field: &str, many: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(scale) = meta::at(owner, &["subresources", "scale"]) {
        errors.extend(validate_scale(scale, &path.child("subresources")));
    }
    for (i, column) in meta::list_at(owner, &["additionalPrinterColumns"]).iter().enumerate() {
        errors.extend(validate_column(
            column,
            &path.child("additionalPrinterColumns").index(i),
        ));
    }
    let selectable = meta::list_at(owner, &["selectableFields"]);
    if !selectable.is_empty() {
        let path = path.child("selectableFields");
        match meta::at(owner, &[schema_field, "openAPIV3Schema"]) {
            Some(schema) => errors.extend(selectable::validate(selectable, schema, many, &path)),
            None if schema_field == "schema" => {
                let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
                errors.push(Error::invalid(&path, "", detail));
            }
            None => {
                let detail = "may only be set when validations.schema is included";
                errors.push(Error::invalid(&path, "", detail));
            }
        }
    }
    errors
}

/// `ValidateCustomResourceDefinitionSubresources`.
fn validate_scale(scale: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, roots, where_) in [
        ("specReplicasPath", &[".spec."][..], "under .spec"),
        ("statusReplicasPath", &[".status."], "under .status"),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "under either .spec or .status",
        ),
    ] {
        let path = path.child("scale").child(field);
        let value = text(scale, &[field]);
        if value.is_empty() {
            if field != "labelSelectorPath" {
                errors.push(Error::required(&path, ""));
            }
        } else if let Some(error) = simple_path(value, &path) {
            errors.push(error);
        } else if !roots.iter().any(|root| value.starts_with(root)) {
            let detail = format!("should be a json path {where_}");
            errors.push(Error::invalid(&path, value, detail));
        }
    }
    errors
}

fn simple_path(value: &str, path: &Path) -> Option<Error> {
    let detail = "must be a simple json path starting with .";
    (!value.starts_with('.')).then(|| Error::invalid(path, value, detail))
}

/// `ValidateCustomResourceColumnDefinition`.
fn validate_column(column: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(column, &["name"]).is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let one_of = |known: &[&str]| format!("must be one of {}", known.join(","));
    match text(column, &["type"]) {
        "" => errors.push(Error::required(&path.child("type"), one_of(&COLUMN_TYPES))),
        kind if !COLUMN_TYPES.contains(&kind) => {
            errors.push(Error::invalid(&path.child("type"), kind, one_of(&COLUMN_TYPES)));
        }
        _ => {}
    }
    let format = text(column, &["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(Error::invalid(&path.child("format"), format, one_of(&COLUMN_FORMATS)));
    }
    match text(column, &["jsonPath"]) {
        "" => errors.push(Error::required(&path.child("JSONPath"), "")),
        value => errors.extend(simple_path(value, &path.child("JSONPath"))),
    }
    errors
}

/// `validateCustomResourceConversion`.
fn conversion(spec: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
    let Some(conversion) = spec.get("conversion") else {
        return ErrorList::new();
    };
    let strategy = text(conversion, &["strategy"]);
    let mut errors: ErrorList = enumeration(strategy, &STRATEGIES, &path.child("strategy"))
        .into_iter()
        .collect();
    let client = conversion.get("webhookClientConfig");
    let client_path = path.child("webhookClientConfig");
    let versions = meta::list_at(conversion, &["conversionReviewVersions"]);
    let versions_path = path.child("conversionReviewVersions");
    if strategy == "Webhook" {
        match client {
            Some(client) => errors.extend(webhooks::validate_client(client, &client_path)),
            None => {
                let detail = "required when strategy is set to Webhook";
                errors.push(Error::required(&client_path, detail));
            }
        }
        let old = old.map(|old| meta::list_at(old, &["conversion", "conversionReviewVersions"]));
        let strict = old.is_none_or(|old| old.is_empty() || knows_version(old));
        errors.extend(review_versions(versions, strict, &versions_path));
        return errors;
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        errors.push(Error::forbidden(&client_path, detail));
    }
    if !versions.is_empty() {
        errors.push(Error::forbidden(&versions_path, detail));
    }
    errors
}

fn knows_version(versions: &[Value]) -> bool {
    let mut versions = versions.iter().filter_map(Value::as_str);
    versions.any(|version| REVIEW_VERSIONS.contains(&version))
}

fn review_versions(versions: &[Value], strict: bool, path: &Path) -> ErrorList {
    if versions.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if seen.insert(version) {
            errors.extend(complaints(&path.index(i), version, rules::dns1035_label(version)));
        } else {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
        }
    }
    if strict && !knows_version(versions) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, versions.to_vec(), detail));
    }
    errors
}

/// `validateCustomResourceDefinitionValidation`.
fn validation_of(validation: &Value, has_status: bool, old: Option<&Value>, path: &Path) -> ErrorList {
    let Some(root) = validation.get("openAPIV3Schema") else {
        return ErrorList::new();
    };
    let path = path.child("openAPIV3Schema");
    let mut errors = ErrorList::new();
    if has_status {
        errors.extend(root_with_status(root, &path));
    }
    if meta::bool_at(root, &["nullable"]) == Some(true) {
        errors.push(Error::forbidden(
            &path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let parsed = Structural::parse(root);
    let mut structural = false;
    if let Ok(parsed) = &parsed {
        let mut found = invariants::validate(root, &path);
        if found.is_empty() {
            found = validate_defaults(root, parsed, &path, &metadata);
        }
        structural = found.is_empty();
        errors.extend(found);
    }
    let unchanged = old.is_some_and(|old| schemas(old).any(|before| before == root));
    let options = schema::Options::of(old).unchanged(unchanged);
    errors.extend(schema::validate(root, &options, structural, &path));
    if errors.is_empty()
        && let Err(why) = parsed
    {
        errors.push(Error::invalid(&path, "", why));
    }
    errors
}

/// What is wrong with the metadata of an object within another.
fn metadata(object: &Value, namespaced: bool) -> ErrorList {
    object_meta::validate(object, namespaced, &rules::path_segment)
}

/// The schemas of all versions.
fn schemas(spec: &Value) -> impl Iterator<Item = &Value> {
    let top = meta::at(spec, &["validation", "openAPIV3Schema"]);
    let versions = meta::list_at(spec, &["versions"]).iter();
    top.into_iter()
        .chain(versions.filter_map(|version| meta::at(version, &["schema", "openAPIV3Schema"])))
}

/// What stands at the root must not concern the status, which is checked by itself.
fn root_with_status(root: &Value, path: &Path) -> Option<Error> {
    let kind = text(root, &["type"]);
    if !kind.is_empty() && kind != "object" {
        let detail =
            r#"only "object" is allowed as the type at the root of the schema if the status subresource is enabled"#;
        return Some(Error::invalid(&path.child("type"), kind, detail));
    }
    let present = |(field, value): (&String, &Value)| NOT_AT_ROOT.contains(&field.as_str()) && !is_zero(value);
    let detail = || {
        format!("only {ROOT_FIELDS} fields are allowed at the root of the schema if the status subresource is enabled")
    };
    fields(Some(root))
        .any(present)
        .then(|| Error::invalid(path, root.clone(), detail()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_and_scale_have_simple_paths() {
        let column = json!({"name": "x", "type": "y", "format": "z", "jsonPath": "a"});
        assert_eq!(
            texts(validate_column(&column, &Path::new("c"))),
            [
                "c.type: Invalid value: \"y\": must be one of boolean,date,integer,number,string",
                "c.format: Invalid value: \"z\": must be one of byte,date,date-time,double,float,int32,int64,password",
                "c.JSONPath: Invalid value: \"a\": must be a simple json path starting with .",
            ]
        );
        let scale = json!({"specReplicasPath": ".status.x", "labelSelectorPath": ".x"});
        assert_eq!(
            texts(validate_scale(&scale, &Path::new("s"))),
            [
                "s.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
                "s.scale.statusReplicasPath: Required value",
                "s.scale.labelSelectorPath: Invalid value: \".x\": should be a json path under either .spec or .status",
            ]
        );
    }

    #[test]
    fn conversion_by_webhook_needs_a_webhook() {
        for (conversion_spec, expected) in [
            (json!({"strategy": "None"}), vec![]),
            (
                json!({"strategy": "Webhook"}),
                vec![
                    "c.webhookClientConfig: Required value: required when strategy is set to Webhook",
                    "c.conversionReviewVersions: Required value",
                ],
            ),
            (
                json!({"strategy": "x", "webhookClientConfig": {}, "conversionReviewVersions": ["v1"]}),
                vec![
                    r#"c.strategy: Unsupported value: "x": supported values: "None", "Webhook""#,
                    "c.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
                    "c.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
                ],
            ),
        ] {
            let spec = json!({"conversion": conversion_spec});
            assert_eq!(texts(conversion(&spec, None, &Path::new("c"))), expected, "{spec}");
        }
    }

    #[test]
    fn versions_are_unique_and_one_is_stored() {
        let version = json!({"name": "v1", "deprecationWarning": "x"});
        let spec = json!({"group": "g", "scope": "Cluster", "versions": [version, version],
            "names": {"plural": "a", "singular": "b", "kind": "C", "listKind": "CL"},
            "validation": {"openAPIV3Schema": {"type": "object"}}});
        let found = texts(validate(&spec, None, &Path::new("spec")));
        assert_eq!(found.len(), 5, "{found:?}");
        assert_eq!(
            found[0],
            "spec.group: Invalid value: \"g\": should be a domain with at least one dot"
        );
        assert!(found[1].ends_with("can only be set for deprecated versions"));
        assert!(found[3].ends_with("must contain unique version names"));
        assert!(found[4].ends_with("must have exactly one version marked as storage version"));
    }
}
