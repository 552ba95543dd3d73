//! Reads: ranges, and the history watchers ask for.

use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use chassis::lock;
use proto::{
    etcdserverpb::{RangeRequest, RangeResponse},
    mvccpb::{Event, KeyValue},
};

use super::{
    Store,
    batch::event,
    index::{Keys, Version},
    range::{KeyRange, Selection, check_request, finish, key_value, select},
    shared::Shared,
};
use crate::{backend::Fault, error::Error};

/// Attempts after which a read asks compaction to wait.
const HOLD_AFTER: usize = 3;
/// Attempts a read makes while peers take its rows away.
const PEER_ATTEMPTS: usize = 5;
/// Most revisions looked at for one part of a replay.
const REPLAY_REVISIONS: i64 = 512;
/// Bytes of events after which a part of a replay ends.
const REPLAY_BYTES: usize = 2 << 20;

/// A part of the history.
#[derive(Debug)]
pub enum Replay {
    /// Events, complete up to and including a revision.
    Events(Vec<Event>, i64),
    /// The history has been compacted to a later revision.
    Compacted(i64),
}

/// Keeps compaction from removing rows while it lives.
struct Hold<'a>(&'a Shared);

impl<'a> Hold<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.compaction_holds.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.compaction_holds.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Store {
    /// Reads keys.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        check_request(&request)?;
        self.corrupt()?;
        if !request.serializable {
            self.confirm().await?;
        }
        // One key whose value is at hand needs no other thread.
        if request.range_end.is_empty()
            && let Some(response) = self.range_at_hand(&request)?
        {
            return Ok(response);
        }
        for _ in 0..PEER_ATTEMPTS {
            let (store, request) = (self.clone(), request.clone());
            let read = self.blocking(move |shared| store.range_blocking(shared, &request));
            match read.await?? {
                Some(response) => return Ok(response),
                None => self.catch_up(i64::MAX).await?,
            }
        }
        Err(Error::Unhealthy)
    }

    fn range_at_hand(&self, request: &RangeRequest) -> Result<Option<RangeResponse>, Error> {
        let (selection, revision) = {
            let state = self.shared.state();
            (
                select(&state.index, request, state.revision, state.compacted)?,
                state.revision,
            )
        };
        let mut kvs = Vec::with_capacity(selection.keys.len());
        for (key, version) in &selection.keys {
            let value = match selection.values_needed {
                true => match lock(&self.shared.cache).get(version.id) {
                    Some(value) => value,
                    None => return Ok(None),
                },
                false => Bytes::new(),
            };
            kvs.push(key_value(key.clone(), version, value));
        }
        Ok(Some(self.range_response(request, &selection, kvs, revision)))
    }

    fn range_response(
        &self,
        request: &RangeRequest,
        selection: &Selection,
        kvs: Vec<KeyValue>,
        revision: i64,
    ) -> RangeResponse {
        let (kvs, more) = finish(request, kvs, selection.more);
        RangeResponse {
            header: Some(self.header(revision)),
            kvs,
            more,
            count: selection.count,
        }
    }

    /// `None` when a peer has compacted a row.
    fn range_blocking(&self, shared: &Shared, request: &RangeRequest) -> Result<Option<RangeResponse>, Error> {
        let mut hold = None;
        for attempt in 0_usize.. {
            if attempt == HOLD_AFTER {
                hold = Some(Hold::new(shared));
            }
            let (selection, revision) = {
                let state = shared.state();
                (
                    select(&state.index, request, state.revision, state.compacted)?,
                    state.revision,
                )
            };
            let kvs = if selection.values_needed {
                read_values(shared, &selection).map_err(|fault| failed(&fault))?
            } else {
                let bare = |(key, version): &(Bytes, Version)| key_value(key.clone(), version, Bytes::new());
                Some(selection.keys.iter().map(bare).collect())
            };
            // A row that is gone was compacted after the index was asked; the index knows by now.
            if let Some(kvs) = kvs {
                drop(hold);
                return Ok(Some(self.range_response(request, &selection, kvs, revision)));
            }
            if shared.peers.is_some() {
                return Ok(None);
            }
        }
        Err(Error::Unhealthy)
    }

    /// Reads the events of `range` from revision `from` on, up to `published` at most, from the database.
    pub async fn replay(&self, range: KeyRange, from: i64, published: i64) -> Result<Replay, Error> {
        let read = self.blocking(move |shared| replay(shared, &range, from, published).map_err(|fault| failed(&fault)));
        let Replay::Events(mut events, upto) = read.await?? else {
            return Ok(Replay::Compacted(self.compacted()));
        };
        // A peer may have taken rows away of which nobody here has heard yet.
        self.confirm().await?;
        let compacted = self.compacted();
        if from < compacted {
            return Ok(Replay::Compacted(compacted));
        }
        // The version before may have gone; etcd does not tell it either.
        let told = |event: &&mut Event| event.kv.as_ref().is_some_and(|kv| kv.mod_revision <= compacted);
        events.iter_mut().filter(told).for_each(|event| event.prev_kv = None);
        Ok(Replay::Events(events, upto))
    }

    /// Runs `work` on a thread that may block; few do at the same time.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.reads)
            .acquire_owned()
            .await
            .map_err(|_| Error::Stopped)?;
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&shared);
            drop(permit);
            done
        });
        done.await.map_err(|_| Error::Stopped)
    }
}

pub(super) fn failed(fault: &Fault) -> Error {
    tracing::error!(%fault, "a read failed");
    Error::from(fault)
}

/// The selected keys with their values, `None` when one of the rows is gone.
fn read_values(shared: &Shared, selection: &Selection) -> Result<Option<Vec<KeyValue>>, Fault> {
    let mut kvs: Vec<KeyValue> = Vec::with_capacity(selection.keys.len());
    let mut missing = Vec::new();
    {
        let cache = lock(&shared.cache);
        for (at, (key, version)) in selection.keys.iter().enumerate() {
            let value = cache.get(version.id);
            if value.is_none() {
                missing.push((at, version.id));
            }
            kvs.push(key_value(key.clone(), version, value.unwrap_or_default()));
        }
    }
    if missing.is_empty() {
        return Ok(Some(kvs));
    }
    // In the order of the table, neighbours are found on the same page.
    missing.sort_unstable_by_key(|(_, id)| *id);
    let ids: Vec<i64> = missing.iter().map(|(_, id)| *id).collect();
    let complete = shared
        .readers
        .values(&ids, &mut |found, value| kvs[missing[found].0].value = value)?;
    if !complete {
        return Ok(None);
    }
    // A list would push out everything else.
    if let ([(at, id)], 1) = (missing.as_slice(), kvs.len()) {
        lock(&shared.cache).insert(*id, kvs[*at].value.clone());
    }
    Ok(Some(kvs))
}

fn replay(shared: &Shared, range: &KeyRange, from: i64, published: i64) -> Result<Replay, Fault> {
    let mut from = from;
    loop {
        let upto = published.min(from.saturating_add(REPLAY_REVISIONS - 1));
        let (first_row, end_row) = {
            let state = shared.state();
            (state.anchors.first_row(from), state.anchors.first_row(upto + 1))
        };
        let mut events: Vec<Event> = Vec::new();
        let mut bytes = 0;
        let mut last_revision = 0;
        let mut complete_to = upto;
        shared.readers.payloads(first_row, end_row, &mut |payload| {
            if !range.contains(&payload.key) {
                return ControlFlow::Continue(());
            }
            let (version, before) = {
                let state = shared.state();
                // What the index does not know has been compacted, which is noticed below, or was never a change.
                let Some(version) = state.index.row(&payload.key, payload.id) else {
                    return ControlFlow::Continue(());
                };
                (version, state.index.live_at(&payload.key, version.revision - 1))
            };
            if bytes > REPLAY_BYTES && version.revision != last_revision {
                complete_to = version.revision - 1;
                return ControlFlow::Break(());
            }
            last_revision = version.revision;
            bytes += payload.value.len() + payload.old_value.len() + payload.key.len();
            let before = before.as_ref().map(|before| (before, Bytes::from(payload.old_value)));
            events.push(event(payload.key.into(), &version, payload.value.into(), before));
            ControlFlow::Continue(())
        })?;
        // Rows go only after the state says so: when it does not say so now, every row was there.
        let compacted = shared.state().compacted;
        if from < compacted {
            return Ok(Replay::Compacted(compacted));
        }
        if !events.is_empty() || complete_to >= published {
            return Ok(Replay::Events(events, complete_to));
        }
        from = complete_to + 1;
    }
}
