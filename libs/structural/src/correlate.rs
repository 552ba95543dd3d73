//! What a value was before (k8s.io/apiserver `pkg/cel/common/equality.go`): the fields of maps by name, the items of lists
//! that are maps by their keys.

use crate::node::{Kind, ListType, Node};
use serde_json::Value;
use std::collections::BTreeMap;

/// A value and what it was before.
#[derive(Clone, Copy)]
pub(crate) struct Correlated<'a> {
    new: &'a Value,
    old: &'a Value,
    node: &'a Node,
}

impl<'a> Correlated<'a> {
    pub(crate) fn new(new: &'a Value, old: &'a Value, node: &'a Node) -> Self {
        Correlated { new, old, node }
    }

    /// A field, if it was there before and the schema knows it.
    pub(crate) fn key(&self, name: &str) -> Option<Correlated<'a>> {
        Some(Correlated {
            new: self.new.as_object()?.get(name)?,
            old: self.old.as_object()?.get(name)?,
            node: self.node.field(name)?,
        })
    }

    /// The items, each with what it was before, if that is known.
    pub(crate) fn items(&self) -> Items<'a> {
        Items {
            old: Keyed::of(self.node, self.old),
            node: self.node.items.as_deref(),
        }
    }

    /// Whether the value is what it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        match (self.new, self.old) {
            (Value::Array(new), Value::Array(old)) => {
                if new.len() != old.len() {
                    return false;
                }
                if !matches!(self.node.list_type, ListType::Map(_)) {
                    return new == old;
                }
                let items = self.items();
                new.iter()
                    .all(|item| items.get(item).is_some_and(|item| item.is_unchanged()))
            }
            (Value::Object(new), Value::Object(old)) => {
                let same = |name: &String| self.key(name).is_some_and(|field| field.is_unchanged());
                new.len() == old.len() && new.keys().all(same)
            }
            (new, old) => new == old,
        }
    }
}

/// The items that a list had before.
pub(crate) struct Items<'a> {
    old: Keyed<'a>,
    node: Option<&'a Node>,
}

impl<'a> Items<'a> {
    /// What an item was before.
    pub(crate) fn get(&self, item: &'a Value) -> Option<Correlated<'a>> {
        Some(Correlated {
            new: item,
            old: self.old.get(item)?,
            node: self.node?,
        })
    }
}

/// The items of a list that is a map, by their keys (`MapList`).
pub(crate) struct Keyed<'a> {
    keys: &'a [Box<str>],
    items: BTreeMap<String, &'a Value>,
}

impl<'a> Keyed<'a> {
    /// No list but one that is a map has any.
    pub(crate) fn of(node: &'a Node, list: &'a Value) -> Self {
        let mut items = BTreeMap::new();
        let keys: &[Box<str>] = match &node.list_type {
            ListType::Map(keys) if node.kind == Kind::Array => keys,
            _ => &[],
        };
        for item in list.as_array().into_iter().flatten() {
            if let Some(key) = key_of(item, keys) {
                items.entry(key).or_insert(item);
            }
        }
        Keyed { keys, items }
    }

    /// The item with the keys of this one.
    pub(crate) fn get(&self, item: &Value) -> Option<&'a Value> {
        self.items.get(&key_of(item, self.keys)?).copied()
    }
}

/// The values of an item's keys as one text; none if one is missing or no scalar.
fn key_of(item: &Value, keys: &[Box<str>]) -> Option<String> {
    let fields = item.as_object().filter(|_| !keys.is_empty())?;
    let mut text = String::new();
    for key in keys {
        match fields.get(&**key)? {
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
            scalar => {
                text.push('\0');
                text.push_str(&scalar.to_string());
            }
        }
    }
    Some(text)
}
