//! How much is asked of an API server at a time: a little more with every answer, half as much whenever it pushes back
//! (additive increase, multiplicative decrease), and nothing at all for the moment that it asks for.
//!
//! Servers of Kubernetes push back with 429 and `Retry-After` when the queues of API Priority and Fairness are full.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is worked on at the same time when nobody pushes back.
const MOST: f64 = 64.0;
/// What is always tried: else nothing would be heard of better times.
const LEAST: f64 = 1.0;
/// Longest time for which nothing is asked. What was pushed back itself waits for as long as the server says; others find
/// out earlier, one by one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The state for one API server.
#[derive(Debug)]
pub struct Flow {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: f64,
    /// When it was last halved: answers to what was asked before say nothing new.
    halved: Option<Instant>,
    resume: Option<Instant>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                limit: MOST,
                halved: None,
                resume: None,
            }),
        }
    }
}

impl Flow {
    /// A request that was sent at `sent` was answered now. Returns whether the server pushed back.
    pub fn answered(&self, code: u16, retry_after: Option<Duration>, sent: Instant, now: Instant) -> bool {
        let pushed_back = match code {
            429 | 504 => true,
            // Others than overloaded servers say this, too; those do not say when to come again.
            503 => retry_after.is_some(),
            _ => false,
        };
        let mut inner = self.inner();
        if !pushed_back {
            if code != 0 {
                inner.limit = (inner.limit + 1.0 / inner.limit).min(MOST);
            }
            return false;
        }
        if inner.halved.is_none_or(|halved| sent >= halved) {
            inner.limit = (inner.limit / 2.0).max(LEAST);
            inner.halved = Some(now);
        }
        if let Some(pause) = retry_after {
            let until = now + pause.min(LONGEST_PAUSE);
            inner.resume = Some(inner.resume.map_or(until, |resume| resume.max(until)));
        }
        true
    }

    /// How many things may be worked on at the same time.
    pub fn limit(&self) -> usize {
        // At least one and at most a few dozen.
        self.inner().limit as usize
    }

    /// Until when nothing is to be asked.
    pub fn paused(&self, now: Instant) -> Option<Instant> {
        self.inner().resume.filter(|resume| *resume > now)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wave_of_refusals_halves_once_and_answers_bring_it_back() {
        let flow = Flow::default();
        let began = Instant::now();
        assert_eq!((flow.limit(), flow.paused(began)), (64, None));
        for _ in 0..64 {
            assert!(flow.answered(429, Some(SECOND), began, began + SECOND));
        }
        assert_eq!(flow.limit(), 32);
        assert_eq!(flow.paused(began + SECOND), Some(began + 2 * SECOND));
        assert_eq!(flow.paused(began + 2 * SECOND), None);
        for second in 3..20 {
            assert!(flow.answered(429, None, began + second * SECOND, began + second * SECOND));
        }
        assert_eq!(flow.limit(), 1, "one is always tried");
        let later = began + 30 * SECOND;
        let answers = (0..10_000).take_while(|_| {
            flow.answered(201, None, later, later);
            flow.limit() < 64
        });
        let answers = answers.count();
        assert!(
            (1_000..4_000).contains(&answers),
            "{answers} answers until all is as before"
        );
    }

    #[test]
    fn what_is_no_pushback_changes_nothing() {
        let flow = Flow::default();
        let now = Instant::now();
        for code in [0, 200, 404, 409, 422, 500, 503] {
            assert!(!flow.answered(code, None, now, now));
        }
        assert_eq!((flow.limit(), flow.paused(now)), (64, None));
        assert!(flow.answered(503, Some(60 * SECOND), now, now));
        assert_eq!(flow.paused(now), Some(now + LONGEST_PAUSE));
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_bounds(codes in prop::collection::vec((0..600u16, any::<bool>()), 0..200)) {
            let flow = Flow::default();
            let mut now = Instant::now();
            for (code, asks) in codes {
                flow.answered(code, asks.then_some(SECOND), now, now);
                now += Duration::from_millis(7);
                prop_assert!((1..=64).contains(&flow.limit()));
            }
        }
    }
}
