//! The schemas of kinds that are defined at run time, as OpenAPI documents have them (apiextensions-apiserver
//! `pkg/controller/openapi/builder` and `pkg/controller/openapi/v2`).

use crate::Structural;
use machinery::schema;
use serde_json::{Map, Value, json};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
/// Built-in kinds that say of their fields what all kinds and lists say.
const ANY_KIND: &str = "io.k8s.api.core.v1.ConfigMap";
const ANY_LIST: &str = "io.k8s.api.core.v1.ConfigMapList";
const CONVENTIONS: &str = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
const KIND_OF: &str = "x-kubernetes-group-version-kind";
const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
/// What only the newer dialect has.
const JUNCTORS: [&str; 4] = ["allOf", "anyOf", "oneOf", "not"];

/// A version of OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0
    V2,
    /// OpenAPI 3.0
    V3,
}

/// A kind in one version.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The schema, as it is written in the definition.
    pub written: Option<&'a Value>,
    /// The group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The kind of a list.
    pub list_kind: &'a str,
    /// The name of the resource.
    pub plural: &'a str,
    /// The `selectableFields` of the version.
    pub selectable: &'a [Value],
    /// Whether objects keep fields that the schema does not name (`spec.preserveUnknownFields`).
    pub open: bool,
}

/// The name of a kind in OpenAPI documents: the group backwards, the version and the kind.
#[must_use]
pub fn name_of(group: &str, version: &str, kind: &str) -> String {
    let group: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", group.join("."))
}

impl Published<'_> {
    /// The name of the kind in OpenAPI documents.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.group, self.version, self.kind)
    }

    /// The name of the kind of a list.
    #[must_use]
    pub fn list_name(&self) -> String {
        name_of(self.group, self.version, self.list_kind)
    }

    /// The schema of the kind.
    #[must_use]
    pub fn definition(&self, dialect: Dialect) -> Value {
        let written = self.written.filter(|written| Structural::parse(written).is_ok());
        let mut out = match written {
            // kubectl would take what is said here for all that there is.
            Some(written) if dialect == Dialect::V2 && (self.open || is_true(written, PRESERVES)) => object(),
            Some(written) => {
                let mut out = convert(written, dialect, false);
                set_property(
                    &mut out,
                    "metadata",
                    reference(OBJECT_META, &said(ANY_KIND, "metadata"), dialect),
                );
                of_type(&mut out);
                out
            }
            None => object(),
        };
        self.finish(&mut out, self.kind);
        Value::Object(out)
    }

    /// The schema of the kind of a list.
    #[must_use]
    pub fn list_definition(&self, dialect: Dialect) -> Value {
        let mut out = object();
        let about = format!("{} is a list of {}", self.list_kind, self.kind);
        out.insert("description".to_owned(), about.into());
        out.insert("required".to_owned(), json!(["items"]));
        let items = json!({
            "description": format!("List of {}. More info: {CONVENTIONS}", self.plural),
            "items": {"$ref": path(&self.name(), dialect)},
            "type": "array",
        });
        set_property(&mut out, "items", items);
        set_property(
            &mut out,
            "metadata",
            reference(LIST_META, &said(ANY_LIST, "metadata"), dialect),
        );
        of_type(&mut out);
        self.finish(&mut out, self.list_kind);
        Value::Object(out)
    }

    fn finish(&self, out: &mut Map<String, Value>, kind: &str) {
        let of = json!([{"group": self.group, "version": self.version, "kind": kind}]);
        out.insert(KIND_OF.to_owned(), of);
        let fields = self
            .selectable
            .iter()
            .filter_map(|field| field.get("jsonPath")?.as_str());
        let fields: Vec<Value> = fields
            .map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)}))
            .collect();
        if !fields.is_empty() {
            out.insert("x-kubernetes-selectable-fields".to_owned(), fields.into());
        }
    }
}

fn object() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "object".into())])
}

fn path(name: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::V2 => format!("#/definitions/{name}"),
        Dialect::V3 => format!("#/components/schemas/{name}"),
    }
}

/// A reference with a description, beside which OpenAPI 3.0 lets nothing stand.
fn reference(name: &str, about: &str, dialect: Dialect) -> Value {
    match dialect {
        Dialect::V2 => json!({"$ref": path(name, dialect), "description": about}),
        Dialect::V3 => json!({"allOf": [{"$ref": path(name, dialect)}], "description": about}),
    }
}

/// What a built-in kind says about one of its fields.
fn said(kind: &str, field: &str) -> String {
    let property = schema::builtin(kind).and_then(|ty| ty.property(field));
    property
        .map(|property| property.description.to_string())
        .unwrap_or_default()
}

fn set_property(out: &mut Map<String, Value>, name: &str, property: Value) {
    let properties = out.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        properties.insert(name.to_owned(), property);
    }
}

/// The fields that tell the kind of an object.
fn of_type(out: &mut Map<String, Value>) {
    for name in ["apiVersion", "kind"] {
        set_property(
            out,
            name,
            json!({"description": said(ANY_KIND, name), "type": "string"}),
        );
    }
}

fn is_true(schema: &Value, field: &str) -> bool {
    schema.get(field) == Some(&Value::Bool(true))
}

/// Whether a schema's field says nothing, so that Go leaves it out.
fn is_unsaid(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A schema in a dialect; `aside` are those of alternatives, which say nothing about fields they do not name.
fn convert(written: &Value, dialect: Dialect, aside: bool) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in written.as_object().into_iter().flatten() {
        let list = |aside: bool| {
            let of = |part: &Value| Value::Object(convert(part, dialect, aside));
            value.as_array().into_iter().flatten().map(of).collect()
        };
        let converted = match name.as_str() {
            // Merging would find fault with them: those of built-in kinds are left out too.
            "default" if dialect == Dialect::V2 || value.is_null() => continue,
            "example" | "default" => value.clone(),
            "additionalProperties" if aside => continue,
            "additionalProperties" if value.is_boolean() => value.clone(),
            "items" | "additionalProperties" => Value::Object(convert(value, dialect, aside)),
            name if JUNCTORS.contains(&name) && dialect == Dialect::V2 => continue,
            "not" => Value::Object(convert(value, dialect, true)),
            _ if is_unsaid(value) => continue,
            "allOf" | "anyOf" | "oneOf" => list(true),
            "properties" => {
                let of = |(name, property): (&String, &Value)| {
                    (name.clone(), Value::Object(convert(property, dialect, aside)))
                };
                Value::Object(value.as_object().into_iter().flatten().map(of).collect())
            }
            _ => value.clone(),
        };
        out.insert(name.clone(), converted);
    }
    if !aside {
        match dialect {
            Dialect::V2 => simplify(written, &mut out),
            Dialect::V3 => unfold(written, &mut out),
        }
        if is_true(written, EMBEDDED) && !(dialect == Dialect::V2 && is_true(written, PRESERVES)) {
            embed(&mut out, dialect);
        }
    }
    out
}

/// Integers or texts are one or the other (`Unfold`).
fn unfold(written: &Value, out: &mut Map<String, Value>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let first = json!({"anyOf": either.clone()});
    let said = written.get("anyOf") == Some(&either) || written.pointer("/allOf/0") == Some(&first);
    if said || !is_true(written, "x-kubernetes-int-or-string") {
        return;
    }
    if !out.contains_key("anyOf") {
        out.insert("anyOf".to_owned(), either);
        return;
    }
    let all = out.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(all) = all {
        all.insert(0, first);
    }
}

/// What clients of the older dialect would understand wrongly goes (`ToStructuralOpenAPIV2`).
fn simplify(written: &Value, out: &mut Map<String, Value>) {
    let nullable = is_true(written, "nullable");
    let preserves = is_true(written, PRESERVES);
    if nullable {
        out.remove("type");
        out.remove("nullable");
    }
    if nullable || preserves {
        out.remove("items");
        out.remove("properties");
    }
    let of = |out: &Map<String, Value>, name: &str| out.get("type").and_then(Value::as_str) == Some(name);
    if of(out, "array") && !out.contains_key("items") || preserves && of(out, "object") {
        out.remove("type");
    }
    let may_be_null = |name: &Value| {
        let property = name.as_str().and_then(|name| written.get("properties")?.get(name));
        out.contains_key("properties") && property.is_some_and(|property| is_true(property, "nullable"))
    };
    let required = written.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<Value> = required.filter(|name| !may_be_null(name)).cloned().collect();
    let values = written.get("additionalProperties");
    if required.is_empty() || values.is_some_and(|values| is_true(values, "nullable")) {
        out.remove("required");
    } else {
        out.insert("required".to_owned(), required.into());
    }
}

/// Objects within objects have a kind and metadata too (`addEmbeddedProperties`).
fn embed(out: &mut Map<String, Value>, dialect: Dialect) {
    for (name, about) in [
        (
            "apiVersion",
            format!(
                "apiVersion defines the versioned schema of this representation of an object. More info: {CONVENTIONS}#resources"
            ),
        ),
        (
            "kind",
            format!(
                "kind is a string value representing the type of this object. In CamelCase. More info: {CONVENTIONS}#types-kinds"
            ),
        ),
    ] {
        set_property(out, name, json!({"description": about, "type": "string"}));
    }
    set_property(
        out,
        "metadata",
        reference(OBJECT_META, &said(ANY_KIND, "metadata"), dialect),
    );
    let required = out.entry("required").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(required) = required {
        for name in ["kind", "apiVersion"] {
            if !required.contains(&Value::from(name)) {
                required.push(name.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(written: &Value) -> Published<'_> {
        Published {
            written: Some(written),
            group: "a.example",
            version: "v1",
            kind: "Life",
            list_kind: "LifeList",
            plural: "lifes",
            selectable: &[],
            open: false,
        }
    }

    #[test]
    fn kinds_have_the_fields_of_every_kind() {
        let written = json!({"type": "object", "description": "about", "properties": {"spec": {"type": "object"}}});
        let selectable = [json!({"jsonPath": ".spec.color"})];
        let kind = Published {
            selectable: &selectable,
            ..published(&written)
        };
        assert_eq!(kind.name(), "example.a.v1.Life");
        let out = kind.definition(Dialect::V3);
        assert_eq!(out["properties"]["spec"], json!({"type": "object"}));
        assert_eq!(
            out["properties"]["metadata"]["allOf"],
            json!([{"$ref": format!("#/components/schemas/{OBJECT_META}")}])
        );
        for path in ["apiVersion", "kind", "metadata"] {
            let about = out["properties"][path]["description"].as_str().unwrap_or_default();
            assert!(about.contains("More info"), "{path}: {about}");
        }
        assert_eq!(out["description"], "about");
        assert_eq!(
            out[KIND_OF],
            json!([{"group": "a.example", "version": "v1", "kind": "Life"}])
        );
        assert_eq!(
            out["x-kubernetes-selectable-fields"],
            json!([{"fieldPath": "spec.color"}])
        );
        let list = kind.list_definition(Dialect::V2);
        assert_eq!(
            list["properties"]["items"]["items"]["$ref"],
            "#/definitions/example.a.v1.Life"
        );
        assert_eq!(
            list["properties"]["metadata"]["$ref"],
            format!("#/definitions/{LIST_META}")
        );
        assert_eq!(list["required"], json!(["items"]));
        assert_eq!(list[KIND_OF][0]["kind"], "LifeList");
    }

    #[test]
    fn each_dialect_says_what_its_clients_understand() {
        let embedded = json!({"type": "object", EMBEDDED: true, "properties": {"spec": {"type": "object"}}});
        for (property, v2, v3) in [
            (
                json!({"type": "string", "nullable": true, "default": "x", "minLength": 0}),
                json!({"minLength": 0}),
                json!({"type": "string", "nullable": true, "default": "x", "minLength": 0}),
            ),
            (
                json!({"type": "object", PRESERVES: true, "properties": {"a": {"type": "string"}}}),
                json!({PRESERVES: true}),
                json!({"type": "object", PRESERVES: true, "properties": {"a": {"type": "string"}}}),
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!({"x-kubernetes-int-or-string": true}),
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            (
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"pattern": "a"}]}),
                json!({"x-kubernetes-int-or-string": true}),
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"pattern": "a"}],
                    "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
            ),
            (
                json!({"type": "object", "required": ["a", "b"], "nullable": false, "oneOf": [{"required": ["a"]}],
                    "properties": {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["a", "b"], "oneOf": [{"required": ["a"]}],
                    "properties": {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
            ),
        ] {
            let written = json!({"type": "object", "properties": {"spec": property}});
            for (dialect, expected) in [(Dialect::V2, v2), (Dialect::V3, v3)] {
                let out = published(&written).definition(dialect);
                assert_eq!(out["properties"]["spec"], expected, "{dialect:?} {property}");
            }
        }
        let written = json!({"type": "object", "properties": {"spec": embedded}});
        let out = published(&written).definition(Dialect::V3);
        assert_eq!(out["properties"]["spec"]["required"], json!(["kind", "apiVersion"]));
        assert!(out["properties"]["spec"]["properties"]["metadata"]["allOf"].is_array());
        let open = json!({"type": "object", PRESERVES: true});
        let out = published(&open).definition(Dialect::V2);
        assert_eq!(out.as_object().map(Map::len), Some(2), "{out}");
    }
}
