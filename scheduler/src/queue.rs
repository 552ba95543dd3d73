//! Pods that wait for a node: ready ones by priority and age, failed ones until something changes that could help and their
//! backoff has passed (`pkg/scheduler/backend/queue`).

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use client::ObjectKey;
use jiff::Timestamp;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// After this time a pod is tried again even if nothing seems to have changed.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    priority: i32,
    queued: Reverse<Option<Timestamp>>,
    key: ObjectKey,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.priority, &self.queued)
            .cmp(&(other.priority, &other.queued))
            .then_with(|| other.key.cmp(&self.key))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
struct Waiting {
    priority: i32,
    created: Option<Timestamp>,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    /// Taken by the scheduler; `changed` when the cluster changed since.
    InHand {
        changed: bool,
    },
    /// Failed; `changed` when something happened since that could help.
    Failed {
        at: Instant,
        changed: bool,
    },
}

/// The queue; the clock is a parameter.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pods: HashMap<ObjectKey, Waiting>,
    active: BinaryHeap<Entry>,
}

impl Queue {
    /// Adds a pod, or notes that it changed itself, which is always a reason to try again.
    pub(crate) fn add(&mut self, key: ObjectKey, priority: i32, created: Option<Timestamp>) {
        match self.pods.get_mut(&key).map(|waiting| &mut waiting.state) {
            Some(State::Active) => {}
            Some(State::InHand { changed } | State::Failed { changed, .. }) => *changed = true,
            None => {
                self.pods.insert(
                    key.clone(),
                    Waiting {
                        priority,
                        created,
                        attempts: 0,
                        state: State::Active,
                    },
                );
                self.active.push(Entry {
                    priority,
                    queued: Reverse(created),
                    key,
                });
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.pods.remove(key);
    }

    /// The next pod to try.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<ObjectKey> {
        self.promote(now);
        while let Some(entry) = self.active.pop() {
            // Removed pods leave their entry behind.
            if let Some(waiting) = self.pods.get_mut(&entry.key)
                && waiting.state == State::Active
            {
                waiting.attempts = waiting.attempts.saturating_add(1);
                waiting.state = State::InHand { changed: false };
                return Some(entry.key);
            }
        }
        None
    }

    /// The attempt failed.
    pub(crate) fn failed(&mut self, key: &ObjectKey, now: Instant) {
        if let Some(waiting) = self.pods.get_mut(key)
            && let State::InHand { changed } = waiting.state
        {
            waiting.state = State::Failed { at: now, changed };
        }
    }

    /// Something in the cluster changed that may make room for pods that failed.
    pub(crate) fn cluster_changed(&mut self) {
        for waiting in self.pods.values_mut() {
            if let State::InHand { changed } | State::Failed { changed, .. } = &mut waiting.state {
                *changed = true;
            }
        }
    }

    /// When to look again although nobody added anything.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pods.values().filter_map(Waiting::due).min()
    }

    fn promote(&mut self, now: Instant) {
        for (key, waiting) in &mut self.pods {
            if waiting.due().is_some_and(|due| due <= now) {
                waiting.state = State::Active;
                self.active.push(Entry {
                    priority: waiting.priority,
                    queued: Reverse(waiting.created),
                    key: key.clone(),
                });
            }
        }
    }
}

impl Waiting {
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Failed { at, changed: true } => Some(at + backoff(self.attempts)),
            State::Failed { at, changed: false } => Some(at + LONGEST_WAIT),
            State::Active | State::InHand { .. } => None,
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF
        .saturating_mul(1 << attempts.saturating_sub(1).min(10))
        .min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn priority_first_then_age() {
        let mut queue = Queue::default();
        queue.add(key("young"), 0, at(20));
        queue.add(key("old"), 0, at(10));
        queue.add(key("important"), 5, at(30));
        queue.add(key("gone"), 9, at(1));
        queue.remove(&key("gone"));
        let now = Instant::now();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(now)).map(|key| key.name).collect();
        assert_eq!(order, ["important", "old", "young"]);
    }

    #[test]
    fn a_failed_pod_waits_for_a_change_and_its_backoff() {
        let mut queue = Queue::default();
        let start = Instant::now();
        queue.add(key("p"), 0, at(1));
        assert!(queue.pop(start).is_some());
        queue.failed(&key("p"), start);
        assert_eq!(queue.pop(start + Duration::from_secs(60)), None, "nothing changed");
        queue.cluster_changed();
        assert_eq!(queue.pop(start + Duration::from_millis(900)), None, "backoff");
        assert_eq!(queue.next_deadline(), Some(start + Duration::from_secs(1)));
        assert!(queue.pop(start + Duration::from_secs(1)).is_some());
        queue.cluster_changed();
        queue.failed(&key("p"), start + Duration::from_secs(1));
        assert!(
            queue.pop(start + Duration::from_secs(3)).is_some(),
            "a change during the attempt counts"
        );
        queue.failed(&key("p"), start + Duration::from_secs(3));
        assert!(
            queue.pop(start + Duration::from_secs(303)).is_some(),
            "the longest wait"
        );
    }

    #[test]
    fn backoff_doubles_up_to_ten_seconds() {
        for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (u32::MAX, 10)] {
            assert_eq!(backoff(attempts), Duration::from_secs(seconds));
        }
    }
}
