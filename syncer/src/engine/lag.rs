//! How long a change takes to reach the other side.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::kinds::{Kind, Side};
use crate::names::Reference;

/// Changes that were noticed and are not yet dealt with.
#[derive(Debug, Default)]
pub struct Lag {
    noticed: HashMap<Reference, (Side, Instant)>,
}

impl Lag {
    /// A watch reported a change; the oldest one counts.
    pub fn noticed(&mut self, item: &Reference, side: Side, now: Instant) {
        self.noticed.entry(item.clone()).or_insert((side, now));
    }

    /// Whether a change of the object waits.
    pub fn is_noticed(&self, item: &Reference) -> bool {
        self.noticed.contains_key(item)
    }

    /// The object is dealt with; returns where the change came from and how long it took.
    pub fn finished(&mut self, item: &Reference, now: Instant) -> Option<(Side, Duration)> {
        let (side, since) = self.noticed.remove(item)?;
        Some((side, now.saturating_duration_since(since)))
    }

    /// The age of the oldest change of a kind that is not yet dealt with.
    pub fn oldest(&self, kind: Kind, now: Instant) -> Duration {
        let of_kind = self.noticed.iter().filter(|(item, _)| item.kind == kind);
        let oldest = of_kind.map(|(_, (_, since))| *since).min();
        oldest
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default()
    }
}
