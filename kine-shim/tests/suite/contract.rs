//! What any etcd v3 endpoint must do: one table of cases, run on the shim and on a real etcd.

use std::{collections::HashMap, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        AlarmRequest, Compare, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
        LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp,
        TxnRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
        watch_create_request::FilterType,
        watch_request::RequestUnion,
    },
    mvccpb::{Event, event::EventType},
};
use tonic::{Code, Status};

use crate::support::{Client, Etcd, Shim, Watching, bytes, prefix_end};

type Case = fn(Client) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), (|client| Box::pin($name(client))) as Case)),*] };
}

/// The cases; each uses keys below its own name.
const CASES: [(&str, Case); 21] = cases![
    put_and_get,
    put_options,
    range_options,
    range_in_the_past,
    delete_range,
    refusals,
    txn_compares,
    txn_changes_at_one_revision,
    txn_is_refused_whole,
    compare_ranges,
    compaction,
    watch_sees_every_change,
    watch_replays_the_past,
    watch_filters_and_prev_kv,
    watch_many_on_one_stream,
    watch_refusals,
    watch_progress,
    leases,
    lease_expiry,
    hash_follows_the_contents,
    alarms_are_listed,
];

async fn run(client: &Client) {
    for (name, case) in CASES {
        eprintln!("case {name}");
        case(client.clone()).await;
    }
}

#[tokio::test]
async fn shim_over_tcp() {
    let directory = tempfile::tempdir().expect("directory");
    let shim = Shim::start(directory.path()).await;
    run(&shim.client).await;
    shim.stop().await;
}

#[tokio::test]
async fn shim_over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("directory");
    let shim = Shim::start(directory.path()).await;
    let client = Client::connect(&shim.socket).await;
    run(&client).await;
    shim.stop().await;
}

#[tokio::test]
async fn etcd_itself() {
    if let Some(etcd) = Etcd::start().await {
        run(&etcd.client).await;
    }
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn one(key: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

fn all(prefix: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(prefix),
        range_end: prefix_end(prefix),
        ..Default::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.expect_err(text);
    assert_eq!((status.code(), status.message()), (code, text));
}

fn keys(kvs: &[proto::mvccpb::KeyValue]) -> Vec<String> {
    kvs.iter()
        .map(|kv| {
            String::from_utf8_lossy(&kv.key)
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

async fn put_and_get(client: Client) {
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

async fn put_options(client: Client) {
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

async fn range_options(client: Client) {
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

async fn range_in_the_past(client: Client) {
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

async fn delete_range(client: Client) {
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

async fn refusals(client: Client) {
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

fn compare(key: &str, target: CompareTarget, result: CompareResult, union: TargetUnion) -> Compare {
    Compare {
        key: bytes(key),
        target: target.into(),
        result: result.into(),
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

async fn txn_compares(client: Client) {
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

async fn txn_changes_at_one_revision(client: Client) {
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

async fn txn_is_refused_whole(client: Client) {
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

async fn compare_ranges(client: Client) {
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

async fn compaction(client: Client) {
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

fn watch(prefix: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: bytes(prefix),
        range_end: prefix_end(prefix),
        start_revision,
        ..Default::default()
    }
}

async fn events(stream: &mut Watching, count: usize) -> Vec<Event> {
    let mut found = Vec::new();
    while found.len() < count {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        found.extend(response.events);
    }
    assert_eq!(found.len(), count);
    found
}

fn change(event: &Event) -> (EventType, String, i64) {
    let kv = event.kv.as_ref().expect("kv");
    (
        event.r#type(),
        String::from_utf8_lossy(&kv.value).into_owned(),
        kv.mod_revision,
    )
}

async fn watch_sees_every_change(client: Client) {
    let mut stream = client.stream().await;
    stream.create(watch("watch/", 0));
    let created = stream.next().await;
    assert!(created.created && created.events.is_empty() && !created.canceled);
    let first = client.set("watch/a", "1").await;
    client.set("elsewhere", "x").await;
    client.set("watch/a", "2").await;
    client.delete(delete("watch/a")).await.expect("delete");
    let both = vec![
        op(Request::RequestPut(put("watch/b", "3"))),
        op(Request::RequestPut(put("watch/c", "4"))),
    ];
    client
        .txn(TxnRequest {
            success: both,
            ..Default::default()
        })
        .await
        .expect("txn");
    let seen: Vec<_> = events(&mut stream, 5).await.iter().map(change).collect();
    assert_eq!(
        seen,
        [
            (EventType::Put, "1".into(), first),
            (EventType::Put, "2".into(), first + 2),
            (EventType::Delete, String::new(), first + 3),
            (EventType::Put, "3".into(), first + 4),
            (EventType::Put, "4".into(), first + 4),
        ]
    );
}

async fn watch_replays_the_past(client: Client) {
    let first = client.set("replay/a", "1").await;
    client.set("replay/a", "2").await;
    client.delete(delete("replay/a")).await.expect("delete");
    let mut stream = client.stream().await;
    stream.create(watch("replay/", first + 1));
    assert!(stream.next().await.created);
    client.set("replay/a", "3").await;
    let seen: Vec<_> = events(&mut stream, 3).await.iter().map(change).collect();
    assert_eq!(
        seen,
        [
            (EventType::Put, "2".into(), first + 1),
            (EventType::Delete, String::new(), first + 2),
            (EventType::Put, "3".into(), first + 3),
        ]
    );
    // A start to come waits for it.
    let mut stream = client.stream().await;
    stream.create(watch("replay/", first + 5));
    assert!(stream.next().await.created);
    client.set("replay/a", "4").await;
    client.set("replay/a", "5").await;
    let seen: Vec<_> = events(&mut stream, 1).await.iter().map(change).collect();
    assert_eq!(seen, [(EventType::Put, "5".into(), first + 5)]);
}

async fn watch_filters_and_prev_kv(client: Client) {
    let mut stream = client.stream().await;
    let filters = vec![FilterType::Noput.into()];
    stream.create(WatchCreateRequest {
        filters,
        prev_kv: true,
        watch_id: 7,
        ..watch("filters/", 0)
    });
    assert_eq!(stream.next().await.watch_id, 7);
    let filters = vec![FilterType::Nodelete.into()];
    stream.create(WatchCreateRequest {
        filters,
        prev_kv: true,
        watch_id: 8,
        ..watch("filters/", 0)
    });
    assert_eq!(stream.next().await.watch_id, 8);
    client.set("filters/a", "1").await;
    client.set("filters/a", "2").await;
    client.delete(delete("filters/a")).await.expect("delete");
    let mut seen: HashMap<i64, Vec<Event>> = HashMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < 3 {
        let response = stream.next().await;
        seen.entry(response.watch_id).or_default().extend(response.events);
    }
    let previous = |event: &Event| {
        event
            .prev_kv
            .as_ref()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    };
    let shown = |id: i64| {
        seen[&id]
            .iter()
            .map(|event| (event.r#type(), previous(event)))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(7), [(EventType::Delete, Some("2".into()))]);
    assert_eq!(shown(8), [(EventType::Put, None), (EventType::Put, Some("1".into()))]);
}

async fn watch_many_on_one_stream(client: Client) {
    let mut stream = client.stream().await;
    for _ in 0..3 {
        stream.create(watch("many/", 0));
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stream.next().await.watch_id);
    }
    assert_eq!(ids, [0, 1, 2]);
    stream.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 }));
    let canceled = stream.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.cancel_reason.as_str()),
        (1, true, "")
    );
    client.set("many/a", "1").await;
    let mut hit = [stream.next().await.watch_id, stream.next().await.watch_id];
    hit.sort_unstable();
    assert_eq!(hit, [0, 2]);
    assert_eq!(stream.soon(Duration::from_millis(100)).await, None);
}

async fn watch_refusals(client: Client) {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        watch_id: 5,
        ..watch("refused/", 0)
    });
    assert!(!stream.next().await.canceled);
    stream.create(WatchCreateRequest {
        watch_id: 5,
        ..watch("refused/", 0)
    });
    let twice = stream.next().await;
    assert_eq!((twice.watch_id, twice.created, twice.canceled), (-1, true, true));
    assert_eq!(
        twice.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
    stream.create(WatchCreateRequest {
        key: bytes("b"),
        range_end: bytes("a"),
        ..Default::default()
    });
    let empty = stream.next().await;
    assert_eq!(
        (empty.watch_id, empty.canceled, empty.cancel_reason.as_str()),
        (-1, true, "mvcc: watcher range is empty")
    );
    let first = client.set("refused/a", "1").await;
    client.set("refused/a", "2").await;
    client.compact(first + 1, true).await.expect("compact");
    let mut stream = client.stream().await;
    stream.create(watch("refused/", first));
    let created = stream.next().await;
    assert!(created.created && !created.canceled);
    let canceled = stream.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.compact_revision),
        (0, true, first + 1)
    );
}

async fn watch_progress(client: Client) {
    let mut stream = client.stream().await;
    stream.create(watch("progress/", 0));
    assert!(stream.next().await.created);
    let written = client.set("progress/a", "1").await;
    let last = client.set("unrelated", "1").await;
    assert_eq!(events(&mut stream, 1).await.len(), 1);
    stream.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let progress = stream.next().await;
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
    assert_eq!(progress.watch_id, -1);
    assert_eq!(progress.header.expect("header").revision, last);
    assert_eq!(written + 1, last);
}

async fn leases(client: Client) {
    let mut leases = client.lease.clone();
    let granted = leases
        .lease_grant(LeaseGrantRequest { ttl: 100, id: 77 })
        .await
        .expect("grant")
        .into_inner();
    assert_eq!((granted.id, granted.ttl, granted.error.as_str()), (77, 100, ""));
    let again = leases.lease_grant(LeaseGrantRequest { ttl: 100, id: 77 }).await;
    refused(again, Code::FailedPrecondition, "etcdserver: lease already exists");
    let endless = leases
        .lease_grant(LeaseGrantRequest {
            ttl: 9_000_000_001,
            id: 0,
        })
        .await;
    refused(endless, Code::OutOfRange, "etcdserver: too large lease TTL");
    // One that is too short is made longer.
    let short = leases
        .lease_grant(LeaseGrantRequest { ttl: 1, id: 78 })
        .await
        .expect("grant")
        .into_inner();
    assert_eq!(short.ttl, 2);
    leases
        .lease_revoke(LeaseRevokeRequest { id: 78 })
        .await
        .expect("revoke");
    for key in ["lease/b", "lease/a"] {
        client
            .put(PutRequest {
                lease: 77,
                ..put(key, "x")
            })
            .await
            .expect("put");
    }
    let request = LeaseTimeToLiveRequest { id: 77, keys: true };
    let mut left = leases.lease_time_to_live(request).await.expect("ttl").into_inner();
    left.keys.sort();
    assert_eq!(
        (left.granted_ttl, left.keys),
        (100, vec![bytes("lease/a"), bytes("lease/b")])
    );
    assert!((90..=100).contains(&left.ttl), "{}", left.ttl);
    let listed = leases
        .lease_leases(LeaseLeasesRequest {})
        .await
        .expect("leases")
        .into_inner()
        .leases;
    assert_eq!(listed.iter().map(|lease| lease.id).collect::<Vec<_>>(), [77]);
    let request = tokio_stream::iter([LeaseKeepAliveRequest { id: 77 }, LeaseKeepAliveRequest { id: 4711 }]);
    let mut alive = leases.lease_keep_alive(request).await.expect("keep alive").into_inner();
    for expected in [(77, 100), (4711, 0)] {
        let response = alive.message().await.expect("answer").expect("answer");
        assert_eq!((response.id, response.ttl), expected);
    }
    let before = client.revision().await;
    let revoked = leases
        .lease_revoke(LeaseRevokeRequest { id: 77 })
        .await
        .expect("revoke")
        .into_inner();
    assert_eq!(revoked.header.expect("header").revision, before + 1);
    assert_eq!(client.range(all("lease/")).await.expect("range").count, 0);
    let again = leases.lease_revoke(LeaseRevokeRequest { id: 77 }).await;
    refused(again, Code::NotFound, "etcdserver: requested lease not found");
    let request = LeaseTimeToLiveRequest { id: 77, keys: true };
    assert_eq!(
        leases.lease_time_to_live(request).await.expect("ttl").into_inner().ttl,
        -1
    );
}

async fn lease_expiry(client: Client) {
    let mut leases = client.lease.clone();
    let id = leases
        .lease_grant(LeaseGrantRequest { ttl: 2, id: 0 })
        .await
        .expect("grant")
        .into_inner()
        .id;
    let written = client
        .put(PutRequest {
            lease: id,
            ..put("expiry/a", "x")
        })
        .await
        .expect("put")
        .header
        .expect("header")
        .revision;
    let mut stream = client.stream().await;
    stream.create(watch("expiry/", written + 1));
    assert!(stream.next().await.created);
    let seen: Vec<_> = events(&mut stream, 1).await.iter().map(change).collect();
    assert_eq!(seen, [(EventType::Delete, String::new(), written + 1)]);
    assert_eq!(client.get("expiry/a").await, None);
}

async fn hash_follows_the_contents(client: Client) {
    let hash = async |revision: i64| {
        let response = client
            .maintenance
            .clone()
            .hash_kv(HashKvRequest { revision })
            .await
            .expect("hash");
        response.into_inner().hash
    };
    let first = client.set("hash/a", "1").await;
    let before = hash(0).await;
    assert_eq!(hash(first).await, before);
    client.set("hash/a", "2").await;
    assert_ne!(hash(0).await, before);
    assert_eq!(hash(first).await, before);
}

async fn alarms_are_listed(client: Client) {
    let response = client
        .maintenance
        .clone()
        .alarm(AlarmRequest::default())
        .await
        .expect("alarm")
        .into_inner();
    assert_eq!(response.alarms, []);
}
