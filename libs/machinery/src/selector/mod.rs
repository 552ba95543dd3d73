//! Label and field selectors, evaluated on an object's [`Index`](crate::object::Index).

pub mod field;
pub mod label;

use crate::object::Index;

/// Both selectors of a list or watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// On labels.
    pub labels: label::Selector,
    /// On fields.
    pub fields: field::Selector,
}

impl Selector {
    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object matches.
    pub fn matches(&self, index: &Index) -> bool {
        self.labels.matches(|key| index.label(key)) && self.fields.matches(|path| index.field(path))
    }
}
