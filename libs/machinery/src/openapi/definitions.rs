//! The schemas of types, in the dialects of both versions of OpenAPI.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::gvk::GroupVersion;
use crate::schema::{self, Array, ListType, MapType, Property, Scalar, Type, TypeRef};

/// A version of OpenAPI.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    pub(super) fn reference(self, name: &str) -> String {
        match self {
            Dialect::V2 => format!("#/definitions/{name}"),
            Dialect::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// The types that `roots` need, by name.
pub(super) fn reachable<'a>(roots: impl IntoIterator<Item = &'a Type>) -> BTreeMap<&'a str, &'a Type> {
    let mut found = BTreeMap::new();
    let mut todo: Vec<&Type> = roots.into_iter().collect();
    while let Some(ty) = todo.pop() {
        if found.insert(&*ty.name, ty).is_none() {
            for property in ty.properties.iter() {
                referenced(&property.ty, &mut todo);
            }
        }
    }
    found
}

fn referenced<'a>(ty: &'a TypeRef, todo: &mut Vec<&'a Type>) {
    match ty {
        TypeRef::Scalar(scalar) => todo.extend(scalar.definition().and_then(schema::builtin)),
        TypeRef::Object(ty) => todo.push(ty),
        TypeRef::Array(array) => referenced(&array.items, todo),
        TypeRef::Map(values) => referenced(values, todo),
        TypeRef::Any(ty) => todo.extend(ty.as_deref()),
    }
}

/// The schema of a type. `served` are the versions that types without a version of their own are listed under.
pub(super) fn definition(ty: &Type, dialect: Dialect, served: &[GroupVersion]) -> Value {
    let mut out = Map::new();
    if !ty.description.is_empty() {
        out.insert("description".to_owned(), json!(*ty.description));
    }
    if ty.properties.is_empty() {
        leaf(ty, dialect, &mut out);
    } else {
        out.insert("type".to_owned(), json!("object"));
        let properties = ty.properties.iter().map(|p| (p.name.to_string(), property(p, dialect)));
        out.insert("properties".to_owned(), Value::Object(properties.collect()));
        let mut required: Vec<&Property> = ty.properties.iter().filter(|p| p.required).collect();
        required.sort_by_key(|property| property.position);
        let required: Vec<&str> = required.into_iter().map(|property| &*property.name).collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), json!(required));
        }
    }
    if ty.atomic {
        out.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if ty.open {
        out.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    }
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let kinds: Vec<Value> = if ty.any_version {
        served
            .iter()
            .map(|gv| kind(&gv.group, &gv.version, ty.struct_name()))
            .collect()
    } else {
        ty.kinds.iter().map(|k| kind(&k.group, &k.version, &k.kind)).collect()
    };
    if !kinds.is_empty() {
        out.insert("x-kubernetes-group-version-kind".to_owned(), Value::Array(kinds));
    }
    let unions: Vec<Value> = ty.unions.iter().map(union).collect();
    if !unions.is_empty() {
        out.insert("x-kubernetes-unions".to_owned(), Value::Array(unions));
    }
    Value::Object(out)
}

/// A type without properties: a scalar with a name of its own, or anything.
fn leaf(ty: &Type, dialect: Dialect, out: &mut Map<String, Value>) {
    let any_of = |types: [&str; 2]| json!([{"type": types[0]}, {"type": types[1]}]);
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    match (dialect, ty.struct_name()) {
        (Dialect::V3, "Quantity") => {
            set("oneOf", any_of(["string", "number"]));
        }
        (Dialect::V3, "IntOrString") => {
            set("format", json!("int-or-string"));
            set("oneOf", any_of(["integer", "string"]));
        }
        _ => {
            if let Some(json_type) = &ty.json_type {
                set("type", json!(**json_type));
            }
            if let Some(format) = &ty.format {
                set("format", json!(**format));
            }
        }
    }
}

fn property(property: &Property, dialect: Dialect) -> Value {
    let details = &property.details;
    let mut extra = Map::new();
    let mut set = |name: &str, value: Value| extra.insert(name.to_owned(), value);
    if !property.description.is_empty() {
        set("description", json!(*property.description));
    }
    if dialect == Dialect::V3
        && let Some(default) = details
            .default
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    {
        set("default", default);
    }
    let allowed: Vec<&str> = details.allowed.iter().map(|value| &**value).collect();
    let in_elements = matches!(property.ty, TypeRef::Array(_) | TypeRef::Map(_));
    if !allowed.is_empty() && !in_elements {
        set("enum", json!(allowed));
    }
    if let TypeRef::Array(array) = &property.ty {
        list_type(array, &mut set);
    }
    if details.atomic_bytes {
        set("x-kubernetes-list-type", json!("atomic"));
    }
    match details.map_type {
        Some(MapType::Atomic) => set("x-kubernetes-map-type", json!("atomic")),
        Some(MapType::Granular) => set("x-kubernetes-map-type", json!("granular")),
        None => None,
    };
    let patch = &details.patch;
    let strategies = [
        ("merge", patch.merge),
        ("replace", patch.replace),
        ("retainKeys", patch.retain_keys),
    ];
    let strategies: Vec<&str> = strategies
        .into_iter()
        .filter(|(_, on)| *on)
        .map(|(name, _)| name)
        .collect();
    if !strategies.is_empty() {
        set("x-kubernetes-patch-strategy", json!(strategies.join(",")));
    }
    if let Some(key) = &patch.merge_key {
        set("x-kubernetes-patch-merge-key", json!(**key));
    }
    let mut shape = shape(&property.ty, dialect);
    for elements in ["items", "additionalProperties"] {
        if let Some(Value::Object(element)) = shape.get_mut(elements)
            && !allowed.is_empty()
        {
            element.insert("enum".to_owned(), json!(allowed));
        }
    }
    if extra.is_empty() {
        return Value::Object(shape);
    }
    if dialect == Dialect::V3 {
        shape = beside(shape);
    }
    shape.append(&mut extra);
    Value::Object(shape)
}

fn list_type(array: &Array, set: &mut dyn FnMut(&str, Value) -> Option<Value>) {
    match &array.list_type {
        None => {}
        Some(ListType::Atomic) => {
            set("x-kubernetes-list-type", json!("atomic"));
        }
        Some(ListType::Set) => {
            set("x-kubernetes-list-type", json!("set"));
        }
        Some(ListType::Map(keys)) => {
            set("x-kubernetes-list-type", json!("map"));
            set(
                "x-kubernetes-list-map-keys",
                keys.iter().map(|key| Value::from(&**key)).collect(),
            );
        }
    }
}

fn shape(ty: &TypeRef, dialect: Dialect) -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": dialect.reference(name)});
    let value = match ty {
        TypeRef::Scalar(scalar) => match scalar {
            Scalar::String => json!({"type": "string"}),
            Scalar::Bytes => json!({"type": "string", "format": "byte"}),
            Scalar::Boolean => json!({"type": "boolean"}),
            Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
            Scalar::Double => json!({"type": "number", "format": "double"}),
            Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime => {
                reference(scalar.definition().unwrap_or_default())
            }
        },
        TypeRef::Object(ty) => reference(&ty.name),
        TypeRef::Array(array) => json!({"type": "array", "items": shape(&array.items, dialect)}),
        TypeRef::Map(values) => json!({"type": "object", "additionalProperties": shape(values, dialect)}),
        TypeRef::Any(Some(ty)) => reference(&ty.name),
        TypeRef::Any(None) => json!({"x-kubernetes-preserve-unknown-fields": true}),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A shape that something is put beside: in OpenAPI 3.0 nothing may stand beside a reference.
fn beside(shape: Map<String, Value>) -> Map<String, Value> {
    if shape.contains_key("$ref") {
        Map::from_iter([("allOf".to_owned(), json!([shape]))])
    } else {
        shape
    }
}

fn union(union: &schema::Union) -> Value {
    let fields = union
        .fields
        .iter()
        .map(|(field, value)| (field.to_string(), Value::from(&**value)));
    let mut out = Map::new();
    if let Some(discriminator) = &union.discriminator {
        out.insert("discriminator".to_owned(), json!(**discriminator));
    }
    out.insert("fields-to-discriminateBy".to_owned(), Value::Object(fields.collect()));
    Value::Object(out)
}
