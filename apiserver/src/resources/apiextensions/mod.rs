//! The apiextensions group: definitions of kinds. What holds for objects of these kinds is in the library `structural`.

pub(crate) mod approval;
mod customresourcedefinition;
mod internal;
mod invariants;
mod names;
mod rules;
mod schema;
mod selectable;
mod v1beta1;
mod versions;

pub(crate) use customresourcedefinition::CLEANUP;

use crate::registry::resource::Resource;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

pub(super) fn all() -> Vec<Resource> {
    vec![customresourcedefinition::resource()]
}

/// What keeps the schemas of a definition from being structural
/// (apiextensions-apiserver `pkg/controller/nonstructuralschema`).
pub(crate) fn not_structural(definition: &Value) -> ErrorList {
    let spec = Path::new("spec");
    let mut errors = ErrorList::new();
    if meta::bool_at(definition, &["spec", "preserveUnknownFields"]) == Some(true) {
        errors.push(Error::invalid(
            &spec.child("preserveUnknownFields"),
            true,
            "must be false",
        ));
    }
    for (i, version) in meta::list_at(definition, &["spec", "versions"]).iter().enumerate() {
        if let Some(schema) = meta::at(version, &["schema", "openAPIV3Schema"]) {
            let path = spec.child("versions").index(i).child("schema").child("openAPIV3Schema");
            errors.extend(invariants::validate(schema, &path));
        }
    }
    errors
}

/// Whether Go would leave a value out: a schema's field that says nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
