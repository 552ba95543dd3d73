//! Events in their newer form. They are stored as core events: upstream has one internal type for both, whose
//! conversion (`pkg/apis/events/v1/conversion.go`) only renames fields.

use super::super::core::event::{self, COLUMNS, SELECTABLE};
use super::super::shared::internal;
use crate::registry::resource::{Conversion, Resource};
use crate::registry::strategy::{Context, GarbageCollection, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupVersionKind;
use machinery::object::Selectable;
use machinery::{meta, names};
use serde_json::{Map, Value};

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
    from_storage: |event| {
        let mut event = rename(event, "events.k8s.io/v1", |(here, core)| (core, here));
        // The core group shows these when they are empty.
        for field in ["reportingController", "reportingInstance"] {
            if meta::str_at(&event, &[field]) == Some("") {
                meta::remove(&mut event, &[field]);
            }
        }
        event
    },
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

/// What selectors of this version call the fields.
const FIELD_NAMES: &[(&str, &str)] = &[
    ("reason", "reason"),
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
    ("type", "type"),
];

/// What an update may not change, in upstream's order, reason twice: here, in the core group, and how nothing is shown.
const FIXED: [(&str, &str, &str); 14] = [
    ("regarding", "involvedObject", ""),
    ("reason", "reason", "\"\""),
    ("note", "message", "\"\""),
    ("deprecatedSource", "source", ""),
    ("deprecatedFirstTimestamp", "firstTimestamp", "null"),
    ("deprecatedLastTimestamp", "lastTimestamp", "null"),
    ("deprecatedCount", "count", "0"),
    ("reason", "reason", "\"\""),
    ("type", "type", "\"\""),
    ("eventTime", "eventTime", "null"),
    ("action", "action", "\"\""),
    ("related", "related", "null"),
    ("reportingController", "reportingController", "\"\""),
    ("reportingInstance", "reportingInstance", "\"\""),
];

/// A series has happened more than once (`ValidateV1EventSeries`).
fn validate_series(event: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(series) = meta::at(event, &["series"]).filter(|series| !series.is_null()) else {
        return errors;
    };
    let path = Path::new("series");
    if meta::i64_at(series, &["count"]).unwrap_or_default() < 2 {
        errors.push(Error::invalid(&path.child("count"), "", "should be at least 2"));
    }
    if meta::str_at(series, &["lastObservedTime"])
        .unwrap_or_default()
        .is_empty()
    {
        errors.push(Error::required(&path.child("lastObservedTime"), ""));
    }
    errors
}

struct Event;

impl Strategy for Event {
    /// `ValidateEventCreate` for the newer version. What is wrong is named by the fields of the core group.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let core = (CONVERSION.to_storage)(obj.clone());
        let text = |field: &str| meta::str_at(&core, &[field]).unwrap_or_default();
        let mut errors = event::validate(&core, "reportingController");
        errors.extend(validate_series(obj));
        if text("eventTime").is_empty() {
            errors.push(Error::required(&Path::new("eventTime"), ""));
        }
        if !matches!(text("type"), "Normal" | "Warning") {
            let detail = format!("has invalid value: {}", text("type"));
            errors.push(Error::invalid(&Path::new("type"), "", detail));
        }
        for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
            let empty = [Value::Null, Value::from(0), Value::Object(Map::new())];
            if core.get(field).is_some_and(|value| !empty.contains(value)) {
                errors.push(Error::invalid(&Path::new(field), "", "needs to be unset"));
            }
        }
        errors
    }

    /// Only metadata and the series may change (`ValidateEventUpdate`); what is wrong is named by the fields of the core
    /// group.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = event::validate(&(CONVERSION.to_storage)(new.clone()), "reportingController");
        if meta::at(new, &["series"]) != meta::at(old, &["series"]) {
            errors.extend(validate_series(new));
        }
        for (here, core, absent) in FIXED {
            let value = |event| meta::at(event, &[here]).cloned().unwrap_or_default();
            let (now, before) = (value(new), value(old));
            let nothing = |v: &Value| v.is_null() || *v == 0 || *v == "" || *v == Value::Object(Map::new());
            if now == before || (nothing(&now) && nothing(&before)) {
                continue;
            }
            let mut error = Error::invalid(&Path::new(core), now.clone(), "field is immutable");
            let struct_name = match here {
                "deprecatedSource" => Some("EventSource"),
                "regarding" => Some("ObjectReference"),
                "related" if !now.is_null() => Some("ObjectReference"),
                _ => None,
            };
            if let Some(name) = struct_name {
                error.shown = Some(internal::show(name, &now));
            } else if now.is_null() {
                error.shown = Some(absent.to_owned());
            }
            errors.push(error);
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
        short_names: ["ev"].into(),
        selectable_fields: Selectable::Builtin(SELECTABLE),
        field_names: FIELD_NAMES,
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
    fn only_the_series_changes_and_it_counts() {
        let cx = Context {
            namespace: "n",
            now: "2026-01-01T00:00:00Z",
            user: "u",
        };
        let old = json!({"reason": "R", "deprecatedSource": {"component": "k"}, "deprecatedCount": 1});
        for (new, expected) in [
            (old.clone(), vec![]),
            (
                json!({"reason": "R"}),
                vec![
                    r#"source: Invalid value: {"Component":"","Host":""}: field is immutable"#,
                    "count: Invalid value: 0: field is immutable",
                ],
            ),
            (
                json!({"reason": "R", "deprecatedSource": {"component": "k"}, "deprecatedCount": 1,
                    "series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00Z"}}),
                vec!["series.count: Invalid value: \"\": should be at least 2"],
            ),
        ] {
            let found: Vec<String> = Event
                .validate_update(&cx, &new, &old)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected);
        }
    }

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
        let empty = json!({"reportingComponent": "", "reportingInstance": "", "action": "a"});
        assert_eq!(
            (CONVERSION.from_storage)(empty),
            json!({"apiVersion": "events.k8s.io/v1", "action": "a"})
        );
    }
}
