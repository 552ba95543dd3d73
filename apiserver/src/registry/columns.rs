//! Server-side table columns (upstream `pkg/printers/internalversion`).

use machinery::schema;
use serde_json::Value;
use std::borrow::Cow;

/// What tables of a kind show.
pub trait Table: Send + Sync {
    /// The headings, in order.
    fn headings(&self) -> Vec<Heading<'_>>;

    /// The cells of one object, one per column; `now` is the time ages are counted from, in Unix seconds.
    fn cells(&self, object: &Value, now: i64) -> Vec<Value>;
}

/// The heading of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// What is written over it, such as `Ready`.
    pub name: &'a str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'a str,
    /// A format such as `name`; may be empty.
    pub format: &'a str,
    /// What it shows.
    pub description: Cow<'a, str>,
    /// 0 for always, more for `-o wide`.
    pub priority: i64,
}

/// What a column's description says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Description {
    /// This text.
    Text(&'static str),
    /// What the documentation of a field says: the schema's type name and the field.
    Field(&'static str, &'static str),
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, such as `Ready`.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// What it shows.
    pub description: Description,
    /// 0 for always, 1 for `-o wide`.
    pub priority: i32,
}

impl Column {
    /// A column that is always shown and described by `text`.
    pub const fn new(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        Column {
            name,
            kind,
            format: "",
            description: Description::Text(text),
            priority: 0,
        }
    }

    /// A column that is always shown and described by the documentation of a field.
    pub const fn of_field(
        name: &'static str,
        kind: &'static str,
        type_name: &'static str,
        field: &'static str,
    ) -> Self {
        Column {
            name,
            kind,
            format: "",
            description: Description::Field(type_name, field),
            priority: 0,
        }
    }

    /// The same column, shown only with `-o wide`.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// The same column, marked as the object's name.
    #[must_use]
    pub const fn named(mut self) -> Self {
        self.format = "name";
        self
    }
}

/// The columns of a kind and how an object fills them.
pub struct Columns {
    /// The headings, in order.
    pub columns: &'static [Column],
    /// The cells of one object, one per column; `now` is the time ages are counted from, in Unix seconds.
    pub cells: fn(obj: &Value, now: i64) -> Vec<Value>,
}

impl Table for Columns {
    fn headings(&self) -> Vec<Heading<'_>> {
        let heading = |column: &'static Column| Heading {
            name: column.name,
            kind: column.kind,
            format: column.format,
            description: Cow::Borrowed(match column.description {
                Description::Text(text) => text,
                Description::Field(ty, field) => documentation(ty, field),
            }),
            priority: i64::from(column.priority),
        };
        self.columns.iter().map(heading).collect()
    }

    fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        (self.cells)(object, now)
    }
}

/// The documentation of a field of a built-in type as it stands in upstream's source: only OpenAPI documents add the values
/// that it allows.
pub fn documentation(ty: &str, field: &str) -> &'static str {
    let property = schema::builtin(ty).and_then(|ty| ty.property(field));
    property.map_or("", |property| without_additions(&property.description))
}

fn without_additions(description: &str) -> &str {
    const ADDED: &str = "\n\nPossible enum values:";
    description.split(ADDED).next().unwrap_or(description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_leave_out_what_openapi_adds() {
        let added = "what it is.\n\nPossible enum values:\n - `\"A\"`";
        assert_eq!(without_additions(added), "what it is.");
        assert_eq!(without_additions("what it is."), "what it is.");
    }
}
