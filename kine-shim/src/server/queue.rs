//! Queues of keys below a name, one key for each who waits, in the order of their creation: what locks and elections are
//! made of (etcd: `client/v3/concurrency`).

use std::sync::Arc;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use tokio::sync::oneshot;
use tonic::Status;

use super::{Services, size};
use crate::{
    error::Error,
    store::{
        hub::{Mailbox, Watcher},
        range::KeyRange,
    },
};

/// Seconds to live of a lease that is made because none was given (etcd: `defaultSessionTTL`).
const LEASE_TTL: i64 = 60;

/// How the services of queues say what went wrong: in etcd they are clients of the other ones, and what those answer
/// loses its code on the way.
pub(super) fn told(error: Error) -> Status {
    Status::unknown(error.wire().1)
}

/// The keys of one queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    start: Bytes,
    end: Bytes,
}

impl Queue {
    /// The queue called `name`.
    pub(super) fn new(name: &[u8]) -> Self {
        let key = |last: u8| Bytes::from([name, &[last]].concat());
        Self {
            start: key(b'/'),
            // The first key that does not begin with a slash.
            end: key(b'/' + 1),
        }
    }

    /// The key of the holder of `lease`.
    fn key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        [&self.start[..], format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()]
            .concat()
            .into()
    }

    /// All keys of the queue.
    pub(super) fn range(&self) -> KeyRange {
        KeyRange::new(&self.start, &self.end)
    }

    fn request(&self, order: SortOrder, max_create_revision: i64) -> RangeRequest {
        RangeRequest {
            key: self.start.clone(),
            range_end: self.end.clone(),
            limit: 1,
            sort_target: SortTarget::Create.into(),
            sort_order: order.into(),
            max_create_revision,
            ..Default::default()
        }
    }
}

/// A place in a queue.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: Bytes,
    /// Revision that created the key.
    pub(super) revision: i64,
    pub(super) lease: i64,
}

/// A place that is given up when the one who waits in it stops waiting.
pub(super) struct Waiting {
    services: Services,
    place: Option<Place>,
}

impl Waiting {
    /// The place is kept: the wait is over.
    pub(super) fn keep(mut self) {
        self.place = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let services = self.services.clone();
            self.services.tasks.spawn_finite("queue", async move {
                // If this fails, the lease gives the place up.
                let _ = services.leave(&place).await;
            });
        }
    }
}

impl Services {
    /// The lease to wait with: the one given, or a new one.
    pub(super) async fn lease_for_queue(&self, lease: i64) -> Result<i64, Error> {
        if lease != 0 {
            return Ok(lease);
        }
        Ok(self.store.grant(0, LEASE_TTL).await?.0)
    }

    /// Takes a place at the end of `queue`, or finds the one that `lease` has already, until the guard is dropped. The value
    /// is written to a new place only; the one that is there is returned.
    ///
    /// A request that ends meanwhile does not end this: which place is to be given up is known only afterwards.
    pub(super) async fn line_up(
        &self,
        queue: &Queue,
        lease: i64,
        value: &Bytes,
    ) -> Result<(Waiting, Place, ResponseHeader, Bytes), Error> {
        let (done, lined_up) = oneshot::channel();
        let (services, key, value) = (self.clone(), queue.key(lease), value.clone());
        self.tasks.spawn_finite("queue", async move {
            let taken = services.take_place(key, lease, value).await;
            let taken = taken.map(|(place, header, value)| (services.waiting(&place), place, header, value));
            // When nobody asks for it any more, the guard goes at once.
            let _ = done.send(taken);
        });
        lined_up.await.unwrap_or(Err(Error::Stopped))
    }

    async fn take_place(&self, key: Bytes, lease: i64, value: Bytes) -> Result<(Place, ResponseHeader, Bytes), Error> {
        let request = TxnRequest {
            compare: vec![created_at(&key, 0)],
            success: vec![put(&key, &value, lease)],
            failure: vec![operation(Request::RequestRange(RangeRequest {
                key: key.clone(),
                ..Default::default()
            }))],
        };
        let response = self.transact(request).await?;
        let header = response.header.unwrap_or_default();
        let found = response
            .responses
            .into_iter()
            .next()
            .and_then(|response| response.response);
        let (revision, value) = match found {
            Some(Response::ResponseRange(range)) if !range.kvs.is_empty() => {
                (range.kvs[0].create_revision, range.kvs[0].value.clone())
            }
            _ => (header.revision, value),
        };
        Ok((Place { key, revision, lease }, header, value))
    }

    /// A guard that gives `place` up unless told otherwise.
    fn waiting(&self, place: &Place) -> Waiting {
        Waiting {
            services: self.clone(),
            place: Some(place.clone()),
        }
    }

    /// Waits until everybody who came before `revision` has left the queue.
    pub(super) async fn wait_for_turn(&self, queue: &Queue, revision: i64) -> Result<(), Error> {
        loop {
            let (_watcher, changed) = self.watch_queue(queue.range());
            // Who came last before us leaves after all the others, as a rule.
            if self
                .first(queue.request(SortOrder::Descend, revision - 1))
                .await?
                .is_none()
            {
                return Ok(());
            }
            changed.notified().await;
        }
    }

    /// Is told of every change in a range from now on.
    pub(super) fn watch_queue(&self, range: KeyRange) -> (Watcher, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        (self.store.hub().subscribe(range, 0, false, 0, &mailbox), mailbox)
    }

    /// Who is first in a queue, with the revision of the answer.
    pub(super) async fn head(&self, queue: &Queue) -> Result<Option<(KeyValue, ResponseHeader)>, Error> {
        self.first(queue.request(SortOrder::Ascend, 0)).await
    }

    /// Changes the value of a place; `None` when it is not there any more.
    pub(super) async fn announce(&self, place: &Place, value: &Bytes) -> Result<Option<ResponseHeader>, Error> {
        let response = self
            .transact(TxnRequest {
                compare: vec![created_at(&place.key, place.revision)],
                success: vec![put(&place.key, value, place.lease)],
                failure: vec![],
            })
            .await?;
        Ok(response.header.filter(|_| response.succeeded))
    }

    /// Gives a place up, if it is still there.
    pub(super) async fn leave(&self, place: &Place) -> Result<Option<ResponseHeader>, Error> {
        let delete = DeleteRangeRequest {
            key: place.key.clone(),
            ..Default::default()
        };
        let response = self
            .transact(TxnRequest {
                compare: vec![created_at(&place.key, place.revision)],
                success: vec![operation(Request::RequestDeleteRange(delete))],
                failure: vec![],
            })
            .await?;
        Ok(response.header)
    }

    async fn first(&self, request: RangeRequest) -> Result<Option<(KeyValue, ResponseHeader)>, Error> {
        let response = self.store.range(request).await?;
        let header = response.header.unwrap_or_default();
        Ok(response.kvs.into_iter().next().map(|kv| (kv, header)))
    }

    async fn transact(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        self.store.txn(request, size(self.settings.limits.max_txn_ops)).await
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put(key: &Bytes, value: &Bytes, lease: i64) -> RequestOp {
    operation(Request::RequestPut(PutRequest {
        key: key.clone(),
        value: value.clone(),
        lease,
        ..Default::default()
    }))
}

fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.clone(),
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
    }
}
