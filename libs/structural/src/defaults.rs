//! What an object gains: values for what is missing (schema/defaulting).

use crate::coerce;
use crate::node::{Additional, Node};
use crate::prune::{OBJECT_FIELDS, prune};
use serde_json::Value;
use std::sync::Arc;

/// Whether a value is null where null is none.
fn is_wrong_null(value: &Value, node: &Node) -> bool {
    value.is_null() && !node.nullable
}

/// Sets what is missing and has a default, and what is null though it must not be.
pub(crate) fn set(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            for (name, property) in node.properties() {
                if let Some(default) = &property.default
                    && fields.get(name).is_none_or(|value| is_wrong_null(value, property))
                {
                    fields.insert(name.to_owned(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(property) = node.property(name) {
                    set(value, property);
                } else if let Some(values) = node.values() {
                    set_own(value, values);
                }
            }
        }
        Value::Array(items) => {
            if let Some(of) = node.items.as_deref() {
                for item in items {
                    set_own(item, of);
                }
            }
        }
        _ => {}
    }
}

/// The same for an item or for the value of a map, which are never missing but may be null.
fn set_own(value: &mut Value, node: &Node) {
    if is_wrong_null(value, node) {
        *value = node.default.clone().unwrap_or_default();
    }
    set(value, node);
}

/// Takes from the defaults of a schema what objects would lose by it (`PruneDefaults`).
pub(crate) fn prune_defaults(root: &mut Node) {
    within(root, true, false);
}

/// `whole` is where objects are; what is `kept` is never pruned.
fn within(node: &mut Node, whole: bool, kept: bool) {
    if let Some(mut default) = node.default.take() {
        coerce::repair(&mut default, node, whole);
        if !kept {
            prune(&mut default, node, whole);
        }
        node.default = Some(default);
    }
    if let Additional::Schema(values) = &mut node.additional {
        let values = Arc::make_mut(values);
        within(values, values.embedded, kept && !values.embedded);
    }
    if let Some(items) = &mut node.items {
        let items = Arc::make_mut(items);
        within(items, items.embedded, kept && !items.embedded);
    }
    for (name, property) in node.properties_mut() {
        let property = Arc::make_mut(property);
        let kept = kept || whole && OBJECT_FIELDS.contains(&name);
        within(property, property.embedded, kept && !property.embedded);
    }
}
