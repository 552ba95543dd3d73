//! Tables and metadata-only answers (k8s.io/apiserver `pkg/endpoints/handlers/response.go`).

use super::query::Query;
use crate::registry::columns::{Heading, Table};
use machinery::field::{Error, Path};
use machinery::status::Status;
use serde_json::{Map, Value, json};

/// What a row shows of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// The metadata.
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads `includeObject`.
    ///
    /// # Errors
    /// 400 for anything else than the three words.
    pub fn read(query: &Query) -> Result<Self, Status> {
        match query.text("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::None),
            other => {
                let detail = "must be 'Metadata', 'Object', 'None', or empty";
                let error = Error::invalid(&Path::new("includeObject"), other, detail);
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: {error}"
                )))
            }
        }
    }
}

/// How a table is made.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    /// The version of `meta.k8s.io`.
    pub version: &'a str,
    /// What rows show of their object.
    pub include: Include,
    /// Whether the headings are there: watches send them only once.
    pub headings: bool,
    /// The annotations that are not shown.
    pub hidden: &'a [&'a str],
    /// The time ages are counted from, in Unix seconds.
    pub now: i64,
}

/// A table of objects. `metadata` is that of the list or, for a single object, only its resourceVersion.
///
/// # Errors
/// That of an object, which are taken one after the other.
pub fn table(
    columns: &dyn Table,
    objects: impl IntoIterator<Item = Result<Value, Status>>,
    metadata: Value,
    style: Style<'_>,
) -> Result<Value, Status> {
    let rows = objects.into_iter().map(|object| Ok(row(columns, object?, style)));
    let rows = rows.collect::<Result<Vec<Value>, Status>>()?;
    Ok(json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", style.version),
        "metadata": metadata,
        "columnDefinitions": if style.headings { headings(columns) } else { Value::Null },
        "rows": rows,
    }))
}

fn row(columns: &dyn Table, object: Value, style: Style<'_>) -> Value {
    let cells = columns.cells(&object, style.now);
    let condition = completed(&object);
    let shown = match style.include {
        Include::Object => object,
        Include::Metadata => partial(&object, style.version, style.hidden),
        Include::None => Value::Null,
    };
    let mut row = json!({ "cells": cells, "object": shown });
    if let Some(condition) = condition {
        row["conditions"] = json!([condition]);
    }
    row
}

/// What clients that watch pods hide: those that have finished (kubernetes `pkg/printers/internalversion`).
fn completed(object: &Value) -> Option<Value> {
    if object.get("kind")? != "Pod" {
        return None;
    }
    let (reason, message) = match object.pointer("/status/phase")?.as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": reason, "message": message}))
}

fn headings(columns: &dyn Table) -> Value {
    let heading = |heading: Heading<'_>| {
        json!({
            "name": heading.name,
            "type": heading.kind,
            "format": heading.format,
            "description": heading.description,
            "priority": heading.priority,
        })
    };
    columns.headings().into_iter().map(heading).collect()
}

/// Only the metadata of an object, without the annotations that are `hidden`.
pub fn partial(object: &Value, version: &str, hidden: &[&str]) -> Value {
    let mut metadata = object
        .get("metadata")
        .cloned()
        .unwrap_or_else(|| Value::Object(Map::new()));
    for annotation in hidden {
        machinery::meta::remove(&mut metadata, &["annotations", annotation]);
    }
    if !hidden.is_empty() && machinery::meta::map_at(&metadata, &["annotations"]).is_some_and(Map::is_empty) {
        machinery::meta::remove(&mut metadata, &["annotations"]);
    }
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
    })
}

/// A list of only the metadata of objects. An empty list has no items, not an empty list of them.
///
/// # Errors
/// That of an object, which are taken one after the other.
pub fn partial_list(
    objects: impl IntoIterator<Item = Result<Value, Status>>,
    metadata: Value,
    version: &str,
    hidden: &[&str],
) -> Result<Value, Status> {
    let items = objects.into_iter().map(|object| Ok(partial(&object?, version, hidden)));
    let items = items.collect::<Result<Vec<Value>, Status>>()?;
    Ok(json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
        "items": if items.is_empty() { Value::Null } else { Value::from(items) },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::columns::{Column, Columns};

    const COLUMNS: Columns = Columns {
        columns: &[
            Column::new("Name", "string", "its name").named(),
            Column::new("Age", "string", "").wide(),
        ],
        cells: |object, now| vec![object["metadata"]["name"].clone(), json!(now)],
    };

    #[test]
    fn rows_show_what_was_asked_for() {
        let object = json!({"kind": "Pod", "metadata": {"name": "p", "annotations": {"inner": "x"}}, "spec": {}});
        for (text, shown) in [
            (
                "",
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "p"}}),
            ),
            ("includeObject=Object", object.clone()),
            ("includeObject=None", Value::Null),
        ] {
            let include = Include::read(&Query::parse(Some(text))).unwrap();
            let style = Style {
                version: "v1",
                include,
                headings: true,
                hidden: &["inner"],
                now: 7,
            };
            let table = table(&COLUMNS, [Ok(object.clone())], json!({}), style).unwrap();
            assert_eq!(table["rows"], json!([{"cells": ["p", 7], "object": shown}]));
            assert_eq!(table["columnDefinitions"][0]["format"], "name");
            assert_eq!(table["columnDefinitions"][1]["priority"], 1);
        }
        for (phase, expected) in [
            ("Running", None),
            ("Succeeded", Some("Succeeded")),
            ("Failed", Some("Failed")),
        ] {
            let condition = completed(&json!({"kind": "Pod", "status": {"phase": phase}}));
            assert_eq!(condition.as_ref().and_then(|c| c["reason"].as_str()), expected);
        }
        assert_eq!(
            Include::read(&Query::parse(Some("includeObject=Foo")))
                .unwrap_err()
                .message,
            "Unable to convert to Table as requested: includeObject: Invalid value: \"Foo\": must be 'Metadata', 'Object', 'None', or empty"
        );
    }
}
