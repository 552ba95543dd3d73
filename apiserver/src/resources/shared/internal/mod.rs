//! How upstream's messages print structs: with the field names of its internal Go types, every field present, in the
//! order of the type.

mod types;

use machinery::field::go_quote;
use machinery::schema;
use serde_json::Value;
use std::fmt::Write;
use types::{Field, Kind};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LABEL_SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";

/// The parts of a label selector, in the order of its type.
const SELECTOR: [&str; 2] = ["matchLabels", "matchExpressions"];

/// A value of a type in `types`, as `encoding/json` prints it in one line.
pub(crate) fn show(type_name: &str, value: &Value) -> String {
    let mut out = String::new();
    Printer {
        out: &mut out,
        pretty: false,
    }
    .structure(type_name, value, 0);
    out
}

/// The same over several lines, indented by one space, as differences are made of.
pub(crate) fn pretty(type_name: &str, value: &Value) -> String {
    let mut out = String::new();
    Printer {
        out: &mut out,
        pretty: true,
    }
    .structure(type_name, value, 0);
    out
}

/// A list of values of a type in `types` in one line.
pub(crate) fn list(type_name: &str, values: &[Value]) -> String {
    let values: Vec<String> = values.iter().map(|value| show(type_name, value)).collect();
    format!("[{}]", values.join(","))
}

/// A pod template in one line.
pub(crate) fn pod_template(value: &Value) -> String {
    template("PodSpec", value)
}

/// A template in one line: the fields of its metadata, whose Go type has the served form, stand among its own.
pub(crate) fn template(spec_type: &str, template: &Value) -> String {
    // What metadata can have, in the order of its type.
    const METADATA: [&str; 14] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
    ];
    let mut out = String::from("{");
    let metadata = encoded(OBJECT_META, template.get("metadata").unwrap_or(&Value::Null));
    for key in METADATA {
        if let Some(value) = metadata.get(key) {
            let value = in_order(OBJECT_META, key, value);
            // Writing to a String cannot fail.
            let _ = write!(out, "\"{key}\":{value},");
        }
    }
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let _ = write!(out, "\"Spec\":{}}}", show(spec_type, spec));
    out
}

/// A value whose Go type has the served form, as it is encoded.
fn encoded(type_name: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(ty) = schema::builtin(type_name) {
        schema::empty::leave_out_empty(&mut value, ty);
    }
    value
}

/// The value of a field whose Go type has the served form, in the order of that type.
fn in_order(type_name: &str, field: &str, value: &Value) -> String {
    let property = schema::builtin(type_name).and_then(|ty| ty.property(field));
    property.map_or_else(
        || value.to_string(),
        |property| schema::encode::go_value(value, &property.ty),
    )
}

/// A label selector in one line: its Go type has the served form, but not in alphabetical order.
pub(crate) fn selector(value: &Value) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let value = encoded(LABEL_SELECTOR, value);
    let part = |field: &str| {
        let part = value.get(field).filter(|part| !part.is_null())?;
        Some(format!("\"{field}\":{part}"))
    };
    let parts: Vec<String> = SELECTOR.into_iter().filter_map(part).collect();
    format!("{{{}}}", parts.join(","))
}

struct Printer<'a> {
    out: &'a mut String,
    pretty: bool,
}

impl Printer<'_> {
    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn key(&mut self, name: &str, first: bool, depth: usize) {
        if !first {
            self.out.push(',');
        }
        self.line(depth);
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\"{name}\":{}", if self.pretty { " " } else { "" });
    }

    fn structure(&mut self, type_name: &str, value: &Value, depth: usize) {
        let fields = types::fields(type_name);
        self.out.push('{');
        for (i, field) in fields.iter().enumerate() {
            self.key(field.name, i == 0, depth + 1);
            self.field(field, field.value_in(value), depth + 1);
        }
        self.line(depth);
        self.out.push('}');
    }

    fn field(&mut self, field: &Field, value: Option<&Value>, depth: usize) {
        let value = value.filter(|v| !v.is_null());
        match (field.kind, value) {
            (Kind::Struct(name), value) => self.structure(name, value.unwrap_or(&Value::Null), depth),
            (Kind::Pointer(name), Some(value)) => self.structure(name, value, depth),
            (Kind::List(name), Some(Value::Array(items))) if !items.is_empty() => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.out.push(',');
                    }
                    self.line(depth + 1);
                    self.structure(name, item, depth + 1);
                }
                self.line(depth);
                self.out.push(']');
            }
            (Kind::Selector, Some(parts @ Value::Object(_))) => {
                let parts = encoded(LABEL_SELECTOR, parts);
                let parts = SELECTOR.iter().filter_map(|key| parts.as_object()?.get_key_value(*key));
                self.entries(parts, depth);
            }
            (Kind::Zero(zero), None) => self.out.push_str(zero),
            (_, None) => self.out.push_str("null"),
            (_, Some(value)) => self.plain(value, depth),
        }
    }

    /// A value whose Go type has the JSON form that is served.
    fn plain(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.out.push(',');
                    }
                    self.line(depth + 1);
                    self.plain(item, depth + 1);
                }
                self.line(depth);
                self.out.push(']');
            }
            Value::Object(map) => self.entries(map, depth),
            Value::String(_) => self.out.push_str(
                &value
                    .to_string()
                    .replace('<', "\\u003c")
                    .replace('>', "\\u003e")
                    .replace('&', "\\u0026"),
            ),
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn entries<'v>(&mut self, entries: impl IntoIterator<Item = (&'v String, &'v Value)>, depth: usize) {
        let mut entries = entries.into_iter().peekable();
        self.out.push('{');
        let empty = entries.peek().is_none();
        for (i, (key, item)) in entries.enumerate() {
            self.key(go_quote(key).trim_matches('"'), i == 0, depth + 1);
            self.plain(item, depth + 1);
        }
        if !empty {
            self.line(depth);
        }
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_print_as_upstreams() {
        for (type_name, value, expected) in [
            (
                "DeploymentStrategy",
                json!({"type": "Foo"}),
                r#"{"Type":"Foo","RollingUpdate":null}"#,
            ),
            (
                "RollingUpdateStatefulSetStrategy",
                json!({"partition": 1}),
                r#"{"Partition":1,"MaxUnavailable":null}"#,
            ),
            (
                "ServicePort",
                json!({"protocol": "TCP", "port": 80}),
                r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#,
            ),
        ] {
            assert_eq!(show(type_name, &value), expected);
        }
        assert_eq!(
            pretty("DeploymentStrategy", &json!({"type": "Foo"})),
            "{\n \"Type\": \"Foo\",\n \"RollingUpdate\": null\n}"
        );
    }

    #[test]
    fn every_type_that_is_named_is_there() {
        for (name, fields) in types::all() {
            assert!(!fields.is_empty(), "{name}");
            for field in *fields {
                if let Kind::Struct(inner) | Kind::Pointer(inner) | Kind::List(inner) = field.kind {
                    assert!(!types::fields(inner).is_empty(), "{inner} in {name}");
                }
            }
        }
    }
}
