//! `kubectl apply` on the client's side: what is wanted, what was wanted before and what is there become one JSON merge patch
//! (k8s.io/apimachinery/pkg/util/jsonmergepatch).

use machinery::tree;
use serde_json::{Map, Value, json};

use crate::json;

/// Where the manifest of last time is kept.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with the annotation that tells the next time what was wanted.
pub(super) fn annotated(mut object: Value) -> Value {
    if let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    let text = String::from_utf8_lossy(&tree::write(&object)).into_owned() + "\n";
    json::merge(&mut object, &json!({"metadata": {"annotations": {LAST_APPLIED: text}}}));
    object
}

/// The patch that turns what is there into what is wanted; empty when it is.
pub(super) fn patch(wanted: &Value, current: &Value) -> Value {
    let last = json::text(current, &["metadata", "annotations", LAST_APPLIED]);
    let last: Value = tree::parse(last.as_bytes()).unwrap_or_default();
    let nothing = Map::new();
    let fields = |value: &'_ Value| value.as_object().cloned();
    let (last, wanted) = (
        fields(&last).unwrap_or_default(),
        wanted.as_object().unwrap_or(&nothing),
    );
    Value::Object(changes(&last, wanted, current.as_object().unwrap_or(&nothing)))
}

fn changes(last: &Map<String, Value>, wanted: &Map<String, Value>, current: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, value) in wanted {
        match (value, current.get(name)) {
            (Value::Null, None) => {}
            (Value::Object(value), Some(Value::Object(current))) => {
                let nothing = Map::new();
                let last = last.get(name).and_then(Value::as_object).unwrap_or(&nothing);
                let inner = changes(last, value, current);
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (value, Some(current)) if is_there(last.get(name), value, current) => {}
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    let dropped = last
        .keys()
        .filter(|name| !wanted.contains_key(*name) && current.contains_key(*name));
    patch.extend(dropped.map(|name| (name.clone(), Value::Null)));
    patch
}

/// Whether a value need not be written. The server adds defaults to the items of lists, which a merge patch can only replace
/// as a whole: one that is still wanted as it was, and has all that is wanted, stays.
fn is_there(last: Option<&Value>, wanted: &Value, current: &Value) -> bool {
    wanted == current || (last == Some(wanted) && wanted.is_array() && has(current, wanted))
}

fn has(current: &Value, wanted: &Value) -> bool {
    match (current, wanted) {
        (Value::Array(current), Value::Array(wanted)) => {
            current.len() == wanted.len() && current.iter().zip(wanted).all(|(current, wanted)| has(current, wanted))
        }
        (Value::Object(current), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| current.get(name).is_some_and(|current| has(current, value))),
        _ => current == wanted,
    }
}
