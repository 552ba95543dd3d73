//! A compaction under way: it looks at every key once, a slice at a time, so that no write waits for long.

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
    cursor: Option<Box<[u8]>>,
    waiting: Vec<Reply<i64>>,
}

impl Compaction {
    /// A compaction to `revision` that has not looked at any key yet.
    pub fn new(revision: i64) -> Self {
        Self {
            revision,
            cursor: None,
            waiting: Vec::new(),
        }
    }

    /// Replaces an earlier compaction: whoever waits for that one waits for this one too.
    pub fn take_over(&mut self, earlier: Option<Self>, waiting: Vec<Reply<i64>>) {
        self.waiting
            .extend(earlier.into_iter().flat_map(|earlier| earlier.waiting));
        self.waiting.extend(waiting);
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

    /// Tells whoever waits for the rows to be gone.
    pub fn finish(self, result: Result<i64, Error>) {
        for reply in self.waiting {
            answer(reply, result);
        }
    }
}
