//! The messages of google/gnostic `OpenAPIv2.proto`.

use super::{Form, Message, Section, message, put, within};
use crate::wire::raw::put_bytes;
use serde_json::Value;

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
        (
            "additionalProperties",
            21,
            Form::Either(
                Value::is_boolean,
                &Form::Within(2, &Form::Bool),
                &Form::Within(1, &A_SCHEMA),
            ),
        ),
        (
            "type",
            22,
            Form::Within(1, &Form::Either(Value::is_array, &Form::Each(&Form::Text), &Form::Text)),
        ),
        (
            "items",
            23,
            Form::Within(1, &Form::Either(Value::is_array, &Form::Each(&A_SCHEMA), &A_SCHEMA)),
        ),
        ("allOf", 24, Form::Each(&Form::Message(&SCHEMA))),
        ("properties", 25, Form::Named(1, &A_SCHEMA)),
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
        ("parameters", 8, Form::Each(&Form::Own(parameters_item))),
        (
            "responses",
            9,
            Form::Named(1, &Form::Within(1, &Form::Message(&RESPONSE))),
        ),
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
        ("parameters", 9, Form::Each(&Form::Own(parameters_item))),
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
        (
            "security",
            12,
            Form::Each(&Form::Named(1, &Form::Within(1, &Form::Each(&Form::Text)))),
        ),
        (
            "securityDefinitions",
            13,
            Form::Named(1, &Form::Within(2, &Form::Message(&API_KEY))),
        ),
    ],
    extensions: 16,
};

static A_SCHEMA: Form = Form::Message(&SCHEMA);

/// Encodes a document without its sections.
pub(in crate::openapi) fn frame(document: &Value) -> Vec<u8> {
    message(&FRAME, document)
}

/// The paths of a document.
pub(in crate::openapi) const PATHS: Section = Section {
    field: &[8],
    entry: 2,
    form: Form::Message(&PATH_ITEM),
};
/// The definitions of a document.
pub(in crate::openapi) const DEFINITIONS: Section = Section {
    field: &[9],
    entry: 1,
    form: Form::Message(&SCHEMA),
};

/// The parameters that operations refer to.
pub(in crate::openapi) const PARAMETERS: Section = Section {
    field: &[10],
    entry: 1,
    form: Form::Own(parameter),
};

static REFERENCE: Message = Message {
    fields: &[("$ref", 1, Form::Text), ("description", 2, Form::Text)],
    extensions: 0,
};

/// A ParametersItem: a parameter or a reference to one.
fn parameters_item(value: &Value) -> Vec<u8> {
    let mut item = Vec::new();
    if value.get("$ref").is_some() {
        put(&mut item, 2, Form::Message(&REFERENCE), value);
    } else {
        put_bytes(&mut item, 1, &parameter(value));
    }
    item
}

/// A Parameter: either one for the body or one of the others, each kind in a message of its own.
fn parameter(value: &Value) -> Vec<u8> {
    let mut parameter = Vec::new();
    match value.get("in").and_then(Value::as_str) {
        Some("body") => put(&mut parameter, 1, Form::Message(&BODY), value),
        Some("path") => within(&mut parameter, 2, 4, Form::Message(&IN_PATH), value),
        _ => within(&mut parameter, 2, 3, Form::Message(&QUERY), value),
    }
    parameter
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
            parameters_item(&query),
            b"\x0a\x16\x12\x14\x1a\x12\x12\x05query\x22\x01n\x32\x06string"
        );
        assert_eq!(
            parameters_item(&json!({"$ref": "#/parameters/a"})),
            b"\x12\x10\x0a\x0e#/parameters/a"
        );
    }
}
