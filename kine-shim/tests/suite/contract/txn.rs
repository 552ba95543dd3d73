//! Transactions.

use bytes::Bytes;
use proto::etcdserverpb::{
    Compare, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, TxnRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};
use tonic::Code;

use super::{all, delete, keys, one, op, put, refused};
use crate::support::{Client, bytes, prefix_end};

fn compare(key: &str, target: CompareTarget, result: CompareResult, union: TargetUnion) -> Compare {
    Compare {
        key: bytes(key),
        target: target.into(),
        result: result.into(),
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

pub(super) async fn txn_compares(client: Client) {
    let lease = client
        .lease
        .clone()
        .lease_grant(LeaseGrantRequest { ttl: 100, id: 0 })
        .await
        .expect("grant")
        .into_inner()
        .id;
    let created = client.set("compare/k", "m").await;
    client
        .put(PutRequest {
            lease,
            ..put("compare/k", "m")
        })
        .await
        .expect("put");
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{Create, Lease, Mod, Value, Version};
    let cases = [
        (Version, Equal, TargetUnion::Version(2), true),
        (Version, Greater, TargetUnion::Version(2), false),
        (Create, Equal, TargetUnion::CreateRevision(created), true),
        (Create, Less, TargetUnion::CreateRevision(created), false),
        (Mod, Greater, TargetUnion::ModRevision(created), true),
        (Mod, NotEqual, TargetUnion::ModRevision(created + 1), false),
        (Value, Less, TargetUnion::Value(bytes("n")), true),
        (Value, Greater, TargetUnion::Value(bytes("m")), false),
        (Lease, Equal, TargetUnion::Lease(lease), true),
        (Lease, Less, TargetUnion::Lease(lease), false),
    ];
    for (target, result, union, expected) in cases {
        let request = TxnRequest {
            compare: vec![compare("compare/k", target, result, union)],
            success: vec![op(Request::RequestRange(one("compare/k")))],
            failure: vec![],
        };
        let response = client.txn(request).await.expect("txn");
        assert_eq!(
            (response.succeeded, response.responses.len()),
            (expected, usize::from(expected)),
            "{target:?}"
        );
    }
    // A key that is not there has zeros everywhere but no value.
    for (target, union, expected) in [
        (Version, TargetUnion::Version(0), true),
        (Create, TargetUnion::CreateRevision(0), true),
        (Mod, TargetUnion::ModRevision(0), true),
        (Lease, TargetUnion::Lease(0), true),
        (Value, TargetUnion::Value(Bytes::new()), false),
    ] {
        let request = TxnRequest {
            compare: vec![compare("compare/none", target, Equal, union)],
            ..Default::default()
        };
        assert_eq!(
            client.txn(request).await.expect("txn").succeeded,
            expected,
            "{target:?}"
        );
    }
    client
        .lease
        .clone()
        .lease_revoke(LeaseRevokeRequest { id: lease })
        .await
        .expect("revoke");
}

pub(super) async fn txn_changes_at_one_revision(client: Client) {
    client.set("txn/gone", "x").await;
    let before = client.set("txn/a", "0").await;
    let nested = TxnRequest {
        compare: vec![compare(
            "txn/a",
            CompareTarget::Value,
            CompareResult::Equal,
            TargetUnion::Value(bytes("0")),
        )],
        success: vec![op(Request::RequestPut(put("txn/nested", "yes")))],
        failure: vec![op(Request::RequestPut(put("txn/nested", "no")))],
    };
    let request = TxnRequest {
        compare: vec![],
        success: vec![
            op(Request::RequestRange(one("txn/a"))),
            op(Request::RequestPut(put("txn/a", "1"))),
            op(Request::RequestRange(one("txn/a"))),
            op(Request::RequestDeleteRange(delete("txn/gone"))),
            op(Request::RequestTxn(nested)),
            op(Request::RequestRange(RangeRequest {
                keys_only: true,
                ..all("txn/")
            })),
        ],
        failure: vec![],
    };
    let response = client.txn(request).await.expect("txn");
    assert_eq!(response.header.expect("header").revision, before + 1);
    let responses: Vec<_> = response
        .responses
        .into_iter()
        .filter_map(|response| response.response)
        .collect();
    let (Response::ResponseRange(old), Response::ResponseRange(new)) = (&responses[0], &responses[2]) else {
        panic!("{responses:?}");
    };
    assert_eq!(
        (
            old.kvs[0].value.as_ref(),
            old.header.as_ref().map(|header| header.revision)
        ),
        (&b"0"[..], Some(before))
    );
    assert_eq!(
        (
            new.kvs[0].value.as_ref(),
            new.kvs[0].mod_revision,
            new.header.as_ref().map(|header| header.revision)
        ),
        (&b"1"[..], before + 1, Some(before + 1))
    );
    let Response::ResponseTxn(nested) = &responses[4] else {
        panic!("{responses:?}")
    };
    assert!(nested.succeeded, "comparisons see the state before the transaction");
    let Response::ResponseRange(list) = &responses[5] else {
        panic!("{responses:?}")
    };
    assert_eq!(keys(&list.kvs), ["a", "nested"]);
    let kvs = client.range(all("txn/")).await.expect("range").kvs;
    assert!(kvs.iter().all(|kv| kv.mod_revision == before + 1));
    assert_eq!(client.set("txn/after", "x").await, before + 2);
}

pub(super) async fn txn_is_refused_whole(client: Client) {
    let before = client.revision().await;
    let future = RangeRequest {
        revision: before + 10,
        ..one("whole/a")
    };
    let request = TxnRequest {
        success: vec![
            op(Request::RequestPut(put("whole/a", "1"))),
            op(Request::RequestRange(future)),
        ],
        ..Default::default()
    };
    refused(
        client.txn(request).await,
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision",
    );
    let lost = PutRequest {
        lease: 4711,
        ..put("whole/b", "1")
    };
    let request = TxnRequest {
        success: vec![
            op(Request::RequestPut(put("whole/a", "1"))),
            op(Request::RequestPut(lost)),
        ],
        ..Default::default()
    };
    refused(
        client.txn(request).await,
        Code::NotFound,
        "etcdserver: requested lease not found",
    );
    assert_eq!((client.get("whole/a").await, client.revision().await), (None, before));
}

pub(super) async fn compare_ranges(client: Client) {
    for key in ["a", "b"] {
        client.set(&format!("ranges/{key}"), "x").await;
    }
    for (result, union, expected) in [
        (CompareResult::Equal, TargetUnion::Value(bytes("x")), true),
        (CompareResult::NotEqual, TargetUnion::Value(bytes("y")), true),
        (CompareResult::Equal, TargetUnion::Value(bytes("y")), false),
    ] {
        let compare = Compare {
            range_end: prefix_end("ranges/"),
            ..compare("ranges/", CompareTarget::Value, result, union)
        };
        let response = client
            .txn(TxnRequest {
                compare: vec![compare],
                ..Default::default()
            })
            .await
            .expect("txn");
        assert_eq!(response.succeeded, expected);
    }
}
