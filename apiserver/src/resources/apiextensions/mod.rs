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
use serde_json::Value;

pub(super) fn all() -> Vec<Resource> {
    vec![customresourcedefinition::resource()]
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
