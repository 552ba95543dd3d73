//! How Go's `fmt` prints JSON trees: some of upstream's messages quote a patch this way.

use serde_json::Value;

/// The form of `%v`.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => crate::field::go_number(n),
        Value::String(s) => s.clone(),
        Value::Array(items) => list(items),
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(key, item)| format!("{key}:{}", self::value(item)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
    }
}

/// The form of `%v` for a list.
pub(super) fn list(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(value).collect();
    format!("[{}]", items.join(" "))
}

/// The Go type of a decoded JSON value.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
