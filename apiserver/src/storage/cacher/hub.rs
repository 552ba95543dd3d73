//! The one watch on the store that feeds all caches, and the revision that all of them have reached.
//!
//! The watch covers everything below `--etcd-prefix`, so an event at revision n means that every cache has seen all
//! changes up to n. Writes elsewhere in the store also move its revision; whoever waits for such a revision has the
//! store asked for a progress notification. Stores that do not keep those in order with events (see
//! `Connection::progress_is_reliable`) are watched whole instead, so that every revision comes with an event.

use super::cache::{Cache, Raw};
use crate::storage::etcd3::{Connection, timed};
use crate::storage::interface::Error;
use chassis::{CancellationToken, Gate};
use etcd_client::proto::PbWatchResponse;
use etcd_client::{GetOptions, WatchOptions, WatchRequestSender, WatchResponseStream};
use futures::{Stream, StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

/// How long a reader waits for the cache (k8s.io/apiserver `cacher.blockTimeout`).
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(3);
/// How often progress is asked for while somebody waits (k8s.io/apiserver `cacher/progress`).
const PROGRESS_PERIOD: Duration = Duration::from_millis(100);
/// How long a request waits for the first contact with the store.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Caches that are loaded at once.
const PARALLEL_LOADS: usize = 4;

/// Feeds caches from the store. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    connection: Connection,
    /// What all keys start with, such as `/registry/`.
    prefix: String,
    /// The caches by the prefix of their keys.
    caches: Mutex<BTreeMap<String, Vec<Arc<Cache>>>>,
    /// Every cache has seen all changes up to here; 0 before the first contact with the store.
    revision: watch::Sender<u64>,
    /// How often the watch on the store has been opened.
    contacts: AtomicU64,
    progress_wanted: Notify,
    cache_added: Notify,
}

/// The state of one cache, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheState {
    /// What the keys of its objects start with.
    pub prefix: String,
    /// Whether it is filled and follows the store.
    pub ready: bool,
    /// The revision up to which it is complete.
    pub revision: u64,
    /// The oldest revision that a watch can start from.
    pub oldest_revision: u64,
    /// The number of objects.
    pub objects: usize,
    /// The size of their JSON.
    pub bytes: usize,
    /// Open watches.
    pub watchers: u64,
    /// Watches that were ended because their clients did not keep up.
    pub terminated_watchers: u64,
}

enum Lost {
    /// The watch broke off and can go on where it was.
    Stream(Error),
    /// Changes are missing.
    History(String),
}

impl Hub {
    /// A hub for everything below `--etcd-prefix`. Nothing happens before [`Hub::run`].
    pub fn new(connection: Connection, etcd_prefix: &str) -> Self {
        let root = etcd_prefix.trim_matches('/');
        let prefix = if root.is_empty() {
            "/".to_owned()
        } else {
            format!("/{root}/")
        };
        Hub(Arc::new(Shared {
            connection,
            prefix,
            caches: Mutex::default(),
            revision: watch::Sender::new(0),
            contacts: AtomicU64::new(0),
            progress_wanted: Notify::new(),
            cache_added: Notify::new(),
        }))
    }

    /// Feeds a cache from now on.
    pub(super) fn register(&self, cache: Arc<Cache>) {
        chassis::lock(&self.0.caches)
            .entry(cache.prefix().to_owned())
            .or_default()
            .push(cache);
        self.0.cache_added.notify_one();
    }

    /// Feeds a cache no longer: its watches end.
    pub(super) fn forget(&self, cache: &Arc<Cache>) {
        let mut caches = chassis::lock(&self.0.caches);
        if let Some(owners) = caches.get_mut(cache.prefix()) {
            owners.retain(|other| !Arc::ptr_eq(other, cache));
            if owners.is_empty() {
                caches.remove(cache.prefix());
            }
        }
        drop(caches);
        cache.close();
    }

    /// The revision up to which all changes have been passed on.
    pub fn revision(&self) -> u64 {
        *self.0.revision.borrow()
    }

    /// How often the store has been reached anew.
    pub(super) fn contacts(&self) -> u64 {
        self.0.contacts.load(Ordering::Relaxed)
    }

    /// The state of every cache.
    pub fn caches(&self) -> Vec<CacheState> {
        self.all().iter().map(|cache| cache.report(self)).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<Cache>> {
        chassis::lock(&self.0.caches).values().flatten().cloned().collect()
    }

    /// What a cache holds, in the words of the store's keys.
    pub(super) fn resource(&self, cache: &Cache) -> String {
        let prefix = cache.prefix();
        prefix
            .strip_prefix(&self.0.prefix)
            .unwrap_or(prefix)
            .trim_matches('/')
            .to_owned()
    }

    /// Has caches that are not filled read again.
    pub(super) fn reload(&self) {
        self.0.cache_added.notify_one();
    }

    /// Waits for the first contact with the store.
    pub(super) async fn started(&self) -> Result<(), Error> {
        let mut revision = self.0.revision.subscribe();
        // The sender lives as long as the hub.
        match tokio::time::timeout(START_TIMEOUT, revision.wait_for(|revision| *revision > 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unavailable("the store has not been reached yet".to_owned())),
        }
    }

    /// Waits until every cache has seen a revision. `Err` has the revision that was reached instead.
    pub(super) async fn wait_for(&self, wanted: u64) -> Result<(), u64> {
        let mut revision = self.0.revision.subscribe();
        let deadline = Instant::now() + FRESHNESS_TIMEOUT;
        loop {
            if *revision.borrow_and_update() >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.revision());
            }
            self.0.progress_wanted.notify_one();
            let pause = (Instant::now() + PROGRESS_PERIOD).min(deadline);
            // Either something happened or it is time to ask again.
            let _ = timeout_at(pause, revision.wait_for(|revision| *revision >= wanted)).await;
        }
    }

    /// Keeps the caches up to date until `shutdown`. `gate` is open while the store is followed.
    pub async fn run(self, gate: Gate, shutdown: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let before = self.revision();
            let lost = tokio::select! {
                lost = self.follow(&gate) => lost,
                () = shutdown.cancelled() => return,
            };
            match lost {
                Lost::Stream(error) => {
                    gate.not_ready(error.to_string());
                    if self.revision() > before {
                        backoff = FIRST_BACKOFF;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(LONGEST_BACKOFF),
                        () = shutdown.cancelled() => return,
                    }
                }
                Lost::History(why) => {
                    tracing::warn!(why, "reading everything again");
                    // A revision of 0 makes the next round start afresh.
                    self.0.revision.send_replace(0);
                }
            }
        }
    }

    /// Follows the store until that fails.
    async fn follow(&self, gate: &Gate) -> Lost {
        let (mut requests, mut answers) = match self.open().await {
            Ok(stream) => stream,
            Err(lost) => return lost,
        };
        gate.ready();
        let mut loads = self.load_all();
        let mut loading = true;
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if let Err(lost) = self.take(answer.0) { return lost },
                    Ok(None) => return Lost::Stream(Error::Unavailable("the store ended the watch".to_owned())),
                    Err(error) => return Lost::Stream(Error::Unavailable(error.to_string())),
                },
                loaded = loads.next(), if loading => loading = loaded.is_some(),
                () = self.0.cache_added.notified(), if !loading => {
                    loads = self.load_all();
                    loading = true;
                }
                () = self.0.progress_wanted.notified() => {
                    if let Err(error) = requests.request_progress().await {
                        return Lost::Stream(Error::Unavailable(error.to_string()));
                    }
                }
            }
        }
    }

    /// Fills every cache that is not.
    fn load_all(&self) -> impl Stream<Item = ()> + Unpin + Send + '_ {
        let eager: Vec<Arc<Cache>> = self.all().into_iter().filter(|cache| !cache.is_lazy()).collect();
        stream::iter(eager)
            .map(|cache| self.load(cache))
            .buffer_unordered(PARALLEL_LOADS)
    }

    async fn load(&self, cache: Arc<Cache>) {
        if let Err(error) = cache.loaded(self).await {
            // Whoever needs this cache tries again and gets the error as an answer.
            tracing::error!(prefix = cache.prefix(), %error, "cannot fill a cache");
        }
    }

    /// Opens the watch where the last one ended, or now.
    async fn open(&self) -> Result<(WatchRequestSender, WatchResponseStream), Lost> {
        let shared = &*self.0;
        let reliable = shared.connection.progress_is_reliable().await.map_err(Lost::Stream)?;
        let mut kv = shared.connection.kv();
        let options = GetOptions::new().with_count_only();
        let answer = timed(kv.get(shared.prefix.as_str(), Some(options)))
            .await
            .map_err(Lost::Stream)?;
        let now = answer
            .header()
            .and_then(|header| u64::try_from(header.revision()).ok())
            .unwrap_or_default();
        let reached = self.revision();
        if reached > now {
            return Err(Lost::History(format!(
                "the store went back from revision {reached} to {now}"
            )));
        }
        let start = if reached == 0 { now } else { reached };
        let options = WatchOptions::new()
            .with_start_revision(i64::try_from(start + 1).unwrap_or(i64::MAX))
            .with_progress_notify();
        let mut watch = shared.connection.watch();
        let request = if reliable {
            watch.watch(shared.prefix.as_str(), Some(options.with_prefix()))
        } else {
            watch.watch("", Some(options.with_all_keys()))
        };
        let stream = timed(request).await.map_err(Lost::Stream)?;
        if reached == 0 {
            // Lists that are read from now on are at least as new as where the watch starts; older ones are not, and must
            // be gone before anybody takes the caches to have come this far.
            self.all().iter().for_each(|cache| cache.invalidate());
            shared.revision.send_replace(now);
        }
        shared.contacts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(revision = start, "following the store");
        Ok(stream.split())
    }

    /// Passes changes on to the caches.
    fn take(&self, answer: PbWatchResponse) -> Result<(), Lost> {
        if answer.compact_revision > 0 {
            let compacted = answer.compact_revision;
            return Err(Lost::History(format!(
                "the store's history is compacted up to revision {compacted}"
            )));
        }
        if answer.canceled {
            return Err(Lost::Stream(Error::Unavailable(format!(
                "the store cancelled the watch: {}",
                answer.cancel_reason
            ))));
        }
        if answer.created {
            return Ok(());
        }
        let reached = match answer.events.last() {
            Some(event) => event.kv.as_ref().map_or(0, |kv| kv.mod_revision),
            None => answer.header.map_or(0, |header| header.revision),
        };
        let caches = chassis::lock(&self.0.caches).clone();
        let mut events = answer.events.into_iter().filter_map(|event| {
            let kv = event.kv?;
            // 0 is PUT and 1 is DELETE (etcd `mvccpb.Event.EventType`).
            let value = (event.r#type == 0).then_some(kv.value);
            let revision = u64::try_from(kv.mod_revision).unwrap_or_default();
            Some(Raw {
                key: String::from_utf8_lossy(&kv.key).into_owned(),
                value,
                revision,
            })
        });
        let mut next = events.next();
        while let Some(raw) = next.take() {
            let owner = caches
                .range(..=raw.key.clone())
                .next_back()
                .filter(|(prefix, _)| raw.key.starts_with(*prefix));
            let Some((prefix, owners)) = owner else {
                next = events.next();
                continue;
            };
            // All changes of one resource in a row go in together, so that no reader sees half a transaction.
            let mut batch = vec![raw];
            for raw in events.by_ref() {
                if !raw.key.starts_with(prefix) {
                    next = Some(raw);
                    break;
                }
                batch.push(raw);
            }
            share(batch, owners);
        }
        let reached = u64::try_from(reached).unwrap_or_default();
        self.0.revision.send_if_modified(|revision| {
            let moved = reached > *revision;
            *revision = reached.max(*revision);
            moved
        });
        Ok(())
    }
}

/// Resources that are served in two versions have two caches with the same keys.
fn share(batch: Vec<Raw>, owners: &[Arc<Cache>]) {
    let Some((last, others)) = owners.split_last() else {
        return;
    };
    for other in others {
        let copy = batch.iter().map(|raw| Raw {
            key: raw.key.clone(),
            value: raw.value.clone(),
            revision: raw.revision,
        });
        other.apply(copy.collect());
    }
    last.apply(batch);
}
