//! The size of the database from which on it takes no more data (etcd: `--quota-backend-bytes`, and the costs of
//! `server/storage/quota.go`).

use std::sync::atomic::{AtomicI64, Ordering};

use proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};

use super::Services;
use crate::{error::Error, store::alarm};

/// What a key takes besides its bytes.
const KEY_OVERHEAD: usize = 256;
/// What a lease takes.
pub(super) const LEASE_COST: usize = 64;

/// How full the database is.
#[derive(Debug)]
pub(super) struct Quota {
    /// In bytes, 0 for none.
    limit: i64,
    /// Bytes the database held when it was last asked, and what has been written since: it is asked again only when the
    /// sum reaches the limit.
    estimate: AtomicI64,
}

impl Quota {
    pub(super) fn new(limit: i64) -> Self {
        Self {
            limit,
            estimate: AtomicI64::new(i64::MAX),
        }
    }
}

/// What a put adds, in bytes.
pub(super) fn put_cost(request: &PutRequest) -> usize {
    KEY_OVERHEAD + request.key.len() + request.value.len()
}

/// What a transaction adds at most, in bytes; 0 if it cannot add anything.
pub(super) fn txn_cost(request: &TxnRequest) -> usize {
    let branch = |operations: &[RequestOp]| -> usize {
        let cost = |operation: &RequestOp| match &operation.request {
            Some(Request::RequestPut(put)) => put_cost(put),
            Some(Request::RequestTxn(txn)) => txn_cost(txn),
            _ => 0,
        };
        operations.iter().map(cost).sum()
    };
    branch(&request.success).max(branch(&request.failure))
}

impl Services {
    /// Refuses what the database has no room for, and raises the alarm that keeps it so until somebody turns it off.
    pub(super) async fn make_room(&self, cost: usize) -> Result<(), Error> {
        let Quota { limit, estimate } = &*self.quota;
        if *limit == 0 || cost == 0 {
            return Ok(());
        }
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        let before = estimate.load(Ordering::Relaxed);
        if before.saturating_add(cost) < *limit {
            estimate.fetch_add(cost, Ordering::Relaxed);
            return Ok(());
        }
        let held = self.store.size().await?.used.saturating_add(cost);
        estimate.store(held, Ordering::Relaxed);
        if held < *limit {
            return Ok(());
        }
        if self.store.alarms() & alarm::NO_SPACE == 0 {
            tracing::warn!(
                limit,
                "--quota-backend-bytes is reached: alarm NOSPACE, nothing more is taken until it is disarmed"
            );
            self.store.set_alarms(alarm::NO_SPACE, true).await?;
        }
        Err(Error::NoSpace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_costs_what_its_dearer_branch_puts() {
        let put = |size: usize| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: "k".into(),
                value: vec![0; size].into(),
                ..Default::default()
            })),
        };
        let nested = RequestOp {
            request: Some(Request::RequestTxn(TxnRequest {
                success: vec![put(10)],
                ..Default::default()
            })),
        };
        let request = TxnRequest {
            success: vec![put(1), nested],
            failure: vec![put(5)],
            ..Default::default()
        };
        assert_eq!(txn_cost(&request), 2 * (KEY_OVERHEAD + 1) + 11);
        assert_eq!(txn_cost(&TxnRequest::default()), 0);
    }
}
