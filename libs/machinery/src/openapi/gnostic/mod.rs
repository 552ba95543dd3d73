//! The protobuf forms of OpenAPI documents (google/gnostic), made from their JSON forms by tables of field numbers.

mod v2;
mod v3;

use serde_json::Value;

use crate::wire::raw::{put_bytes, put_fixed64, put_number};

pub(super) use v2::{DEFINITIONS, PARAMETERS, PATHS as PATHS_V2, frame as frame_v2};
pub(super) use v3::{PATHS as PATHS_V3, SCHEMAS, head as head_v3, tail as tail_v3};

/// What a field of the JSON form becomes.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Bool,
    Int,
    Float,
    /// Any value, as YAML text; JSON is YAML.
    Any,
    /// What the other form says.
    As(&'static Form),
    /// Each element of a list.
    Each(&'static Form),
    Message(&'static Message),
    /// A message in a message that has nothing but it.
    Within(u32, &'static Form),
    /// A message with a field that repeats the entries of an object, each with name and value.
    Named(u32, &'static Form),
    /// The first form for values that pass the test, else the second.
    Either(fn(&Value) -> bool, &'static Form, &'static Form),
    /// A message that is encoded by a rule of its own.
    Own(fn(&Value) -> Vec<u8>),
}

/// A message: the fields with their names in JSON, and the field for extensions, 0 for none.
struct Message {
    fields: &'static [(&'static str, u32, Form)],
    extensions: u32,
}

/// A part of a document that is an object of many entries.
pub(super) struct Section {
    /// The field of the document, and the fields in it, that lead to the section.
    pub(super) field: &'static [u32],
    /// The field that each entry is.
    pub(super) entry: u32,
    /// What the entries are.
    form: Form,
}

/// Encodes a section, entry by entry.
pub(super) fn section<'a>(section: &Section, entries: impl Iterator<Item = (&'a str, Value)>) -> Vec<u8> {
    let mut inner = Vec::new();
    entries.for_each(|(name, value)| named(&mut inner, section.entry, name, section.form, &value));
    for field in section.field.iter().rev() {
        let mut outer = Vec::with_capacity(inner.len() + 8);
        put_bytes(&mut outer, *field, &inner);
        inner = outer;
    }
    inner
}

fn message(message: &Message, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, number, form) in message.fields {
        if let Some(value) = value.get(name) {
            put(&mut out, *number, *form, value);
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        if name.starts_with("x-") && message.extensions > 0 {
            named(&mut out, message.extensions, name, Form::Any, value);
        }
    }
    out
}

/// Appends an entry of name and value.
fn named(out: &mut Vec<u8>, field: u32, name: &str, form: Form, value: &Value) {
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, name.as_bytes());
    put(&mut entry, 2, form, value);
    put_bytes(out, field, &entry);
}

fn put(out: &mut Vec<u8>, field: u32, form: Form, value: &Value) {
    match form {
        Form::Text => put_bytes(out, field, value.as_str().unwrap_or_default().as_bytes()),
        Form::Bool => put_number(out, field, u64::from(value.as_bool().unwrap_or_default())),
        Form::Int => put_number(out, field, value.as_i64().unwrap_or_default().cast_unsigned()),
        Form::Float => put_fixed64(out, field, value.as_f64().unwrap_or_default().to_bits()),
        Form::Any => within(out, field, 2, Form::Text, &Value::from(value.to_string())),
        Form::As(form) => put(out, field, *form, value),
        Form::Each(form) => {
            for item in value.as_array().into_iter().flatten() {
                put(out, field, *form, item);
            }
        }
        Form::Message(definition) => put_bytes(out, field, &message(definition, value)),
        Form::Within(inner, form) => within(out, field, inner, *form, value),
        Form::Named(entry, form) => {
            let mut entries = Vec::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                named(&mut entries, entry, name, *form, value);
            }
            put_bytes(out, field, &entries);
        }
        Form::Either(test, yes, no) => put(out, field, if test(value) { *yes } else { *no }, value),
        Form::Own(encode) => put_bytes(out, field, &encode(value)),
    }
}

/// Appends a message that has one field.
fn within(out: &mut Vec<u8>, field: u32, inner: u32, form: Form, value: &Value) {
    let mut message = Vec::new();
    put(&mut message, inner, form, value);
    put_bytes(out, field, &message);
}
