//! What a server answers, as the bytes it sends, but for the names of cluster and member.

use prost::Message;
use proto::etcdserverpb::{
    HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, RangeRequest, ResponseHeader, TxnResponse, response_op::Response,
};
use tonic::{Code, Status};

use super::requests::Ask;
use crate::support::Client;

/// An answer: the bytes, and a form in which people can compare two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    encoded: Result<Vec<u8>, (Code, String)>,
    pub(super) readable: String,
}

/// Leaves out whose answer it is.
pub(super) fn anonymous(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        (header.cluster_id, header.member_id) = (0, 0);
    }
}

fn anonymous_txn(response: &mut TxnResponse) {
    anonymous(&mut response.header);
    for response in &mut response.responses {
        match &mut response.response {
            Some(Response::ResponseRange(response)) => anonymous(&mut response.header),
            Some(Response::ResponsePut(response)) => anonymous(&mut response.header),
            Some(Response::ResponseDeleteRange(response)) => anonymous(&mut response.header),
            Some(Response::ResponseTxn(response)) => anonymous_txn(response),
            None => {}
        }
    }
}

fn answer<T: Message + std::fmt::Debug>(result: Result<T, Status>, change: impl FnOnce(&mut T)) -> Answer {
    match result {
        Ok(mut response) => {
            change(&mut response);
            Answer {
                encoded: Ok(response.encode_to_vec()),
                readable: format!("{response:?}"),
            }
        }
        Err(status) => Answer {
            encoded: Err((status.code(), status.message().to_owned())),
            readable: format!("{:?}: {}", status.code(), status.message()),
        },
    }
}

/// The revision that is a share of those up to `revision` and one more.
pub(super) fn share_of(revision: i64, share: u8) -> i64 {
    1 + (revision + 1) * i64::from(share) / 255
}

/// Asks; `revision` is the newest.
pub(super) async fn told(client: &Client, ask: &Ask, revision: i64) -> Answer {
    let mut leases = client.lease.clone();
    match ask.clone() {
        Ask::Put(request) => answer(client.put(request).await, |response| anonymous(&mut response.header)),
        Ask::Delete(request) => answer(client.delete(request).await, |response| anonymous(&mut response.header)),
        Ask::Range(request) => answer(client.range(request).await, |response| anonymous(&mut response.header)),
        Ask::RangeAt(request, share) => {
            let request = RangeRequest {
                revision: share_of(revision, share),
                ..request
            };
            answer(client.range(request).await, |response| anonymous(&mut response.header))
        }
        Ask::Txn(request) => answer(client.txn(request).await, anonymous_txn),
        Ask::Compact(share, physical) => {
            let request = proto::etcdserverpb::CompactionRequest {
                revision: share_of(revision, share),
                physical,
            };
            let compacted = client.kv.clone().compact(request).await;
            answer(compacted.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header)
            })
        }
        Ask::Hash(share) => {
            let request = HashKvRequest {
                revision: share_of(revision, share),
            };
            let hash = client.maintenance.clone().hash_kv(request).await;
            answer(hash.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header);
                // Told by newer versions of etcd only.
                response.hash_revision = 0;
            })
        }
        Ask::Grant(id, ttl) => {
            let granted = leases.lease_grant(LeaseGrantRequest { id, ttl }).await;
            answer(granted.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header)
            })
        }
        Ask::Revoke(id) => {
            let revoked = leases.lease_revoke(LeaseRevokeRequest { id }).await;
            answer(revoked.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header)
            })
        }
        Ask::LeaseKeys(id, keys) => {
            let left = leases.lease_time_to_live(LeaseTimeToLiveRequest { id, keys }).await;
            answer(left.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header);
                response.keys.sort();
                // The clocks of the two are not the same.
                response.ttl = response.ttl.signum();
            })
        }
        Ask::Leases => {
            let listed = leases.lease_leases(LeaseLeasesRequest {}).await;
            answer(listed.map(tonic::Response::into_inner), |response| {
                anonymous(&mut response.header);
                // They are listed in the order in which they end, which is up to the clocks.
                response.leases.sort_by_key(|lease| lease.id);
            })
        }
        Ask::KeepAlive(id) => {
            let alive = async {
                let requests = tokio_stream::iter([LeaseKeepAliveRequest { id }]);
                let mut answers = leases.lease_keep_alive(requests).await?.into_inner();
                answers
                    .message()
                    .await?
                    .ok_or_else(|| Status::cancelled("the stream ended"))
            };
            answer(alive.await, |response| anonymous(&mut response.header))
        }
        // What a watch tells comes later.
        Ask::Watch(..) => answer(Ok(()), |()| {}),
    }
}
