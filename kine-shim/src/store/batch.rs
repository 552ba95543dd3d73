//! The transactions that become durable together: what they change, laid over what is committed.

use std::sync::Arc;

use bytes::Bytes;
use proto::mvccpb::{self, event::EventType};

use super::{
    history::Entry,
    index::{Index, Keys, Layered, Version},
    range::key_value,
    state::State,
};
use crate::{
    backend::{Fault, NewRow},
    error::Error,
};

/// A change of one key.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key.
    pub key: Bytes,
    /// The version written.
    pub version: Version,
    /// Position within the transaction.
    pub sub: i64,
    /// The value, empty for a deletion.
    pub value: Bytes,
    /// Row this change replaces, 0 for none.
    pub prev_row: i64,
    /// Lease the key hung on in that row, 0 for none.
    pub prev_lease: i64,
    /// The version before the transaction, if the key existed then, with its value, if that was asked for.
    pub before: Option<(Version, Option<Bytes>)>,
}

impl Change {
    /// The row to store.
    pub fn row(&self) -> NewRow<'_> {
        let live = self.version.is_live();
        NewRow {
            id: self.version.id,
            key: &self.key,
            created: live && self.version.version == 1,
            deleted: !live,
            create_revision: self.version.create_revision,
            prev_row: self.prev_row,
            lease: self.version.lease,
            revision: self.version.revision,
            sub: self.sub,
            version: self.version.version,
            value: live.then_some(self.value.as_ref()),
            old_value: if live {
                None
            } else {
                self.before.as_ref().and_then(|(_, value)| value.as_deref())
            },
        }
    }

    /// The event watchers get.
    pub fn entry(&self) -> Entry {
        let (before, whole) = match &self.before {
            Some((version, Some(value))) => (Some((version, value.clone())), true),
            Some((_, None)) => (None, false),
            None => (None, true),
        };
        Entry {
            revision: self.version.revision,
            event: Arc::new(event(self.key.clone(), &self.version, self.value.clone(), before)),
            whole,
        }
    }
}

/// The event for a key that changed to `version`, with the version before if the key existed.
pub fn event(key: Bytes, version: &Version, value: Bytes, before: Option<(&Version, Bytes)>) -> mvccpb::Event {
    let prev_kv = before.map(|(before, value)| key_value(key.clone(), before, value));
    if version.is_live() {
        let kv = key_value(key, version, value);
        // A key that is created has no past worth telling, even if it was deleted a moment ago.
        let prev_kv = prev_kv.filter(|_| kv.create_revision != kv.mod_revision);
        mvccpb::Event {
            r#type: EventType::Put.into(),
            kv: Some(kv),
            prev_kv,
        }
    } else {
        let kv = mvccpb::KeyValue {
            key,
            mod_revision: version.revision,
            ..Default::default()
        };
        mvccpb::Event {
            r#type: EventType::Delete.into(),
            kv: Some(kv),
            prev_kv,
        }
    }
}

/// A change of the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// A lease was granted.
    Grant {
        /// Its identifier.
        id: i64,
        /// Seconds to live.
        ttl: i64,
    },
    /// The life of a lease started anew.
    Renew {
        /// Its identifier.
        id: i64,
    },
    /// The database says when a lease ends; there is nothing to store.
    Note {
        /// Its identifier.
        id: i64,
        /// Milliseconds until it ends.
        left: i64,
    },
    /// A lease was revoked.
    Revoke {
        /// Its identifier.
        id: i64,
    },
}

/// Where values come from.
pub trait Values {
    /// The value in row `id`.
    fn value(&self, id: i64) -> Result<Bytes, Fault>;

    /// Whether anybody wants to see the values that writes replace.
    fn wants_before(&self) -> bool;
}

/// Why a request of a batch did not go through.
#[derive(Debug)]
pub enum Failure {
    /// The request is at fault; the rest of the batch goes on.
    Refused(Error),
    /// The database is at fault; the batch is undone.
    Fault(Fault),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The changes of a batch so far.
pub struct Batch<'a> {
    state: &'a State,
    values: &'a dyn Values,
    /// Versions written by the batch.
    pub top: Index,
    /// Changes in order.
    pub changes: Vec<Change>,
    /// Lease changes in order.
    pub leases: Vec<LeaseChange>,
    /// The newest revision, with the batch.
    pub revision: i64,
}

impl<'a> Batch<'a> {
    /// An empty batch on top of `state`.
    pub fn new(state: &'a State, values: &'a dyn Values) -> Self {
        Self {
            state,
            values,
            top: Index::default(),
            changes: Vec::new(),
            leases: Vec::new(),
            revision: state.revision,
        }
    }

    /// The state below the batch.
    pub fn state(&self) -> &'a State {
        self.state
    }

    /// All keys, those of the batch included.
    pub fn keys(&self) -> Layered<'_> {
        Layered {
            base: &self.state.index,
            top: &self.top,
        }
    }

    /// The value of a version.
    pub fn value(&self, version: &Version) -> Result<Bytes, Fault> {
        let in_batch = usize::try_from(version.id - self.state.last_row - 1).ok();
        match in_batch.and_then(|at| self.changes.get(at)) {
            Some(change) => Ok(change.value.clone()),
            None => self.values.value(version.id),
        }
    }

    /// Whether a lease exists.
    pub fn has_lease(&self, id: i64) -> bool {
        let changed = self.leases.iter().rev().find_map(|change| match change {
            LeaseChange::Grant { id: granted, .. } if *granted == id => Some(true),
            LeaseChange::Revoke { id: revoked } if *revoked == id => Some(false),
            _ => None,
        });
        changed.unwrap_or_else(|| self.state.leases.get(id).is_some())
    }

    /// The keys that hang on a lease, in order.
    pub fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        let mut keys: Vec<Bytes> = self
            .state
            .leases
            .get(id)
            .map(|lease| lease.keys.iter().cloned().collect())
            .unwrap_or_default();
        keys.extend(
            self.changes
                .iter()
                .filter(|change| change.version.lease == id)
                .map(|change| change.key.clone()),
        );
        keys.sort_unstable();
        keys.dedup();
        let newest = self.keys();
        keys.retain(|key| newest.live_at(key, i64::MAX).is_some_and(|version| version.lease == id));
        keys
    }

    /// Starts a transaction.
    pub fn transaction(&mut self) -> Transaction<'_, 'a> {
        Transaction {
            begin: self.revision,
            changes: 0,
            batch: self,
        }
    }
}

/// One transaction of a batch. All its changes have one revision, the one after the newest when it began.
pub struct Transaction<'b, 'a> {
    batch: &'b mut Batch<'a>,
    begin: i64,
    changes: i64,
}

impl<'a> Transaction<'_, 'a> {
    /// The batch the transaction is part of.
    pub fn batch(&self) -> &Batch<'a> {
        self.batch
    }

    /// The revision the transaction sees: that of its beginning until it changes something, its own afterwards.
    pub fn revision(&self) -> i64 {
        self.begin + i64::from(self.changes > 0)
    }

    /// The live version of a key as the transaction sees it.
    pub fn get(&self, key: &[u8]) -> Option<Version> {
        self.batch.keys().live_at(key, self.revision())
    }

    /// Writes a key. Key and value are kept: neither should be a small part of a large buffer.
    pub fn put(&mut self, key: Bytes, value: Bytes, lease: i64) -> Result<(), Failure> {
        let revision = self.begin + 1;
        let last = self.batch.keys().last_at(&key, revision);
        let (create_revision, version) = match last.filter(Version::is_live) {
            Some(last) => (last.create_revision, last.version + 1),
            None => (revision, 1),
        };
        self.push(
            key,
            value,
            last,
            Version {
                id: 0,
                revision,
                create_revision,
                version,
                lease,
            },
        )
    }

    /// Deletes a key that exists.
    pub fn delete(&mut self, key: Bytes) -> Result<(), Failure> {
        let revision = self.begin + 1;
        let last = self.batch.keys().last_at(&key, revision);
        self.push(key, Bytes::new(), last, Version::tombstone(0, revision))
    }

    fn push(&mut self, key: Bytes, value: Bytes, last: Option<Version>, mut version: Version) -> Result<(), Failure> {
        let before = match last {
            // Written by this transaction: what was before is further back.
            Some(last) if last.revision > self.begin => self.batch.keys().live_at(&key, self.begin),
            last => last.filter(Version::is_live),
        };
        let before = match before {
            // A deletion is stored with the value it deletes.
            Some(before) if !version.is_live() || self.batch.values.wants_before() => {
                Some((before, Some(self.batch.value(&before)?)))
            }
            before => before.map(|before| (before, None)),
        };
        let count = i64::try_from(self.batch.changes.len()).unwrap_or(i64::MAX);
        version.id = self.batch.state.last_row + 1 + count;
        self.batch.top.push(&key, version);
        let (prev_row, prev_lease) = last.map_or((0, 0), |last| (last.id, last.lease));
        self.batch.changes.push(Change {
            key,
            version,
            sub: self.changes,
            value,
            prev_row,
            prev_lease,
            before,
        });
        self.changes += 1;
        self.batch.revision = self.begin + 1;
        Ok(())
    }
}
