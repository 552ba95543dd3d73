//! The messages of google/gnostic `OpenAPIv3.proto`.

use super::{Form, Message, Section, message};
use serde_json::Value;

static INFO: Message = Message {
    fields: &[
        ("title", 1, Form::Text),
        ("description", 2, Form::Text),
        ("version", 6, Form::Text),
    ],
    extensions: 7,
};

static REFERENCE: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
    ],
    extensions: 0,
};

/// A default; one that is an object says nothing but that it is there.
const DEFAULT: Form = Form::Either(
    Value::is_number,
    &Form::Within(1, &Form::Float),
    &Form::Either(
        Value::is_boolean,
        &Form::Within(2, &Form::Bool),
        &Form::Either(Value::is_string, &Form::Within(3, &Form::Text), &Form::Message(&EMPTY)),
    ),
);

static EMPTY: Message = Message {
    fields: &[],
    extensions: 0,
};

static SCHEMA: Message = Message {
    fields: &[
        ("nullable", 1, Form::Bool),
        ("readOnly", 3, Form::Bool),
        ("writeOnly", 4, Form::Bool),
        ("example", 7, Form::Any),
        ("deprecated", 8, Form::Bool),
        ("title", 9, Form::Text),
        ("multipleOf", 10, Form::Float),
        ("maximum", 11, Form::Float),
        ("exclusiveMaximum", 12, Form::Bool),
        ("minimum", 13, Form::Float),
        ("exclusiveMinimum", 14, Form::Bool),
        ("maxLength", 15, Form::Int),
        ("minLength", 16, Form::Int),
        ("pattern", 17, Form::Text),
        ("maxItems", 18, Form::Int),
        ("minItems", 19, Form::Int),
        ("uniqueItems", 20, Form::Bool),
        ("maxProperties", 21, Form::Int),
        ("minProperties", 22, Form::Int),
        ("required", 23, Form::Each(&Form::Text)),
        ("enum", 24, Form::Each(&Form::Any)),
        ("type", 25, Form::Text),
        ("allOf", 26, Form::Each(&A_SCHEMA)),
        ("oneOf", 27, Form::Each(&A_SCHEMA)),
        ("anyOf", 28, Form::Each(&A_SCHEMA)),
        ("not", 29, Form::Message(&SCHEMA)),
        (
            "items",
            30,
            Form::Within(1, &Form::Either(Value::is_array, &Form::Each(&A_SCHEMA), &A_SCHEMA)),
        ),
        ("properties", 31, Form::Named(1, &A_SCHEMA)),
        (
            "additionalProperties",
            32,
            Form::Either(
                Value::is_boolean,
                &Form::Within(2, &Form::Bool),
                &Form::Within(1, &A_SCHEMA),
            ),
        ),
        ("default", 33, DEFAULT),
        ("description", 34, Form::Text),
        ("format", 35, Form::Text),
    ],
    extensions: 36,
};

/// A schema, or a reference to one.
static A_SCHEMA: Form = Form::Either(
    is_reference,
    &Form::Within(2, &Form::Message(&REFERENCE)),
    &Form::Within(1, &Form::Message(&SCHEMA)),
);

fn is_reference(value: &Value) -> bool {
    value.get("$ref").is_some()
}

/// What a body can be, by media type.
const CONTENT: Form = Form::Named(
    1,
    &Form::Message(&Message {
        fields: &[("schema", 1, Form::As(&A_SCHEMA))],
        extensions: 5,
    }),
);

static PARAMETER: Message = Message {
    fields: &[
        ("name", 1, Form::Text),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("required", 4, Form::Bool),
        ("schema", 10, Form::As(&A_SCHEMA)),
    ],
    extensions: 14,
};

static BODY: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("content", 2, CONTENT),
        ("required", 3, Form::Bool),
    ],
    extensions: 4,
};

static RESPONSE: Message = Message {
    fields: &[("description", 1, Form::Text), ("content", 3, CONTENT)],
    extensions: 5,
};

/// Parameters, or references to them.
const PARAMETERS: Form = Form::Each(&Form::Either(
    is_reference,
    &Form::Within(2, &Form::Message(&REFERENCE)),
    &Form::Within(1, &Form::Message(&PARAMETER)),
));

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Each(&Form::Text)),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("parameters", 6, PARAMETERS),
        ("requestBody", 7, Form::Within(1, &Form::Message(&BODY))),
        (
            "responses",
            8,
            Form::Named(2, &Form::Within(1, &Form::Message(&RESPONSE))),
        ),
        ("deprecated", 10, Form::Bool),
    ],
    extensions: 13,
};

static PATH_ITEM: Message = Message {
    fields: &[
        ("get", 4, Form::Message(&OPERATION)),
        ("put", 5, Form::Message(&OPERATION)),
        ("post", 6, Form::Message(&OPERATION)),
        ("delete", 7, Form::Message(&OPERATION)),
        ("options", 8, Form::Message(&OPERATION)),
        ("head", 9, Form::Message(&OPERATION)),
        ("patch", 10, Form::Message(&OPERATION)),
        ("parameters", 13, PARAMETERS),
    ],
    extensions: 14,
};

static SECURITY_SCHEME: Message = Message {
    fields: &[
        ("type", 1, Form::Text),
        ("description", 2, Form::Text),
        ("name", 3, Form::Text),
        ("in", 4, Form::Text),
    ],
    extensions: 9,
};

static HEAD: Message = Message {
    fields: &[("openapi", 1, Form::Text), ("info", 2, Form::Message(&INFO))],
    extensions: 0,
};

static TAIL: Message = Message {
    fields: &[(
        "components",
        5,
        Form::Message(&Message {
            fields: &[(
                "securitySchemes",
                7,
                Form::Named(1, &Form::Within(1, &Form::Message(&SECURITY_SCHEME))),
            )],
            extensions: 0,
        }),
    )],
    extensions: 0,
};

/// Encodes what stands before the sections.
pub(in crate::openapi) fn head(document: &Value) -> Vec<u8> {
    message(&HEAD, document)
}

/// Encodes what stands after the sections: the other components, which decoders join with the schemas.
pub(in crate::openapi) fn tail(document: &Value) -> Vec<u8> {
    message(&TAIL, document)
}

/// The paths of a document.
pub(in crate::openapi) const PATHS: Section = Section {
    field: &[4],
    entry: 1,
    form: Form::Message(&PATH_ITEM),
};
/// The schemas of a document.
pub(in crate::openapi) const SCHEMAS: Section = Section {
    field: &[5, 1],
    entry: 1,
    form: Form::As(&A_SCHEMA),
};

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_have_gnostics_numbers() {
        for (value, expected) in [
            (json!({"type": "string"}), &b"\xca\x01\x06string"[..]),
            (json!({"default": "TCP"}), b"\x8a\x02\x05\x1a\x03TCP"),
            (json!({"default": 0}), b"\x8a\x02\x09\x09\0\0\0\0\0\0\0\0"),
            (json!({"default": {}}), b"\x8a\x02\x00"),
            (json!({"allOf": [{"$ref": "#/a"}]}), b"\xd2\x01\x07\x12\x05\x0a\x03#/a"),
            (
                json!({"items": {"type": "x"}}),
                b"\xf2\x01\x08\x0a\x06\x0a\x04\xca\x01\x01x",
            ),
            (json!({"additionalProperties": true}), b"\x82\x02\x02\x10\x01"),
        ] {
            assert_eq!(message(&SCHEMA, &value), expected, "{value}");
        }
        let responses = json!({"responses": {"200": {"description": "OK"}}});
        assert_eq!(
            message(&OPERATION, &responses),
            b"\x42\x0f\x12\x0d\x0a\x03200\x12\x06\x0a\x04\x0a\x02OK"
        );
    }
}
