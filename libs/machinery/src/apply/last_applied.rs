//! The way from client-side to server-side apply: kubectl may take over what it had applied itself, and its annotation
//! is kept up to date (apimachinery `lastappliedmanager.go`, `lastappliedupdater.go`).

use serde_json::Value;

use super::Version;
use super::compare::compare;
use super::conflict::{Conflict, Error};
use super::walk::{to_set, validate};
use crate::meta;
use crate::schema::encode;

/// Where kubectl keeps what it applied last.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The total size of annotations an object may have (apimachinery `pkg/api/validation/objectmeta.go`).
const MAX_ANNOTATIONS_SIZE: usize = 256 * 1024;

/// Whether the manager is kubectl, which alone used the annotation.
pub(super) fn is_kubectl(manager: &str) -> bool {
    manager == "kubectl"
}

fn annotation(object: &Value) -> Option<&str> {
    meta::str_at(object, &["metadata", "annotations", ANNOTATION]).filter(|text| !text.is_empty())
}

/// The conflicts about fields that kubectl had not applied, or that have been changed since.
///
/// # Errors
/// With all the conflicts when the annotation is missing or unusable.
pub(super) fn unresolved(
    live: &Value,
    version: &Version<'_>,
    conflicts: Vec<Conflict>,
) -> Result<Vec<Conflict>, Error> {
    let Some(last) = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Err(Error::Conflicts(conflicts));
    };
    let view = version.view();
    let fits = last.get("apiVersion").and_then(Value::as_str) == Some(&version.api_version)
        && validate(&last, view).is_ok()
        && validate(live, view).is_ok();
    if !fits {
        return Err(Error::Conflicts(conflicts));
    }
    let change = compare(&last, live, view);
    let allowed = to_set(&last, view)
        .difference(&change.modified)
        .difference(&change.added)
        .difference(&change.removed);
    Ok(conflicts
        .into_iter()
        .filter(|conflict| !allowed.has(&conflict.path))
        .collect())
}

/// Writes the configuration into the annotation of an object that has it.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    let text = encode::escaped(&applied) + "\n";
    let annotations = meta::map_mut(object, &["metadata", "annotations"]);
    annotations.insert(ANNOTATION.to_owned(), Value::String(text));
    let size: usize = annotations
        .iter()
        .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
        .sum();
    if size > MAX_ANNOTATIONS_SIZE {
        annotations.remove(ANNOTATION);
    }
}
