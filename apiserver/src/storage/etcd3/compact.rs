//! Compaction of the store's history by the protocol that all API servers on one store share (k8s.io/apiserver
//! `storage/etcd3/compact.go`): the version of one key is the logical time, and whoever advances it compacts.

use super::client::{Connection, timed};
use super::store::{etcd_revision, revision};
use crate::storage::interface::Error;
use etcd_client::proto::PbTxnOpResponse;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const KEY: &str = "compact_rev_key";

/// Compacts the store's history so that what is older than one to two intervals is gone.
pub struct Compactor {
    connection: Connection,
    interval: Duration,
    /// The version of the key as this server last saw it.
    time: i64,
    /// The store's revision at that time: what the next round compacts to.
    revision: u64,
}

impl Compactor {
    /// A compactor that has seen nothing yet. `interval` is `--etcd-compaction-interval`.
    pub fn new(connection: Connection, interval: Duration) -> Self {
        Compactor {
            connection,
            interval,
            time: 0,
            revision: 0,
        }
    }

    /// Compacts once per interval until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = shutdown.cancelled() => return,
            }
            match self.round().await {
                Ok(Some(revision)) => tracing::debug!(revision, "compacted the store's history"),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot compact the store's history; trying again next time"),
            }
        }
    }

    /// One round. Answers the revision that was compacted to, if it was this server's turn.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn round(&mut self) -> Result<Option<u64>, Error> {
        let txn = Txn::new()
            .when([Compare::version(KEY, CompareOp::Equal, self.time)])
            .and_then([TxnOp::put(KEY, self.revision.to_string(), None)])
            .or_else([TxnOp::get(KEY, None)]);
        let mut kv = self.connection.kv();
        let answer = timed(kv.txn(txn)).await?.0;
        let target = std::mem::replace(
            &mut self.revision,
            answer.header.map_or(0, |header| revision(header.revision)),
        );
        if !answer.succeeded {
            self.time = answer
                .responses
                .into_iter()
                .find_map(|response| match response.response {
                    Some(PbTxnOpResponse::ResponseRange(mut range)) => Some(range.kvs.pop()?.version),
                    _ => None,
                })
                .unwrap_or_default();
            return Ok(None);
        }
        self.time += 1;
        if target == 0 {
            // Nothing is known about the age of any revision yet.
            return Ok(None);
        }
        timed(kv.compact(etcd_revision(target), None)).await?;
        Ok(Some(target))
    }
}
