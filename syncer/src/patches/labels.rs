//! Labels and label selectors at the path of a patch: their keys change as those of the objects do.

use serde_json::{Map, Value};

use crate::json;
use crate::kinds::Side;
use crate::names::Names;

/// A map of labels, or a selector with `matchLabels` and `matchExpressions`, as the other side knows them.
pub(super) fn rewrite(names: &Names, to: Side, mut value: Value) -> Value {
    let is_selector = ["matchLabels", "matchExpressions"]
        .iter()
        .any(|key| value.get(*key).is_some());
    if !is_selector {
        return renamed(names, to, &value);
    }
    if let Some(labels) = value.get("matchLabels").filter(|labels| labels.is_object()) {
        let labels = renamed(names, to, labels);
        json::put(&mut value, "matchLabels", Some(labels));
    }
    for requirement in json::items_mut(&mut value, "matchExpressions") {
        let key = requirement.get("key").and_then(Value::as_str);
        if let Some(key) = key.and_then(|key| rename(names, to, key)) {
            json::put(requirement, "key", Some(key.into()));
        }
    }
    value
}

fn renamed(names: &Names, to: Side, labels: &Value) -> Value {
    let Value::Object(labels) = labels else {
        return labels.clone();
    };
    let renamed: Map<String, Value> = labels
        .iter()
        .filter_map(|(key, value)| Some((rename(names, to, key)?, value.clone())))
        .collect();
    Value::Object(renamed)
}

fn rename(names: &Names, to: Side, key: &str) -> Option<String> {
    match to {
        Side::Host => Some(names.label_to_host(key).into_owned()),
        Side::Virtual => names.label_to_virtual(key).map(str::to_owned),
    }
}
