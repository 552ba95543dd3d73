//! Building the state from the table when the store opens, be it one of ours or one of kine's.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use super::{index::Version, state::State};
use crate::backend::{Fault, Item, LeaseRow, Numbers, Row, driver::Writer};

/// What comes out of loading a database.
#[derive(Debug)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// The numbers of the store.
    pub numbers: Numbers,
    /// Leases that had to be made up, as identifier and seconds to live.
    pub made_up: Vec<(i64, i64)>,
}

/// Builds the state from everything the database has.
pub fn load(writer: &mut dyn Writer) -> Result<Loaded, Fault> {
    let mut numbers = Numbers::default();
    let mut loader = Loader::new(numbers);
    let mut leases = Vec::new();
    writer.load(&mut |item| match item {
        Item::Numbers(read) => {
            numbers = read;
            loader = Loader::new(read);
        }
        Item::Row(row) => loader.push(&row),
        Item::Lease(lease) => leases.push(lease),
    })?;
    let (state, made_up) = loader.finish(&leases, Instant::now());
    Ok(Loaded {
        state,
        numbers,
        made_up,
    })
}

/// A state in the making.
#[derive(Debug)]
pub struct Loader {
    state: State,
    numbers: Numbers,
    /// The last row seen that kine regards as compacted, as revision and identifier.
    compacted: (i64, i64),
}

impl Loader {
    /// Starts with an empty state.
    pub fn new(numbers: Numbers) -> Self {
        Self {
            state: State::default(),
            numbers,
            compacted: (0, 0),
        }
    }

    /// Takes in a row. Rows must come in the order of their identifiers.
    pub fn push(&mut self, row: &Row) {
        let revision = row.revision.unwrap_or(row.id);
        let state = &mut self.state;
        state.revision = state.revision.max(revision);
        state.last_row = state.last_row.max(row.id);
        state.anchors.push(revision, row.id);
        if row.id <= self.numbers.kine_compact_row {
            self.compacted = (revision, row.id);
        }
        let Some(key) = &row.key else { return };
        let before = state.index.newest(key).filter(Version::is_live);
        if row.deleted {
            // kine fills gaps in its numbers with deletions of keys that never were.
            if before.is_some() || row.prev_row > 0 {
                state.index.push(key, Version::tombstone(row.id, revision));
            }
            return;
        }
        let create_revision = if row.created || row.create_revision == 0 {
            revision
        } else {
            row.create_revision
        };
        // kine does not count writes. What it has compacted cannot be counted any more; a key that is not new was
        // written twice at least.
        let counted = match before {
            Some(before) if !row.created => before.version.saturating_add(1),
            None if !row.created => 2,
            _ => 1,
        };
        let version = row.version.filter(|version| *version > 0).unwrap_or(counted);
        state.index.push(
            key,
            Version {
                id: row.id,
                revision,
                create_revision,
                version,
                lease: row.lease,
            },
        );
    }

    /// What has been taken in so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Completes the state and hangs the keys on their leases. Returns it with the leases that had to be made up, as
    /// identifier and seconds to live: in kine a lease is nothing but its seconds.
    pub fn finish(self, leases: &[LeaseRow], now: Instant) -> (State, Vec<(i64, i64)>) {
        let Self {
            mut state,
            numbers,
            compacted,
        } = self;
        // The newest rows may be deletions that have been compacted; their identifiers and revisions are taken all the same.
        let counters = numbers.counters;
        let compact_row = counters.compact_row.unwrap_or(0).max(numbers.kine_compact_row);
        state.last_row = state.last_row.max(compact_row).max(counters.last_row);
        let by_kine = if numbers.kine_compact_row > counters.compact_row.unwrap_or(0) {
            let (revision, row) = compacted;
            revision.saturating_add(numbers.kine_compact_row.saturating_sub(row))
        } else {
            -1
        };
        state.compacted = counters.compact_revision.unwrap_or(-1).max(by_kine);
        state.revision = state
            .revision
            .max(counters.compact_revision.unwrap_or(1))
            .max(counters.revision);
        state.compacted = state.compacted.min(state.revision);
        state.anchors.prune(state.compacted);

        for lease in leases {
            state.leases.grant(lease.id, lease.ttl, now);
            if let Some(left) = lease.left {
                state.leases.set_left(lease.id, left, now);
            }
        }
        let mut attached = Vec::new();
        state.index.each_newest(|key, version| {
            if version.is_live() && version.lease != 0 {
                attached.push((Bytes::copy_from_slice(key), version.lease));
            }
        });
        let mut made_up = BTreeMap::new();
        for (key, lease) in attached {
            if state.leases.get(lease).is_none() {
                let ttl = lease.clamp(1, super::lease::MAX_TTL);
                state.leases.grant(lease, ttl, now);
                made_up.insert(lease, ttl);
            }
            state.leases.move_key(&key, 0, lease);
        }
        (state, made_up.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::Counters, store::index::Keys};

    fn numbers(compact_revision: Option<i64>, compact_row: Option<i64>, kine_compact_row: i64) -> Numbers {
        Numbers {
            kine_compact_row,
            counters: Counters {
                compact_revision,
                compact_row,
                ..Counters::default()
            },
            ..Numbers::default()
        }
    }

    fn row(id: i64, key: &str, created: bool, deleted: bool, create_revision: i64, prev_row: i64) -> Row {
        Row {
            id,
            key: Some(key.into()),
            created,
            deleted,
            create_revision,
            prev_row,
            lease: 0,
            revision: None,
            version: None,
        }
    }

    fn load(numbers: Numbers, rows: &[Row]) -> State {
        let mut loader = Loader::new(numbers);
        for row in rows {
            loader.push(row);
        }
        loader.finish(&[], Instant::now()).0
    }

    #[test]
    fn what_kine_does_not_write_is_derived() {
        let kine = Row {
            key: None,
            ..row(1, "", true, false, 0, 0)
        };
        let rows = [
            kine,
            row(2, "a", true, false, 0, 0),
            row(3, "a", false, false, 2, 2),
            row(4, "gap-4", false, true, 0, 0),
            row(5, "a", false, true, 0, 3),
            row(6, "a", true, false, 0, 5),
        ];
        let state = load(Numbers::default(), &rows);
        assert_eq!((state.revision, state.compacted, state.last_row), (6, -1, 6));
        let at = |revision| {
            state
                .index
                .live_at(b"a", revision)
                .map(|v| (v.create_revision, v.version))
        };
        assert_eq!(at(2), Some((2, 1)));
        assert_eq!(at(4), Some((2, 2)));
        assert_eq!(at(5), None);
        assert_eq!(at(6), Some((6, 1)));
        assert!(state.index.newest(b"gap-4").is_none());
    }

    #[test]
    fn compaction_by_kine_counts() {
        let rows = [row(2, "a", true, false, 0, 0), row(9, "b", true, false, 0, 0)];
        assert_eq!(load(numbers(None, None, 5), &rows).compacted, 5);
        assert_eq!(load(numbers(Some(4), Some(5), 5), &rows).compacted, 4);
        let kine_since = numbers(Some(3), Some(3), 5);
        assert_eq!(load(kine_since, &rows).compacted, 5);
    }

    #[test]
    fn compacted_deletions_keep_their_revisions() {
        let state = load(numbers(Some(8), Some(8), 8), &[row(1, "a", true, false, 0, 0)]);
        assert_eq!((state.revision, state.last_row), (8, 8));
    }

    #[test]
    fn leases_of_kine_are_made_up() {
        let mut loader = Loader::new(Numbers::default());
        loader.push(&Row {
            lease: 15,
            ..row(2, "a", true, false, 0, 0)
        });
        let (state, made_up) = loader.finish(&[], Instant::now());
        assert_eq!(made_up, vec![(15, 15)]);
        assert!(state.leases.get(15).is_some_and(|lease| lease.keys.len() == 1));
    }
}
