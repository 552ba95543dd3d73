//! A work queue with the guarantees of client-go's `workqueue`: a key is worked on by one worker at a time, a key added while
//! it is worked on runs once more afterwards, and failures come back after an exponentially growing delay.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock;

/// First and last delay of the exponential backoff (`workqueue.DefaultTypedControllerRateLimiter`).
const BASE_DELAY: Duration = Duration::from_millis(5);
const MAX_DELAY: Duration = Duration::from_secs(1000);

/// A queue of keys; clones share the same queue.
#[derive(Debug)]
pub struct WorkQueue<K>(Arc<Shared<K>>);

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// Keys that have to be worked on, in `ready` or waiting for the worker that has them in hand.
    dirty: HashSet<K>,
    processing: HashSet<K>,
    delayed: BTreeMap<(Instant, u64), K>,
    sequence: u64,
    failures: HashMap<K, u32>,
}

impl<K: Clone + Eq + Hash + Debug> Default for WorkQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash + Debug> WorkQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            delayed: BTreeMap::new(),
            sequence: 0,
            failures: HashMap::new(),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            wake: Notify::new(),
        }))
    }

    /// Adds a key unless it already waits.
    pub fn add(&self, key: K) {
        lock(&self.0.state).enqueue(key);
        self.0.wake.notify_one();
    }

    /// Adds a key once `delay` has passed.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut state = lock(&self.0.state);
        state.sequence += 1;
        let slot = (Instant::now() + delay, state.sequence);
        state.delayed.insert(slot, key);
        drop(state);
        self.0.wake.notify_one();
    }

    /// Adds a key after a delay that doubles with every failure since the last [`WorkQueue::forget`].
    pub fn add_rate_limited(&self, key: K) {
        let failures = {
            let mut state = lock(&self.0.state);
            let count = state.failures.entry(key.clone()).or_insert(0);
            *count = count.saturating_add(1);
            *count
        };
        self.add_after(key, backoff(failures));
    }

    /// Resets the backoff of a key.
    pub fn forget(&self, key: &K) {
        lock(&self.0.state).failures.remove(key);
    }

    /// Number of keys ready to be worked on.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0.state).ready.len()
    }

    /// Whether no key is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the next key; it is the caller's until [`WorkQueue::done`].
    pub async fn next(&self) -> K {
        loop {
            let deadline = {
                let mut state = lock(&self.0.state);
                state.promote(Instant::now());
                if let Some(key) = state.take() {
                    // One permit wakes one worker: pass it on while there is more to do.
                    if !state.ready.is_empty() || !state.delayed.is_empty() {
                        self.0.wake.notify_one();
                    }
                    return key;
                }
                state.delayed.first_key_value().map(|(slot, _)| slot.0)
            };
            match deadline {
                Some(deadline) => tokio::select! {
                    () = self.0.wake.notified() => {}
                    () = tokio::time::sleep_until(deadline) => {}
                },
                None => self.0.wake.notified().await,
            }
        }
    }

    /// Gives a key back; it is queued again if it was added meanwhile.
    pub fn done(&self, key: &K) {
        let mut state = lock(&self.0.state);
        state.processing.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.0.wake.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn enqueue(&mut self, key: K) {
        if self.dirty.insert(key.clone()) && !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let key = entry.remove();
            self.enqueue(key);
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.processing.insert(key.clone());
        Some(key)
    }
}

/// The delay after the n-th failure in a row, counted from one.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    BASE_DELAY.saturating_mul(1 << doublings).min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_added_while_processed_runs_once_more() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("a");
        assert!(queue.is_empty(), "not handed to a second worker");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_keys_come_in_order_of_their_deadline() {
        let queue = WorkQueue::new();
        queue.add_after("late", Duration::from_secs(5));
        queue.add_after("soon", Duration::from_secs(1));
        queue.add("now");
        assert_eq!(queue.next().await, "now");
        assert_eq!(queue.next().await, "soon");
        assert_eq!(queue.next().await, "late");
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiting_worker_is_woken() {
        let queue = WorkQueue::new();
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        for key in [1, 2, 3] {
            queue.add(key);
        }
        let mut seen = Vec::new();
        for worker in workers {
            seen.push(worker.await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn backoff_doubles_up_to_the_limit() {
        let table = [
            (1, 5),
            (2, 10),
            (3, 20),
            (10, 2560),
            (18, 655_360),
            (19, 1_000_000),
            (u32::MAX, 1_000_000),
        ];
        for (failures, millis) in table {
            assert_eq!(backoff(failures), Duration::from_millis(millis), "{failures} failures");
        }
    }
}
