//! Clients that ask for much and read little.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kine_shim::metrics::Cancelled;
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, PutRequest, RangeRequest, RequestOp, StatusRequest, TxnRequest, WatchCreateRequest,
    WatchRequest, WatchResponse, alarm_request::AlarmAction, kv_client::KvClient, request_op::Request,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::task::JoinHandle;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Code, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    databases::Database,
    support::{Client, PATIENCE, Server, Shim, bytes, prefix_end},
};

/// A connection with windows so small that what is not read stays at the server.
pub(crate) async fn narrow(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("endpoint");
    let narrow = endpoint
        .initial_stream_window_size(1024)
        .initial_connection_window_size(64 << 10);
    narrow.connect().await.expect("connection")
}

fn watch(prefix: &str) -> WatchRequest {
    WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: bytes(prefix),
            range_end: prefix_end(prefix),
            ..Default::default()
        })),
    }
}

/// A stream that asks for `count` watches of a prefix, and the task that asks, which keeps the stream open.
async fn watches(channel: Channel, prefix: &'static str, count: usize) -> (Streaming<WatchResponse>, JoinHandle<()>) {
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let asking = tokio::spawn(async move {
        for _ in 0..count {
            if requests.send(watch(prefix)).await.is_err() {
                return;
            }
        }
        requests.closed().await;
    });
    let mut client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
    let answers = client.watch(ReceiverStream::new(stream)).await.expect("watch");
    (answers.into_inner(), asking)
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn put(client: &Client, key: &str, size: usize) {
    let request = PutRequest {
        key: bytes(key),
        value: Bytes::from(vec![b'x'; size]),
        ..Default::default()
    };
    client.put(request).await.expect("put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cancelled_and_others_go_on() {
    let database = Database::file();
    let shim = Shim::start_with(&database, &["--slow-watcher-timeout=2s"]).await;
    let (mut slow, _asking) = watches(narrow(&shim.tcp().to_string()).await, "slow/", 2).await;
    for _ in 0..2 {
        assert!(slow.next().await.expect("answer").expect("answer").created);
    }
    let mut quick = shim.client.stream().await;
    quick.send(watch("slow/").request_union.expect("request"));
    assert!(quick.next().await.created);
    let writing = async {
        for number in 0..40 {
            put(&shim.client, &format!("slow/{number}"), 100 << 10).await;
        }
    };
    let reading = async {
        let mut seen = 0;
        while seen < 40 {
            seen += quick.next().await.events.len();
        }
    };
    tokio::join!(writing, reading);
    let cancelled = || shim.app.metrics.count_cancelled(Cancelled::Slow);
    eventually("the slow stream is cancelled", || cancelled() == 2).await;
    eventually("its watches are gone", || shim.app.store.hub().watchers().0 == 1).await;
    // When it reads at last, it is told what happened after what it may still have.
    let status = loop {
        match slow.next().await.expect("a status") {
            Ok(answer) => assert!(!answer.canceled),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("left events unread"), "{status}");
    shim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watches_of_nobody_who_reads_cost_little() {
    let database = Database::file();
    let server = Server::start(&database, &[]).await;
    let channel = narrow(&server.address).await;
    let before = server.resident_kib();
    let streams: Vec<_> = (0..8).map(|_| watches(channel.clone(), "flood/", 10_000)).collect();
    let mut streams = futures::future::join_all(streams).await;
    for number in 0..64 {
        put(&server.client, &format!("flood/{number}"), 1 << 20).await;
    }
    // Calls over the same connection go on.
    let range = RangeRequest {
        key: bytes("none"),
        ..Default::default()
    };
    KvClient::new(channel).range(range).await.expect("range");
    let grown = server.resident_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    // One that reads after all is not forgotten.
    let first = streams[0].0.next().await.expect("answer").expect("answer");
    assert!(first.created);
    assert_eq!(server.complaints(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watches_are_all_served() {
    let database = Database::file();
    let shim = Shim::start(&database).await;
    let (mut answers, asking) = watches(shim.client.channel.clone(), "many/", 10_000).await;
    for _ in 0..10_000 {
        assert!(answers.next().await.expect("answer").expect("answer").created);
    }
    assert_eq!(shim.app.store.hub().watchers().0, 10_000);
    shim.client.set("many/a", "1").await;
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 10_000 {
        let answer = answers.next().await.expect("answer").expect("answer");
        assert_eq!(answer.events.len(), 1);
        assert!(seen.insert(answer.watch_id));
    }
    drop(answers);
    asking.abort();
    eventually("they go with their stream", || shim.app.store.hub().watchers().0 == 0).await;
    shim.stop().await;
}

#[tokio::test]
async fn a_stream_has_a_limit_of_watches_and_a_transaction_one_of_operations() {
    let database = Database::file();
    let flags = [
        "--max-watches-per-stream=3",
        "--max-txn-ops=2",
        "--max-request-bytes=4096",
    ];
    let shim = Shim::start_with(&database, &flags).await;
    let mut stream = shim.client.stream().await;
    for number in 0..4 {
        stream.send(watch("limit/").request_union.expect("request"));
        let answer = stream.next().await;
        assert_eq!((answer.created, answer.canceled), (true, number == 3), "{answer:?}");
        assert_eq!(answer.cancel_reason.contains("too many watches"), number == 3);
    }
    let operation = RequestOp {
        request: Some(Request::RequestRange(RangeRequest {
            key: bytes("limit/a"),
            ..Default::default()
        })),
    };
    let transaction = |count: usize| TxnRequest {
        success: vec![operation.clone(); count],
        ..Default::default()
    };
    shim.client.txn(transaction(2)).await.expect("two operations");
    let refused = shim.client.txn(transaction(3)).await.expect_err("three operations");
    assert_eq!(refused.message(), "etcdserver: too many operations in txn request");
    let request = PutRequest {
        key: bytes("limit/a"),
        value: Bytes::from(vec![0; 4096]),
        ..Default::default()
    };
    let refused = shim.client.put(request).await.expect_err("a large request");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "etcdserver: request is too large")
    );
    shim.stop().await;
}

#[tokio::test]
async fn a_quota_raises_the_alarm_and_keeps_it_up() {
    let database = Database::file();
    let shim = Shim::start_with(&database, &["--quota-backend-bytes=1000000"]).await;
    let request = |number: usize| PutRequest {
        key: bytes(&format!("quota/{number}")),
        value: Bytes::from(vec![b'x'; 100 << 10]),
        ..Default::default()
    };
    let full = "etcdserver: mvcc: database space exceeded";
    let mut number = 0;
    let refused = loop {
        match shim.client.put(request(number % 3)).await {
            Ok(_) => number += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, full));
    assert!((7..10).contains(&number), "{number} of 100 KiB in 1 MB");
    // Also what would fit, until the alarm is turned off; reads and compaction go on.
    assert_eq!(shim.client.put(request(0)).await.expect_err("alarm").message(), full);
    let revision = shim.client.revision().await;
    shim.client.compact(revision, true).await.expect("compact");
    let mut maintenance = shim.client.maintenance.clone();
    let status = maintenance.status(StatusRequest {}).await.expect("status").into_inner();
    assert_eq!((status.errors.len(), status.db_size_quota), (1, 1_000_000));
    let disarm = AlarmRequest {
        action: AlarmAction::Deactivate.into(),
        member_id: status.leader,
        alarm: AlarmType::Nospace.into(),
    };
    maintenance.alarm(disarm).await.expect("disarm");
    shim.client.put(request(0)).await.expect("room again");
    shim.stop().await;
}
