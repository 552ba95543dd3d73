//! How much is asked of an API server at a time: as much as it answers without letting requests wait, half as much whenever it
//! pushes back, and nothing at all for the moment that it asks for.
//!
//! Servers of Kubernetes push back with 429 and `Retry-After` when the queues of API Priority and Fairness are full. Long before
//! that, requests wait: then asking more gains nothing, and whoever comes next waits for all that were asked before. How many
//! wait is seen from how much longer answers take than the fastest did (as TCP Vegas estimates the queue of a network).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is worked on at the same time at most.
const MOST: f64 = 64.0;
/// Where it begins.
const FIRST: f64 = 16.0;
/// What waiting alone never leads below: a busy machine answers unevenly.
const LEAST_FOR_WAITING: f64 = 8.0;
/// What is always tried: else nothing would be heard of better times.
const LEAST: f64 = 1.0;
/// Requests that may wait at the server: with fewer, more are sent; with more, fewer are.
const WAITING: std::ops::Range<f64> = 3.0..8.0;
/// Answers that come sooner say nothing about waiting.
const FAST: Duration = Duration::from_millis(2);
/// How long the fastest answer is the measure.
const MEASURE_FOR: Duration = Duration::from_secs(300);
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
    times: Option<Times>,
}

/// How long answers take, in seconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    fastest: f64,
    usual: f64,
    since: Instant,
}

impl Times {
    fn first(took: f64, now: Instant) -> Self {
        Self {
            fastest: took,
            usual: took,
            since: now,
        }
    }

    fn add(&mut self, took: f64, now: Instant) {
        self.usual += (took - self.usual) / 16.0;
        if took <= self.fastest {
            (self.fastest, self.since) = (took, now);
        } else if now.saturating_duration_since(self.since) > MEASURE_FOR {
            // Servers get slower, too. Half way at a time, because now requests may be waiting.
            (self.fastest, self.since) = ((self.fastest + took.min(self.usual)) / 2.0, now);
        }
    }

    /// Of `limit` requests under way, how many wait.
    fn waiting(&self, limit: f64) -> f64 {
        let floor = self.fastest.max(FAST.as_secs_f64());
        if self.usual <= floor {
            return 0.0;
        }
        limit * (1.0 - floor / self.usual)
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                limit: FIRST,
                halved: None,
                resume: None,
                times: None,
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
                inner.succeeded(now.saturating_duration_since(sent).as_secs_f64(), now);
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

impl Inner {
    fn succeeded(&mut self, took: f64, now: Instant) {
        let times = self.times.get_or_insert_with(|| Times::first(took, now));
        times.add(took, now);
        let waiting = times.waiting(self.limit);
        // For each round of answers, one more, or half of what is too much less: whoever comes next waits for all of that.
        if waiting < WAITING.start {
            self.limit = (self.limit + 1.0 / self.limit).min(MOST);
        } else if waiting > WAITING.end {
            let less = ((waiting - WAITING.end) / 2.0).max(1.0) / self.limit;
            self.limit = (self.limit - less).max(LEAST_FOR_WAITING.min(self.limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server that takes `each` for a request, one after the other, and answers in the order in which they came. Returns what
    /// the limit is in the end.
    fn serve(flow: &Flow, each: Duration, most: usize, requests: usize) -> usize {
        let mut now = Instant::now();
        let mut under_way = std::collections::VecDeque::new();
        for _ in 0..requests {
            while under_way.len() < flow.limit().min(most) {
                under_way.push_back(now);
            }
            now += each;
            let sent = under_way.pop_front().expect("at least one");
            flow.answered(201, None, sent, now);
        }
        flow.limit()
    }

    #[test]
    fn more_is_asked_only_while_nothing_waits() {
        // One at a time: whatever is asked beyond that waits.
        let flow = Flow::default();
        serve(&flow, Duration::from_millis(5), 1, 20);
        let limit = serve(&flow, Duration::from_millis(5), 64, 5_000);
        assert!((4..=9).contains(&limit), "{limit}");
        // All at a time, each of which takes long: nothing waits.
        let flow = Flow::default();
        let mut now = Instant::now();
        for _ in 0..4_000 {
            flow.answered(201, None, now, now + Duration::from_millis(40));
            now += Duration::from_millis(1);
        }
        assert_eq!(flow.limit(), 64);
    }

    #[test]
    fn a_server_that_became_slower_is_measured_by_that() {
        let flow = Flow::default();
        let mut now = Instant::now();
        let mut answer = |took: u64, count: usize| {
            for _ in 0..count {
                flow.answered(200, None, now, now + Duration::from_millis(took));
                now += Duration::from_millis(100);
            }
            flow.limit()
        };
        answer(5, 500);
        assert!(answer(50, 1_000) < 30, "all of them seem to wait");
        assert!(answer(50, 20_000) > 50, "but they do not");
    }

    #[test]
    fn a_wave_of_refusals_halves_once_and_answers_bring_it_back() {
        let flow = Flow::default();
        let began = Instant::now();
        assert_eq!((flow.limit(), flow.paused(began)), (16, None));
        for _ in 0..64 {
            assert!(flow.answered(429, Some(SECOND), began, began + SECOND));
        }
        assert_eq!(flow.limit(), 8);
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
    fn what_is_no_pushback_is_an_answer() {
        let flow = Flow::default();
        let now = Instant::now();
        for code in [0, 200, 404, 409, 422, 500, 503] {
            assert!(!flow.answered(code, None, now, now));
        }
        assert_eq!(flow.paused(now), None);
        assert!(flow.answered(503, Some(60 * SECOND), now, now));
        assert_eq!(flow.paused(now), Some(now + LONGEST_PAUSE));
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_bounds(answers in prop::collection::vec((0..600u16, any::<bool>(), 0..90u64), 0..300)) {
            let flow = Flow::default();
            let mut now = Instant::now();
            for (code, asks, took) in answers {
                flow.answered(code, asks.then_some(SECOND), now, now + Duration::from_millis(took));
                now += Duration::from_millis(7);
                prop_assert!((1..=64).contains(&flow.limit()));
            }
        }
    }
}
