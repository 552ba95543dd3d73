//! The life of one watch stream with any number of watches.
//!
//! ```text
//! create ──▶ registered at the hub ──▶ created answered ──▶ behind ⇄ caught up ──▶ cancelled
//! ```
//! The session fetches for one watch at a time and sends before it fetches again, so what a slow client does not take
//! stays where it is: in the shared history, then in the database. Progress is answered only when no watch of the stream is
//! behind, and through the same queue as the events.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chassis::CancellationToken;
use proto::{
    etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion},
    mvccpb::Event,
};
use tokio::time::MissedTickBehavior;
use tonic::{Status, Streaming};

use super::{
    Settings,
    outbox::{Outbox, Unsent},
    size,
    watch::View,
};
use crate::{
    error::Error,
    metrics::Cancelled,
    store::{
        Replay, Store,
        hub::{Fetched, Mailbox, Watcher},
        range::KeyRange,
    },
};

/// The identifier of answers that concern no watch in particular (etcd: `InvalidWatchID`).
const NO_WATCH: i64 = -1;
/// Events fetched at once, about.
const FETCH: usize = 1000;
/// etcd's texts for watches that cannot be made (`server/storage/mvcc/watcher.go`).
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
/// Ours: etcd has no such limit.
const TOO_MANY: &str = "etcdserver: too many watches on one stream";

/// Why a stream ends.
enum Ended {
    /// The client has gone.
    Gone,
    /// The client leaves what it is sent unread.
    Stalled,
    /// The client sent what cannot be understood, or broke off.
    Refused(Status),
    /// The server cannot go on.
    Failed(Error),
}

impl From<Unsent> for Ended {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone => Self::Gone,
            Unsent::Stalled => Self::Stalled,
        }
    }
}

#[derive(Debug)]
struct Watch {
    watcher: Watcher,
    view: View,
}

/// A stream of watches.
#[derive(Debug)]
pub(super) struct Session {
    store: Store,
    outbox: Outbox<WatchResponse>,
    settings: Arc<Settings>,
    mailbox: Arc<Mailbox>,
    watches: HashMap<i64, Watch>,
    next_id: i64,
    /// Watches that want to hear of progress now and then.
    notified: HashSet<i64>,
    /// Those of them that have heard something since the last round.
    busy: HashSet<i64>,
    /// The client asked for progress and has not got it yet.
    progress_wanted: bool,
}

impl Session {
    pub(super) fn new(store: Store, outbox: Outbox<WatchResponse>, settings: Arc<Settings>) -> Self {
        Self {
            store,
            outbox,
            settings,
            mailbox: Arc::default(),
            watches: HashMap::new(),
            next_id: 0,
            notified: HashSet::new(),
            busy: HashSet::new(),
            progress_wanted: false,
        }
    }

    /// Runs until the client has gone, is too slow, or the service ends.
    pub(super) async fn run(mut self, requests: Streaming<WatchRequest>, shutdown: CancellationToken) {
        let status = match self.serve(requests, shutdown).await {
            Ended::Gone => return,
            Ended::Refused(status) => status,
            Ended::Failed(error) => error.into(),
            Ended::Stalled => {
                let patience = self.settings.limits.slow_watcher_timeout;
                tracing::warn!(
                    watches = self.watches.len(),
                    "a watch stream was cancelled: its client left events unread for {patience:?}"
                );
                self.count(Cancelled::Slow, self.watches.len());
                // The client may go on from the revision it has read up to.
                Status::unavailable(format!(
                    "etcdserver: watch stream cancelled: its client left events unread for {patience:?}"
                ))
            }
        };
        self.outbox.end(status);
    }

    async fn serve(&mut self, mut requests: Streaming<WatchRequest>, shutdown: CancellationToken) -> Ended {
        let mut ticks = tokio::time::interval(self.settings.progress_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mailbox = Arc::clone(&self.mailbox);
        let mut asking = true;
        loop {
            let done = tokio::select! {
                request = requests.message(), if asking => match request {
                    Ok(Some(request)) => self.handle(request).await,
                    // A client that asks nothing more may go on listening.
                    Ok(None) => {
                        asking = false;
                        Ok(())
                    }
                    Err(status) => Err(Ended::Refused(status)),
                },
                () = mailbox.notified() => self.deliver().await,
                _ = ticks.tick(), if !self.notified.is_empty() => self.tell_progress().await,
                () = self.outbox.closed() => Err(Ended::Gone),
                () = shutdown.cancelled() => Err(Ended::Failed(Error::Stopped)),
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    fn header(&self, revision: i64) -> Option<ResponseHeader> {
        Some(self.store.header(revision))
    }

    fn count(&self, reason: Cancelled, watches: usize) {
        self.settings.metrics.cancelled(reason, watches);
    }

    async fn send(&self, response: WatchResponse) -> Result<(), Ended> {
        Ok(self.outbox.send(response).await?)
    }

    async fn handle(&mut self, request: WatchRequest) -> Result<(), Ended> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.progress_wanted = true;
                self.answer_progress().await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, mut request: WatchCreateRequest) -> Result<(), Ended> {
        if request.key.is_empty() {
            // The smallest key there is.
            request.key = bytes::Bytes::from_static(b"\0");
        }
        let range = KeyRange::new(&request.key, &request.range_end);
        let most = size(self.settings.limits.max_watches_per_stream);
        let refused = if request.start_revision < 0 {
            Some(Error::Compacted.wire().1)
        } else if range.is_empty() {
            Some(EMPTY_RANGE)
        } else if request.watch_id != 0 && self.watches.contains_key(&request.watch_id) {
            Some(DUPLICATE_ID)
        } else if self.watches.len() >= most {
            Some(TOO_MANY)
        } else {
            None
        };
        if let Some(reason) = refused {
            let response = WatchResponse {
                header: self.header(self.store.hub().published()),
                watch_id: NO_WATCH,
                created: true,
                canceled: true,
                cancel_reason: reason.to_owned(),
                ..Default::default()
            };
            return self.send(response).await;
        }
        let id = if request.watch_id == 0 {
            self.free_id()
        } else {
            request.watch_id
        };
        let watcher = self
            .store
            .hub()
            .subscribe(range, request.start_revision, request.prev_kv, id, &self.mailbox);
        let created = WatchResponse {
            header: self.header(self.store.hub().published()),
            watch_id: id,
            created: true,
            ..Default::default()
        };
        self.send(created).await?;
        let compacted = self.store.compacted();
        if request.start_revision > 0 && request.start_revision < compacted {
            return self.compacted(id, compacted).await;
        }
        if request.progress_notify {
            self.notified.insert(id);
        }
        self.watches.insert(
            id,
            Watch {
                watcher,
                view: View::new(&request),
            },
        );
        Ok(())
    }

    fn free_id(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Ended> {
        if self.forget(id).is_none() {
            return Ok(());
        }
        self.count(Cancelled::Client, 1);
        let canceled = WatchResponse {
            header: self.header(self.store.hub().published()),
            watch_id: id,
            canceled: true,
            ..Default::default()
        };
        self.send(canceled).await?;
        // It may have been the one that was behind.
        self.answer_progress().await
    }

    fn forget(&mut self, id: i64) -> Option<Watch> {
        self.notified.remove(&id);
        self.busy.remove(&id);
        self.watches.remove(&id)
    }

    /// Ends a watch whose next revision has been compacted. etcd leaves the revision out of this header.
    async fn compacted(&mut self, id: i64, compact_revision: i64) -> Result<(), Ended> {
        self.forget(id);
        self.count(Cancelled::Compacted, 1);
        let canceled = WatchResponse {
            header: self.header(0),
            watch_id: id,
            canceled: true,
            compact_revision,
            ..Default::default()
        };
        self.send(canceled).await
    }

    /// Sends the next part to every watch that is behind; the mailbox wakes the session again for what is left.
    async fn deliver(&mut self) -> Result<(), Ended> {
        for id in self.mailbox.take() {
            let Some(watch) = self.watches.get_mut(&id) else {
                continue;
            };
            match watch.watcher.fetch(FETCH) {
                Fetched::Nothing => {}
                Fetched::Events(entries, upto) => {
                    let events = entries
                        .iter()
                        .filter_map(|entry| watch.view.show(&entry.event))
                        .collect();
                    self.send_events(id, events, upto).await?;
                }
                Fetched::TooOld(from, published) => self.replay(id, from, published).await?,
            }
        }
        self.answer_progress().await
    }

    async fn replay(&mut self, id: i64, from: i64, published: i64) -> Result<(), Ended> {
        let Some(watch) = self.watches.get_mut(&id) else {
            return Ok(());
        };
        match self.store.replay(watch.watcher.range().clone(), from, published).await {
            Ok(Replay::Events(events, upto)) => {
                watch.watcher.caught_up(upto, published);
                let events = events.iter().filter_map(|event| watch.view.show(event)).collect();
                self.send_events(id, events, upto).await
            }
            Ok(Replay::Compacted(compacted)) => self.compacted(id, compacted).await,
            // The client starts over, from the revision it knows.
            Err(error) => Err(Ended::Failed(error)),
        }
    }

    async fn send_events(&mut self, id: i64, events: Vec<Event>, upto: i64) -> Result<(), Ended> {
        if events.is_empty() {
            return Ok(());
        }
        let Some(watch) = self.watches.get(&id) else {
            return Ok(());
        };
        let response = WatchResponse {
            header: self.header(upto),
            watch_id: id,
            events,
            ..Default::default()
        };
        for fragment in watch.view.fragments(response, self.settings.max_message_bytes()) {
            self.send(fragment).await?;
        }
        if self.notified.contains(&id) {
            self.busy.insert(id);
        }
        Ok(())
    }

    /// Answers a request for progress as soon as every watch has been sent everything.
    async fn answer_progress(&mut self) -> Result<(), Ended> {
        if self.watches.is_empty() {
            // There is nothing whose progress could be told, also not later.
            self.progress_wanted = false;
        }
        if !self.progress_wanted {
            return Ok(());
        }
        let Some(revision) = self
            .store
            .hub()
            .progress(self.watches.values().map(|watch| &watch.watcher))
        else {
            return Ok(());
        };
        self.progress_wanted = false;
        self.send(WatchResponse {
            header: self.header(revision),
            watch_id: NO_WATCH,
            ..Default::default()
        })
        .await
    }

    /// Tells the watches that want it, and that have heard nothing lately, how far they are.
    async fn tell_progress(&mut self) -> Result<(), Ended> {
        let busy = std::mem::take(&mut self.busy);
        for id in self.notified.iter().filter(|id| !busy.contains(id)) {
            let Some(watch) = self.watches.get(id) else { continue };
            if let Some(revision) = self.store.hub().progress([&watch.watcher]) {
                self.send(WatchResponse {
                    header: self.header(revision),
                    watch_id: *id,
                    ..Default::default()
                })
                .await?;
            }
        }
        Ok(())
    }
}
