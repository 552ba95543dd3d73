//! Watches: what they show, in which order, and when they say nothing.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Availability, BOOKMARK_EVERY, Fake, Selector, Target};

/// One open watch.
pub(super) struct Watching {
    pub(super) fake: Fake,
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) target: Target,
    pub(super) selector: Selector,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) availability: watch::Receiver<Availability>,
    /// Everything up to this version was shown.
    pub(super) shown: u64,
    pub(super) pending: VecDeque<Value>,
}

impl Watching {
    /// The next line; `None` when the server has gone away.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let mut bookmark_at = tokio::time::Instant::now() + BOOKMARK_EVERY;
        loop {
            let availability = *self.availability.borrow_and_update();
            match availability {
                Availability::Up => {}
                Availability::Down => return None,
                Availability::Paused => {
                    self.availability.changed().await.ok()?;
                    continue;
                }
            }
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            self.collect().await;
            if !self.pending.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                changed = self.availability.changed() => changed.ok()?,
                () = tokio::time::sleep_until(bookmark_at) => {
                    bookmark_at += BOOKMARK_EVERY;
                    if !self.is_mute() {
                        let version = self.fake.version.borrow().to_string();
                        return Some(json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}));
                    }
                }
            }
        }
    }

    fn is_mute(&self) -> bool {
        self.number <= self.fake.state().mute_before
    }

    /// Takes over what has happened since, in the order in which it will be shown.
    async fn collect(&mut self) {
        let disorder = self.fake.state().disorder;
        if disorder.is_some() {
            // Else there would never be two events that could change places.
            let pause = Duration::from_millis(next(&mut self.seed) % 300);
            tokio::time::sleep(pause).await;
        }
        let mut news = Vec::new();
        {
            let state = self.fake.state();
            let from = state.history.partition_point(|(version, ..)| *version <= self.shown);
            for (version, key, event, object) in &state.history[from..] {
                self.shown = *version;
                let target = &self.target;
                let named = key.0 == target.kind && (target.namespace.is_empty() || key.1 == target.namespace);
                if named && self.selector.matches(object) {
                    news.push(json!({"type": event, "object": object}));
                }
            }
        }
        if self.is_mute() {
            return;
        }
        let Some(disorder) = disorder else {
            return self.pending.extend(news);
        };
        for place in (1..news.len()).rev() {
            news.swap(place, (next(&mut self.seed) % (place as u64 + 1)) as usize);
        }
        for event in news {
            match next(&mut self.seed) % 4 {
                0 if disorder.loses => {}
                1 => self.pending.extend([event.clone(), event]),
                _ => self.pending.push_back(event),
            }
        }
    }
}

/// xorshift: enough disorder, and the same for the same seed.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = (*state).max(1);
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
