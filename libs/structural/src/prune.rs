//! What an object loses: fields that its schema does not know (schema/pruning), and nulls that it does not allow
//! (schema/defaulting).

use crate::node::{Additional, Node};
use serde_json::{Map, Value};

/// The fields that every object has.
pub(crate) const OBJECT_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Takes away what the schema does not know; `whole` objects keep their kind and metadata. Answers the paths of what is
/// gone, in order.
pub(crate) fn prune(value: &mut Value, node: &Node, whole: bool) -> Vec<String> {
    let mut pruner = Pruner {
        path: String::new(),
        unknown: Vec::new(),
    };
    pruner.known(value, node, whole || node.embedded);
    pruner.unknown.sort_unstable();
    pruner.unknown
}

struct Pruner {
    path: String,
    unknown: Vec<String>,
}

impl Pruner {
    /// Runs `inner` at a field of the current place.
    fn in_field(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        inner(self);
        self.path.truncate(length);
    }

    fn in_item(&mut self, index: usize, inner: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        inner(self);
        self.path.truncate(length);
    }

    fn record(&mut self, name: &str) {
        self.in_field(name, |p| p.unknown.push(p.path.clone()));
    }

    fn at(&mut self, value: &mut Value, node: Option<&Node>) {
        match node {
            Some(node) => self.known(value, node, node.embedded),
            None => self.nothing(value),
        }
    }

    fn known(&mut self, value: &mut Value, node: &Node, whole: bool) {
        if node.preserves {
            return self.preserve(value, node, whole);
        }
        match value {
            Value::Object(fields) => {
                let mut gone = Vec::new();
                for (name, value) in fields.iter_mut() {
                    if whole && OBJECT_FIELDS.contains(&name.as_str()) {
                        continue;
                    }
                    if !self.of_field(name, value, node) {
                        gone.push(name.clone());
                    }
                }
                for name in gone {
                    if !self.path.is_empty() || !OBJECT_FIELDS.contains(&name.as_str()) {
                        self.record(&name);
                    }
                    fields.remove(&name);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.in_item(i, |p| p.at(item, node.items.as_deref()));
                }
            }
            _ => {}
        }
    }

    /// Prunes a field's value, if anything is said about it.
    fn of_field(&mut self, name: &str, value: &mut Value, node: &Node) -> bool {
        let found = match (node.property(name), &node.additional) {
            (Some(property), _) => Some(&**property),
            (None, Additional::Unset) => return false,
            (None, Additional::Schema(values)) => Some(&**values),
            // What is anything has no fields that are known.
            (None, Additional::Any | Additional::None) => None,
        };
        self.in_field(name, |p| p.at(value, found));
        true
    }

    /// What is kept whole is still pruned where something is said about its parts (`skipPrune`).
    fn preserve(&mut self, value: &mut Value, node: &Node, whole: bool) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if !(whole && OBJECT_FIELDS.contains(&name.as_str())) {
                        self.of_field(name, value, node);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(of) = node.items.as_deref() {
                    for (i, item) in items.iter_mut().enumerate() {
                        self.in_item(i, |p| p.preserve(item, of, of.embedded));
                    }
                }
            }
            _ => {}
        }
    }

    fn nothing(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, _) in std::mem::take(fields) {
                    self.record(&name);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.in_item(i, |p| p.nothing(item));
                }
            }
            _ => {}
        }
    }
}

/// Takes away nulls where the schema allows none and has no default for them.
pub(crate) fn drop_nulls(value: &mut Value, node: Option<&Node>) {
    let schema_of = |name: &str| node.and_then(|node| node.field(name));
    let goes = |node: Option<&Node>| node.is_some_and(|node| !node.nullable && node.default.is_none());
    match value {
        Value::Object(fields) => {
            let keep = |(name, mut value): (String, Value)| {
                let node = schema_of(&name);
                if value.is_null() && goes(node) {
                    return None;
                }
                drop_nulls(&mut value, node);
                Some((name, value))
            };
            let before: Map<String, Value> = std::mem::take(fields);
            fields.extend(before.into_iter().filter_map(keep));
        }
        Value::Array(items) => {
            let of = node.and_then(|node| node.items.as_deref());
            for item in items {
                drop_nulls(item, of);
            }
        }
        _ => {}
    }
}
