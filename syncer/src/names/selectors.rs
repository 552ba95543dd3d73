//! Label selectors rewritten so that they select the same objects on the host, and no others.

use serde_json::{Map, Value, json};

use super::{Names, keys};
use crate::json::{items_mut, object_mut};

impl Names {
    /// A map selector (Services): keys under their host names plus the marks of ownership; empty stays empty.
    pub fn map_selector_to_host(&self, selector: &Map<String, Value>, namespace: &str) -> Map<String, Value> {
        let mut host = self.map_keys_to_host(selector);
        if !selector.is_empty() {
            host.insert(keys::MARKER.to_owned(), json!(self.vcluster));
            host.insert(keys::NAMESPACE.to_owned(), json!(namespace));
        }
        host
    }

    /// The same with its keys under their host names and nothing else.
    pub fn map_keys_to_host(&self, selector: &Map<String, Value>) -> Map<String, Value> {
        self.rename_keys(selector, |key| self.label_to_host(key).into_owned())
    }

    /// A label selector with its keys under their host names.
    pub fn label_selector_to_host(&self, selector: &Value) -> Value {
        self.rename_selector(selector, |key| self.label_to_host(key).into_owned())
    }

    /// A namespace selector as a selector on the labels that pods carry for their virtual namespace.
    pub fn namespace_selector_to_host(&self, selector: &Value) -> Value {
        self.rename_selector(selector, |key| self.namespace_label(key))
    }

    /// Restricts a selector to this virtual cluster, and to one of its namespaces when `namespace` is given.
    pub fn restrict(&self, selector: &mut Value, namespace: Option<&str>) {
        if let Some(labels) = object_mut(selector, "matchLabels") {
            labels.insert(keys::MARKER.to_owned(), json!(self.vcluster));
            if let Some(namespace) = namespace {
                labels.insert(keys::NAMESPACE.to_owned(), json!(namespace));
            }
        }
    }

    fn rename_selector(&self, selector: &Value, rename: impl Fn(&str) -> String) -> Value {
        let mut host = selector.clone();
        if let Some(Value::Object(labels)) = selector.get("matchLabels") {
            host["matchLabels"] = Value::Object(self.rename_keys(labels, &rename));
        }
        for requirement in items_mut(&mut host, "matchExpressions") {
            if let Some(key) = requirement.get("key").and_then(Value::as_str) {
                requirement["key"] = json!(rename(key));
            }
        }
        host
    }

    fn rename_keys(&self, map: &Map<String, Value>, rename: impl Fn(&str) -> String) -> Map<String, Value> {
        map.iter().map(|(key, value)| (rename(key), value.clone())).collect()
    }
}

/// Adds the requirements of one label selector to another; both have to hold afterwards.
pub fn merge_selectors(into: &mut Value, other: &Value) {
    if let Some(Value::Object(labels)) = other.get("matchLabels")
        && let Some(target) = object_mut(into, "matchLabels")
    {
        let mut clashing = Vec::new();
        for (key, value) in labels {
            match target.get(key) {
                Some(current) if current != value => {
                    clashing.push(json!({"key": key, "operator": "In", "values": [value]}))
                }
                _ => {
                    target.insert(key.clone(), value.clone());
                }
            }
        }
        append_expressions(into, clashing);
    }
    append_expressions(into, crate::json::items(other, &["matchExpressions"]).to_vec());
}

fn append_expressions(selector: &mut Value, expressions: Vec<Value>) {
    if expressions.is_empty() {
        return;
    }
    match selector.get_mut("matchExpressions") {
        Some(Value::Array(existing)) => existing.extend(expressions),
        _ => selector["matchExpressions"] = Value::Array(expressions),
    }
}
