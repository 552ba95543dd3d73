//! What peers on the same database have committed, on its way into the state: rows become the changes they were when they
//! were written.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    batch::{Change, LeaseChange},
    index::{Keys, Layered, Version},
    lease::Leases,
    publish::Outcome,
    shared::Shared,
};
use crate::backend::{LeaseRow, StoredRow};

/// Bytes of changes after which they are shown, so that a store that was away for long needs no memory for it.
const PART_BYTES: usize = 1 << 20;

/// The changes that have arrived and are not shown yet.
#[derive(Debug)]
pub struct News<'a> {
    shared: &'a Shared,
    part: Outcome,
    bytes: usize,
}

impl<'a> News<'a> {
    /// Starts with the changes of the leases, so that keys find the lease they hang on.
    pub fn new(shared: &'a Shared, leases: Vec<LeaseChange>) -> Self {
        let part = Outcome {
            leases,
            revision: shared.state().revision,
            ..Outcome::default()
        };
        Self { shared, part, bytes: 0 }
    }

    /// Takes in a row. Rows must come in the order of their identifiers.
    pub fn push(&mut self, stored: StoredRow) {
        let StoredRow {
            row,
            sub,
            value,
            old_value,
        } = stored;
        let Some(key) = row.key else { return };
        let revision = row.revision.unwrap_or(row.id);
        if self.bytes > PART_BYTES && revision != self.part.revision {
            self.show();
        }
        let version = if row.deleted {
            Version::tombstone(row.id, revision)
        } else {
            Version {
                id: row.id,
                revision,
                create_revision: row.create_revision,
                version: row.version.unwrap_or(1),
                lease: row.lease,
            }
        };
        let (last, before) = {
            let state = self.shared.state();
            let keys = Layered {
                base: &state.index,
                top: &self.part.top,
            };
            (keys.last_at(&key, revision), keys.live_at(&key, revision - 1))
        };
        let value = value.unwrap_or_default();
        let old_value = old_value.unwrap_or_default();
        self.bytes += key.len() + value.len() + old_value.len();
        self.part.top.push(&key, version);
        self.part.revision = revision;
        self.part.changes.push(Change {
            key: Bytes::from(key),
            version,
            sub,
            value,
            prev_row: row.prev_row,
            prev_lease: last.map_or(0, |last| last.lease),
            before: before.map(|before| (before, Some(old_value))),
        });
    }

    fn show(&mut self) {
        self.bytes = 0;
        let next = Outcome {
            revision: self.part.revision,
            ..Outcome::default()
        };
        self.shared.publish(std::mem::replace(&mut self.part, next));
    }

    /// Shows the rest, with what else has changed.
    pub fn finish(mut self, revision: i64, compact_to: Option<i64>, alarms: Option<i64>) {
        self.part.revision = revision;
        self.part.compact_to = compact_to;
        self.part.alarms = alarms;
        self.show();
    }
}

/// How the leases known become the leases there are.
pub fn lease_changes(known: &Leases, there: &[LeaseRow]) -> Vec<LeaseChange> {
    let ids: HashSet<i64> = there.iter().map(|lease| lease.id).collect();
    let gone = known.by_expiry().into_iter().filter(|id| !ids.contains(id));
    let mut changes: Vec<LeaseChange> = gone.map(|id| LeaseChange::Revoke { id }).collect();
    for lease in there {
        if known.get(lease.id).is_none_or(|known| known.ttl != lease.ttl) {
            changes.push(LeaseChange::Grant {
                id: lease.id,
                ttl: lease.ttl,
            });
        }
        if let Some(left) = lease.left {
            changes.push(LeaseChange::Note { id: lease.id, left });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn leases_come_go_and_stay() {
        let mut known = Leases::default();
        known.grant(1, 10, Instant::now());
        known.grant(2, 20, Instant::now());
        let lease = |id, ttl| LeaseRow { id, ttl, left: Some(5) };
        let changes = lease_changes(&known, &[lease(2, 20), lease(3, 30)]);
        let expected = [
            LeaseChange::Revoke { id: 1 },
            LeaseChange::Note { id: 2, left: 5 },
            LeaseChange::Grant { id: 3, ttl: 30 },
            LeaseChange::Note { id: 3, left: 5 },
        ];
        assert_eq!(changes, expected);
    }
}
