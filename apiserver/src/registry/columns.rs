//! Server-side table columns (upstream `pkg/printers/internalversion`).

use serde_json::Value;

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
