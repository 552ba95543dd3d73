//! From OpenAPI 2.0 to 3.0, for servers that have only the former (kube-openapi `pkg/openapiconv`).

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::gnostic;
use super::part::DEFINITIONS;

const VERSION: &str = "3.0.0";
const SCHEMAS: &str = "#/components/schemas/";
const REFERENCE: &str = "$ref";
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
/// Fields that hold one schema, those that hold several by name, and those that hold a list.
const ONE: [&str; 4] = ["items", "additionalProperties", "additionalItems", "not"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "definitions", "dependencies"];
const LISTED: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// A document of OpenAPI 3.0 that was made from one of OpenAPI 2.0.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted(pub Value);

impl Converted {
    /// Says the same as a document of OpenAPI 2.0, as far as upstream does: shared parameters are lost.
    pub fn of(v2: &Value) -> Self {
        let mut document = json!({ "openapi": VERSION });
        copy(v2, &mut document, &["info"]);
        put(&mut document, "externalDocs", external(v2.get("externalDocs")));
        if let Some(paths) = object(v2.get("paths")) {
            document["paths"] = paths
                .iter()
                .map(|(path, item)| (path.clone(), path_item(item)))
                .collect();
        }
        let mut components = json!({});
        for (from, to, convert) in [
            ("definitions", "schemas", schema as fn(&Value) -> Value),
            ("securityDefinitions", "securitySchemes", security_scheme),
        ] {
            if let Some(found) = object(v2.get(from)) {
                components[to] = found.iter().map(|(name, one)| (name.clone(), convert(one))).collect();
            }
        }
        if let Some(responses) = object(v2.get("responses")) {
            let produces = texts(v2, "produces");
            let responses = responses
                .iter()
                .map(|(name, one)| (name.clone(), response(one, &produces)));
            components["responses"] = responses.collect();
        }
        document["components"] = components;
        Converted(document)
    }

    /// Writes the document as JSON.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, &self.0)?)
    }

    /// Writes the document as `application/com.github.proto-openapi.spec.v3@v1.0+protobuf`.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_protobuf(&self, out: &mut dyn Write) -> io::Result<()> {
        let entries = |pointer: &str| {
            let found = object(self.0.pointer(pointer)).into_iter().flatten();
            found.map(|(name, value)| (name.as_str(), value.clone()))
        };
        out.write_all(&gnostic::head_v3(&self.0))?;
        out.write_all(&gnostic::section(&gnostic::PATHS_V3, entries("/paths")))?;
        out.write_all(&gnostic::section(&gnostic::SCHEMAS, entries("/components/schemas")))?;
        out.write_all(&gnostic::tail_v3(&self.0))
    }
}

fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    let found = value.get(field).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, field: &str) -> Option<Vec<&'a str>> {
    let found = value.get(field)?.as_array()?;
    Some(found.iter().filter_map(Value::as_str).collect())
}

fn put(into: &mut Value, field: &str, value: Option<Value>) {
    if let Some(value) = value {
        into[field] = value;
    }
}

/// Copies the fields that are there, and all extensions.
fn copy(from: &Value, into: &mut Value, fields: &[&str]) {
    for (field, value) in object(Some(from)).into_iter().flatten() {
        if fields.contains(&field.as_str()) || field.starts_with("x-") {
            into[field] = value.clone();
        }
    }
}

fn external(docs: Option<&Value>) -> Option<Value> {
    let mut kept = json!({});
    for field in ["description", "url"] {
        put(&mut kept, field, docs?.get(field).cloned());
    }
    Some(kept)
}

/// A reference to something shared, which lies elsewhere in OpenAPI 3.0.
fn moved(value: &Value, kind: &str) -> Option<Value> {
    let reference = value.get(REFERENCE)?.as_str()?;
    Some(json!(reference.replacen(
        &format!("#/{kind}/"),
        &format!("#/components/{kind}/"),
        1
    )))
}

fn path_item(v2: &Value) -> Value {
    let mut item = json!({});
    copy(v2, &mut item, &[REFERENCE]);
    for method in METHODS {
        put(&mut item, method, v2.get(method).map(operation));
    }
    let parameters = list(v2, "parameters");
    if !parameters.is_empty() {
        item["parameters"] = parameters.iter().map(parameter).collect();
    }
    item
}

fn operation(v2: &Value) -> Value {
    let mut operation = json!({});
    copy(
        v2,
        &mut operation,
        &["description", "tags", "summary", "deprecated", "operationId"],
    );
    put(&mut operation, "externalDocs", external(v2.get("externalDocs")));
    let mut parameters = Vec::new();
    for one in list(v2, "parameters") {
        match one.get("schema").filter(|_| one["name"] == "body") {
            Some(body) => {
                let content = texts(v2, "consumes").map(|consumes| content(&consumes, body));
                operation["requestBody"] = json!({});
                put(&mut operation["requestBody"], "content", content);
            }
            None => parameters.push(parameter(one)),
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let produces = texts(v2, "produces");
    let mut responses = json!({});
    for (code, one) in object(v2.get("responses")).into_iter().flatten() {
        responses[code] = if code.starts_with("x-") {
            one.clone()
        } else {
            response(one, &produces)
        };
    }
    operation["responses"] = responses;
    operation
}

/// The same schema for each of the media types.
fn content(media_types: &[&str], v2: &Value) -> Value {
    let of = |media: &&str| ((*media).to_owned(), json!({ "schema": schema(v2) }));
    media_types.iter().map(of).collect()
}

fn response(v2: &Value, produces: &Option<Vec<&str>>) -> Value {
    let mut response = json!({});
    copy(v2, &mut response, &["description"]);
    put(&mut response, REFERENCE, moved(v2, "responses"));
    if let (Some(body), Some(produces)) = (v2.get("schema"), produces) {
        response["content"] = content(produces, body);
    }
    response
}

fn parameter(v2: &Value) -> Value {
    let mut parameter = json!({});
    copy(
        v2,
        &mut parameter,
        &["name", "description", "in", "required", "allowEmptyValue"],
    );
    put(&mut parameter, REFERENCE, moved(v2, "parameters"));
    parameter["schema"] = v2.get("schema").map_or_else(
        || {
            let mut simple = json!({"type": v2.get("type").cloned().unwrap_or_else(|| json!(""))});
            copy(v2, &mut simple, &["format", "uniqueItems"]);
            // Extensions are the parameter's.
            if let Some(fields) = simple.as_object_mut() {
                fields.retain(|field, _| !field.starts_with("x-"));
            }
            simple
        },
        schema,
    );
    parameter
}

fn security_scheme(v2: &Value) -> Value {
    let mut scheme = json!({});
    copy(v2, &mut scheme, &["description", "type", "name", "in"]);
    if let Some(flow) = v2.get("flow").and_then(Value::as_str).filter(|flow| !flow.is_empty()) {
        let mut kept = json!({});
        for field in ["authorizationUrl", "tokenUrl", "scopes"] {
            put(&mut kept, field, v2.get(field).cloned());
        }
        scheme["flows"] = json!({ flow: kept });
    }
    scheme
}

fn schema(v2: &Value) -> Value {
    let mut schema = v2.clone();
    refer(&mut schema);
    wrap(&mut schema);
    schema
}

/// Has references lead to where schemas are now. Those in `allOf` and its like stay, as upstream leaves them.
fn refer(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(Value::String(reference)) = fields.get_mut(REFERENCE)
        && let Some((_, name)) = reference.split_once(DEFINITIONS)
    {
        *reference = format!("{SCHEMAS}{name}");
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(refer);
    for field in ["items", "additionalProperties", "additionalItems"] {
        match fields.get_mut(field) {
            Some(Value::Array(all)) => all.iter_mut().for_each(refer),
            Some(one) => refer(one),
            None => {}
        }
    }
}

/// A reference may have nothing beside it: one that has is put into `allOf` (`WrapRefs`).
fn wrap(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for field in ONE {
        match fields.get_mut(field) {
            Some(Value::Array(all)) => all.iter_mut().for_each(wrap),
            Some(one) => wrap(one),
            None => {}
        }
    }
    for field in NAMED {
        let named = fields.get_mut(field).and_then(Value::as_object_mut);
        named.into_iter().flat_map(Map::values_mut).for_each(wrap);
    }
    for field in LISTED {
        let listed = fields.get_mut(field).and_then(Value::as_array_mut);
        listed.into_iter().flatten().for_each(wrap);
    }
    if fields.len() > 1
        && let Some(reference) = fields.remove(REFERENCE)
    {
        fields.insert("allOf".to_owned(), json!([{ REFERENCE: reference }]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_the_same() {
        let v2 = json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "v1"},
            "paths": {"/apis/g/v1/things": {
                "get": {
                    "operationId": "list", "produces": ["application/json"], "schemes": ["https"],
                    "parameters": [
                        {"name": "limit", "in": "query", "type": "integer", "uniqueItems": true},
                        {"$ref": "#/parameters/pretty-1"},
                    ],
                    "responses": {
                        "200": {"description": "OK", "schema": {"$ref": "#/definitions/g.v1.ThingList"}},
                        "401": {"description": "Unauthorized"},
                    },
                    "x-kubernetes-action": "list",
                },
                "post": {
                    "consumes": ["application/json", "application/yaml"], "produces": ["application/json"],
                    "parameters": [{"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/g.v1.Thing"}}],
                    "responses": {},
                },
                "parameters": [{"name": "namespace", "in": "path", "required": true, "type": "string"}],
            }},
            "definitions": {"g.v1.Thing": {"type": "object", "properties": {
                "plain": {"$ref": "#/definitions/g.v1.Spec"},
                "told": {"description": "d", "default": {}, "$ref": "#/definitions/g.v1.Spec"},
                "many": {"type": "array", "items": {"$ref": "#/definitions/g.v1.Spec"}},
                "map": {"additionalProperties": {"$ref": "#/definitions/g.v1.Spec", "default": ""}},
            }}},
            "securityDefinitions": {
                "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"},
                "OAuth": {"type": "oauth2", "flow": "implicit", "authorizationUrl": "u", "scopes": {"a": "b"}},
            },
        });
        let spec = "#/components/schemas/g.v1.Spec";
        let thing = json!({"schema": {"$ref": "#/components/schemas/g.v1.Thing"}});
        let expected = json!({
            "openapi": "3.0.0",
            "info": {"title": "t", "version": "v1"},
            "paths": {"/apis/g/v1/things": {
                "get": {
                    "operationId": "list",
                    "parameters": [
                        {"name": "limit", "in": "query", "schema": {"type": "integer", "uniqueItems": true}},
                        {"$ref": "#/components/parameters/pretty-1", "schema": {"type": ""}},
                    ],
                    "responses": {
                        "200": {"description": "OK", "content": {"application/json": {
                            "schema": {"$ref": "#/components/schemas/g.v1.ThingList"},
                        }}},
                        "401": {"description": "Unauthorized"},
                    },
                    "x-kubernetes-action": "list",
                },
                "post": {
                    "requestBody": {"content": {"application/json": thing, "application/yaml": thing}},
                    "responses": {},
                },
                "parameters": [{"name": "namespace", "in": "path", "required": true, "schema": {"type": "string"}}],
            }},
            "components": {
                "schemas": {"g.v1.Thing": {"type": "object", "properties": {
                    "plain": {"$ref": spec},
                    "told": {"description": "d", "default": {}, "allOf": [{"$ref": spec}]},
                    "many": {"type": "array", "items": {"$ref": spec}},
                    "map": {"additionalProperties": {"default": "", "allOf": [{"$ref": spec}]}},
                }}},
                "securitySchemes": {
                    "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"},
                    "OAuth": {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "u", "scopes": {"a": "b"}}}},
                },
            },
        });
        let converted = Converted::of(&v2);
        assert_eq!(converted.0, expected);
        let mut text = Vec::new();
        converted.write_json(&mut text).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        let mut binary = Vec::new();
        converted.write_protobuf(&mut binary).unwrap();
        for word in [
            "/apis/g/v1/things",
            "g.v1.Thing",
            "#/components/parameters/pretty-1",
            "BearerToken",
        ] {
            let found = binary.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(found, "{word} is in the protobuf form");
        }
    }

    #[test]
    fn odd_documents_are_no_trouble() {
        for v2 in [
            json!(null),
            json!([]),
            json!({"paths": [], "definitions": {"a": 1, "b": {"properties": 2}}}),
        ] {
            let converted = Converted::of(&v2);
            assert_eq!(converted.0["openapi"], "3.0.0");
        }
        let odd = json!({"paths": {"/a": {"get": 1, "put": {"parameters": [1, {"name": "body"}], "responses": {"200": []}}}}});
        assert_eq!(Converted::of(&odd).0["paths"]["/a"]["get"], json!({"responses": {}}));
    }
}
