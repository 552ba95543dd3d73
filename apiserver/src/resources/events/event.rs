//! Events in their newer form. They are stored as core events: upstream has one internal type for both, whose
//! conversion (`pkg/apis/events/v1/conversion.go`) only renames fields.

use super::super::core::event::{COLUMNS, SELECTABLE};
use crate::registry::resource::{Conversion, Resource};
use crate::registry::strategy::{Context, GarbageCollection, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupVersionKind;
use machinery::{meta, names};
use serde_json::Value;

/// The fields that are called differently: here and in the core group.
const RENAMED: [(&str, &str); 7] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

static CONVERSION: Conversion = Conversion {
    to_storage: |event| rename(event, "v1", |(here, core)| (here, core)),
    from_storage: |event| rename(event, "events.k8s.io/v1", |(here, core)| (core, here)),
};

fn rename(
    mut event: Value,
    api_version: &str,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    if let Some(map) = event.as_object_mut() {
        for pair in RENAMED {
            let (from, to) = direction(pair);
            if let Some(value) = map.remove(from) {
                map.insert(to.to_owned(), value);
            }
        }
        map.insert("apiVersion".to_owned(), api_version.into());
    }
    event
}

struct Event;

impl Strategy for Event {
    /// `ValidateEventCreate` for the newer version.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let text = |field: &str| meta::str_at(obj, &[field]).unwrap_or_default();
        if text("eventTime").is_empty() {
            errors.push(Error::required(&Path::new("eventTime"), ""));
        }
        let controller = Path::new("reportingController");
        if text("reportingController").is_empty() {
            errors.push(Error::required(&controller, ""));
        }
        let complaints = names::qualified_name(text("reportingController"));
        errors.extend(
            complaints
                .into_iter()
                .map(|e| Error::invalid(&controller, text("reportingController"), e)),
        );
        for field in ["reportingInstance", "action", "reason"] {
            match text(field).len() {
                0 => errors.push(Error::required(&Path::new(field), "")),
                1..=128 => {}
                _ => errors.push(Error::invalid(&Path::new(field), "", "can have at most 128 characters")),
            }
        }
        if text("note").len() > 1024 {
            errors.push(Error::invalid(
                &Path::new("note"),
                "",
                "can have at most 1024 characters",
            ));
        }
        if !matches!(text("type"), "Normal" | "Warning") {
            errors.push(Error::invalid(
                &Path::new("type"),
                "",
                format!("has invalid value: {}", text("type")),
            ));
        }
        let about = meta::str_at(obj, &["regarding", "namespace"]).unwrap_or_default();
        let namespace = meta::namespace(obj);
        let fits = if about.is_empty() {
            matches!(namespace, "default" | "kube-system" | "")
        } else {
            about == namespace
        };
        if !fits {
            let path = Path::new("involvedObject").child("namespace");
            errors.push(Error::invalid(&path, about, "does not match event.namespace"));
        }
        errors
    }

    /// Only metadata and the series may change (`ValidateEventUpdate`).
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        for field in [
            "reason",
            "action",
            "note",
            "regarding",
            "related",
            "type",
            "reportingController",
            "reportingInstance",
            "eventTime",
        ] {
            if meta::at(new, &[field]) != meta::at(old, &[field]) {
                let value = meta::at(new, &[field]).cloned().unwrap_or_default();
                errors.push(Error::invalid(&Path::new(field), value, "field is immutable"));
            }
        }
        errors
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::Unsupported
    }
}

pub(super) fn resource() -> Resource {
    let names = ("events", "event");
    Resource {
        short_names: &["ev"],
        selectable_fields: SELECTABLE,
        storage: Some((GroupVersionKind::new("", "v1", "Event"), &CONVERSION)),
        ..Resource::namespaced_kind(
            ("events.k8s.io", "v1", "Event"),
            names,
            "io.k8s.api.events.v1.Event",
            Event,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conversion_there_and_back_changes_nothing() {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"name": "p"},
            "reportingController": "c", "deprecatedCount": 3, "type": "Normal"});
        let stored = (CONVERSION.to_storage)(event.clone());
        assert_eq!(
            stored,
            json!({"apiVersion": "v1", "kind": "Event", "message": "n", "involvedObject": {"name": "p"},
                "reportingComponent": "c", "count": 3, "type": "Normal"})
        );
        assert_eq!((CONVERSION.from_storage)(stored), event);
    }
}
