//! Reading and writing the parts that every object has.

use serde_json::{Map, Value};

/// The value at a path of field names.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, field| value.get(field))
}

/// The text at a path; `None` when absent or of another type.
pub fn str_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(object, path)?.as_str()
}

/// The integer at a path; `None` when absent or of another type.
pub fn i64_at(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path)?.as_i64()
}

/// The boolean at a path; `None` when absent or of another type.
pub fn bool_at(object: &Value, path: &[&str]) -> Option<bool> {
    at(object, path)?.as_bool()
}

/// The list at a path; empty when absent or of another type.
pub fn list_at<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The map at a path; `None` when absent or of another type.
pub fn map_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(object, path)?.as_object()
}

/// The map at a path, created with everything above it where it is absent. What stands in the way is replaced.
pub fn map_mut<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut value = object;
    for field in path {
        value = as_map(value).entry(*field).or_insert_with(|| Value::Object(Map::new()));
    }
    as_map(value)
}

/// The value as a map; anything else is replaced by an empty one.
fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("just made an object"),
    }
}

/// Sets the value at a path, creating what is above it.
pub fn set(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    if let Some((last, above)) = path.split_last() {
        map_mut(object, above).insert((*last).to_owned(), value.into());
    }
}

/// Sets the value at a path unless there is one.
pub fn set_default(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    if at(object, path).is_none_or(Value::is_null) {
        set(object, path, value);
    }
}

/// Removes and answers the value at a path.
pub fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    above
        .iter()
        .try_fold(object, |value, field| value.get_mut(field))?
        .as_object_mut()?
        .remove(*last)
}

/// Makes the value at `path` in `to` what it is in `from`, absent where it is absent.
pub fn copy(to: &mut Value, from: &Value, path: &[&str]) {
    match at(from, path) {
        Some(value) => set(to, path, value.clone()),
        None => {
            remove(to, path);
        }
    }
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    str_at(object, &["metadata", "name"]).unwrap_or_default()
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    str_at(object, &["metadata", "namespace"]).unwrap_or_default()
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    str_at(object, &["metadata", "uid"]).unwrap_or_default()
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some_and(|v| !v.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_read_and_write() {
        let mut object = json!({"metadata": {"name": "a"}, "spec": 1});
        assert_eq!(name(&object), "a");
        set(&mut object, &["spec", "x", "y"], 2);
        assert_eq!(i64_at(&object, &["spec", "x", "y"]), Some(2));
        set_default(&mut object, &["spec", "x", "y"], 3);
        assert_eq!(i64_at(&object, &["spec", "x", "y"]), Some(2));
        assert_eq!(remove(&mut object, &["spec", "x"]), Some(json!({"y": 2})));
        assert_eq!(remove(&mut object, &["no", "x"]), None);
        let other = json!({"spec": {"z": true}});
        copy(&mut object, &other, &["spec", "z"]);
        copy(&mut object, &other, &["metadata"]);
        assert_eq!(object, json!({"spec": {"z": true}}));
    }
}
