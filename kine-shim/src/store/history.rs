//! The most recent events, shared by every watcher. What is older is read from the database.

use std::{collections::VecDeque, sync::Arc};

use proto::mvccpb::{Event, KeyValue};

use super::range::KeyRange;

/// Most bytes of events kept.
const MAX_BYTES: usize = 2 << 20;
/// Bytes of events after which no further ones are read at once, so that a slow reader holds on to few.
const MAX_READ_BYTES: usize = 512 << 10;
/// Most events kept.
const MAX_EVENTS: usize = 4096;

/// An event with the revision it belongs to.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The revision.
    pub revision: i64,
    /// The event.
    pub event: Arc<Event>,
    /// It tells what was before, as watchers with `prev_kv` want to know, if there was anything.
    pub whole: bool,
}

/// A bounded run of events without a gap, up to the newest one.
#[derive(Debug)]
pub struct History {
    entries: VecDeque<Entry>,
    /// Every event of this revision and later ones is here.
    complete_from: i64,
    bytes: usize,
}

impl History {
    /// A history that starts after `revision`.
    pub fn after(revision: i64) -> Self {
        Self {
            entries: VecDeque::new(),
            complete_from: revision + 1,
            bytes: 0,
        }
    }

    /// Adds the newest event.
    pub fn push(&mut self, entry: Entry) {
        self.bytes += cost(&entry.event);
        self.entries.push_back(entry);
        while self.bytes > MAX_BYTES || self.entries.len() > MAX_EVENTS {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= cost(&oldest.event);
            self.complete_from = oldest.revision + 1;
        }
    }

    /// The events of `range` from revision `from` on: at most about `limit`, never a part of a revision. `None` when the
    /// history does not reach back that far, or does not know what was before, which `before` asks for. With the events comes the revision they are complete up to, `newest` when
    /// nothing was left out.
    pub fn read(
        &self,
        range: &KeyRange,
        before: bool,
        from: i64,
        newest: i64,
        limit: usize,
    ) -> Option<(Vec<Entry>, i64)> {
        if from < self.complete_from {
            return None;
        }
        let start = self.entries.partition_point(|entry| entry.revision < from);
        let mut found: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in self.entries.range(start..) {
            if (found.len() >= limit || bytes >= MAX_READ_BYTES)
                && found.last().is_some_and(|last| last.revision != entry.revision)
            {
                return Some((found, entry.revision - 1));
            }
            if entry.event.kv.as_ref().is_some_and(|kv| range.contains(&kv.key)) {
                if before && !entry.whole {
                    return None;
                }
                bytes += cost(&entry.event);
                found.push(entry.clone());
            }
        }
        Some((found, newest))
    }
}

/// What keeping an event takes.
fn cost(event: &Event) -> usize {
    let kv = |kv: &Option<KeyValue>| kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
    kv(&event.kv) + kv(&event.prev_kv) + 400
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(revision: i64, key: &str, size: usize) -> Entry {
        let kv = KeyValue {
            key: key.to_owned().into(),
            value: vec![0; size].into(),
            ..Default::default()
        };
        let event = Arc::new(Event {
            kv: Some(kv),
            ..Default::default()
        });
        Entry {
            revision,
            event,
            whole: true,
        }
    }

    fn all() -> KeyRange {
        KeyRange::new(&Bytes::from_static(b"\0"), &Bytes::from_static(b"\0"))
    }

    #[test]
    fn never_splits_a_revision() {
        let mut history = History::after(1);
        for (revision, key) in [(2, "a"), (3, "a"), (3, "b"), (3, "c"), (4, "a")] {
            history.push(entry(revision, key, 1));
        }
        let read = |from, limit| {
            history
                .read(&all(), false, from, 4, limit)
                .map(|(events, upto)| (events.len(), upto))
        };
        assert_eq!(read(2, 2), Some((4, 3)));
        assert_eq!(read(2, 1), Some((1, 2)));
        assert_eq!(read(4, 10), Some((1, 4)));
        assert_eq!(read(1, 10), None);
        let only_b = KeyRange::new(&Bytes::from_static(b"b"), &Bytes::new());
        assert_eq!(
            history
                .read(&only_b, false, 2, 4, 10)
                .map(|(events, upto)| (events.len(), upto)),
            Some((1, 4))
        );
    }

    #[test]
    fn is_bounded_and_says_how_far_it_reaches() {
        let mut history = History::after(1);
        for revision in 2..50 {
            history.push(entry(revision, "a", MAX_BYTES / 8));
        }
        assert!(history.bytes <= MAX_BYTES);
        assert!(history.read(&all(), false, 2, 49, 10).is_none());
        assert!(history.read(&all(), false, 49, 49, 10).is_some());
        // An event too large to keep moves the start past itself.
        history.push(entry(50, "a", 2 * MAX_BYTES));
        assert!(history.read(&all(), false, 50, 50, 10).is_none());
        assert_eq!(
            history.read(&all(), false, 51, 50, 10).map(|(events, _)| events.len()),
            Some(0)
        );
    }
}
