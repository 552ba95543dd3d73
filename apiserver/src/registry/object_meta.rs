//! The rules of `metadata` that hold for every kind (apimachinery `pkg/api/validation/objectmeta.go`).

use machinery::field::{Error, ErrorList, ErrorType, Path, go_quote};
use machinery::gvk::GroupVersion;
use machinery::{meta, names, schema};
use serde_json::Value;

/// How a name is checked: gets the text and whether it is only the prefix of a generated name.
pub type NameRule<'a> = &'a dyn Fn(&str, bool) -> Vec<String>;

/// The longest field manager name.
const FIELD_MANAGER_MAX: usize = 128;
/// The longest subresource name in managedFields.
const SUBRESOURCE_MAX: usize = 256;
/// The total size of keys and values of all annotations.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// What an update may not change says this.
pub const IMMUTABLE: &str = "field is immutable";

/// The finalizer that makes the garbage collector delete dependents first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that makes the garbage collector release dependents first.
pub const ORPHAN: &str = "orphan";

/// Checks the metadata of a whole object (upstream `ValidateObjectMeta`).
pub fn validate(obj: &Value, namespaced: bool, name_rule: NameRule<'_>) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    let generate_name = text(obj, "generateName");
    if !generate_name.is_empty() {
        let complaints = name_rule(generate_name, true);
        errors.extend(
            complaints
                .into_iter()
                .map(|m| Error::invalid(&path.child("generateName"), generate_name, m)),
        );
    }
    let name = meta::name(obj);
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        errors.extend(
            name_rule(name, false)
                .into_iter()
                .map(|m| Error::invalid(&path.child("name"), name, m)),
        );
    }
    errors.extend(validate_namespace(obj, namespaced, &path));
    if let Some(generation) = meta::i64_at(obj, &["metadata", "generation"])
        && generation < 0
    {
        let field = path.child("generation");
        errors.push(Error::invalid(&field, generation, "must be greater than or equal to 0"));
    }
    errors.extend(validate_labels(
        meta::at(obj, &["metadata", "labels"]),
        &path.child("labels"),
    ));
    errors.extend(validate_annotations(obj, &path));
    errors.extend(validate_owner_references(obj, &path));
    errors.extend(validate_finalizers(obj, &path));
    errors.extend(validate_managed_fields(obj, &path));
    errors
}

/// Checks what an update may do to metadata (upstream `ValidateObjectMetaUpdate`).
pub fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    if meta::is_deleting(old) {
        let kept = strings(old, "finalizers");
        let mut added: Vec<&str> = strings(new, "finalizers")
            .into_iter()
            .filter(|f| !kept.contains(f))
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let quoted: Vec<String> = added.iter().map(|f| go_quote(f)).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted.join(", ")
            );
            errors.push(Error::forbidden(&path.child("finalizers"), detail));
        }
    }
    if text(new, "resourceVersion").is_empty() {
        errors.push(Error::invalid(
            &path.child("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    let generation = |obj: &Value| meta::i64_at(obj, &["metadata", "generation"]).unwrap_or_default();
    if generation(new) < generation(old) {
        let field = path.child("generation");
        errors.push(Error::invalid(&field, generation(new), "must not be decremented"));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let value = |obj| {
            meta::at(obj, &["metadata", field])
                .filter(|v| !v.is_null() && **v != "")
                .cloned()
        };
        let (new_value, old_value) = (value(new), value(old));
        if new_value != old_value {
            let shown = new_value.unwrap_or(match field {
                "name" | "namespace" | "uid" => Value::from(""),
                _ => Value::Null,
            });
            errors.push(Error::invalid(&path.child(field), shown, IMMUTABLE));
        }
    }
    errors.extend(validate_labels(
        meta::at(new, &["metadata", "labels"]),
        &path.child("labels"),
    ));
    errors.extend(validate_annotations(new, &path));
    errors.extend(validate_owner_references(new, &path));
    errors.extend(validate_managed_fields(new, &path));
    errors
}

/// Checks a map of labels, also that of a template.
pub fn validate_labels(labels: Option<&Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|m| Error::invalid(path, key.as_str(), m)),
        );
        let value = value.as_str().unwrap_or_default();
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|m| Error::invalid(path, value, m)),
        );
    }
    errors
}

/// Checks the name of a field manager.
pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > FIELD_MANAGER_MAX {
        errors.push(Error::too_long(path, FIELD_MANAGER_MAX));
    }
    for (at, c) in manager.char_indices() {
        if !is_printable(c) {
            let shown = if c.is_control() {
                format!("U+{:04X}", c as u32)
            } else {
                format!("U+{:04X} '{c}'", c as u32)
            };
            errors.push(Error::invalid(
                path,
                manager,
                format!("invalid character {shown} (at position {at})"),
            ));
        }
    }
    errors
}

/// Go's `unicode.IsPrint`, as far as the standard library can tell: ASCII space is the only printable white space.
fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

fn text<'a>(obj: &'a Value, field: &str) -> &'a str {
    meta::str_at(obj, &["metadata", field]).unwrap_or_default()
}

/// The strings of a list in metadata.
pub fn strings<'a>(obj: &'a Value, field: &str) -> Vec<&'a str> {
    meta::list_at(obj, &["metadata", field])
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

fn validate_namespace(obj: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let field = path.child("namespace");
    let namespace = meta::namespace(obj);
    match (namespaced, namespace.is_empty()) {
        (true, true) => vec![Error::required(&field, "")],
        (true, false) => {
            let complaints = names::dns1123_label(namespace);
            complaints
                .into_iter()
                .map(|m| Error::invalid(&field, namespace, m))
                .collect()
        }
        (false, true) => ErrorList::new(),
        (false, false) => vec![Error::forbidden(&field, "not allowed on this type")],
    }
}

fn validate_annotations(obj: &Value, path: &Path) -> ErrorList {
    let field = path.child("annotations");
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in meta::map_at(obj, &["metadata", "annotations"]).into_iter().flatten() {
        let complaints = names::qualified_name(&key.to_lowercase());
        errors.extend(complaints.into_iter().map(|m| Error::invalid(&field, key.as_str(), m)));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        errors.push(Error::too_long(&field, ANNOTATIONS_MAX));
    }
    errors
}

/// Upstream leaves the index of the reference out of these paths.
fn validate_owner_references(obj: &Value, path: &Path) -> ErrorList {
    let field = path.child("ownerReferences");
    let references = meta::list_at(obj, &["metadata", "ownerReferences"]);
    let mut errors = ErrorList::new();
    let mut controller = String::new();
    for reference in references {
        let part = |name: &str| meta::str_at(reference, &[name]).unwrap_or_default();
        let api_version = part("apiVersion");
        // A version that cannot be parsed counts as none.
        let version = GroupVersion::parse(api_version).map_or(String::new(), |gv| gv.version.to_string());
        if version.is_empty() {
            let detail = "version must not be empty";
            errors.push(Error::invalid(&field.child("apiVersion"), api_version, detail));
        }
        for name in ["kind", "name", "uid"] {
            if part(name).is_empty() {
                errors.push(Error::invalid(&field.child(name), "", "must not be empty"));
            }
        }
        if api_version == "v1" && part("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(Error::invalid(&field, reference.clone(), detail).showing(shown_owner(reference)));
        }
        if meta::bool_at(reference, &["controller"]) == Some(true) {
            let this = format!("{}/{}", part("kind"), part("name"));
            if controller.is_empty() {
                controller = this;
            } else {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {controller} and {this}"
                );
                let all: Vec<String> = references.iter().map(shown_owner).collect();
                let error = Error::invalid(&field, Value::from(references.to_vec()), detail);
                errors.push(error.showing(format!("[{}]", all.join(","))));
            }
        }
    }
    errors
}

/// The finalizers without a domain that are known (`pkg/apis/core/validation`, `standardFinalizers`).
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];

/// Everywhere but in namespaces' `spec`, finalizers are qualified names. Without a domain only the standard ones are, but for
/// kinds that upstream's other servers answer for.
fn validate_finalizers(obj: &Value, path: &Path) -> ErrorList {
    let field = path.child("finalizers");
    let finalizers = strings(obj, "finalizers");
    let mut errors = ErrorList::new();
    for finalizer in &finalizers {
        errors.extend(
            names::qualified_name(finalizer)
                .into_iter()
                .map(|m| Error::invalid(&field, *finalizer, m)),
        );
    }
    if finalizers.contains(&FOREGROUND) && finalizers.contains(&ORPHAN) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(Error::invalid(&field, Value::from(finalizers.clone()), detail));
    }
    let text = |field: &str| meta::str_at(obj, &[field]).unwrap_or_default();
    let version = GroupVersion::parse(text("apiVersion")).unwrap_or_default();
    if is_of_others(&version, text("kind")) {
        return errors;
    }
    for (i, finalizer) in finalizers.iter().enumerate() {
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(Error::invalid(&field.index(i), *finalizer, detail));
        }
    }
    errors
}

/// Whether upstream's server of built-in kinds does not answer for a kind.
fn is_of_others(version: &GroupVersion, kind: &str) -> bool {
    let group = version.group.as_str();
    matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io")
        || schema::by_gvk(group, &version.version, kind).is_none()
}

fn validate_managed_fields(obj: &Value, path: &Path) -> ErrorList {
    let field = path.child("managedFields");
    let mut errors = ErrorList::new();
    for (i, entry) in meta::list_at(obj, &["metadata", "managedFields"]).iter().enumerate() {
        let item = field.index(i);
        let part = |name: &str| meta::str_at(entry, &[name]).unwrap_or_default();
        let operation = part("operation");
        if !matches!(operation, "Apply" | "Update") {
            let detail = "must be `Apply` or `Update`";
            errors.push(Error::invalid(&item.child("operation"), operation, detail));
        }
        if !matches!(part("fieldsType"), "" | "FieldsV1") {
            let detail = "must be `FieldsV1`";
            errors.push(Error::invalid(&item.child("fieldsType"), part("fieldsType"), detail));
        }
        errors.extend(validate_field_manager(part("manager"), &item.child("manager")));
        if part("subresource").len() > SUBRESOURCE_MAX {
            errors.push(Error::new(
                ErrorType::TooLong,
                &item.child("subresource"),
                None,
                format!("may not be more than {SUBRESOURCE_MAX} bytes"),
            ));
        }
    }
    errors
}

/// An owner reference with its fields in the order of Go's struct.
fn shown_owner(reference: &Value) -> String {
    match schema::builtin("io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference") {
        Some(ty) => schema::encode::go_text(reference, ty),
        None => reference.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_object_needs_a_good_name() {
        let rule: NameRule<'_> = &names::dns1123_label_for;
        let good = json!({"metadata": {"name": "a", "namespace": "n"}});
        assert!(validate(&good, true, rule).is_empty());
        let bad = json!({"metadata": {"namespace": "n", "generation": -1}});
        assert_eq!(
            texts(&validate(&bad, false, rule)),
            [
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Forbidden: not allowed on this type",
                "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
    }

    #[test]
    fn owners_are_whole_and_only_one_controls() {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
        let obj = json!({"metadata": {"name": "a", "ownerReferences": [owner, owner, {"apiVersion": "a/b/c"}]}});
        let errors = texts(&validate(&obj, false, &names::path_segment));
        assert_eq!(errors.len(), 5);
        assert!(
            errors[0].starts_with(
                r#"metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u","controller":true},"#
            ) && errors[0].ends_with("Found \"true\" in references for Pod/p and Pod/p"),
            "{errors:?}"
        );
        assert_eq!(
            errors[2],
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty"
        );
    }

    #[test]
    fn an_update_keeps_what_the_server_owns() {
        let old = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "deletionTimestamp": "t",
            "finalizers": ["x/a"]}});
        assert!(validate_update(&old, &old).is_empty());
        let new = json!({"metadata": {"name": "a", "uid": "v", "resourceVersion": "1", "deletionTimestamp": "t",
            "finalizers": ["x/a", "x/c", "x/b"]}});
        assert_eq!(
            texts(&validate_update(&new, &old)),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/b\", \"x/c\"}",
                "metadata.uid: Invalid value: \"v\": field is immutable",
            ]
        );
    }

    #[test]
    fn field_managers_are_printable() {
        let path = Path::new("fieldManager");
        assert!(validate_field_manager("kubectl-client-side-apply é", &path).is_empty());
        assert_eq!(
            texts(&validate_field_manager("a\nb", &path)),
            ["fieldManager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)"]
        );
    }

    #[test]
    fn entries_of_managers_have_a_form() {
        let entry = |change: Value| {
            let mut entry =
                json!({"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"});
            let fields = change.as_object().cloned().unwrap_or_default();
            entry.as_object_mut().unwrap().extend(fields);
            json!({"metadata": {"name": "a", "managedFields": [entry]}})
        };
        let long = "s".repeat(257);
        for (change, expected) in [
            (json!({}), vec![]),
            (
                json!({"operation": "Apply", "fieldsType": "", "subresource": "status"}),
                vec![],
            ),
            (
                json!({"operation": "X"}),
                vec!["metadata.managedFields[0].operation: Invalid value: \"X\": must be `Apply` or `Update`"],
            ),
            (
                json!({"fieldsType": "FieldsV2"}),
                vec!["metadata.managedFields[0].fieldsType: Invalid value: \"FieldsV2\": must be `FieldsV1`"],
            ),
            (
                json!({"manager": "m\n", "subresource": long}),
                vec![
                    "metadata.managedFields[0].manager: Invalid value: \"m\\n\": invalid character U+000A (at position 1)",
                    "metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes",
                ],
            ),
        ] {
            let errors = validate(&entry(change), false, &names::path_segment);
            assert_eq!(texts(&errors), expected);
        }
    }
}
