//! The state of the store in memory: what has been committed, as every reader sees it.

use std::time::Instant;

use super::{
    anchors::Anchors,
    batch::{Change, LeaseChange},
    index::Index,
    lease::Leases,
};

/// Everything committed, but for values and history.
#[derive(Debug)]
pub struct State {
    /// Keys and versions.
    pub index: Index,
    /// Where revisions are in the table.
    pub anchors: Anchors,
    /// Leases and their keys.
    pub leases: Leases,
    /// The newest revision.
    pub revision: i64,
    /// The revision below which history is gone, -1 before the first compaction.
    pub compacted: i64,
    /// Identifier of the newest row.
    pub last_row: i64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            index: Index::default(),
            anchors: Anchors::default(),
            leases: Leases::default(),
            revision: 1,
            compacted: -1,
            last_row: 1,
        }
    }
}

impl State {
    /// Takes over what has just been committed.
    pub fn apply(&mut self, top: Index, changes: &[Change], leases: &[LeaseChange], revision: i64, now: Instant) {
        for change in leases {
            match change {
                LeaseChange::Grant { id, ttl } => self.leases.grant(*id, *ttl, now),
                LeaseChange::Renew { id } => self.leases.renew(*id, now),
                LeaseChange::Note { id, left } => self.leases.set_left(*id, *left, now),
                LeaseChange::Revoke { id } => self.leases.revoke(*id),
            }
        }
        for change in changes {
            self.leases
                .move_key(&change.key, change.prev_lease, change.version.lease);
            self.anchors.push(change.version.revision, change.version.id);
            self.last_row = change.version.id;
        }
        self.index.append(top);
        self.revision = revision;
    }
}
