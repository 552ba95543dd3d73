//! What every kind of database must be able to do. All calls block the calling thread.
//!
//! # Several processes on one database
//!
//! A database server may have several stores on it. Each keeps its own picture in memory, so a group begins with a look at
//! the [`Counters`], which are locked until the group is committed: an `epoch` other than the one the store knows means
//! that a peer has committed, and the store first takes in what that was. Row identifiers and revisions are therefore
//! handed out without gaps and in the order of commits, whoever commits. An SQLite file belongs to one process; there
//! [`Writer::begin`] has nothing to say and costs nothing.

use std::{collections::BTreeMap, fmt::Debug, fs::File, ops::ControlFlow, sync::atomic::AtomicI64};

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{Counters, Fault, Item, LeaseRow, NewRow, Payload, Row, Size, StoredRow};

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Only to see what peers did; nobody is kept from writing.
    Look,
    /// To commit; peers wait until this is done.
    Write,
}

/// What a group will need, so that it can be asked for in one go.
#[derive(Debug, Default)]
pub struct Wish {
    /// Rows whose values are wanted.
    pub values: Vec<i64>,
    /// Leases whose end is wanted.
    pub leases: Vec<i64>,
}

/// What the database says at the beginning of a group.
#[derive(Debug, Default)]
pub struct Begun {
    /// The numbers of the store.
    pub counters: Counters,
    /// Of the rows wanted those that are there, with their values.
    pub values: Vec<(i64, Bytes)>,
    /// Of the leases wanted those that are there, with the milliseconds until they end.
    pub leases: Vec<(i64, i64)>,
}

/// A change of the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseWrite {
    /// Add or replace a lease, which ends after `ttl` seconds.
    Grant {
        /// Its identifier.
        id: i64,
        /// Seconds to live.
        ttl: i64,
    },
    /// Start the life of a lease anew.
    Renew {
        /// Its identifier.
        id: i64,
    },
    /// Remove a lease.
    Revoke {
        /// Its identifier.
        id: i64,
    },
}

/// What a series of lease changes comes to, for databases that change all leases at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetLeases {
    /// Leases to add or replace.
    pub granted: Vec<i64>,
    /// The seconds to live of each of them.
    pub ttls: Vec<i64>,
    /// Leases whose life starts anew.
    pub renewed: Vec<i64>,
    /// Leases to remove.
    pub revoked: Vec<i64>,
}

impl NetLeases {
    /// Takes the last change of each lease; a lease that is granted and then renewed is granted.
    pub fn new(changes: &[LeaseWrite]) -> Self {
        let mut last = BTreeMap::new();
        for change in changes {
            match *change {
                LeaseWrite::Renew { id } => drop(last.entry(id).or_insert(*change)),
                LeaseWrite::Grant { id, .. } | LeaseWrite::Revoke { id } => drop(last.insert(id, *change)),
            }
        }
        let mut net = Self::default();
        for change in last.into_values() {
            match change {
                LeaseWrite::Grant { id, ttl } => {
                    net.granted.push(id);
                    net.ttls.push(ttl);
                }
                LeaseWrite::Renew { id } => net.renewed.push(id),
                LeaseWrite::Revoke { id } => net.revoked.push(id),
            }
        }
        net
    }
}

/// Everything a group changes.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Rows to add, their identifiers without gaps.
    pub rows: Vec<NewRow<'a>>,
    /// Changes of the leases, in order.
    pub leases: Vec<LeaseWrite>,
    /// Rows to remove, ascending; some may have gone.
    pub removed: &'a [i64],
    /// The revision to which the store is compacted from now on, and the row that goes with it.
    pub compacted: Option<(i64, i64)>,
    /// The alarms from now on.
    pub alarms: Option<i64>,
    /// The numbers after the group, when peers have to know of it; they are told. Only what [`Writer::begin`] answered
    /// can have such a successor.
    pub counters: Option<Counters>,
}

/// The one connection that writes.
pub trait Writer: Debug + Send {
    /// Calls `each` with everything but values, as it is at one moment.
    fn load(&mut self, each: &mut dyn FnMut(Item<Row>)) -> Result<(), Fault>;

    /// Begins a group, connecting again if necessary. `None` means that nobody else can have written anything, and that
    /// nothing of the wish was looked up.
    fn begin(&mut self, purpose: Purpose, wish: &Wish) -> Result<Option<Begun>, Fault>;

    /// Within a group, calls `each` with every row after row `after`, in order. `old_value` is the value of the row
    /// before, where that is there, even if the row itself does not repeat it.
    fn news(&mut self, after: i64, each: &mut dyn FnMut(StoredRow)) -> Result<(), Fault>;

    /// Within a group, all leases.
    fn leases(&mut self) -> Result<Vec<LeaseRow>, Fault>;

    /// Within a group, the value of a row; `None` when the row is gone.
    fn value(&self, id: i64) -> Result<Option<Bytes>, Fault>;

    /// Makes everything in `changes` durable at once and ends the group. [`Fault::Unknown`] is the only failure after
    /// which it may have happened.
    fn commit(&mut self, changes: &Changes<'_>) -> Result<(), Fault>;

    /// Ends the group without changing anything.
    fn rollback(&mut self);

    /// Rewrites the database without free space. No group may have begun.
    fn defragment(&mut self) -> Result<(), Fault>;

    /// Keeps the database's own log short. Called after every group, when that has been answered. Returns whether the next
    /// one had to wait for it.
    fn tend_log(&mut self) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Moves what is in the database's own log to its place, as far as that holds up nobody.
    fn checkpoint(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Gives a little free space back to the file system. Returns whether there is more.
    fn reclaim(&mut self) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// The connections that read. Each call sees one moment of the database and holds up nobody.
pub trait Readers: Debug + Send + Sync {
    /// Calls `each` with the place in `ids`, which ascend, and the value of each of these rows. Returns whether all of them are there.
    fn values(&self, ids: &[i64], each: &mut dyn FnMut(usize, Bytes)) -> Result<bool, Fault>;

    /// Calls `each` with the rows from identifier `from` up to, not including, `to`, until it breaks off.
    fn payloads(&self, from: i64, to: i64, each: &mut dyn FnMut(Payload) -> ControlFlow<()>) -> Result<(), Fault>;

    /// Calls `each` with everything there is, until it fails.
    fn dump(&self, each: &mut dyn FnMut(Item<StoredRow>) -> Result<(), Fault>) -> Result<(), Fault>;

    /// How large the database is.
    fn size(&self) -> Result<Size, Fault>;

    /// Makes a consistent copy of the whole database in a file that has no name any more: it goes when it is closed.
    fn copy(&self) -> Result<File, Fault>;

    /// Bytes of the database's own log, where it is a file of its own.
    fn log_bytes(&self) -> i64 {
        0
    }

    /// The newest epoch.
    fn epoch(&self) -> Result<i64, Fault> {
        Ok(0)
    }

    /// Milliseconds until a lease ends; `None` when it is gone or the database does not know.
    fn lease_left(&self, _id: i64) -> Result<Option<i64>, Fault> {
        Ok(None)
    }
}

/// Other processes that write to the database.
pub trait Peers: Debug + Send {
    /// Returns when a peer may have committed something after epoch `known`, or when that may have been missed. Never
    /// fails: it connects again by itself.
    fn changed<'a>(&'a mut self, known: &'a AtomicI64) -> BoxFuture<'a, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_lease_counts() {
        let changes = [
            LeaseWrite::Grant { id: 1, ttl: 5 },
            LeaseWrite::Renew { id: 1 },
            LeaseWrite::Renew { id: 2 },
            LeaseWrite::Grant { id: 3, ttl: 5 },
            LeaseWrite::Revoke { id: 3 },
            LeaseWrite::Revoke { id: 4 },
            LeaseWrite::Grant { id: 4, ttl: 7 },
        ];
        let net = NetLeases {
            granted: vec![1, 4],
            ttls: vec![5, 7],
            renewed: vec![2],
            revoked: vec![3],
        };
        assert_eq!(NetLeases::new(&changes), net);
    }
}
