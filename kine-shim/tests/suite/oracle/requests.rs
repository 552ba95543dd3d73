//! Random requests, each likely to meet what others have left.

use bytes::Bytes;
use proptest::prelude::*;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    compare::TargetUnion, request_op::Request,
};

/// A request; where it names a revision, as a share of those there are.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Range(RangeRequest),
    Txn(TxnRequest),
    RangeAt(RangeRequest, u8),
    Compact(u8, bool),
    Hash(u8),
    Grant(i64, i64),
    Revoke(i64),
    LeaseKeys(i64, bool),
    Leases,
    KeepAlive(i64),
    /// Starts a watch: of the past, from now on, or from a revision to come.
    Watch(WatchCreateRequest, Start),
}

/// Where a watch starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Past(u8),
    Now,
    Future(i64),
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
    let options = (-1..5_i64, 0..3_i32, 0..5_i32, 0..8_u8);
    // None of these, one, or several, whose ranges may be empty.
    let filter = || prop_oneof![8 => Just(0_i64), 1 => 1..200_i64];
    let filters = (filter(), filter(), filter(), filter());
    (key(), end(), options, filters).prop_map(|(key, range_end, (limit, order, target, kind), filters)| RangeRequest {
        key,
        range_end,
        limit,
        sort_order: order,
        sort_target: target,
        serializable: kind & 1 == 1,
        keys_only: kind == 2 || kind == 6,
        count_only: kind == 4 || kind == 6,
        min_mod_revision: filters.0,
        max_mod_revision: filters.1,
        min_create_revision: filters.2,
        max_create_revision: filters.3,
        ..Default::default()
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

fn watch() -> impl Strategy<Value = WatchCreateRequest> {
    let filters = prop::collection::vec(0..2_i32, 0..2);
    let options = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_i64);
    (key(), end(), filters, options).prop_map(
        |(key, range_end, filters, (prev_kv, fragment, progress_notify, watch_id))| WatchCreateRequest {
            key,
            range_end,
            filters,
            prev_kv,
            fragment,
            progress_notify,
            watch_id,
            ..Default::default()
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        3 => any::<u8>().prop_map(Start::Past),
        3 => Just(Start::Now),
        1 => (1..30_i64).prop_map(Start::Future),
    ]
}

/// Seconds to live that do not end while the test runs, or are refused.
fn ttl() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(1000_i64), 1 => Just(9_000_000_000_i64), 1 => Just(9_000_000_001_i64)]
}

pub(super) fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        20 => put().prop_map(Ask::Put),
        6 => delete().prop_map(Ask::Delete),
        10 => range().prop_map(Ask::Range),
        10 => (range(), any::<u8>()).prop_map(|(range, share)| Ask::RangeAt(range, share)),
        20 => txn().prop_map(Ask::Txn),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(share, physical)| Ask::Compact(share, physical)),
        1 => any::<u8>().prop_map(Ask::Hash),
        3 => (1..5_i64, ttl()).prop_map(|(id, ttl)| Ask::Grant(id, ttl)),
        1 => (1..5_i64).prop_map(Ask::Revoke),
        3 => (1..5_i64, any::<bool>()).prop_map(|(id, keys)| Ask::LeaseKeys(id, keys)),
        1 => Just(Ask::Leases),
        1 => (1..5_i64).prop_map(Ask::KeepAlive),
        3 => (watch(), start()).prop_map(|(watch, start)| Ask::Watch(watch, start)),
    ]
}
