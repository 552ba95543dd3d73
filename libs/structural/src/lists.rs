//! Lists that are sets or maps have each item once (schema/listtype).

use crate::node::{ListType, Node};
use machinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Items that occur twice, anywhere in a value.
pub(crate) fn validate(value: &Value, node: &Node, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    at(value, node, path, &mut errors);
    errors
}

fn at(value: &Value, node: &Node, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::Object(fields) => {
            if let Some(values) = node.values() {
                for (name, value) in fields {
                    at(value, values, &path.key(name), errors);
                }
            }
            for (name, value) in fields {
                if let Some(property) = node.property(name) {
                    at(value, property, &path.child(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match &node.list_type {
                ListType::Set => {
                    let repeated = repeated(items.iter().map(Some)).into_iter();
                    errors.extend(repeated.map(|i| Error::duplicate(&path.index(i), items[i].clone())));
                }
                ListType::Map(keys) => errors.extend(map(items, keys, path)),
                ListType::Unset | ListType::Atomic => {}
            }
            if let Some(of) = node.items.as_deref() {
                for (i, item) in items.iter().enumerate() {
                    at(item, of, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

/// The places where a value occurs for the second time; what is absent is a value too.
fn repeated<'v>(values: impl Iterator<Item = Option<&'v Value>>) -> Vec<usize> {
    let mut seen: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (i, value) in values.enumerate() {
        let times = seen.entry(value.map(Value::to_string)).or_default();
        *times += 1;
        if *times == 2 {
            found.push(i);
        }
    }
    found
}

fn map(items: &[Value], keys: &[Box<str>], path: &Path) -> ErrorList {
    let odd = |item: &&Value| !item.is_object() && !item.is_null();
    if let Some((i, item)) = items.iter().enumerate().find(|(_, item)| odd(item)) {
        let detail = "must be an object for an array of list-type map";
        return vec![Error::invalid(&path.index(i), item.clone(), detail)];
    }
    let key = |item: &Value| -> Value {
        let given = keys
            .iter()
            .filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
        Value::Object(given.collect::<Map<_, _>>())
    };
    let all: Vec<Value> = items.iter().map(key).collect();
    let repeated = repeated(all.iter().map(Some)).into_iter();
    repeated
        .map(|i| Error::duplicate(&path.index(i), all[i].clone()))
        .collect()
}
