//! Objects within objects (`x-kubernetes-embedded-resource`) have a kind and metadata like all objects
//! (schema/objectmeta `Validate`).

use crate::coerce;
use crate::node::Node;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupVersion;
use machinery::{meta, names};
use serde_json::{Map, Value, json};

/// What is wrong with the metadata of an object, at the path `metadata`; the second argument says whether it is in a
/// namespace. Names are segments of paths (upstream `ValidateObjectMeta`).
pub type MetadataRules<'a> = &'a dyn Fn(&Value, bool) -> ErrorList;

/// What is wrong with the objects within a value, and with the value itself if it is a `whole` object.
pub(crate) fn validate(value: &Value, node: &Node, whole: bool, path: &Path, rules: MetadataRules<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    match value {
        Value::Object(fields) if whole && !node.embedded => errors.extend(object(fields, path, rules)),
        _ => {}
    }
    at(value, node, path, rules, &mut errors);
    errors
}

fn at(value: &Value, node: &Node, path: &Path, rules: MetadataRules<'_>, errors: &mut ErrorList) {
    match value {
        Value::Object(fields) => {
            if node.embedded {
                errors.extend(object(fields, path, rules));
            }
            for (name, value) in fields {
                if let Some(property) = node.property(name) {
                    at(value, property, &path.child(name), rules, errors);
                } else if let Some(values) = node.values() {
                    at(value, values, &path.key(name), rules, errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = node.items.as_deref() {
                for (i, item) in items.iter().enumerate() {
                    at(item, of, &path.index(i), rules, errors);
                }
            }
        }
        _ => {}
    }
}

/// What is wrong with one object.
fn object(fields: &Map<String, Value>, path: &Path, rules: MetadataRules<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for name in ["apiVersion", "kind"] {
        if !fields.contains_key(name) {
            errors.push(Error::required(&path.child(name), ""));
        }
    }
    for (name, complaint) in [
        ("apiVersion", api_version as fn(&str) -> Option<String>),
        ("kind", kind),
    ] {
        let path = path.child(name);
        let detail = match fields.get(name) {
            None => continue,
            Some(Value::String(text)) if text.is_empty() => Some("must not be empty".to_owned()),
            Some(Value::String(text)) => complaint(text),
            Some(_) => Some("must be a string".to_owned()),
        };
        if let Some(detail) = detail {
            let given = fields.get(name).cloned().unwrap_or_default();
            errors.push(Error::invalid(&path, given, detail));
        }
    }
    if let Some(given) = fields.get("metadata") {
        match coerce::metadata(given) {
            Ok(metadata) => errors.extend(of_metadata(metadata, path, rules)),
            Err(why) => errors.push(Error::invalid(&path.child("metadata"), given.clone(), why)),
        }
    }
    errors
}

fn api_version(text: &str) -> Option<String> {
    let parsed = GroupVersion::parse(text).filter(|_| text != "/");
    parsed
        .is_none()
        .then(|| format!("unexpected GroupVersion string: {text}"))
}

fn kind(text: &str) -> Option<String> {
    let complaints = names::dns1035_label(&text.to_lowercase());
    let all = complaints.join(",");
    (!complaints.is_empty()).then(|| format!("may have mixed case, but should otherwise match: {all}"))
}

fn of_metadata(metadata: Value, path: &Path, rules: MetadataRules<'_>) -> ErrorList {
    let mut object = json!({ "metadata": metadata });
    if meta::name(&object).is_empty() {
        // Objects within others need no name.
        meta::set(&mut object, &["metadata", "name"], "fakename");
    }
    let mut errors = rules(&object, !meta::namespace(&object).is_empty());
    for error in &mut errors {
        error.field = path.child(&error.field).as_str().to_owned();
    }
    errors
}
