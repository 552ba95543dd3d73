//! The recent changes of one resource, shared by all its watchers.

use crate::storage::change::Change;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Changes that are always kept.
const MIN_CHANGES: usize = 100;
/// Changes that are kept at most.
const MAX_CHANGES: usize = 10_000;
/// How long changes are kept, so that a watcher that reconnects finds what it missed (k8s.io/apiserver
/// `cacher.DefaultEventFreshDuration`).
const FRESH: Duration = Duration::from_secs(75);
/// What the history of one resource may cost.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A window over the changes of one resource.
#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<(Instant, Arc<Change>)>,
    /// The number of the first change in the window; changes are numbered from 0 since the last reset.
    first: u64,
    /// Every change after this revision is in the window.
    complete_after: u64,
    bytes: usize,
}

/// A watcher wants changes that are no longer in the window.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooOld {
    /// The oldest revision that a watcher can start from.
    pub(super) oldest: u64,
}

impl History {
    /// Forgets everything; the window is complete from `revision` on.
    pub(super) fn reset(&mut self, revision: u64) {
        // Numbers never go back, so that no watcher takes a later change for one it has seen.
        self.first = self.end();
        self.changes = VecDeque::new();
        self.complete_after = revision;
        self.bytes = 0;
    }

    /// Adds the newest change and drops old ones that are not needed any more.
    pub(super) fn push(&mut self, change: Arc<Change>, now: Instant) {
        self.bytes += change.cost();
        self.changes.push_back((now, change));
        while let Some((added, oldest)) = self.changes.front() {
            let crowded = self.changes.len() > MAX_CHANGES || self.bytes > MAX_BYTES;
            let stale = now.saturating_duration_since(*added) > FRESH;
            if self.changes.len() <= MIN_CHANGES && self.bytes <= MAX_BYTES || !(crowded || stale) {
                break;
            }
            self.complete_after = oldest.revision;
            self.bytes -= oldest.cost();
            self.first += 1;
            self.changes.pop_front();
        }
    }

    /// The number that the next change will get.
    pub(super) fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    /// The oldest revision that a watcher can start from.
    pub(super) fn oldest(&self) -> u64 {
        self.complete_after
    }

    /// The number of the first change after a revision.
    pub(super) fn after(&self, revision: u64) -> Result<u64, TooOld> {
        if revision < self.complete_after {
            return Err(TooOld {
                oldest: self.complete_after,
            });
        }
        Ok(self.first + self.changes.partition_point(|(_, change)| change.revision <= revision) as u64)
    }

    /// At most `limit` changes from a number on; `None` when some of them are gone.
    pub(super) fn from(&self, number: u64, limit: usize) -> Option<impl Iterator<Item = &Arc<Change>>> {
        let skip = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some(self.changes.iter().skip(skip).take(limit).map(|(_, change)| change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: u64) -> Arc<Change> {
        Arc::new(Change::new(revision, None, None))
    }

    fn filled(revisions: std::ops::RangeInclusive<u64>) -> (History, Instant) {
        let (mut history, now) = (History::default(), Instant::now());
        history.reset(revisions.start() - 1);
        for revision in revisions {
            history.push(change(revision), now);
        }
        (history, now)
    }

    #[test]
    fn changes_are_found_by_revision() {
        let (history, _) = filled(11..=13);
        assert_eq!(history.after(9), Err(TooOld { oldest: 10 }));
        for (revision, expected) in [(10, vec![11, 12, 13]), (12, vec![13]), (13, vec![]), (99, vec![])] {
            let start = history.after(revision).unwrap();
            let found: Vec<u64> = history.from(start, 10).unwrap().map(|change| change.revision).collect();
            assert_eq!(found, expected);
        }
        let two: Vec<u64> = history.from(0, 2).unwrap().map(|change| change.revision).collect();
        assert_eq!(two, [11, 12]);
    }

    #[test]
    fn fresh_changes_are_kept_and_stale_ones_go() {
        let (mut history, now) = filled(1..=1000);
        assert_eq!(history.changes.len(), 1000);
        history.push(change(1001), now + FRESH + Duration::from_secs(1));
        assert_eq!(history.changes.len(), MIN_CHANGES);
        assert_eq!(history.after(900), Err(TooOld { oldest: 901 }));
        assert!(
            history.from(0, 1).is_none(),
            "a watcher that stopped there has fallen behind"
        );
        assert!(history.from(history.end(), 1).unwrap().next().is_none());
    }

    #[test]
    fn number_and_size_are_bounded() {
        let (history, _) = filled(1..=(MAX_CHANGES as u64 + 500));
        assert_eq!(history.changes.len(), MAX_CHANGES);
        assert_eq!(
            history.bytes,
            history.changes.iter().map(|(_, change)| change.cost()).sum::<usize>()
        );
    }

    #[test]
    fn a_reset_never_reuses_numbers() {
        let (mut history, now) = filled(1..=5);
        let end = history.end();
        history.reset(20);
        history.push(change(21), now);
        assert!(history.from(end - 1, 1).is_none());
        assert_eq!(history.after(20).unwrap(), end);
    }
}
