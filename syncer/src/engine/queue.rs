//! The work queue: lanes take turns, a key is in one hand at a time, and the clock is a parameter.
//!
//! A lane is a virtual namespace. However many keys one lane holds, another lane's next key waits for one turn only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// First and last delay after a failure; each failure doubles it.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(30);

/// Something that belongs to a lane.
pub trait Laned: Clone + Eq + Hash + Ord {
    /// The name of the lane.
    fn lane(&self) -> &str;
}

/// Keys that wait, are worked on, or become due later.
#[derive(Debug)]
pub struct FairQueue<K> {
    lanes: HashMap<String, VecDeque<K>>,
    turns: VecDeque<String>,
    queued: HashSet<K>,
    running: HashSet<K>,
    /// Keys that changed while they were worked on.
    again: HashSet<K>,
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    /// How often work on a key failed in a row, and since when.
    failures: BTreeMap<K, (u32, Instant)>,
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            queued: HashSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<K: Laned> FairQueue<K> {
    /// Asks for work on a key, now.
    pub fn push(&mut self, key: K) {
        if self.running.contains(&key) {
            self.again.insert(key);
            return;
        }
        if let Some(at) = self.due.remove(&key) {
            self.later.remove(&(at, key.clone()));
        }
        if !self.queued.insert(key.clone()) {
            return;
        }
        let lane = key.lane().to_owned();
        let waiting = self.lanes.entry(lane.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(key);
    }

    /// Asks for work on a key at some time; the earliest request counts.
    pub fn push_at(&mut self, key: K, at: Instant) {
        if self.queued.contains(&key) || self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        if let Some(old) = self.due.insert(key.clone(), at) {
            self.later.remove(&(old, key.clone()));
        }
        self.later.insert((at, key));
    }

    /// Asks for work on a key after a failure, later each time and not before `at_least`; returns for how long it has failed.
    pub fn push_failed(&mut self, key: K, at_least: Duration, now: Instant) -> Duration {
        let (failures, since) = self.failures.entry(key.clone()).or_insert((0, now));
        let delay = BACKOFF
            .start()
            .saturating_mul(1 << (*failures).min(16))
            .min(*BACKOFF.end())
            .max(at_least);
        *failures += 1;
        let failing = now.saturating_duration_since(*since);
        self.push_at(key, now + delay);
        failing
    }

    /// Says that a key did not fail.
    pub fn succeed(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Takes the next key; the caller hands it back with [`FairQueue::done`].
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        while let Some((at, key)) = self.later.first().cloned()
            && at <= now
        {
            self.later.remove(&(at, key.clone()));
            self.due.remove(&key);
            self.push(key);
        }
        let lane = self.turns.pop_front()?;
        let waiting = self.lanes.get_mut(&lane)?;
        let key = waiting.pop_front()?;
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// Hands a key back; it comes again at once if it was asked for meanwhile.
    pub fn done(&mut self, key: &K) {
        self.running.remove(key);
        if self.again.remove(key) {
            self.push(key.clone());
        }
    }

    /// Whether a key will come by itself.
    pub fn is_waiting(&self, key: &K) -> bool {
        self.queued.contains(key) || self.running.contains(key) || self.due.contains_key(key)
    }

    /// When the next key becomes due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// The keys that wait for their turn.
    pub fn queued(&self) -> impl Iterator<Item = &K> {
        self.queued.iter()
    }

    /// The keys whose last attempt failed.
    pub fn retrying(&self) -> impl Iterator<Item = &K> {
        self.failures.keys()
    }

    /// How many keys wait for their turn.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether no key waits for its turn.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Key = (String, u32);

    impl Laned for Key {
        fn lane(&self) -> &str {
            &self.0
        }
    }

    fn key(lane: &str, number: u32) -> Key {
        (lane.to_owned(), number)
    }

    #[test]
    fn lanes_take_turns() {
        let mut queue = FairQueue::default();
        let now = Instant::now();
        for number in 0..100 {
            queue.push(key("busy", number));
        }
        queue.push(key("quiet", 0));
        let first: Vec<Key> = (0..2).filter_map(|_| queue.pop(now)).collect();
        assert_eq!(first, [key("busy", 0), key("quiet", 0)]);
    }

    #[test]
    fn a_key_is_in_one_hand_and_is_not_forgotten() {
        let mut queue = FairQueue::default();
        let now = Instant::now();
        queue.push(key("a", 1));
        queue.push(key("a", 1));
        let taken = queue.pop(now).expect("a key");
        queue.push(taken.clone());
        assert_eq!(queue.pop(now), None);
        queue.done(&taken);
        assert_eq!(queue.pop(now), Some(taken.clone()));
        queue.done(&taken);
        assert_eq!(queue.pop(now), None);
    }

    #[test]
    fn failures_are_tried_again_ever_later() {
        let mut queue = FairQueue::default();
        let began = Instant::now();
        let (mut now, mut last) = (began, Duration::ZERO);
        for _ in 0..20 {
            assert_eq!(queue.push_failed(key("a", 1), Duration::ZERO, now), now - began);
            let due = queue.next_due().expect("a time");
            assert!(due - now >= last && due - now <= *BACKOFF.end());
            assert_eq!(queue.pop(now), None);
            let taken = queue.pop(due).expect("due");
            queue.done(&taken);
            (last, now) = (due - now, due);
        }
        assert_eq!(last, *BACKOFF.end());
        queue.succeed(&key("a", 1));
        assert_eq!(queue.push_failed(key("a", 1), Duration::ZERO, now), Duration::ZERO);
        assert_eq!(queue.next_due(), Some(now + *BACKOFF.start()));
        queue.push(key("a", 1));
        assert!(queue.pop(now).is_some(), "news does not wait for the delay");
        assert_eq!(queue.next_due(), None);
        queue.push_failed(key("b", 1), Duration::from_secs(7), now);
        assert_eq!(
            queue.next_due(),
            Some(now + Duration::from_secs(7)),
            "the server knows better"
        );
    }

    proptest! {
        /// Every key that was asked for is worked on after its last request.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0..3u8, 0..3u32, 0..4u8), 1..80)) {
            let mut queue = FairQueue::default();
            let now = Instant::now();
            let mut wanted = HashSet::new();
            let mut running: Vec<Key> = Vec::new();
            for (lane, number, action) in steps {
                let key = key(&lane.to_string(), number);
                match action {
                    0 => { queue.push(key.clone()); wanted.insert(key); }
                    1 => { queue.push_at(key.clone(), now + Duration::from_secs(1)); wanted.insert(key); }
                    2 => if let Some(key) = queue.pop(now) {
                        prop_assert!(!running.contains(&key));
                        if !queue.again.contains(&key) { wanted.remove(&key); }
                        running.push(key);
                    },
                    _ => if let Some(key) = running.pop() { queue.done(&key); },
                }
            }
            for key in running { queue.done(&key); }
            while let Some(key) = queue.pop(now + Duration::from_secs(2)) {
                wanted.remove(&key);
                queue.done(&key);
            }
            prop_assert!(wanted.is_empty());
            prop_assert!(queue.is_empty() && queue.turns.is_empty() && queue.lanes.is_empty());
        }
    }
}
