//! The watch cache (k8s.io/apiserver `pkg/storage/cacher`): one copy of every object in the bytes it is served in, fed
//! by one watch on the store for all resources, with a bounded history from which watches are served.
//!
//! Differences from upstream, all of them invisible to clients: the one watch makes every cache as fresh as the store's
//! revision that it has reached, so a consistent read waits for one number; and watchers read the shared history
//! themselves instead of being sent copies, so a slow one costs nothing and ends when the history has moved on.

mod cache;
mod check;
mod history;
mod hub;
mod watcher;

pub use check::ConsistencyCheck;
pub use hub::{CacheState, Hub};

use super::continue_token;
use super::etcd3::Store;
use super::interface::{Error, ListOptions, Listed, Preconditions, Revision, Storage, UpdateFn, Watch, WatchOptions};
use bytes::Bytes;
use cache::{Cache, Snapshot};
use futures::future::BoxFuture;
use machinery::object::Stored;
use machinery::status::Status;
use std::sync::Arc;

/// The objects of one resource, read from memory and written to the store.
pub struct Cacher {
    store: Store,
    cache: Arc<Cache>,
    hub: Hub,
}

impl Cacher {
    /// Puts a cache before a store. The hub keeps it up to date.
    pub fn new(store: Store, hub: Hub) -> Self {
        Self::with(store, hub, false)
    }

    /// The same, but filled only when somebody lists or watches.
    pub fn lazy(store: Store, hub: Hub) -> Self {
        Self::with(store, hub, true)
    }

    /// Forgets everything and ends all watches, for good.
    pub fn close(&self) {
        self.hub.forget(&self.cache);
    }

    fn with(store: Store, hub: Hub, lazy: bool) -> Self {
        let cache = Arc::new(Cache::new(store.clone(), lazy));
        hub.register(cache.clone());
        Cacher { store, cache, hub }
    }

    /// The state of the cache, at least as fresh as `revision` asks for.
    async fn fresh(&self, revision: Revision) -> Result<(), Error> {
        self.cache.loaded(&self.hub).await?;
        match revision {
            Revision::Any | Revision::NotOlderThan(0) => Ok(()),
            Revision::NotOlderThan(n) | Revision::Exact(n) => self.cache.wait_for(&self.hub, n).await,
            Revision::Latest => {
                let now = self.store.current_revision().await?;
                self.cache.wait_for(&self.hub, now).await
            }
        }
    }
}

impl Storage for Cacher {
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        revision: Revision,
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            if matches!(revision, Revision::Latest | Revision::Exact(_)) {
                return self.store.get(namespace, name, revision).await;
            }
            let key = self.store.codec().key(namespace, name)?;
            loop {
                self.fresh(revision).await?;
                // A cache that was thrown away since is read again.
                if let Some(found) = self.cache.find(&key) {
                    return found.ok_or(Error::NotFound { key });
                }
            }
        })
    }

    fn list<'a>(&'a self, options: ListOptions) -> BoxFuture<'a, Result<Listed, Error>> {
        Box::pin(async move {
            // Past states are the store's business.
            if !options.continue_token.is_empty() || matches!(options.revision, Revision::Exact(_)) {
                return self.store.list(options).await;
            }
            let prefix = self.store.codec().list_prefix(&options.scope.namespace)?;
            loop {
                match self.fresh(options.revision).await {
                    // The cache lags behind; the store itself does not.
                    Err(Error::TooLargeRevision { .. }) if options.revision == Revision::Latest => {
                        return self.store.list(options).await;
                    }
                    fresh => fresh?,
                }
                // A cache that was thrown away since is read again.
                if let Some(snapshot) = self.cache.snapshot(&self.hub, &prefix) {
                    return Ok(chunk(snapshot, &prefix, &options));
                }
            }
        })
    }

    fn watch<'a>(&'a self, options: WatchOptions) -> BoxFuture<'a, Result<Watch, Error>> {
        Box::pin(watcher::start(&self.cache, &self.hub, options))
    }

    fn create<'a>(&'a self, namespace: &'a str, name: &'a str, value: Bytes) -> BoxFuture<'a, Result<Stored, Error>> {
        self.store.create(namespace, name, value)
    }

    fn update<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        update: &'a mut UpdateFn<'a>,
    ) -> BoxFuture<'a, Result<(Stored, bool), Error>> {
        Box::pin(async move {
            let key = self.store.codec().key(namespace, name)?;
            self.store
                .update_from(&key, self.cache.get(&key), preconditions, update)
                .await
        })
    }

    fn delete<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        preconditions: &'a Preconditions,
        check: &'a mut (dyn FnMut(&Stored) -> Result<(), Box<Status>> + Send + 'a),
    ) -> BoxFuture<'a, Result<Stored, Error>> {
        Box::pin(async move {
            let key = self.store.codec().key(namespace, name)?;
            self.store
                .delete_from(&key, self.cache.get(&key), preconditions, check)
                .await
        })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            match self.cache.len() {
                Some(count) => Ok(count as u64),
                None => self.store.count().await,
            }
        })
    }
}

/// The first chunk of a list. As upstream, `resourceVersion=0` ignores the limit.
fn chunk(snapshot: Snapshot, prefix: &str, options: &ListOptions) -> Listed {
    let Snapshot { objects, revision } = snapshot;
    let limit = if options.revision == Revision::Any {
        0
    } else {
        options.limit
    };
    let total = objects.len();
    let mut items = Vec::with_capacity(if options.scope.selector.is_empty() { total } else { 0 });
    for (i, (key, object)) in objects.into_iter().enumerate() {
        if !options.scope.contains(&object) {
            continue;
        }
        items.push(object);
        if limit > 0 && items.len() >= limit && i + 1 < total {
            let remaining = i64::try_from(total - limit).ok();
            return Listed {
                items,
                revision,
                continue_token: continue_token::encode(&format!("{key}\0"), prefix, Some(revision)),
                remaining: remaining.filter(|_| options.scope.selector.is_empty() && options.scope.name.is_empty()),
            };
        }
    }
    Listed {
        items,
        revision,
        continue_token: String::new(),
        remaining: None,
    }
}
