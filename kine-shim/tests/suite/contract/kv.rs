//! Keys: writing, reading, deleting, compacting.

use std::collections::HashMap;

use bytes::Bytes;
use proto::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    range_request::{SortOrder, SortTarget},
    request_op::Request,
};
use tonic::Code;

use super::{all, delete, keys, one, op, put, refused};
use crate::support::{Client, bytes};

pub(super) async fn put_and_get(client: Client) {
    let first = client.set("put/k", "one").await;
    assert_eq!(client.set("put/k", "two").await, first + 1);
    let response = client.range(one("put/k")).await.expect("range");
    let kv = &response.kvs[0];
    assert_eq!(
        (kv.create_revision, kv.mod_revision, kv.version, kv.lease),
        (first, first + 1, 2, 0)
    );
    assert_eq!(
        (kv.value.as_ref(), response.count, response.more),
        (&b"two"[..], 1, false)
    );
    assert_eq!(response.header.expect("header").revision, first + 1);
    client.delete(delete("put/k")).await.expect("delete");
    assert_eq!(client.range(one("put/k")).await.expect("range").count, 0);
    let again = client.set("put/k", "").await;
    let kv = client.range(one("put/k")).await.expect("range").kvs.remove(0);
    assert_eq!((kv.create_revision, kv.version, kv.value.len()), (again, 1, 0));
    // Keys are bytes, not text.
    let binary = Bytes::from_static(b"put/\xff\0\xfe");
    let request = PutRequest {
        key: binary.clone(),
        value: Bytes::from_static(b"\0\xff"),
        ..Default::default()
    };
    client.put(request).await.expect("put");
    let kv = client
        .range(RangeRequest {
            key: binary,
            ..Default::default()
        })
        .await
        .expect("range")
        .kvs
        .remove(0);
    assert_eq!(kv.value.as_ref(), b"\0\xff");
}

pub(super) async fn put_options(client: Client) {
    let request = PutRequest {
        prev_kv: true,
        ..put("options/k", "one")
    };
    assert_eq!(client.put(request.clone()).await.expect("put").prev_kv, None);
    let previous = client
        .put(PutRequest {
            value: bytes("two"),
            ..request
        })
        .await
        .expect("put")
        .prev_kv
        .expect("prev");
    assert_eq!((previous.value.as_ref(), previous.version), (&b"one"[..], 1));
    let lease = client
        .lease
        .clone()
        .lease_grant(LeaseGrantRequest { ttl: 100, id: 0 })
        .await
        .expect("grant")
        .into_inner()
        .id;
    client
        .put(PutRequest {
            lease,
            ..put("options/k", "three")
        })
        .await
        .expect("put");
    let request = PutRequest {
        ignore_lease: true,
        ..put("options/k", "four")
    };
    client.put(request).await.expect("put");
    let request = PutRequest {
        ignore_value: true,
        lease,
        ..put("options/k", "")
    };
    client.put(request).await.expect("put");
    let kv = client.range(one("options/k")).await.expect("range").kvs.remove(0);
    assert_eq!((kv.value.as_ref(), kv.lease, kv.version), (&b"four"[..], lease, 5));
    client.put(put("options/k", "five")).await.expect("put");
    assert_eq!(client.range(one("options/k")).await.expect("range").kvs[0].lease, 0);
    client
        .lease
        .clone()
        .lease_revoke(LeaseRevokeRequest { id: lease })
        .await
        .expect("revoke");
    assert_eq!(client.get("options/k").await.as_deref(), Some("five"));
}

pub(super) async fn range_options(client: Client) {
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("a", "9")] {
        client.set(&format!("range/{key}"), value).await;
    }
    let base = client.range(one("range/a")).await.expect("range").kvs[0].create_revision;
    let ask = async |request: RangeRequest| {
        let response = client.range(request).await.expect("range");
        (keys(&response.kvs), response.more, response.count)
    };
    let texts = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let everything = all("range/");
    let sorted = |target: SortTarget, order: SortOrder, limit: i64| RangeRequest {
        sort_target: target.into(),
        sort_order: order.into(),
        limit,
        ..everything.clone()
    };
    assert_eq!(ask(everything.clone()).await, (texts(&["a", "b", "c"]), false, 3));
    let limited = RangeRequest {
        limit: 2,
        ..everything.clone()
    };
    assert_eq!(ask(limited).await, (texts(&["a", "b"]), true, 3));
    assert!(
        !ask(RangeRequest {
            limit: 3,
            ..everything.clone()
        })
        .await
        .1
    );
    assert_eq!(
        ask(RangeRequest {
            count_only: true,
            ..everything.clone()
        })
        .await,
        (vec![], false, 3)
    );
    for (target, order, limit, expected) in [
        (SortTarget::Key, SortOrder::Descend, 0, vec!["c", "b", "a"]),
        (SortTarget::Mod, SortOrder::Ascend, 0, vec!["b", "c", "a"]),
        (SortTarget::Mod, SortOrder::None, 0, vec!["b", "c", "a"]),
        (SortTarget::Create, SortOrder::Descend, 2, vec!["c", "b"]),
        (SortTarget::Version, SortOrder::Descend, 1, vec!["a"]),
        (SortTarget::Value, SortOrder::Ascend, 0, vec!["b", "c", "a"]),
        (SortTarget::Value, SortOrder::Descend, 2, vec!["a", "c"]),
    ] {
        let more = limit != 0;
        assert_eq!(
            ask(sorted(target, order, limit)).await,
            (texts(&expected), more, 3),
            "{target:?} {order:?}"
        );
    }
    let by_value = RangeRequest {
        keys_only: true,
        ..sorted(SortTarget::Value, SortOrder::Ascend, 0)
    };
    let response = client.range(by_value).await.expect("range");
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
    assert_eq!(keys(&response.kvs), ["b", "c", "a"]);
    for (filter, expected) in [
        (
            RangeRequest {
                min_mod_revision: base + 2,
                ..everything.clone()
            },
            vec!["a", "c"],
        ),
        (
            RangeRequest {
                max_mod_revision: base + 2,
                ..everything.clone()
            },
            vec!["b", "c"],
        ),
        (
            RangeRequest {
                min_create_revision: base + 1,
                ..everything.clone()
            },
            vec!["b", "c"],
        ),
        (
            RangeRequest {
                max_create_revision: base + 1,
                ..everything.clone()
            },
            vec!["a", "b"],
        ),
    ] {
        assert_eq!(ask(filter).await, (texts(&expected), false, 3));
    }
    let from = RangeRequest {
        key: bytes("range/b"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    };
    assert!(ask(from).await.0.starts_with(&texts(&["b", "c"])));
    let backwards = RangeRequest {
        key: bytes("range/b"),
        range_end: bytes("range/a"),
        ..Default::default()
    };
    assert_eq!(ask(backwards).await, (vec![], false, 0));
}

pub(super) async fn range_in_the_past(client: Client) {
    let first = client.set("past/a", "1").await;
    client.set("past/b", "2").await;
    client.delete(delete("past/a")).await.expect("delete");
    client.set("past/a", "3").await;
    let at = async |revision: i64| {
        let response = client
            .range(RangeRequest {
                revision,
                ..all("past/")
            })
            .await
            .expect("range");
        assert_eq!(response.header.expect("header").revision, first + 3);
        response
            .kvs
            .iter()
            .map(|kv| (kv.key.clone(), kv.value.clone()))
            .collect::<HashMap<_, _>>()
    };
    let state = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| (bytes(key), bytes(value)))
            .collect::<HashMap<_, _>>()
    };
    assert_eq!(at(first).await, state(&[("past/a", "1")]));
    assert_eq!(at(first + 1).await, state(&[("past/a", "1"), ("past/b", "2")]));
    assert_eq!(at(first + 2).await, state(&[("past/b", "2")]));
    assert_eq!(at(first + 3).await, state(&[("past/a", "3"), ("past/b", "2")]));
    let future = RangeRequest {
        revision: first + 4,
        ..one("past/a")
    };
    refused(
        client.range(future).await,
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision",
    );
}

pub(super) async fn delete_range(client: Client) {
    for key in ["a", "b", "c"] {
        client.set(&format!("delete/{key}"), key).await;
    }
    let before = client.revision().await;
    let request = DeleteRangeRequest {
        key: bytes("delete/a"),
        range_end: bytes("delete/c"),
        prev_kv: true,
    };
    let response = client.delete(request.clone()).await.expect("delete");
    assert_eq!(
        (response.deleted, keys(&response.prev_kvs)),
        (2, vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(response.header.expect("header").revision, before + 1);
    // Deleting nothing is no change.
    let response = client.delete(request).await.expect("delete");
    assert_eq!(
        (response.deleted, response.header.expect("header").revision),
        (0, before + 1)
    );
    assert_eq!(client.range(all("delete/")).await.expect("range").count, 1);
}

pub(super) async fn refusals(client: Client) {
    let invalid = Code::InvalidArgument;
    refused(client.range(one("")).await, invalid, "etcdserver: key is not provided");
    refused(
        client.put(put("", "x")).await,
        invalid,
        "etcdserver: key is not provided",
    );
    refused(
        client.delete(delete("")).await,
        invalid,
        "etcdserver: key is not provided",
    );
    let request = PutRequest {
        ignore_value: true,
        ..put("refusals/k", "x")
    };
    refused(client.put(request).await, invalid, "etcdserver: value is provided");
    let request = PutRequest {
        ignore_lease: true,
        lease: 1,
        ..put("refusals/k", "x")
    };
    refused(client.put(request).await, invalid, "etcdserver: lease is provided");
    let request = PutRequest {
        ignore_value: true,
        ..put("refusals/missing", "")
    };
    refused(client.put(request).await, invalid, "etcdserver: key not found");
    let request = PutRequest {
        lease: 4711,
        ..put("refusals/k", "x")
    };
    refused(
        client.put(request).await,
        Code::NotFound,
        "etcdserver: requested lease not found",
    );
    let large = PutRequest {
        value: vec![0; (1536 << 10) + 1].into(),
        ..put("refusals/k", "")
    };
    refused(client.put(large).await, invalid, "etcdserver: request is too large");
    let twice = vec![
        op(Request::RequestPut(put("refusals/k", "1"))),
        op(Request::RequestPut(put("refusals/k", "2"))),
    ];
    let request = TxnRequest {
        success: twice.clone(),
        ..Default::default()
    };
    refused(
        client.txn(request).await,
        invalid,
        "etcdserver: duplicate key given in txn request",
    );
    let many = (0..129).map(|_| op(Request::RequestRange(one("refusals/k")))).collect();
    let request = TxnRequest {
        success: many,
        ..Default::default()
    };
    refused(
        client.txn(request).await,
        invalid,
        "etcdserver: too many operations in txn request",
    );
    let request = TxnRequest {
        success: vec![RequestOp { request: None }],
        ..Default::default()
    };
    refused(client.txn(request).await, invalid, "etcdserver: key not found");
}

pub(super) async fn compaction(client: Client) {
    let first = client.set("compaction/a", "1").await;
    client.set("compaction/a", "2").await;
    client.set("compaction/b", "1").await;
    client.delete(delete("compaction/b")).await.expect("delete");
    client.set("compaction/c", "1").await;
    let last = first + 4;
    let gone = "etcdserver: mvcc: required revision has been compacted";
    let ahead = "etcdserver: mvcc: required revision is a future revision";
    refused(client.compact(last + 1, false).await, Code::OutOfRange, ahead);
    assert_eq!(client.compact(first + 2, false).await.expect("compact"), last);
    refused(client.compact(first + 2, false).await, Code::OutOfRange, gone);
    refused(client.compact(first, true).await, Code::OutOfRange, gone);
    client.compact(last, true).await.expect("compact");
    refused(
        client
            .range(RangeRequest {
                revision: first + 3,
                ..all("compaction/")
            })
            .await,
        Code::OutOfRange,
        gone,
    );
    let kvs = client
        .range(RangeRequest {
            revision: last,
            ..all("compaction/")
        })
        .await
        .expect("range")
        .kvs;
    assert_eq!(keys(&kvs), ["a", "c"]);
    assert_eq!(
        (kvs[0].version, kvs[0].create_revision, kvs[0].mod_revision),
        (2, first, first + 1)
    );
    let again = client.set("compaction/b", "2").await;
    let kv = client.range(one("compaction/b")).await.expect("range").kvs.remove(0);
    assert_eq!((kv.create_revision, kv.version, again), (again, 1, last + 1));
}
