//! One client's watch: a place in the shared history, and the scope through which it is seen.

use super::cache::{Cache, Cursor, Interrupted};
use super::hub::Hub;
use crate::storage::etcd3::WATCH_EXPIRED;
use crate::storage::interface::{Error, Event, Revision, Scope, Watch, WatchOptions};
use futures::{StreamExt, stream};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Changes that are taken from the history at once.
const BATCH: usize = 64;
/// How often clients hear how far the store has come (k8s.io/apiserver `cacher.defaultBookmarkFrequency`).
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
/// The last bookmark comes this long before the deadline.
const BEFORE_DEADLINE: Duration = Duration::from_secs(2);

struct Watcher {
    cache: Arc<Cache>,
    hub: Hub,
    scope: Scope,
    cursor: Cursor,
    /// Changes up to here are not wanted; it may lie in the future.
    after: u64,
    pending: VecDeque<Event>,
    news: watch::Receiver<u64>,
    bookmark_at: Option<Instant>,
    deadline: Option<Instant>,
    /// Nothing follows what is pending.
    over: bool,
}

/// Starts a watch. What goes wrong once the request is understood is an event, as upstream has it.
pub(super) async fn start(cache: &Arc<Cache>, hub: &Hub, options: WatchOptions) -> Result<Watch, Error> {
    cache.store().codec().list_prefix(&options.scope.namespace)?;
    match begin(cache, hub, options).await {
        Ok(watcher) => Ok(stream::unfold(watcher, Watcher::next).boxed()),
        Err(error) => Ok(stream::iter([Event::Error(error)]).boxed()),
    }
}

async fn begin(cache: &Arc<Cache>, hub: &Hub, options: WatchOptions) -> Result<Watcher, Error> {
    // A cache that is thrown away meanwhile is read again.
    let place = loop {
        cache.loaded(hub).await?;
        if let Some(place) = place(cache, hub, &options).await? {
            break place;
        }
    };
    let bookmark_at = if options.bookmarks {
        next_bookmark(Instant::now(), options.deadline)
    } else {
        None
    };
    Ok(Watcher {
        cache: cache.clone(),
        hub: hub.clone(),
        scope: options.scope,
        cursor: place.cursor,
        after: place.after,
        pending: place.pending,
        news: cache.news(),
        bookmark_at,
        deadline: options.deadline,
        over: false,
    })
}

/// Where a watch starts.
struct Place {
    cursor: Cursor,
    after: u64,
    /// What is there already.
    pending: VecDeque<Event>,
}

/// Where a watch of a filled cache starts; `None` when the cache was thrown away meanwhile.
async fn place(cache: &Cache, hub: &Hub, options: &WatchOptions) -> Result<Option<Place>, Error> {
    let start = match (options.initial_events, options.revision) {
        (None | Some(false), Revision::NotOlderThan(n) | Revision::Exact(n)) if n > 0 => Some(n),
        (Some(false), Revision::Latest) => Some(cache.store().current_revision().await?),
        (Some(false), _) => Some(cache.revision(hub)),
        (Some(true), revision) => {
            match revision {
                Revision::NotOlderThan(n) | Revision::Exact(n) => cache.wait_for(hub, n).await?,
                Revision::Latest => cache.wait_for(hub, cache.store().current_revision().await?).await?,
                Revision::Any => {}
            }
            None
        }
        (None, _) => None,
    };
    if let Some(after) = start {
        let pending = VecDeque::new();
        let cursor = cache.cursor_after(after)?;
        return Ok(cursor.map(|cursor| Place { cursor, after, pending }));
    }
    let Some((objects, revision, cursor)) = cache.snapshot_for_watch(hub, &options.scope)? else {
        return Ok(None);
    };
    let mut pending: VecDeque<Event> = objects.into_iter().map(Event::Added).collect();
    if options.initial_events == Some(true) && options.bookmarks {
        pending.push_back(Event::Bookmark {
            revision,
            initial_events_end: true,
        });
    }
    Ok(Some(Place {
        cursor,
        after: 0,
        pending,
    }))
}

impl Watcher {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some((event, self));
            }
            if self.over {
                return None;
            }
            self.news.mark_unchanged();
            let (changes, reached) = match self.cache.read(&self.hub, &mut self.cursor, BATCH) {
                Ok(read) => read,
                Err(why) => {
                    self.end(why);
                    continue;
                }
            };
            let more = changes.len() == BATCH;
            let wanted = changes.iter().filter(|change| change.revision > self.after);
            self.pending
                .extend(wanted.filter_map(|change| change.event(&self.scope)));
            if more || !self.pending.is_empty() {
                continue;
            }
            if self.bookmark_at.is_some_and(|at| at <= Instant::now()) {
                self.bookmark_at = next_bookmark(Instant::now(), self.deadline);
                let bookmark = Event::Bookmark {
                    revision: reached.max(self.after),
                    initial_events_end: false,
                };
                return Some((bookmark, self));
            }
            tokio::select! {
                news = self.news.changed() => news.ok()?,
                () = sleep_until(self.bookmark_at) => {}
            }
        }
    }

    /// Ends the watch. A client that is behind comes back and hears then how far; one whose cache was wrong may be as far
    /// as the store, and is told to list again.
    fn end(&mut self, why: Interrupted) {
        self.over = true;
        if why == Interrupted::Closed {
            return;
        }
        self.cache.count_terminated();
        tracing::debug!(prefix = self.cache.prefix(), ?why, "a watch ends");
        if why == Interrupted::Reset {
            self.pending
                .push_back(Event::Error(Error::Expired(WATCH_EXPIRED.to_owned())));
        }
    }
}

/// When the next bookmark is due; `None` when the watch ends before.
fn next_bookmark(now: Instant, deadline: Option<Instant>) -> Option<Instant> {
    let regular = now + BOOKMARK_PERIOD;
    match deadline.map(|deadline| deadline.checked_sub(BEFORE_DEADLINE).unwrap_or(now)) {
        Some(last) if last <= now => None,
        Some(last) => Some(regular.min(last)),
        None => Some(regular),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_come_every_minute_and_before_the_deadline() {
        let now = Instant::now();
        let seconds = |deadline: Option<u64>| {
            next_bookmark(now, deadline.map(|s| now + Duration::from_secs(s))).map(|at| (at - now).as_secs())
        };
        assert_eq!(seconds(None), Some(60));
        assert_eq!(seconds(Some(300)), Some(60));
        assert_eq!(seconds(Some(30)), Some(28));
        assert_eq!(seconds(Some(2)), None);
        assert_eq!(seconds(Some(1)), None);
    }
}
