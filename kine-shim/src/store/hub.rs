//! Who watches what. The commit path tells the hub what has changed; the hub wakes the watchers concerned, and each
//! watcher fetches its events itself.
//!
//! Nothing is queued per watcher: a watcher that is behind is a number (the first revision it has not seen), so a slow
//! client costs nothing and loses nothing. A watcher is registered under the same lock that publishes revisions, and it
//! drops what is older than its own position, so it sees every revision once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use chassis::lock;
use tokio::sync::Notify;

use super::{
    history::{Entry, History},
    range::{KeyRange, RangeEnd},
};

/// Nothing is waiting for the watcher.
const IDLE: i64 = i64::MAX;

/// Where a stream with any number of watchers is told which of them have something to fetch.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Vec<i64>>,
    wake: Notify,
}

impl Mailbox {
    /// Returns once some watcher has something to fetch.
    pub async fn notified(&self) {
        self.wake.notified().await;
    }

    /// Takes the identifiers of the watchers that have something to fetch.
    pub fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    fn post(&self, watch_id: i64) {
        lock(&self.waiting).push(watch_id);
        self.wake.notify_one();
    }
}

#[derive(Debug)]
struct Interest {
    watch_id: i64,
    mailbox: Arc<Mailbox>,
    /// First revision with something to fetch, [`IDLE`] for none. Written under the hub's lock.
    waiting_from: AtomicI64,
    /// Where it is in the list of its range. Written under the hub's lock.
    place: AtomicUsize,
}

impl Interest {
    fn mark(&self, revision: i64) {
        if self.waiting_from.fetch_min(revision, Ordering::AcqRel) == IDLE {
            self.mailbox.post(self.watch_id);
        }
    }
}

/// The registry of watchers with the recent history.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    /// Watchers that want to see what was before.
    want_before: AtomicUsize,
}

#[derive(Debug)]
struct Inner {
    history: History,
    published: i64,
    /// Watchers by range, so that any number of them on one range are compared once.
    ranges: BTreeMap<KeyRange, Vec<Arc<Interest>>>,
    watchers: usize,
}

/// What a watcher fetched.
#[derive(Debug)]
pub enum Fetched {
    /// Nothing is waiting.
    Nothing,
    /// Events, complete up to and including a revision.
    Events(Vec<Entry>, i64),
    /// The events from the first up to the second revision have to be read from the database.
    TooOld(i64, i64),
}

impl Hub {
    /// A hub whose history starts after `revision`.
    pub fn new(revision: i64) -> Self {
        let history = History::after(revision);
        Self {
            inner: Mutex::new(Inner {
                history,
                published: revision,
                ranges: BTreeMap::new(),
                watchers: 0,
            }),
            want_before: AtomicUsize::new(0),
        }
    }

    /// Whether some watcher wants to see what was before an event. One that comes too late for an event finds that in the
    /// database.
    pub fn wants_before(&self) -> bool {
        self.want_before.load(Ordering::Acquire) > 0
    }

    /// The newest revision watchers have been told of.
    pub fn published(&self) -> i64 {
        lock(&self.inner).published
    }

    /// Number of watchers, and of those that have something to fetch.
    pub fn watchers(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        let behind = |interest: &&Arc<Interest>| interest.waiting_from.load(Ordering::Acquire) != IDLE;
        (inner.watchers, inner.ranges.values().flatten().filter(behind).count())
    }

    /// How many revisions behind each watcher is.
    pub fn lags(&self) -> Vec<i64> {
        let inner = lock(&self.inner);
        let lag = |interest: &Arc<Interest>| match interest.waiting_from.load(Ordering::Acquire) {
            IDLE => 0,
            from => inner.published - from + 1,
        };
        inner.ranges.values().flatten().map(lag).collect()
    }

    /// Publishes events in the order of their revisions and wakes the watchers concerned.
    pub fn publish(&self, events: Vec<Entry>, revision: i64) {
        let mut inner = lock(&self.inner);
        for entry in events {
            if let Some(kv) = &entry.event.kv {
                inner.wake(&kv.key, entry.revision);
            }
            inner.history.push(entry);
        }
        inner.published = revision;
    }

    /// Forgets recent history after the state has been loaded anew at `revision`: every watcher reads on from the database.
    pub fn restart(&self, revision: i64) {
        let mut inner = lock(&self.inner);
        inner.history = History::after(revision);
        inner.published = revision;
        for interest in inner.ranges.values().flatten() {
            interest.mark(0);
        }
    }

    /// Registers a watcher of `range` from revision `start` on, or from now on if that is 0. Its identifier is what
    /// `mailbox` gets when there is something to fetch. `before` says whether its events have to tell what was before.
    pub fn subscribe(
        self: &Arc<Self>,
        range: KeyRange,
        start: i64,
        before: bool,
        watch_id: i64,
        mailbox: &Arc<Mailbox>,
    ) -> Watcher {
        if before {
            self.want_before.fetch_add(1, Ordering::AcqRel);
        }
        let mut inner = lock(&self.inner);
        let published = inner.published;
        let next = if start > 0 { start } else { published + 1 };
        let interest = Arc::new(Interest {
            watch_id,
            mailbox: Arc::clone(mailbox),
            waiting_from: AtomicI64::new(IDLE),
            place: AtomicUsize::new(0),
        });
        let interests = inner.ranges.entry(range.clone()).or_default();
        interest.place.store(interests.len(), Ordering::Relaxed);
        interests.push(Arc::clone(&interest));
        inner.watchers += 1;
        if next <= published {
            interest.mark(next);
        }
        drop(inner);
        Watcher {
            hub: Arc::clone(self),
            range,
            before,
            interest,
            next,
        }
    }

    /// The revision up to which every one of the watchers has fetched everything, `None` when one of them has not.
    /// Watchers of revisions to come have not either.
    pub fn progress<'a>(&self, watchers: impl IntoIterator<Item = &'a Watcher>) -> Option<i64> {
        let inner = lock(&self.inner);
        let behind = |watcher: &Watcher| {
            watcher.interest.waiting_from.load(Ordering::Acquire) != IDLE || watcher.next > inner.published + 1
        };
        (!watchers.into_iter().any(behind)).then_some(inner.published)
    }
}

impl Inner {
    fn wake(&self, key: &[u8], revision: i64) {
        for (range, interests) in &self.ranges {
            // Ranges are ordered by their start: none that follows can hold the key.
            if range.start.as_ref() > key {
                break;
            }
            let hit = match &range.end {
                RangeEnd::Single => range.start == key,
                RangeEnd::Unbounded => true,
                RangeEnd::Before(end) => key < end,
            };
            if hit {
                for interest in interests {
                    interest.mark(revision);
                }
            }
        }
    }
}

/// A registered watcher; dropping it ends the registration.
#[derive(Debug)]
pub struct Watcher {
    hub: Arc<Hub>,
    range: KeyRange,
    before: bool,
    interest: Arc<Interest>,
    /// The first revision not fetched yet.
    next: i64,
}

impl Watcher {
    /// The keys watched.
    pub fn range(&self) -> &KeyRange {
        &self.range
    }

    /// Fetches what is waiting, about `limit` events at most. When there is more, the mailbox is told again.
    pub fn fetch(&mut self, limit: usize) -> Fetched {
        let inner = lock(&self.hub.inner);
        let waiting_from = self.interest.waiting_from.swap(IDLE, Ordering::AcqRel);
        if waiting_from == IDLE {
            return Fetched::Nothing;
        }
        let published = inner.published;
        let from = waiting_from.max(self.next);
        if from > published {
            // Something changed before the revision this watcher starts at.
            return Fetched::Nothing;
        }
        let Some((events, upto)) = inner.history.read(&self.range, self.before, from, published, limit) else {
            return Fetched::TooOld(from, published);
        };
        self.next = upto + 1;
        if upto < published {
            self.interest.mark(self.next);
        }
        Fetched::Events(events, upto)
    }

    /// Notes that everything up to `upto` has been read from the database after [`Fetched::TooOld`] named `published`.
    pub fn caught_up(&mut self, upto: i64, published: i64) {
        let _inner = lock(&self.hub.inner);
        self.next = upto + 1;
        if upto < published {
            self.interest.mark(self.next);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.before {
            self.hub.want_before.fetch_sub(1, Ordering::AcqRel);
        }
        let mut inner = lock(&self.hub.inner);
        if let Some(interests) = inner.ranges.get_mut(&self.range) {
            // The last one takes its place: thousands may go at the same time.
            let place = self.interest.place.load(Ordering::Relaxed);
            if interests
                .get(place)
                .is_some_and(|found| Arc::ptr_eq(found, &self.interest))
            {
                interests.swap_remove(place);
            }
            if let Some(moved) = interests.get(place) {
                moved.place.store(place, Ordering::Relaxed);
            }
            if interests.is_empty() {
                inner.ranges.remove(&self.range);
            }
        }
        inner.watchers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn put(hub: &Hub, revision: i64, key: &'static str) {
        let kv = KeyValue {
            key: key.into(),
            mod_revision: revision,
            ..Default::default()
        };
        let event = Event {
            kv: Some(kv),
            ..Default::default()
        };
        let entry = Entry {
            revision,
            event: Arc::new(event),
            whole: false,
        };
        hub.publish(vec![entry], revision);
    }

    fn prefix(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(&Bytes::from(start), &Bytes::from(end))
    }

    fn revisions(fetched: Fetched) -> Vec<i64> {
        match fetched {
            Fetched::Events(events, _) => events.iter().map(|entry| entry.revision).collect(),
            Fetched::Nothing => vec![],
            Fetched::TooOld(..) => panic!("not kept"),
        }
    }

    #[test]
    fn only_watchers_concerned_are_woken() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        let mut a = hub.subscribe(prefix("a", "b"), 0, false, 1, &mailbox);
        let mut b = hub.subscribe(prefix("b", ""), 0, false, 2, &mailbox);
        put(&hub, 2, "a1");
        put(&hub, 3, "b");
        put(&hub, 4, "b1");
        put(&hub, 5, "a2");
        assert_eq!(mailbox.take(), vec![1, 2]);
        assert_eq!(revisions(a.fetch(10)), vec![2, 5]);
        assert_eq!(revisions(b.fetch(10)), vec![3]);
        assert_eq!(mailbox.take(), Vec::<i64>::new());
        assert_eq!(hub.progress([&a, &b]), Some(5));
    }

    #[test]
    fn a_past_start_is_fetched_first_and_nothing_twice() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        put(&hub, 2, "a");
        put(&hub, 3, "a");
        let mut watcher = hub.subscribe(prefix("a", ""), 3, false, 7, &mailbox);
        put(&hub, 4, "a");
        assert_eq!(hub.progress([&watcher]), None);
        assert_eq!(revisions(watcher.fetch(1)), vec![3]);
        assert_eq!(revisions(watcher.fetch(10)), vec![4]);
        assert_eq!(revisions(watcher.fetch(10)), Vec::<i64>::new());
        assert_eq!(hub.progress([&watcher]), Some(4));
    }

    #[test]
    fn a_start_to_come_skips_what_is_earlier() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        let mut watcher = hub.subscribe(prefix("a", ""), 4, false, 7, &mailbox);
        put(&hub, 2, "a");
        assert_eq!(revisions(watcher.fetch(10)), Vec::<i64>::new());
        assert_eq!(hub.progress([&watcher]), None);
        put(&hub, 3, "a");
        put(&hub, 4, "a");
        assert_eq!(revisions(watcher.fetch(10)), vec![4]);
        assert_eq!(hub.progress([&watcher]), Some(4));
    }

    #[test]
    fn what_was_before_is_looked_up_when_the_event_does_not_tell() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        assert!(!hub.wants_before());
        put(&hub, 2, "a");
        let mut watcher = hub.subscribe(prefix("a", ""), 2, true, 7, &mailbox);
        assert!(hub.wants_before());
        assert!(matches!(watcher.fetch(10), Fetched::TooOld(2, 2)));
        drop(watcher);
        assert!(!hub.wants_before());
    }

    #[test]
    fn dropping_a_watcher_ends_its_registration() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        drop(hub.subscribe(prefix("a", ""), 0, false, 1, &mailbox));
        assert_eq!(hub.watchers(), (0, 0));
        put(&hub, 2, "a");
        assert_eq!(mailbox.take(), Vec::<i64>::new());
    }

    #[test]
    fn after_a_restart_everybody_reads_on_from_the_database() {
        let hub = Arc::new(Hub::new(1));
        let mailbox = Arc::new(Mailbox::default());
        let mut behind = hub.subscribe(prefix("a", ""), 0, false, 1, &mailbox);
        let mut ahead = hub.subscribe(prefix("a", ""), 9, false, 2, &mailbox);
        put(&hub, 2, "a");
        assert_eq!(revisions(behind.fetch(10)), vec![2]);
        assert!(matches!(ahead.fetch(10), Fetched::Nothing));
        mailbox.take();
        hub.restart(7);
        assert_eq!(mailbox.take(), vec![1, 2]);
        assert!(matches!(behind.fetch(10), Fetched::TooOld(3, 7)));
        assert!(matches!(ahead.fetch(10), Fetched::Nothing));
        behind.caught_up(7, 7);
        put(&hub, 8, "a");
        put(&hub, 9, "a");
        assert_eq!(revisions(behind.fetch(10)), vec![8, 9]);
        assert_eq!(revisions(ahead.fetch(10)), vec![9]);
    }

    #[test]
    fn history_from_before_the_start_has_to_be_read() {
        let hub = Arc::new(Hub::new(10));
        let mailbox = Arc::new(Mailbox::default());
        let mut watcher = hub.subscribe(prefix("a", ""), 5, false, 1, &mailbox);
        assert!(matches!(watcher.fetch(10), Fetched::TooOld(5, 10)));
        watcher.caught_up(8, 10);
        assert!(matches!(watcher.fetch(10), Fetched::TooOld(9, 10)));
        watcher.caught_up(10, 10);
        assert!(matches!(watcher.fetch(10), Fetched::Nothing));
    }
}
