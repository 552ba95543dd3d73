//! A watch straight from the store, for one client: the reference that the cache is measured against.

use super::client::timed;
use super::errors::{WATCH_EXPIRED, unavailable};
use super::list::range_end;
use super::store::{Store, etcd_revision, revision};
use crate::storage::change::Change;
use crate::storage::interface::{Error, Event, ListOptions, Revision, Scope, Watch, WatchOptions};
use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{WatchOptions as EtcdWatchOptions, WatchStream};
use futures::stream;
use std::collections::VecDeque;

struct Source {
    store: Store,
    stream: WatchStream,
    scope: Scope,
    bookmarks: bool,
    pending: VecDeque<Event>,
    ended: bool,
}

impl Store {
    pub(super) async fn follow(&self, options: WatchOptions) -> Result<Watch, Error> {
        let mut pending = VecDeque::new();
        let start = match options.revision {
            Revision::NotOlderThan(n) | Revision::Exact(n) if options.initial_events != Some(true) => n,
            _ if options.initial_events == Some(false) => self.current_revision().await?,
            revision => {
                let list = ListOptions {
                    scope: options.scope.clone(),
                    revision,
                    limit: 0,
                    continue_token: String::new(),
                };
                let listed = self.list_chunk(list).await?;
                pending.extend(listed.items.into_iter().map(Event::Added));
                if options.initial_events == Some(true) && options.bookmarks {
                    pending.push_back(Event::Bookmark {
                        revision: listed.revision,
                        initial_events_end: true,
                    });
                }
                listed.revision
            }
        };
        let prefix = self.codec.list_prefix(&options.scope.namespace)?;
        let request = EtcdWatchOptions::new()
            .with_range(range_end(&prefix))
            .with_start_revision(etcd_revision(start.saturating_add(1)))
            .with_prev_key()
            .with_progress_notify();
        let mut watch = self.connection.watch();
        let stream = timed(watch.watch(prefix, Some(request))).await?;
        let source = Source {
            store: self.clone(),
            stream,
            scope: options.scope,
            bookmarks: options.bookmarks,
            pending,
            ended: false,
        };
        Ok(Box::pin(stream::unfold(source, Source::next)))
    }
}

impl Source {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some((event, self));
            }
            if self.ended {
                return None;
            }
            match self.stream.message().await {
                Ok(Some(answer)) => self.take(answer.0),
                Ok(None) => return None,
                Err(error) => self.fail(unavailable(&error)),
            }
        }
    }

    fn take(&mut self, answer: PbWatchResponse) {
        if answer.compact_revision > 0 {
            return self.fail(Error::Expired(WATCH_EXPIRED.to_owned()));
        }
        if answer.canceled {
            return self.fail(Error::Unavailable(answer.cancel_reason));
        }
        if answer.events.is_empty() && !answer.created && self.bookmarks {
            let revision = answer.header.map_or(0, |header| revision(header.revision));
            self.pending.push_back(Event::Bookmark {
                revision,
                initial_events_end: false,
            });
        }
        for event in answer.events {
            match self.change(event) {
                Ok(Some(change)) => self.pending.extend(change.event(&self.scope)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    fn change(&self, event: PbEvent) -> Result<Option<Change>, Error> {
        let Some(kv) = event.kv else { return Ok(None) };
        let previous = event.prev_kv.map(|kv| self.store.decode(&kv)).transpose()?;
        // 0 is PUT and 1 is DELETE (etcd `mvccpb.Event.EventType`).
        let current = if event.r#type == 0 {
            Some(self.store.decode(&kv)?)
        } else {
            None
        };
        Ok(Some(Change::new(revision(kv.mod_revision), previous, current)))
    }

    fn fail(&mut self, error: Error) {
        self.pending.push_back(Event::Error(error));
        self.ended = true;
    }
}
