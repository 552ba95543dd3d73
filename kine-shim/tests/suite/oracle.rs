//! The same random requests to the shim and to a real etcd: every answer must be the same, but for the names of cluster and
//! member.

use bytes::Bytes;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
        PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest,
        compare::TargetUnion, request_op::Request, response_op::Response,
    },
    mvccpb::Event,
};
use tonic::Status;

use crate::{
    databases::{Database, on_every_database},
    support::{Client, Etcd, Shim},
};

/// Requests of one run.
const REQUESTS: usize = 3000;
/// Requests between two comparisons of the whole contents, history and hashes.
const ROUND: usize = 150;

#[derive(Debug, Clone)]
enum Ask {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Range(RangeRequest),
    Txn(TxnRequest),
    /// At a share of the revisions there are.
    RangeAt(RangeRequest, u8),
    Compact(u8, bool),
    Grant(i64),
    Revoke(i64),
    LeaseKeys(i64),
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "a\0", "aa", "ab", "b", "ba", "c", "compact_rev_key", "z"]).prop_map(Bytes::from),
        1 => Just(Bytes::from_static(b"\xff")),
        1 => Just(Bytes::from_static(b"compact_rev_key_apiserver")),
    ]
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just(Bytes::new()), 1 => Just(Bytes::from_static(b"\0")), 2 => key()]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from)
}

/// Leases have identifiers of their own so that both servers know the same ones; some are not there.
fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0_i64), 3 => 1..5_i64]
}

fn put() -> impl Strategy<Value = PutRequest> {
    (key(), value(), lease(), any::<bool>(), 0..10_u8).prop_map(|(key, value, lease, prev_kv, ignore)| PutRequest {
        key,
        value: if ignore == 1 { Bytes::new() } else { value },
        // Which of two mistakes is told has changed between versions of etcd, so there is only one.
        lease: if ignore == 1 || ignore == 2 { 0 } else { lease },
        prev_kv,
        ignore_value: ignore == 1,
        ignore_lease: ignore == 2,
    })
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let options = (0..4_i64, 0..3_i32, 0..5_i32, 0..8_u8);
    let filters = prop::option::weighted(0.2, (0..4_usize, 1..200_i64));
    (key(), end(), options, filters).prop_map(|(key, range_end, (limit, order, target, kind), filter)| {
        let mut request = RangeRequest {
            key,
            range_end,
            limit,
            sort_order: order,
            sort_target: target,
            serializable: kind & 1 == 1,
            keys_only: kind == 2,
            count_only: kind == 4,
            ..Default::default()
        };
        match filter {
            Some((0, revision)) => request.min_mod_revision = revision,
            Some((1, revision)) => request.max_mod_revision = revision,
            Some((2, revision)) => request.min_create_revision = revision,
            Some((_, revision)) => request.max_create_revision = revision,
            None => {}
        }
        request
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let union = prop_oneof![
        (0..4_i64).prop_map(TargetUnion::Version),
        (0..200_i64).prop_map(TargetUnion::CreateRevision),
        (0..200_i64).prop_map(TargetUnion::ModRevision),
        value().prop_map(TargetUnion::Value),
        (0..5_i64).prop_map(TargetUnion::Lease),
    ];
    (key(), end(), 0..4_i32, prop::option::weighted(0.95, union), 0..5_i32).prop_map(
        |(key, range_end, result, target_union, other)| {
            let target = match &target_union {
                Some(TargetUnion::Version(_)) => 0,
                Some(TargetUnion::CreateRevision(_)) => 1,
                Some(TargetUnion::ModRevision(_)) => 2,
                Some(TargetUnion::Value(_)) => 3,
                Some(TargetUnion::Lease(_)) => 4,
                None => other,
            };
            Compare {
                result,
                target,
                key,
                range_end,
                target_union,
            }
        },
    )
}

fn operation() -> impl Strategy<Value = RequestOp> {
    let leaf = prop_oneof![
        3 => put().prop_map(Request::RequestPut),
        1 => delete().prop_map(Request::RequestDeleteRange),
        2 => range().prop_map(Request::RequestRange),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let list = || {
            prop::collection::vec(
                inner.clone().prop_map(|request| RequestOp { request: Some(request) }),
                0..3,
            )
        };
        (prop::collection::vec(compare(), 0..2), list(), list()).prop_map(|(compare, success, failure)| {
            Request::RequestTxn(TxnRequest {
                compare,
                success,
                failure,
            })
        })
    })
    .prop_map(|request| RequestOp { request: Some(request) })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let list = || prop::collection::vec(operation(), 0..4);
    (prop::collection::vec(compare(), 0..3), list(), list()).prop_map(|(compare, success, failure)| {
        let mut request = TxnRequest {
            compare,
            success,
            failure,
        };
        if deletes_without_end(&request) {
            write_everything(&mut request);
        }
        request
    })
}

fn operations(request: &TxnRequest) -> impl Iterator<Item = &Request> {
    request
        .success
        .iter()
        .chain(&request.failure)
        .filter_map(|operation| operation.request.as_ref())
}

/// etcd does not notice that such a deletion overlaps a put, and dies when that put wants the old value.
fn deletes_without_end(request: &TxnRequest) -> bool {
    operations(request).any(|operation| match operation {
        Request::RequestDeleteRange(delete) => delete.range_end.as_ref() == b"\0",
        Request::RequestTxn(request) => deletes_without_end(request),
        _ => false,
    })
}

fn write_everything(request: &mut TxnRequest) {
    for operation in request.success.iter_mut().chain(&mut request.failure) {
        match &mut operation.request {
            Some(Request::RequestPut(put)) => (put.ignore_value, put.ignore_lease) = (false, false),
            Some(Request::RequestTxn(request)) => write_everything(request),
            _ => {}
        }
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        20 => put().prop_map(Ask::Put),
        6 => delete().prop_map(Ask::Delete),
        10 => range().prop_map(Ask::Range),
        10 => (range(), any::<u8>()).prop_map(|(range, share)| Ask::RangeAt(range, share)),
        20 => txn().prop_map(Ask::Txn),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(share, physical)| Ask::Compact(share, physical)),
        3 => (1..5_i64).prop_map(Ask::Grant),
        1 => (1..5_i64).prop_map(Ask::Revoke),
        3 => (1..5_i64).prop_map(Ask::LeaseKeys),
    ]
}

fn same_header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader {
            revision: header.revision,
            ..Default::default()
        };
    }
}

fn same_headers(response: &mut TxnResponse) {
    same_header(&mut response.header);
    for response in &mut response.responses {
        match &mut response.response {
            Some(Response::ResponseRange(response)) => same_header(&mut response.header),
            Some(Response::ResponsePut(response)) => same_header(&mut response.header),
            Some(Response::ResponseDeleteRange(response)) => same_header(&mut response.header),
            Some(Response::ResponseTxn(response)) => same_headers(response),
            None => {}
        }
    }
}

/// An answer without the names of cluster and member.
fn told<T: std::fmt::Debug>(result: Result<T, Status>, headers: impl FnOnce(&mut T)) -> String {
    match result {
        Ok(mut response) => {
            headers(&mut response);
            format!("{response:?}")
        }
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

async fn answer(client: &Client, ask: &Ask, revision: i64) -> String {
    let at = |share: u8| 1 + (revision + 1) * i64::from(share) / 255;
    match ask.clone() {
        Ask::Put(request) => told(client.put(request).await, |response| same_header(&mut response.header)),
        Ask::Delete(request) => told(client.delete(request).await, |response| {
            same_header(&mut response.header)
        }),
        Ask::Range(request) => told(client.range(request).await, |response| {
            same_header(&mut response.header)
        }),
        Ask::RangeAt(request, share) => {
            let request = RangeRequest {
                revision: at(share),
                ..request
            };
            told(client.range(request).await, |response| {
                same_header(&mut response.header)
            })
        }
        Ask::Txn(request) => told(client.txn(request).await, same_headers),
        Ask::Compact(share, physical) => told(client.compact(at(share), physical).await, |_| {}),
        Ask::Grant(id) => {
            let granted = client
                .lease
                .clone()
                .lease_grant(LeaseGrantRequest { id, ttl: 1000 })
                .await;
            told(granted.map(tonic::Response::into_inner), |response| {
                same_header(&mut response.header)
            })
        }
        Ask::Revoke(id) => {
            let revoked = client.lease.clone().lease_revoke(LeaseRevokeRequest { id }).await;
            told(revoked.map(tonic::Response::into_inner), |response| {
                same_header(&mut response.header)
            })
        }
        Ask::LeaseKeys(id) => {
            let keys = client
                .lease
                .clone()
                .lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true })
                .await;
            told(keys.map(tonic::Response::into_inner), |response| {
                same_header(&mut response.header);
                response.keys.sort();
                // The clocks of the two are not the same.
                response.ttl = response.ttl.signum();
            })
        }
    }
}

/// Everything that has happened from `from` on, as a watch tells it.
async fn history(client: &Client, from: i64, upto: i64) -> Vec<Event> {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: from,
        prev_kv: true,
        ..Default::default()
    });
    assert!(stream.next().await.created);
    let mut events: Vec<Event> = Vec::new();
    while events
        .last()
        .and_then(|event| event.kv.as_ref())
        .is_none_or(|kv| kv.mod_revision < upto)
    {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    events
}

async fn compare_whole(shim: &Client, etcd: &Client, compacted: i64) {
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    };
    let (ours, theirs) = (shim.range(everything.clone()).await, etcd.range(everything).await);
    let (ours, theirs) = (ours.expect("range"), theirs.expect("range"));
    assert_eq!(ours.kvs, theirs.kvs);
    let revision = theirs.header.expect("header").revision;
    // What the reference cannot know any more is not compared: versions before the compaction, deletions at it.
    let from = compacted.max(0) + 2;
    if from <= revision && from > 1 {
        let (ours, theirs) = (history(shim, from, revision).await, history(etcd, from, revision).await);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs);
        }
    }
    let hash = async |client: &Client| {
        let response = client.maintenance.clone().hash_kv(HashKvRequest { revision: 0 }).await;
        let response = response.expect("hash").into_inner();
        (
            response.hash,
            response.compact_revision,
            response.header.expect("header").revision,
        )
    };
    assert_eq!(hash(shim).await, hash(etcd).await);
}

on_every_database! { answers_are_those_of_etcd }

async fn answers_are_those_of_etcd(database: &Database) {
    let Some(etcd) = Etcd::start().await else { return };
    let mut shim = Shim::start(database).await;
    let seed: [u8; 32] = match std::env::var("ORACLE_SEED") {
        Ok(seed) => std::array::from_fn(|at| seed.as_bytes().get(at).copied().unwrap_or(0)),
        Err(_) => *b"kine-shim against a real etcd...",
    };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let requests = ask();
    let mut compacted = -1;
    for count in 1..=REQUESTS {
        let ask = requests.new_tree(&mut runner).expect("a request").current();
        let revision = shim.app.store.revision();
        let (ours, theirs) = tokio::join!(
            answer(&shim.client, &ask, revision),
            answer(&etcd.client, &ask, revision)
        );
        assert_eq!(ours, theirs, "request {count} at revision {revision}: {ask:?}");
        if matches!(ask, Ask::Compact(..)) {
            compacted = shim.app.store.compacted();
        }
        if count % ROUND == 0 {
            compare_whole(&shim.client, &etcd.client, compacted).await;
        }
        if count % (4 * ROUND) == 0 {
            // What is read back from the database is what was there.
            shim.stop().await;
            shim = Shim::start(database).await;
            compare_whole(&shim.client, &etcd.client, compacted).await;
        }
    }
    shim.stop().await;
}
