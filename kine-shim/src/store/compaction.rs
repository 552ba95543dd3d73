//! A compaction under way: it looks at every key once, a slice at a time, so that no write waits for long.

use std::time::{Duration, Instant};

use super::{
    command::{Reply, answer},
    index::{Index, Superfluous},
};
use crate::error::Error;

/// Keys looked at in one slice.
const SLICE_KEYS: usize = 4096;
/// Rows removed in one slice.
const SLICE_ROWS: usize = 256;

/// A compaction under way.
#[derive(Debug)]
pub struct Compaction {
    revision: i64,
    began: Instant,
    /// Rows stay until then, for the sake of peers.
    not_before: Option<Instant>,
    /// A peer removes the rows; what is left to do is to forget them.
    forgets: bool,
    cursor: Option<Box<[u8]>>,
    waiting: Vec<Reply<i64>>,
}

impl Compaction {
    /// A compaction to `revision` that has not looked at any key yet, and that removes no row before `not_before`.
    pub fn new(revision: i64, not_before: Option<Instant>) -> Self {
        Self {
            revision,
            began: Instant::now(),
            not_before,
            forgets: false,
            cursor: None,
            waiting: Vec::new(),
        }
    }

    /// A compaction whose rows a peer removes.
    pub fn by_peer(revision: i64) -> Self {
        Self {
            forgets: true,
            ..Self::new(revision, None)
        }
    }

    /// Replaces an earlier compaction: whoever waits for that one waits for this one too, and what that one had to remove
    /// is not left to a peer.
    pub fn take_over(&mut self, earlier: Option<Self>, waiting: Vec<Reply<i64>>) {
        if let Some(earlier) = earlier {
            self.forgets &= earlier.forgets;
            self.waiting.extend(earlier.waiting);
        }
        self.waiting.extend(waiting);
    }

    /// Whether the database has a part in it.
    pub fn removes(&self) -> bool {
        !self.forgets
    }

    /// Whether a slice may be removed by now.
    pub fn is_due(&self) -> bool {
        self.not_before.is_none_or(|time| time <= Instant::now())
    }

    /// What the next slice has to remove.
    pub fn slice(&self, index: &Index) -> Superfluous {
        index.superfluous(self.revision, self.cursor.as_deref(), SLICE_KEYS, SLICE_ROWS)
    }

    /// Notes that a slice has been removed. Returns whether there is more to do.
    pub fn advance(&mut self, removed: &Superfluous) -> bool {
        self.cursor.clone_from(&removed.cursor);
        self.cursor.is_some()
    }

    /// The time since it began.
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells whoever waits for the rows to be gone.
    pub fn finish(self, result: Result<i64, Error>) {
        for reply in self.waiting {
            answer(reply, result);
        }
    }
}
