//! Showing what has been committed to readers and watchers.

use std::{sync::atomic::Ordering, time::Instant};

use chassis::lock;

use super::{
    batch::{Change, LeaseChange},
    index::Index,
    shared::Shared,
};

/// What a group changes, once it is evaluated, or what peers have changed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Versions written.
    pub top: Index,
    /// Changes of keys in order.
    pub changes: Vec<Change>,
    /// Changes of leases in order.
    pub leases: Vec<LeaseChange>,
    /// The newest revision.
    pub revision: i64,
    /// The revision to which history is compacted from now on.
    pub compact_to: Option<i64>,
    /// The alarms from now on.
    pub alarms: Option<i64>,
}

impl Outcome {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty() && !self.is_stored()
    }

    /// Whether there is something for the database to store.
    pub fn is_stored(&self) -> bool {
        let noted = |change: &LeaseChange| matches!(change, LeaseChange::Note { .. });
        !self.changes.is_empty() || self.compact_to.is_some() || self.alarms.is_some() || !self.leases.iter().all(noted)
    }
}

impl Shared {
    /// Shows what has been committed.
    pub fn publish(&self, outcome: Outcome) {
        if outcome.is_empty() {
            return;
        }
        let events = outcome.changes.iter().map(Change::entry).collect();
        {
            let mut cache = lock(&self.cache);
            for change in &outcome.changes {
                cache.replaced(change.prev_row);
                if change.version.is_live() {
                    cache.insert(change.version.id, change.value.clone());
                }
            }
        }
        let granted = outcome
            .leases
            .iter()
            .any(|change| matches!(change, LeaseChange::Grant { .. }));
        {
            let mut state = self.state_mut();
            state.apply(
                outcome.top,
                &outcome.changes,
                &outcome.leases,
                outcome.revision,
                Instant::now(),
            );
            if let Some(revision) = outcome.compact_to {
                state.compacted = revision;
                state.anchors.prune(revision);
            }
        }
        self.hub.publish(events, outcome.revision);
        if let Some(alarms) = outcome.alarms {
            self.alarms.store(alarms, Ordering::Release);
        }
        if granted {
            self.lease_granted.notify_one();
        }
    }
}
