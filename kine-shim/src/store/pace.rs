//! When the writer takes its next group.
//!
//! Clients ask again once they are answered, so those of the last group come back while the next one is committed. If the
//! writer took whatever is there when it is done, it would often take the first few of those that are just coming back:
//! small groups that cost a commit each, while the rest waits. With about half of all active clients in each group, one
//! half is committed while the other one is answered and asks again, and neither thread waits for the other.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long to wait at most for a group to become as large as the other half.
const LONGEST: Duration = Duration::from_millis(1);
/// Groups smaller than this are not worth waiting for: what their commit takes hardly depends on their size, so few clients
/// are better off all in one group than in two that take turns.
const SMALLEST: usize = 16;
/// How long to sleep before looking again.
const PAUSE: Duration = Duration::from_micros(30);

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

    /// The size of a group that is worth being taken at once, when `waiting` requests are there as the last one is done.
    pub(super) fn half(&self, waiting: usize) -> usize {
        let half = (self.answered + waiting) / 2;
        if half < SMALLEST { 0 } else { half }
    }

    /// Waits until `enough` requests are there, but not much longer than half the time that the last group took, counted
    /// from its end: whoever comes to a writer at rest is served at once, and so is a single client.
    pub(super) fn gather(&self, enough: usize, waiting: impl Fn() -> usize) {
        while waiting() < enough && Instant::now() < self.until {
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often a writer looks before it takes a group, when one more request arrives each time.
    fn looks(answered: usize, waiting: usize) -> usize {
        let mut pace = Pace::default();
        pace.done(answered, Duration::from_secs(3600));
        pace.until += Duration::from_secs(3600);
        let arrived = Cell::new(waiting);
        pace.gather(pace.half(waiting), || arrived.replace(arrived.get() + 1));
        arrived.get() - waiting - 1
    }

    #[test]
    fn groups_are_balanced_and_nobody_waits_alone() {
        for (answered, waiting, expected) in [
            (1, 1, 0),
            (2, 1, 0),
            (50, 50, 0),
            (30, 70, 0),
            (100, 0, 50),
            (64, 36, 14),
        ] {
            assert_eq!(
                looks(answered, waiting),
                expected,
                "{answered} answered, {waiting} waiting"
            );
        }
    }

    #[test]
    fn whoever_comes_later_does_not_wait() {
        let mut pace = Pace::default();
        pace.done(100, Duration::ZERO);
        pace.gather(pace.half(0), || 1);
        assert!(pace.until <= Instant::now());
    }
}
