//! When the writer takes its next group.
//!
//! Clients ask again once they are answered, so those of the last group come back while the next one is committed. If the
//! writer took whatever is there when it is done, it would often take the first few of those that are just coming back:
//! small groups that cost a commit each, while the rest waits; and if it took all of those that a pause has gathered, nobody
//! would be left to be answered meanwhile. With about half of all active clients in each group, one half is committed while
//! the other one is answered and asks again, and neither thread waits for the other.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How long to wait at most for a group to become as large as the other half.
const LONGEST: Duration = Duration::from_millis(1);
/// Groups smaller than this are not worth waiting for: what their commit takes hardly depends on their size, so few clients
/// are better off all in one group than in two that take turns.
const SMALLEST: usize = 16;

/// Wakes the writer once enough requests are there.
#[derive(Debug)]
pub struct Bell {
    /// How many are enough; none ever are while nobody waits for them.
    enough: AtomicUsize,
    writer: OnceLock<Thread>,
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            enough: AtomicUsize::new(usize::MAX),
            writer: OnceLock::new(),
        }
    }
}

impl Bell {
    /// A request has come, so that there are `waiting` now.
    pub fn arrived(&self, waiting: usize) {
        if waiting >= self.enough.load(Ordering::SeqCst)
            && self.enough.swap(usize::MAX, Ordering::SeqCst) != usize::MAX
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Waits until `enough` requests are there, for some time at most.
    fn wait_until(&self, deadline: Instant, enough: usize, waiting: impl Fn() -> usize) {
        self.writer.get_or_init(thread::current);
        self.enough.store(enough, Ordering::SeqCst);
        while waiting() < enough {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        self.enough.store(usize::MAX, Ordering::SeqCst);
    }
}

/// What the last group says about the next one.
#[derive(Debug)]
pub(super) struct Pace {
    answered: usize,
    until: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            answered: 0,
            until: Instant::now(),
        }
    }
}

impl Pace {
    /// Notes a group of `answered` requests that is done after `took`.
    pub(super) fn done(&mut self, answered: usize, took: Duration) {
        self.answered = answered;
        self.until = Instant::now() + (took / 2).min(LONGEST);
    }

    /// The size of the next group, when `waiting` requests are there as the last one is done; `None` if it does not matter.
    pub(super) fn half(&self, waiting: usize) -> Option<usize> {
        Some((self.answered + waiting) / 2).filter(|half| *half >= SMALLEST)
    }

    /// Waits until `half` of the requests are there, but not much longer than half the time that the last group took,
    /// counted from its end: whoever comes to a writer at rest is served at once, and so is a single client.
    pub(super) fn gather(&self, bell: &Bell, half: usize, waiting: impl Fn() -> usize) {
        bell.wait_until(self.until, half, waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// How many requests the group after one of `answered` has that begins with `waiting` of them, with others coming.
    fn next(answered: usize, waiting: usize) -> usize {
        let mut pace = Pace::default();
        pace.done(answered, Duration::ZERO);
        pace.until += Duration::from_secs(3600);
        let Some(half) = pace.half(waiting) else { return waiting };
        let bell = Arc::new(Bell::default());
        let arrived = Arc::new(AtomicUsize::new(waiting));
        let client = thread::spawn({
            let (arrived, bell) = (arrived.clone(), bell.clone());
            move || (0..answered).for_each(|_| bell.arrived(arrived.fetch_add(1, Ordering::SeqCst) + 1))
        });
        pace.gather(&bell, half, || arrived.load(Ordering::SeqCst));
        assert!(arrived.load(Ordering::SeqCst) >= half);
        client.join().expect("client");
        half
    }

    #[test]
    fn groups_are_balanced_and_nobody_waits_alone() {
        for (answered, waiting, expected) in [
            (1, 1, 1),
            (2, 1, 1),
            (50, 50, 50),
            (30, 70, 50),
            (100, 0, 50),
            (64, 36, 50),
        ] {
            let next = next(answered, waiting);
            assert_eq!(next, expected, "{answered} answered, {waiting} waiting");
        }
    }

    #[test]
    fn whoever_comes_later_does_not_wait() {
        let mut pace = Pace::default();
        pace.done(100, Duration::ZERO);
        pace.gather(&Bell::default(), 50, || 1);
        assert!(pace.until <= Instant::now());
    }
}
