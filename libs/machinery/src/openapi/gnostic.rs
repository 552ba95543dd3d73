//! The protobuf form of OpenAPI 2.0 documents that clients before 1.27 ask for (google/gnostic `OpenAPIv2.proto`),
//! made from their JSON form by a table of field numbers.

use serde_json::Value;

use crate::wire::raw::{put_bytes, put_fixed64, put_number};

/// What a field of the JSON form becomes.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Bool,
    Int,
    Float,
    /// Any value, as YAML text; JSON is YAML.
    Any,
    /// Each element of a list.
    Each(&'static Form),
    Message(&'static Message),
    /// A message in a message that has nothing but it.
    Within(u32, &'static Form),
    /// A message whose field 1 repeats the entries of an object, each with name and value.
    Named(&'static Form),
    /// One text or a list of them.
    TypeItem,
    /// One schema or a list of them.
    Items,
    /// A schema or a boolean.
    AdditionalProperties,
    Parameter,
    Responses,
    SecurityDefinition,
    SecurityRequirement,
}

/// A message: the fields with their names in JSON, and the field for extensions, 0 for none.
struct Message {
    fields: &'static [(&'static str, u32, Form)],
    extensions: u32,
}

static INFO: Message = Message {
    fields: &[
        ("title", 1, Form::Text),
        ("version", 2, Form::Text),
        ("description", 3, Form::Text),
    ],
    extensions: 7,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("multipleOf", 6, Form::Float),
        ("maximum", 7, Form::Float),
        ("exclusiveMaximum", 8, Form::Bool),
        ("minimum", 9, Form::Float),
        ("exclusiveMinimum", 10, Form::Bool),
        ("maxLength", 11, Form::Int),
        ("minLength", 12, Form::Int),
        ("pattern", 13, Form::Text),
        ("maxItems", 14, Form::Int),
        ("minItems", 15, Form::Int),
        ("uniqueItems", 16, Form::Bool),
        ("maxProperties", 17, Form::Int),
        ("minProperties", 18, Form::Int),
        ("required", 19, Form::Each(&Form::Text)),
        ("enum", 20, Form::Each(&Form::Any)),
        ("additionalProperties", 21, Form::AdditionalProperties),
        ("type", 22, Form::TypeItem),
        ("items", 23, Form::Items),
        ("allOf", 24, Form::Each(&Form::Message(&SCHEMA))),
        ("properties", 25, Form::Named(&Form::Message(&SCHEMA))),
        ("discriminator", 26, Form::Text),
        ("readOnly", 27, Form::Bool),
        ("example", 30, Form::Any),
    ],
    extensions: 31,
};

static BODY: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Bool),
        ("schema", 5, Form::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY: Message = Message {
    fields: &[
        ("required", 1, Form::Bool),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("format", 7, Form::Text),
        ("uniqueItems", 20, Form::Bool),
    ],
    extensions: 23,
};

static IN_PATH: Message = Message {
    fields: &[
        ("required", 1, Form::Bool),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("format", 6, Form::Text),
        ("uniqueItems", 19, Form::Bool),
    ],
    extensions: 22,
};

static RESPONSE: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("schema", 2, Form::Within(1, &Form::Message(&SCHEMA))),
    ],
    extensions: 5,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Each(&Form::Text)),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Each(&Form::Text)),
        ("consumes", 7, Form::Each(&Form::Text)),
        ("parameters", 8, Form::Each(&Form::Parameter)),
        ("responses", 9, Form::Responses),
        ("schemes", 10, Form::Each(&Form::Text)),
        ("deprecated", 11, Form::Bool),
    ],
    extensions: 13,
};

static PATH_ITEM: Message = Message {
    fields: &[
        ("get", 2, Form::Message(&OPERATION)),
        ("put", 3, Form::Message(&OPERATION)),
        ("post", 4, Form::Message(&OPERATION)),
        ("delete", 5, Form::Message(&OPERATION)),
        ("options", 6, Form::Message(&OPERATION)),
        ("head", 7, Form::Message(&OPERATION)),
        ("patch", 8, Form::Message(&OPERATION)),
        ("parameters", 9, Form::Each(&Form::Parameter)),
    ],
    extensions: 10,
};

static API_KEY: Message = Message {
    fields: &[
        ("type", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("description", 4, Form::Text),
    ],
    extensions: 5,
};

static FRAME: Message = Message {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::Message(&INFO)),
        ("security", 12, Form::Each(&Form::SecurityRequirement)),
        ("securityDefinitions", 13, Form::Named(&Form::SecurityDefinition)),
    ],
    extensions: 16,
};

static A_SCHEMA: Form = Form::Message(&SCHEMA);
static A_RESPONSE: Form = Form::Message(&RESPONSE);

/// A part of a document that is an object of many entries: its field, that of the entries, and what they are.
pub(super) struct Section(u32, u32, Form);

/// The paths of a document.
pub(super) const PATHS: Section = Section(8, 2, Form::Message(&PATH_ITEM));
/// The definitions of a document.
pub(super) const DEFINITIONS: Section = Section(9, 1, Form::Message(&SCHEMA));

/// Encodes a document without its sections.
pub(super) fn frame(document: &Value) -> Vec<u8> {
    message(&FRAME, document)
}

/// Encodes a section, entry by entry.
pub(super) fn section<'a>(section: Section, entries: impl Iterator<Item = (&'a str, Value)>) -> Vec<u8> {
    let Section(field, entry_field, form) = section;
    let mut inner = Vec::new();
    entries.for_each(|(name, value)| named(&mut inner, entry_field, name, form, &value));
    let mut out = Vec::with_capacity(inner.len() + 8);
    put_bytes(&mut out, field, &inner);
    out
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
        Form::Each(form) => {
            for item in value.as_array().into_iter().flatten() {
                put(out, field, *form, item);
            }
        }
        Form::Message(definition) => put_bytes(out, field, &message(definition, value)),
        Form::Within(inner, form) => within(out, field, inner, *form, value),
        Form::Named(form) => {
            let mut entries = Vec::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                named(&mut entries, 1, name, *form, value);
            }
            put_bytes(out, field, &entries);
        }
        Form::TypeItem if value.is_array() => within(out, field, 1, Form::Each(&Form::Text), value),
        Form::TypeItem => within(out, field, 1, Form::Text, value),
        Form::Items if value.is_array() => within(out, field, 1, Form::Each(&A_SCHEMA), value),
        Form::Items => within(out, field, 1, Form::Message(&SCHEMA), value),
        Form::AdditionalProperties if value.is_boolean() => within(out, field, 2, Form::Bool, value),
        Form::AdditionalProperties => within(out, field, 1, Form::Message(&SCHEMA), value),
        Form::Parameter => put_bytes(out, field, &parameter(value)),
        Form::Responses => {
            let mut codes = Vec::new();
            for (code, response) in value.as_object().into_iter().flatten() {
                named(&mut codes, 1, code, Form::Within(1, &A_RESPONSE), response);
            }
            put_bytes(out, field, &codes);
        }
        Form::SecurityDefinition => within(out, field, 2, Form::Message(&API_KEY), value),
        Form::SecurityRequirement => {
            let mut names = Vec::new();
            for (name, scopes) in value.as_object().into_iter().flatten() {
                named(&mut names, 1, name, Form::Within(1, &Form::Each(&Form::Text)), scopes);
            }
            put_bytes(out, field, &names);
        }
    }
}

/// Appends a message that has one field.
fn within(out: &mut Vec<u8>, field: u32, inner: u32, form: Form, value: &Value) {
    let mut message = Vec::new();
    put(&mut message, inner, form, value);
    put_bytes(out, field, &message);
}

/// A ParametersItem: either a parameter for the body or one of the others, each kind in a message of its own.
fn parameter(value: &Value) -> Vec<u8> {
    let mut parameter = Vec::new();
    match value.get("in").and_then(Value::as_str) {
        Some("body") => put(&mut parameter, 1, Form::Message(&BODY), value),
        Some("path") => within(&mut parameter, 2, 4, Form::Message(&IN_PATH), value),
        _ => within(&mut parameter, 2, 3, Form::Message(&QUERY), value),
    }
    let mut item = Vec::new();
    put_bytes(&mut item, 1, &parameter);
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_have_gnostics_numbers() {
        for (value, expected) in [
            (json!({"type": "string"}), b"\xb2\x01\x08\x0a\x06string".to_vec()),
            (json!({"$ref": "#/definitions/a"}), b"\x0a\x0f#/definitions/a".to_vec()),
            (json!({"enum": ["a"]}), b"\xa2\x01\x05\x12\x03\"a\"".to_vec()),
            (
                json!({"items": {"format": "x"}}),
                b"\xba\x01\x05\x0a\x03\x12\x01x".to_vec(),
            ),
            (json!({"additionalProperties": true}), b"\xaa\x01\x02\x10\x01".to_vec()),
            (
                json!({"properties": {"p": {"format": "x"}}}),
                b"\xca\x01\x0a\x0a\x08\x0a\x01p\x12\x03\x12\x01x".to_vec(),
            ),
            (json!({"x-a": 1}), b"\xfa\x01\x0a\x0a\x03x-a\x12\x03\x12\x011".to_vec()),
        ] {
            assert_eq!(message(&SCHEMA, &value), expected, "{value}");
        }
        let query = json!({"name": "n", "in": "query", "type": "string"});
        assert_eq!(
            parameter(&query),
            b"\x0a\x16\x12\x14\x1a\x12\x12\x05query\x22\x01n\x32\x06string"
        );
    }
}
