//! Small operations on JSON trees that the translations share.

use serde_json::{Map, Value};

/// The value at a path of object keys, if every step exists.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |node, key| node.get(key))
}

/// The string at a path, empty when it is absent or not a string.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The boolean at a path, if there is one.
pub fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path).and_then(Value::as_bool)
}

/// The integer at a path, if there is one.
pub fn integer(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The items of the list at a path; empty when it is absent or not a list.
pub fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The items of the list under a key, for changing them in place; empty when it is absent or not a list.
pub fn items_mut<'a>(value: &'a mut Value, key: &str) -> std::slice::IterMut<'a, Value> {
    match value.get_mut(key) {
        Some(Value::Array(items)) => items.iter_mut(),
        _ => [].iter_mut(),
    }
}

/// The object at a key, made when it is absent; `None` when `value` itself is no object.
pub fn object_mut<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = value
        .as_object_mut()?
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// The string-to-string map at a path (labels, annotations, selectors), sorted by key.
pub fn strings(value: &Value, path: &[&str]) -> Strings {
    let Some(Value::Object(map)) = at(value, path) else {
        return Strings::new();
    };
    map.iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// A sorted string map, the shape of labels and annotations.
pub type Strings = std::collections::BTreeMap<String, String>;

/// Sets a key, or removes it when there is nothing to set.
pub fn put(value: &mut Value, key: &str, new: Option<Value>) {
    let Some(map) = value.as_object_mut() else { return };
    match new {
        Some(new) => {
            map.insert(key.to_owned(), new);
        }
        None => {
            map.remove(key);
        }
    }
}

/// Removes keys of an object.
pub fn remove(value: &mut Value, keys: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        for key in keys {
            map.remove(*key);
        }
    }
}

/// Applies a JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Adds a JSON merge patch to another one, which keeps what both remove.
pub fn merge_patch(first: &mut Value, second: &Value) {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => {
            for (key, change) in second {
                merge_patch(first.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (first, second) => *first = second.clone(),
    }
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`; `None` when they are equal.
pub fn merge_diff(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            None => {
                patch.insert(key.clone(), value.clone());
            }
            Some(current) => {
                if let Some(difference) = merge_diff(current, value) {
                    patch.insert(key.clone(), difference);
                }
            }
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-c]", inner.clone(), 0..4).prop_map(|map| json!(map)),
                prop::collection::vec(inner, 0..3).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_merge_diff_leads_to_the_target(from in tree(), to in tree()) {
            match merge_diff(&from, &to) {
                None => prop_assert_eq!(from, to),
                Some(patch) => {
                    let mut changed = from;
                    merge(&mut changed, &patch);
                    prop_assert_eq!(changed, to);
                }
            }
        }
    }

    #[test]
    fn removed_keys_become_null() {
        let patch = merge_diff(&json!({"a": 1, "b": {"c": 1, "d": 2}}), &json!({"b": {"c": 1, "e": 3}}));
        assert_eq!(patch, Some(json!({"a": null, "b": {"d": null, "e": 3}})));
    }
}
