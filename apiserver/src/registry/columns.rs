//! Server-side table columns (upstream `pkg/printers/internalversion`).

use serde_json::Value;

/// One column.
pub struct Column {
    /// The heading, such as `Ready`.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// What `kubectl` shows in the help of the column.
    pub description: &'static str,
    /// 0 for always, 1 for `-o wide`.
    pub priority: i32,
}

/// The columns of a kind and how an object fills them.
pub struct Columns {
    /// The headings, in order.
    pub columns: &'static [Column],
    /// The cells of one object, one per column; `now` is the time ages are counted from, in Unix seconds.
    pub cells: fn(obj: &Value, now: i64) -> Vec<Value>,
}
