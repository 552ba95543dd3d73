//! What did not change, as far as rules are concerned (`ratchetingOptions`).

use crate::correlate::{Correlated, Items};
use serde_json::Value;

/// A place in a value that may have been there before.
#[derive(Clone, Copy, Default)]
pub(super) struct Ratchet<'a> {
    current: Option<Correlated<'a>>,
    /// The nearest place above that was there before.
    above: Option<Correlated<'a>>,
}

impl<'a> Ratchet<'a> {
    pub(super) fn of(root: Correlated<'a>) -> Self {
        Ratchet {
            current: Some(root),
            above: None,
        }
    }

    /// Whether complaints about this place were there before.
    pub(super) fn is_unchanged(&self) -> bool {
        self.current.or(self.above).is_some_and(|was| was.is_unchanged())
    }

    pub(super) fn key(&self, name: &str) -> Self {
        let Some(current) = self.current else { return *self };
        if self.above.is_none() && matches!(name, "apiVersion" | "kind") {
            // They may be written in other words than they are kept in.
            return Ratchet::default();
        }
        Ratchet {
            current: current.key(name),
            above: Some(current),
        }
    }

    /// The items of a list, each with what it was before.
    pub(super) fn items(&self) -> Option<Items<'a>> {
        self.current.map(|current| current.items())
    }

    pub(super) fn item(&self, items: Option<&Items<'a>>, item: &'a Value) -> Self {
        let Some(current) = self.current else { return *self };
        Ratchet {
            current: items.and_then(|items| items.get(item)),
            above: Some(current),
        }
    }
}
