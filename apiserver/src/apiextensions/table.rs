//! Tables of custom resources: the name and the columns of the definition
//! (apiextensions-apiserver `pkg/registry/customresource/tableconvertor`).

use crate::registry::columns::{Heading, Table, documentation};
use machinery::jsonpath::{self, JsonPath};
use machinery::{meta, time};
use serde_json::Value;
use std::borrow::Cow;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The columns of one version.
pub(super) struct Columns(Vec<Column>);

struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
    path: JsonPath,
}

impl Columns {
    /// Reads `additionalPrinterColumns`. Those behind one that cannot be understood are left out, too.
    pub(super) fn of(version: &Value) -> Self {
        let written = meta::list_at(version, &["additionalPrinterColumns"]);
        if written.is_empty() {
            return Columns(vec![age()]);
        }
        let mut columns = Vec::with_capacity(written.len());
        for column in written {
            match column_of(column) {
                Ok(column) => columns.push(column),
                Err(error) => {
                    let column = meta::str_at(column, &["name"]).unwrap_or_default();
                    tracing::debug!(column, %error, "leaving out the columns from here on");
                    break;
                }
            }
        }
        Columns(columns)
    }
}

fn age() -> Column {
    let path = JsonPath::parse(".metadata.creationTimestamp");
    Column {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        format: String::new(),
        description: documentation(OBJECT_META, "creationTimestamp").to_owned(),
        priority: 0,
        path: path.unwrap_or_default(),
    }
}

fn column_of(column: &Value) -> Result<Column, jsonpath::Error> {
    let text = |field: &str| meta::str_at(column, &[field]).unwrap_or_default().to_owned();
    let path = text("jsonPath");
    let description = match text("description") {
        none if none.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description,
    };
    Ok(Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description,
        priority: meta::i64_at(column, &["priority"]).unwrap_or_default(),
        path: JsonPath::parse(&path)?,
    })
}

impl Table for Columns {
    fn headings(&self) -> Vec<Heading<'_>> {
        let name = Heading {
            name: "Name",
            kind: "string",
            format: "name",
            description: Cow::Borrowed(documentation(OBJECT_META, "name")),
            priority: 0,
        };
        let of = |column| {
            let Column {
                name,
                kind,
                format,
                description,
                priority,
                ..
            }: &Column = column;
            Heading {
                name,
                kind,
                format,
                description: Cow::Borrowed(description),
                priority: *priority,
            }
        };
        std::iter::once(name).chain(self.0.iter().map(of)).collect()
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        let cell = |column: &Column| match column.path.find(object).as_deref() {
            Ok([first, ..]) => cell(&column.kind, first, now),
            _ => Value::Null,
        };
        std::iter::once(meta::name(object).into())
            .chain(self.0.iter().map(cell))
            .collect()
    }
}

/// A value as a column of a type shows it; nothing when it does not fit.
fn cell(kind: &str, value: &Value, now: i64) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", value) => jsonpath::print(value).into(),
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(integer) => integer.into(),
            // As Go converts it: towards zero.
            #[allow(clippy::cast_possible_truncation)]
            None => number.as_f64().map(|float| float as i64).into(),
        },
        ("number", Value::Number(number)) => number.as_f64().into(),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => date(text, now).into(),
        _ => Value::Null,
    }
}

fn date(text: &str, now: i64) -> String {
    match (text, time::parse(text)) {
        ("" | "null", _) => "<unknown>".to_owned(),
        (_, Some(then)) => time::human_duration(now - then.as_second()),
        (_, None) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_show_what_is_there() {
        let version = json!({"additionalPrinterColumns": [
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
            {"name": "Half", "type": "number", "jsonPath": ".spec.half"},
            {"name": "On", "type": "boolean", "jsonPath": ".spec.on", "description": "whether it is on"},
            {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
            {"name": "Labels", "type": "string", "jsonPath": ".metadata.labels"},
        ]});
        let columns = Columns::of(&version);
        let headings = columns.headings();
        assert_eq!((headings[0].name, headings[1].priority), ("Name", 1));
        assert_eq!(headings[4].description, "whether it is on");
        assert!(headings[3].description.ends_with("(in JSONPath format): .spec.half"));
        let object = json!({
            "metadata": {"name": "n", "labels": {"a": "b"}},
            "spec": {"replicas": 3, "half": 2, "on": "yes", "since": "1970-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(
            columns.cells(&object, 120),
            [
                json!("n"),
                json!(3),
                json!("True"),
                json!(2.0),
                json!(null),
                json!("2m"),
                json!(r#"{"a":"b"}"#)
            ]
        );
        let empty = columns.cells(&json!({"metadata": {"name": "e"}}), 0);
        assert!(empty[1..].iter().all(Value::is_null), "{empty:?}");
    }

    #[test]
    fn without_columns_there_is_the_age() {
        let columns = Columns::of(&json!({}));
        assert_eq!(columns.headings().len(), 2);
        assert_eq!(
            columns.cells(&json!({"metadata": {"name": "a"}}), 0),
            [json!("a"), Value::Null]
        );
        let broken = json!({"additionalPrinterColumns": [
            {"name": "A", "type": "string", "jsonPath": ".a"},
            {"name": "B", "type": "string", "jsonPath": ".b["},
            {"name": "C", "type": "string", "jsonPath": ".c"},
        ]});
        assert_eq!(Columns::of(&broken).headings().len(), 2);
    }
}
