//! The objects of one resource in memory, and their recent changes.

use super::history::{History, TooOld};
use super::hub::{CacheState, Hub};
use crate::storage::change::Change;
use crate::storage::etcd3::Store;
use crate::storage::interface::{Error, Scope};
use machinery::object::Stored;
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::Instant;

/// A change as the store's watch reports it.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) key: String,
    /// The new value; `None` for a removal.
    pub(super) value: Option<Vec<u8>>,
    pub(super) revision: u64,
}

/// The cached objects of one resource.
pub(super) struct Cache {
    store: Store,
    state: Mutex<State>,
    /// Counts changes and resets; watchers wait for it to move.
    news: watch::Sender<u64>,
    /// Held by the one caller that loads the cache.
    loading: tokio::sync::Mutex<()>,
    /// Watches that did not keep up.
    terminated: AtomicU64,
    /// Whether it is filled only when somebody asks.
    lazy: bool,
}

#[derive(Default)]
struct State {
    phase: Phase,
    objects: BTreeMap<Box<str>, Stored>,
    history: History,
    /// The revision of the list that the cache was loaded with; older changes are in it.
    loaded_at: u64,
    /// The revision of the last change, or of that list.
    revision: u64,
    /// Goes up whenever the content is thrown away.
    generation: u64,
    /// Whether nobody feeds it any more.
    closed: bool,
}

#[derive(Default)]
enum Phase {
    /// Nothing is known.
    #[default]
    Empty,
    /// A list is being read; what happens meanwhile waits here.
    Loading(Vec<Raw>),
    /// Objects and history are complete.
    Ready,
}

/// The objects below a prefix at one revision.
pub(super) struct Snapshot {
    pub(super) objects: Vec<(Box<str>, Stored)>,
    pub(super) revision: u64,
}

/// Where a watcher stands in the history.
pub(super) struct Cursor {
    pub(super) generation: u64,
    pub(super) next: u64,
}

/// Why a watcher cannot go on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// The history has moved on without it.
    Behind,
    /// The cache was thrown away: what the watcher has been told may be wrong.
    Reset,
    /// The resource is no longer served as it was.
    Closed,
}

impl Cache {
    pub(super) fn new(store: Store, lazy: bool) -> Self {
        Cache {
            lazy,
            store,
            state: Mutex::default(),
            news: watch::Sender::new(0),
            loading: tokio::sync::Mutex::default(),
            terminated: AtomicU64::new(0),
        }
    }

    /// What all keys of the resource start with.
    pub(super) fn prefix(&self) -> &str {
        self.store.codec().prefix()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Moves with every change.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub(super) fn is_ready(&self) -> bool {
        chassis::lock(&self.state).is_ready()
    }

    /// Whether it is filled only when somebody asks.
    pub(super) fn is_lazy(&self) -> bool {
        self.lazy
    }

    /// Makes sure that the cache is filled.
    pub(super) async fn loaded(&self, hub: &Hub) -> Result<(), Error> {
        if self.is_ready() {
            return Ok(());
        }
        hub.started().await?;
        let _turn = self.loading.lock().await;
        while !self.is_ready() {
            let generation = {
                let mut state = chassis::lock(&self.state);
                if state.closed {
                    return Err(Error::Unavailable(
                        "the resource is no longer served as it was".to_owned(),
                    ));
                }
                state.phase = Phase::Loading(Vec::new());
                state.generation
            };
            // When the caller goes away meanwhile, changes must not pile up.
            let abandoned = Abandoned(self);
            let (objects, revision) = self.store.everything().await?;
            std::mem::forget(abandoned);
            self.fill(generation, objects, revision)?;
        }
        Ok(())
    }

    /// Takes over a list unless the hub has lost track of changes since `generation`.
    fn fill(&self, generation: u64, objects: Vec<(String, Stored)>, revision: u64) -> Result<(), Error> {
        let mut state = chassis::lock(&self.state);
        let missed = match std::mem::take(&mut state.phase) {
            Phase::Loading(missed) if state.generation == generation => missed,
            _ => return Ok(()),
        };
        state.objects = objects
            .into_iter()
            .map(|(key, object)| (key.into_boxed_str(), object))
            .collect();
        state.history.reset(revision);
        state.loaded_at = revision;
        state.revision = revision;
        state.phase = Phase::Ready;
        for raw in missed {
            self.change(&mut state, raw)?;
        }
        drop(state);
        self.tell();
        Ok(())
    }

    /// Takes over changes from the hub, in order.
    pub(super) fn apply(&self, changes: Vec<Raw>) {
        let mut state = chassis::lock(&self.state);
        match &mut state.phase {
            Phase::Empty => return,
            Phase::Loading(waiting) => return waiting.extend(changes),
            Phase::Ready => {}
        }
        for raw in changes {
            if let Err(error) = self.change(&mut state, raw) {
                // The next reader loads again and gets the error itself.
                tracing::error!(prefix = self.prefix(), %error, "dropping the cache");
                break;
            }
        }
        drop(state);
        self.tell();
    }

    fn change(&self, state: &mut State, raw: Raw) -> Result<(), Error> {
        if raw.revision <= state.loaded_at {
            return Ok(());
        }
        let current = match raw.value {
            Some(value) => match self.store.codec().decode(&raw.key, &value, raw.revision) {
                Ok(object) => Some(object),
                Err(error) => {
                    state.clear();
                    return Err(error);
                }
            },
            None => None,
        };
        let previous = match &current {
            Some(object) => state.objects.insert(raw.key.into_boxed_str(), object.clone()),
            None => state.objects.remove(raw.key.as_str()),
        };
        state.revision = raw.revision;
        if previous.is_some() || current.is_some() {
            state
                .history
                .push(Arc::new(Change::new(raw.revision, previous, current)), Instant::now());
        }
        Ok(())
    }

    /// Throws everything away because changes were missed. Watchers end.
    pub(super) fn invalidate(&self) {
        chassis::lock(&self.state).clear();
        self.tell();
    }

    /// Ends: nobody feeds the cache any more.
    pub(super) fn close(&self) {
        let mut state = chassis::lock(&self.state);
        state.clear();
        state.closed = true;
        drop(state);
        self.tell();
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Waits, as upstream at most three seconds, until the cache has reached a revision.
    pub(super) async fn wait_for(&self, hub: &Hub, revision: u64) -> Result<(), Error> {
        if chassis::lock(&self.state).revision >= revision {
            return Ok(());
        }
        match hub.wait_for(revision).await {
            Ok(()) => Ok(()),
            Err(current) => Err(Error::TooLargeRevision {
                requested: revision,
                current,
            }),
        }
    }

    /// An object, if the cache happens to hold it.
    pub(super) fn get(&self, key: &str) -> Option<Stored> {
        chassis::lock(&self.state).objects.get(key).cloned()
    }

    /// Whether there is an object, and which; `None` when that is not known, because the cache was thrown away.
    pub(super) fn find(&self, key: &str) -> Option<Option<Stored>> {
        let state = chassis::lock(&self.state);
        state.is_ready().then(|| state.objects.get(key).cloned())
    }

    /// How many objects there are; `None` when that is not known.
    pub(super) fn len(&self) -> Option<usize> {
        let state = chassis::lock(&self.state);
        state.is_ready().then(|| state.objects.len())
    }

    /// The state, for operators.
    pub(super) fn report(&self, hub: &Hub) -> CacheState {
        let revision = self.revision(hub);
        let state = chassis::lock(&self.state);
        CacheState {
            prefix: self.prefix().to_owned(),
            ready: state.is_ready(),
            revision,
            oldest_revision: state.history.oldest(),
            objects: state.objects.len(),
            bytes: state.objects.values().map(|object| object.bytes.len()).sum(),
            watchers: self.news.receiver_count() as u64,
            terminated_watchers: self.terminated.load(Ordering::Relaxed),
        }
    }

    /// Counts a watch that did not keep up.
    pub(super) fn count_terminated(&self) {
        self.terminated.fetch_add(1, Ordering::Relaxed);
    }

    /// The revision up to which the cache is complete.
    pub(super) fn revision(&self, hub: &Hub) -> u64 {
        // The hub's first: what it has passed on is in the cache.
        let passed_on = hub.revision();
        chassis::lock(&self.state).revision.max(passed_on)
    }

    /// All objects below a prefix; `None` when the cache was thrown away.
    pub(super) fn snapshot(&self, hub: &Hub, prefix: &str) -> Option<Snapshot> {
        let passed_on = hub.revision();
        let state = chassis::lock(&self.state);
        state.is_ready().then(|| Snapshot {
            objects: state.below(prefix),
            revision: state.revision.max(passed_on),
        })
    }

    /// The objects of a scope, and the place in the history right behind that state; `None` when the cache was thrown away.
    pub(super) fn snapshot_for_watch(
        &self,
        hub: &Hub,
        scope: &Scope,
    ) -> Result<Option<(Vec<Stored>, u64, Cursor)>, Error> {
        let prefix = self.store.codec().list_prefix(&scope.namespace)?;
        let passed_on = hub.revision();
        let state = chassis::lock(&self.state);
        if !state.is_ready() {
            return Ok(None);
        }
        let objects = state
            .below(&prefix)
            .into_iter()
            .map(|(_, object)| object)
            .filter(|o| scope.contains(o))
            .collect();
        let cursor = Cursor {
            generation: state.generation,
            next: state.history.end(),
        };
        Ok(Some((objects, state.revision.max(passed_on), cursor)))
    }

    /// Calls `f` with all keys and their revisions, in order, and the keys of what has changed after a revision. `None`
    /// when that is not known.
    pub(super) fn with_keys_since<T>(
        &self,
        revision: u64,
        f: impl FnOnce(&mut dyn Iterator<Item = (&str, u64)>, HashSet<String>) -> T,
    ) -> Option<T> {
        let state = chassis::lock(&self.state);
        if !state.is_ready() {
            return None;
        }
        let start = state.history.after(revision).ok()?;
        let changes = state.history.from(start, usize::MAX)?;
        let objects = changes.filter_map(|change| change.current.as_ref().or(change.previous.as_ref()));
        let codec = self.store.codec();
        let changed = objects.filter_map(|object| codec.key(&object.index.namespace, &object.index.name).ok());
        let changed: HashSet<String> = changed.collect();
        let mut keys = state.objects.iter().map(|(key, object)| (&**key, object.revision));
        Some(f(&mut keys, changed))
    }

    /// The place in the history right behind a revision; `None` when the cache was thrown away.
    pub(super) fn cursor_after(&self, revision: u64) -> Result<Option<Cursor>, Error> {
        let state = chassis::lock(&self.state);
        if !state.is_ready() {
            return Ok(None);
        }
        match state.history.after(revision) {
            Ok(next) => Ok(Some(Cursor {
                generation: state.generation,
                next,
            })),
            Err(TooOld { oldest }) => Err(Error::Expired(format!(
                "too old resource version: {revision} ({oldest})"
            ))),
        }
    }

    /// The next changes for a watcher and the revision that has been reached when there are fewer than `limit`.
    pub(super) fn read(
        &self,
        hub: &Hub,
        cursor: &mut Cursor,
        limit: usize,
    ) -> Result<(Vec<Arc<Change>>, u64), Interrupted> {
        let passed_on = hub.revision();
        let state = chassis::lock(&self.state);
        if state.closed {
            return Err(Interrupted::Closed);
        }
        if state.generation != cursor.generation {
            return Err(Interrupted::Reset);
        }
        let next = state.history.from(cursor.next, limit).ok_or(Interrupted::Behind)?;
        let changes: Vec<_> = next.cloned().collect();
        cursor.next += changes.len() as u64;
        Ok((changes, state.revision.max(passed_on)))
    }
}

impl State {
    fn clear(&mut self) {
        self.phase = Phase::Empty;
        self.objects = BTreeMap::new();
        self.history.reset(0);
        self.generation += 1;
    }

    fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    fn below(&self, prefix: &str) -> Vec<(Box<str>, Stored)> {
        self.objects
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }
}

/// Empties a cache whose loading was given up.
struct Abandoned<'a>(&'a Cache);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        chassis::lock(&self.0.state).phase = Phase::Empty;
    }
}
