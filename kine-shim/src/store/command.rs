//! What the writer can be asked to do.

use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, TxnRequest, TxnResponse, request_op::Request,
};
use tokio::sync::oneshot;

use crate::error::Error;

/// Where the answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Answers; whoever asked may have gone, and there is nobody left to tell then.
pub fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    let _ = reply.send(result);
}

/// A request to the writer. Answers that are a bare number are the revision after the request.
#[derive(Debug)]
pub enum Command {
    /// Write a key.
    Put(PutRequest, Reply<PutResponse>),
    /// Delete keys.
    Delete(DeleteRangeRequest, Reply<DeleteRangeResponse>),
    /// Run a transaction.
    Txn(TxnRequest, Reply<TxnResponse>),
    /// Grant a lease.
    Grant {
        /// Its identifier.
        id: i64,
        /// Seconds to live.
        ttl: i64,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Revoke a lease.
    Revoke {
        /// Its identifier.
        id: i64,
        /// Only if it has ended.
        only_expired: bool,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Start the life of a lease anew, where the database knows when leases end. The answer is its seconds to live.
    KeepAlive {
        /// Its identifier.
        id: i64,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Forget history.
    Compact {
        /// The revision from which on history is kept.
        revision: i64,
        /// Answer after the rows are gone.
        physical: bool,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Turn alarms on or off by hand.
    SetAlarms {
        /// The alarms, as a sum of bits.
        bits: i64,
        /// On or off.
        on: bool,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Take in what peers have committed.
    CatchUp {
        /// The epoch to reach; what is known may be later already.
        epoch: i64,
        /// Where the answer goes.
        reply: Reply<i64>,
    },
    /// Remove compacted rows, now that peers had their time.
    Sweep,
    /// Rewrite the database without free space.
    Defragment(Reply<i64>),
    /// End after everything asked before.
    Stop,
}

impl Command {
    /// Refuses the request.
    pub fn refuse(self, error: Error) {
        match self {
            Self::Put(_, reply) => answer(reply, Err(error)),
            Self::Delete(_, reply) => answer(reply, Err(error)),
            Self::Txn(_, reply) => answer(reply, Err(error)),
            Self::Grant { reply, .. }
            | Self::Revoke { reply, .. }
            | Self::KeepAlive { reply, .. }
            | Self::Compact { reply, .. }
            | Self::SetAlarms { reply, .. }
            | Self::CatchUp { reply, .. }
            | Self::Defragment(reply) => answer(reply, Err(error)),
            Self::Sweep | Self::Stop => {}
        }
    }

    /// Whether the request makes the database larger, which a NOSPACE alarm forbids (etcd: `applierV3Capped`).
    pub fn grows(&self) -> bool {
        match self {
            Self::Put(..) | Self::Grant { .. } => true,
            Self::Txn(request, _) => puts(request),
            _ => false,
        }
    }

    /// Whether the request touches keys or leases, which a CORRUPT alarm forbids (etcd: `applierV3Corrupt`).
    pub fn touches_data(&self) -> bool {
        !matches!(
            self,
            Self::SetAlarms { .. } | Self::CatchUp { .. } | Self::Sweep | Self::Defragment(_) | Self::Stop
        )
    }
}

fn puts(request: &TxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .any(|operation| match &operation.request {
            Some(Request::RequestPut(_)) => true,
            Some(Request::RequestTxn(request)) => puts(request),
            _ => false,
        })
}
