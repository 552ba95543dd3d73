//! Events of the core group. The same objects are served as `events.k8s.io/v1` by the `events` module, which shares
//! the table.

use super::super::shared::cells::{self, UNKNOWN};
use super::super::shared::checks::complaints;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, GarbageCollection, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::object::{FieldReader, Selectable};
use machinery::{meta, names};
use serde_json::Value;

const TYPE: &str = "io.k8s.api.core.v1.Event";

/// The columns of both versions: readers look under the names of either.
pub(in super::super) static COLUMNS: Columns = Columns {
    columns: &[
        Column::of_field("Last Seen", "string", TYPE, "lastTimestamp"),
        Column::of_field("Type", "string", TYPE, "type"),
        Column::of_field("Reason", "string", TYPE, "reason"),
        Column::of_field("Object", "string", TYPE, "involvedObject"),
        Column::of_field("Subobject", "string", "io.k8s.api.core.v1.ObjectReference", "fieldPath").wide(),
        Column::of_field("Source", "string", TYPE, "source").wide(),
        Column::of_field("Message", "string", TYPE, "message"),
        Column::of_field("First Seen", "string", TYPE, "firstTimestamp").wide(),
        Column::of_field("Count", "string", TYPE, "count").wide(),
        cells::NAME.wide(),
    ],
    cells: row,
};

/// The text under the first of several paths that has one.
fn first<'a>(obj: &'a Value, paths: &[&[&str]]) -> &'a str {
    paths
        .iter()
        .filter_map(|path| meta::str_at(obj, path))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn row(obj: &Value, now: i64) -> Vec<Value> {
    let ago = |text: &str| {
        if text.is_empty() {
            UNKNOWN.to_owned()
        } else {
            cells::since(Some(text), now)
        }
    };
    let event_time = first(obj, &[&["eventTime"]]);
    let first_seen = first(
        obj,
        &[&["firstTimestamp"], &["deprecatedFirstTimestamp"], &["eventTime"]],
    );
    let last_seen = first(obj, &[&["lastTimestamp"], &["deprecatedLastTimestamp"]]);
    let mut last_seen = if last_seen.is_empty() { first_seen } else { last_seen };
    if last_seen.is_empty() {
        last_seen = event_time;
    }
    let count = [["count"], ["deprecatedCount"]]
        .iter()
        .find_map(|path| meta::i64_at(obj, path))
        .unwrap_or_default();
    let mut count = if count == 0 { 1 } else { count };
    if let Some(series) = meta::at(obj, &["series"]) {
        last_seen = first(series, &[&["lastObservedTime"]]);
        count = meta::i64_at(series, &["count"]).unwrap_or_default();
    }
    let about = |field: &str| first(obj, &[&["involvedObject", field], &["regarding", field]]);
    let target = match (about("kind"), about("name")) {
        (kind, "") => kind.to_lowercase(),
        (kind, name) => format!("{}/{name}", kind.to_lowercase()),
    };
    let component = first(
        obj,
        &[
            &["source", "component"],
            &["deprecatedSource", "component"],
            &["reportingComponent"],
            &["reportingController"],
        ],
    );
    let instance = first(
        obj,
        &[
            &["source", "host"],
            &["deprecatedSource", "host"],
            &["reportingInstance"],
        ],
    );
    let source = if instance.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {instance}")
    };
    vec![
        ago(last_seen).into(),
        first(obj, &[&["type"]]).into(),
        first(obj, &[&["reason"]]).into(),
        target.into(),
        about("fieldPath").into(),
        source.into(),
        first(obj, &[&["message"], &["note"]]).trim().into(),
        ago(first_seen).into(),
        count.into(),
        cells::name(obj),
    ]
}

struct Event;

/// How long the texts of an event with a time of its own may be (`pkg/apis/core/validation/events.go`).
const MAX_TEXT: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// What is wrong with an event of either version, as an event of this group (`legacyValidateEvent`): it lives where its
/// object lives, the events of cluster-scoped objects in `default`. `controller` is how the version calls who reports.
pub(in super::super) fn validate(obj: &Value, controller: &str) -> ErrorList {
    let text = |field: &str| meta::str_at(obj, &[field]).unwrap_or_default();
    let path = Path::new("involvedObject").child("namespace");
    let about = meta::str_at(obj, &["involvedObject", "namespace"]).unwrap_or_default();
    let namespace = meta::namespace(obj);
    let elsewhere = || Error::invalid(&path, about, "does not match event.namespace");
    let mut errors = ErrorList::new();
    if text("eventTime").is_empty() {
        let fits = if about.is_empty() {
            matches!(namespace, "default" | "")
        } else {
            about == namespace
        };
        if !fits {
            errors.push(elsewhere());
        }
    } else {
        if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
            errors.push(elsewhere());
        }
        let (path, who) = (Path::new(controller), text("reportingComponent"));
        if who.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        errors.extend(complaints(&path, who, names::qualified_name(who)));
        let long = |max: usize| format!("can have at most {max} characters");
        for field in ["reportingInstance", "action", "reason"] {
            let path = Path::new(field);
            match text(field).len() {
                0 => errors.push(Error::required(&path, "")),
                1..=MAX_TEXT => {}
                _ => errors.push(Error::invalid(&path, "", long(MAX_TEXT))),
            }
        }
        if text("message").len() > MAX_MESSAGE {
            errors.push(Error::invalid(&Path::new("message"), "", long(MAX_MESSAGE)));
        }
    }
    errors
}

impl Strategy for Event {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj, "reportingComponent")
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
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

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::None
    }
}

/// The selectable fields of both versions.
pub(in super::super) const SELECTABLE: &[(&str, FieldReader)] = &[
    ("involvedObject.kind", |o| {
        first(o, &[&["involvedObject", "kind"], &["regarding", "kind"]]).to_owned()
    }),
    ("involvedObject.namespace", |o| {
        first(o, &[&["involvedObject", "namespace"], &["regarding", "namespace"]]).to_owned()
    }),
    ("involvedObject.name", |o| {
        first(o, &[&["involvedObject", "name"], &["regarding", "name"]]).to_owned()
    }),
    ("involvedObject.uid", |o| {
        first(o, &[&["involvedObject", "uid"], &["regarding", "uid"]]).to_owned()
    }),
    ("involvedObject.apiVersion", |o| {
        first(o, &[&["involvedObject", "apiVersion"], &["regarding", "apiVersion"]]).to_owned()
    }),
    ("involvedObject.resourceVersion", |o| {
        first(
            o,
            &[
                &["involvedObject", "resourceVersion"],
                &["regarding", "resourceVersion"],
            ],
        )
        .to_owned()
    }),
    ("involvedObject.fieldPath", |o| {
        first(o, &[&["involvedObject", "fieldPath"], &["regarding", "fieldPath"]]).to_owned()
    }),
    ("reason", |o| first(o, &[&["reason"]]).to_owned()),
    ("reportingComponent", |o| {
        first(o, &[&["reportingComponent"], &["reportingController"]]).to_owned()
    }),
    ("source", |o| {
        let paths: &[&[&str]] = &[
            &["source", "component"],
            &["deprecatedSource", "component"],
            &["reportingComponent"],
            &["reportingController"],
        ];
        first(o, paths).to_owned()
    }),
    ("type", |o| first(o, &[&["type"]]).to_owned()),
];

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["ev"].into(),
        selectable_fields: Selectable::Builtin(SELECTABLE),
        ..Resource::namespaced_kind(("", "v1", "Event"), ("events", "event"), TYPE, Event, &COLUMNS)
    }
}
