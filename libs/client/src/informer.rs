//! A local copy of one kind, kept current by a watch, with handlers that see old and new object and with indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Debug, Display};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures::{Stream, StreamExt, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::{read, write};

/// Delay before a broken watch is tried again; it doubles up to [`RETRY_MAX`]. Short at first, because a control plane
/// starts all its processes at once.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Namespace and name of an object; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of an object with this metadata.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened to an object. A missed deletion followed by a new object of the same name arrives as one `Updated` whose
/// two UIDs differ.
#[derive(Debug)]
pub enum Change<'a, K> {
    /// Seen for the first time.
    Added(&'a Arc<K>),
    /// Seen again, possibly unchanged after a new list.
    Updated {
        /// As it was.
        old: &'a Arc<K>,
        /// As it is.
        new: &'a Arc<K>,
    },
    /// Gone; the last known state.
    Deleted(&'a Arc<K>),
}

impl<'a, K> Change<'a, K> {
    /// The newest known state.
    #[must_use]
    pub fn object(&self) -> &'a Arc<K> {
        match self {
            Change::Added(object) | Change::Deleted(object) | Change::Updated { new: object, .. } => object,
        }
    }
}

/// Names an index of one informer; only that informer may be asked with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexId(usize);

type Handler<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;
type Extract<K> = fn(&K) -> Vec<String>;

struct Index<K> {
    extract: Extract<K>,
    entries: HashMap<String, BTreeSet<ObjectKey>>,
}

struct Objects<K> {
    by_key: BTreeMap<ObjectKey, Arc<K>>,
    indexes: Vec<Index<K>>,
}

struct Shared<K> {
    objects: RwLock<Objects<K>>,
    handlers: RwLock<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
}

/// A shared informer; clones share the same copy. Handlers and indexes are added before [`Informer::run`].
pub struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Debug for Informer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Informer({} objects)", read(&self.0.objects).by_key.len())
    }
}

impl<K> Default for Informer<K> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            objects: RwLock::new(Objects {
                by_key: BTreeMap::new(),
                indexes: Vec::new(),
            }),
            handlers: RwLock::new(Vec::new()),
            synced: watch::channel(false).0,
        }))
    }
}

impl<K: Resource + Send + Sync + 'static> Informer<K> {
    /// An empty informer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an index: `extract` names the values under which an object is found again.
    pub fn add_index(&self, extract: Extract<K>) -> IndexId {
        let mut objects = write(&self.0.objects);
        let mut index = Index {
            extract,
            entries: HashMap::new(),
        };
        for (key, object) in &objects.by_key {
            index.insert(key, object);
        }
        objects.indexes.push(index);
        IndexId(objects.indexes.len() - 1)
    }

    /// Calls `handler` for every change from now on, after the local copy has it.
    pub fn on_change(&self, handler: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        write(&self.0.handlers).push(Box::new(handler));
    }

    /// The object with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        read(&self.0.objects).by_key.get(key).cloned()
    }

    /// All objects, ordered by namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        read(&self.0.objects).by_key.values().cloned().collect()
    }

    /// All objects of one namespace, ordered by name.
    #[must_use]
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = read(&self.0.objects);
        let from = ObjectKey {
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        objects
            .by_key
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All objects found under `value` in an index.
    #[must_use]
    pub fn by_index(&self, index: IndexId, value: &str) -> Vec<Arc<K>> {
        let objects = read(&self.0.objects);
        let keys = objects.indexes.get(index.0).and_then(|index| index.entries.get(value));
        keys.into_iter()
            .flatten()
            .filter_map(|key| objects.by_key.get(key).cloned())
            .collect()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        read(&self.0.objects).by_key.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Keeps the copy current from `events` for ever: a broken watch is tried again after a growing delay. `trim` drops what
    /// nobody here needs before an object is kept.
    pub async fn run(
        &self,
        kind: &str,
        events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
        trim: impl Fn(&mut K),
    ) {
        pin_mut!(events);
        let mut retry = RETRY_MIN;
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if retry > RETRY_MIN {
                        info!(kind, "watching again");
                        retry = RETRY_MIN;
                    }
                    self.apply(event, &mut listed, &trim);
                }
                Err(error) => {
                    if retry == RETRY_MIN {
                        debug!(kind, %error, "the watch broke");
                    } else {
                        info!(kind, %error, retry_in = ?retry, "cannot watch");
                    }
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Applies one event; `listed` collects a list that is still under way.
    fn apply(&self, event: Event<K>, listed: &mut BTreeMap<ObjectKey, Arc<K>>, trim: &impl Fn(&mut K)) {
        let prepare = |mut object: K| {
            object.meta_mut().managed_fields = None;
            trim(&mut object);
            (ObjectKey::of(object.meta()), Arc::new(object))
        };
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                let (key, object) = prepare(object);
                listed.insert(key, object);
            }
            Event::InitDone => {
                self.replace(std::mem::take(listed));
                self.0.synced.send_replace(true);
            }
            Event::Apply(object) => {
                let (key, object) = prepare(object);
                self.put(key, object);
            }
            Event::Delete(object) => {
                let (key, object) = prepare(object);
                self.remove(&key, &object);
            }
        }
    }

    fn replace(&self, listed: BTreeMap<ObjectKey, Arc<K>>) {
        let gone: Vec<ObjectKey> = read(&self.0.objects)
            .by_key
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            if let Some(object) = self.get(&key) {
                self.remove(&key, &object);
            }
        }
        for (key, object) in listed {
            self.put(key, object);
        }
    }

    fn put(&self, key: ObjectKey, new: Arc<K>) {
        let old = write(&self.0.objects).insert(key, &new);
        match &old {
            Some(old) => self.notify(&Change::Updated { old, new: &new }),
            None => self.notify(&Change::Added(&new)),
        }
    }

    fn remove(&self, key: &ObjectKey, last: &Arc<K>) {
        if write(&self.0.objects).remove(key) {
            self.notify(&Change::Deleted(last));
        }
    }

    fn notify(&self, change: &Change<'_, K>) {
        for handler in read(&self.0.handlers).iter() {
            handler(change);
        }
    }
}

impl<K> Objects<K> {
    fn insert(&mut self, key: ObjectKey, new: &Arc<K>) -> Option<Arc<K>> {
        let old = self.by_key.insert(key.clone(), new.clone());
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, new);
        }
        old
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        let Some(old) = self.by_key.remove(key) else {
            return false;
        };
        for index in &mut self.indexes {
            index.remove(key, &old);
        }
        true
    }
}

impl<K> Index<K> {
    fn insert(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.extract)(object) {
            self.entries.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.extract)(object) {
            if let Some(keys) = self.entries.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "informer_tests.rs"]
mod tests;
