//! A compaction under way, a slice at a time, so that no write waits for long.
//!
//! First every key is looked at once, and what nobody can see any more is forgotten in memory. Then the rows go, in the
//! order of the table: neighbours are on the same page, so that whole pages become free and little has to be written.
//! Deletions are forgotten with their rows ([`Index::superfluous`] says why).
//!
//! Of several stores on a database, the one that was asked removes the rows. The others do that, too, but later: then there
//! is nothing left to remove, unless the first one has died.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    command::{Reply, answer},
    index::{Index, Superfluous},
    peers::GRACE,
    rows::RowSet,
};
use crate::error::Error;

/// Keys looked at, and versions forgotten, in one slice.
const SLICE_KEYS: usize = 4096;
const SLICE_VERSIONS: usize = 16_384;
/// Fewest and most rows removed in one slice, and what a commit with a slice may take before slices become smaller.
const FEWEST_ROWS: usize = 128;
const MOST_ROWS: usize = 2048;
const COMMIT: Duration = Duration::from_millis(4);
/// How long removing rows waits after it has failed.
const RETRY: Duration = Duration::from_secs(10);

/// A compaction under way.
#[derive(Debug)]
pub struct Compaction {
    revision: i64,
    began: Instant,
    /// Rows stay until then, for the sake of peers or because removing them has failed.
    not_before: Option<Instant>,
    /// The last key looked at.
    cursor: Option<Box<[u8]>>,
    looked_through: bool,
    /// Rows nobody can see any more.
    rows: RowSet,
    /// The deletions among them, with their keys.
    deletions: HashMap<i64, Box<[u8]>>,
    /// Rows to remove in the next slice.
    slice: usize,
    waiting: Vec<Reply<i64>>,
}

impl Compaction {
    /// A compaction to `revision` that has not looked at any key yet, and that removes no row before `not_before`.
    pub fn new(revision: i64, not_before: Option<Instant>) -> Self {
        Self {
            revision,
            began: Instant::now(),
            not_before,
            cursor: None,
            looked_through: false,
            rows: RowSet::default(),
            deletions: HashMap::new(),
            slice: FEWEST_ROWS,
            waiting: Vec::new(),
        }
    }

    /// Replaces an earlier compaction: its rows are to be removed too, about when it would have done so, and whoever waits
    /// for that one waits for this one.
    pub fn take_over(&mut self, earlier: Option<Self>, waiting: Vec<Reply<i64>>) {
        if let Some(earlier) = earlier {
            if let (Some(time), Some(earlier)) = (self.not_before, earlier.not_before) {
                self.not_before = Some(time.min(earlier.max(Instant::now() + GRACE)));
            }
            self.rows.append(earlier.rows);
            self.deletions.extend(earlier.deletions);
            self.waiting.extend(earlier.waiting);
        }
        self.waiting.extend(waiting);
    }

    /// When rows may be removed, `None` for at once.
    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether there is something to do by now.
    pub fn is_due(&self) -> bool {
        !self.looked_through || self.removes() || self.is_done()
    }

    /// Whether there are rows to remove by now.
    pub fn removes(&self) -> bool {
        self.looked_through && !self.rows.is_empty() && self.not_before.is_none_or(|time| time <= Instant::now())
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.looked_through && self.rows.is_empty()
    }

    /// What is superfluous in the next slice of keys, `None` when all have been looked at.
    pub fn look(&self, index: &Index) -> Option<Superfluous> {
        let next = || index.superfluous(self.revision, self.cursor.as_deref(), SLICE_KEYS, SLICE_VERSIONS);
        (!self.looked_through).then(next)
    }

    /// Notes what has been found and forgotten.
    pub fn found(&mut self, found: Superfluous) {
        found.rows.iter().for_each(|id| self.rows.insert(*id));
        self.deletions.extend(found.deletions);
        self.cursor = found.cursor;
        self.looked_through = !found.more;
    }

    /// The rows to remove next.
    pub fn next_rows(&self) -> Vec<i64> {
        self.rows.first(self.slice)
    }

    /// Notes that rows have been removed by a commit that took that long. Returns the deletions among them, with their
    /// keys.
    pub fn removed(&mut self, ids: &[i64], took: Duration) -> Vec<(i64, Box<[u8]>)> {
        self.rows.remove(ids);
        let slice = if took > COMMIT { self.slice / 2 } else { self.slice * 2 };
        self.slice = slice.clamp(FEWEST_ROWS, MOST_ROWS);
        ids.iter().filter_map(|id| self.deletions.remove_entry(id)).collect()
    }

    /// Notes that rows could not be removed, and tells whoever waits for that. It will be tried again after a while.
    pub fn failed(&mut self, error: Error) {
        self.not_before = Some(Instant::now() + RETRY);
        for reply in self.waiting.drain(..) {
            answer(reply, Err(error));
        }
    }

    /// The time since it began.
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells whoever waits for the rows to be gone.
    pub fn finish(self, revision: i64) {
        for reply in self.waiting {
            answer(reply, Ok(revision));
        }
    }
}
