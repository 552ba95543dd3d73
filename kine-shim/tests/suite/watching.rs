//! Watches miss nothing: whoever writes, however slowly a client reads, whatever is compacted, every watcher sees every
//! revision once and in order.

use std::{sync::Arc, time::Duration};

use proto::etcdserverpb::{
    DeleteRangeRequest, HashKvRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    WatchProgressRequest, request_op::Request, watch_request::RequestUnion,
};
use tokio::sync::Barrier;

use crate::{
    databases::{Database, Kind, on_every_database, on_everything},
    support::{Client, Shim, bytes, prefix_end},
};

on_everything! {
    every_watcher_sees_every_revision_once,
    progress_never_overtakes_events,
    idle_watches_hear_of_progress,
}

on_every_database! {
    reads_and_watches_survive_compaction_under_load,
    hashes_are_right_while_rows_are_removed,
}

const WRITERS: usize = 4;
pub(crate) const WRITES: usize = 400;
/// Larger than the shared history together, so that slow watchers have to read from the database.
const VALUE: usize = 4096;

pub(crate) fn everything(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: bytes("w/"),
        range_end: prefix_end("w/"),
        start_revision,
        ..Default::default()
    }
}

/// Writes keys one after the other, some of them several at one revision; returns the last revision.
pub(crate) async fn write(client: Client, writer: usize) -> i64 {
    let mut last = 0;
    for count in 0..WRITES {
        let put = |key: String| PutRequest {
            key: bytes(&key),
            value: vec![7; VALUE].into(),
            ..Default::default()
        };
        let response = if count % 10 == 9 {
            let operations = [
                Request::RequestPut(put(format!("w/{writer}/x"))),
                Request::RequestPut(put(format!("w/{writer}/y"))),
                Request::RequestDeleteRange(DeleteRangeRequest {
                    key: bytes(&format!("w/{writer}/{}", count / 10)),
                    ..Default::default()
                }),
            ];
            let success = operations
                .into_iter()
                .map(|request| RequestOp { request: Some(request) })
                .collect();
            client
                .txn(TxnRequest {
                    success,
                    ..Default::default()
                })
                .await
                .expect("txn")
                .header
        } else {
            client
                .put(put(format!("w/{writer}/{}", count % 40)))
                .await
                .expect("put")
                .header
        };
        last = response.expect("header").revision;
    }
    last
}

/// Follows all keys from `first` to `last`, pausing and starting over now and then; returns the revisions seen.
pub(crate) async fn follow(client: Client, first: i64, last: i64, pause: Duration, reconnect: bool) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    let mut stream = client.stream().await;
    stream.create(everything(first));
    let mut answers = 0;
    while seen.last().is_none_or(|revision| *revision < last) {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        if response.events.is_empty() {
            continue;
        }
        let header = response.header.expect("header").revision;
        for event in response.events {
            let revision = event.kv.expect("kv").mod_revision;
            assert!(revision <= header);
            seen.push(revision);
        }
        answers += 1;
        if answers % 5 == 0 {
            tokio::time::sleep(pause).await;
        }
        if reconnect && answers % 7 == 0 {
            stream = client.stream().await;
            stream.create(everything(seen.last().map_or(first, |revision| revision + 1)));
        }
    }
    seen
}

async fn every_watcher_sees_every_revision_once(database: &Database) {
    let shim = Shim::start(database).await;
    let first = shim.client.revision().await + 1;
    let last = first + (WRITERS * WRITES) as i64 - 1;
    let kinds = [
        (Duration::ZERO, false),
        (Duration::ZERO, true),
        (Duration::from_millis(30), false),
        (Duration::from_millis(10), true),
    ];
    let watchers: Vec<_> = kinds
        .into_iter()
        .map(|(pause, reconnect)| tokio::spawn(follow(shim.client.clone(), first, last, pause, reconnect)))
        .collect();
    let barrier = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, barrier) = (shim.client.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                write(client, writer).await
            })
        })
        .collect();
    let mut newest = 0;
    for writer in writers {
        newest = newest.max(writer.await.expect("writer"));
    }
    assert_eq!(newest, last, "revisions have no gaps");
    let late = follow(shim.client.clone(), first, last, Duration::ZERO, false).await;
    let mut revisions = late.clone();
    revisions.dedup();
    assert_eq!(revisions, (first..=last).collect::<Vec<_>>());
    for watcher in watchers {
        assert_eq!(watcher.await.expect("watcher"), late);
    }
    shim.stop().await;
}

async fn progress_never_overtakes_events(database: &Database) {
    let shim = Shim::start(database).await;
    let mut stream = shim.client.stream().await;
    stream.create(everything(0));
    assert!(stream.next().await.created);
    let writer = tokio::spawn(write(shim.client.clone(), 0));
    let (mut seen, mut told) = (0, 0);
    while !writer.is_finished() || told < 20 {
        stream.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        let response = stream.next().await;
        let revision = response.header.expect("header").revision;
        if response.events.is_empty() {
            told += 1;
            seen = seen.max(revision);
            continue;
        }
        for event in &response.events {
            let changed = event.kv.as_ref().expect("kv").mod_revision;
            assert!(
                changed > seen,
                "an event of revision {changed} after progress to {seen}"
            );
        }
        seen = response
            .events
            .iter()
            .filter_map(|event| event.kv.as_ref())
            .map(|kv| kv.mod_revision)
            .max()
            .expect("one");
    }
    writer.await.expect("writer");
    shim.stop().await;
}

async fn idle_watches_hear_of_progress(database: &Database) {
    let shim = Shim::start(database).await;
    let mut stream = shim.client.stream().await;
    stream.create(WatchCreateRequest {
        progress_notify: true,
        watch_id: 3,
        ..everything(0)
    });
    assert!(stream.next().await.created);
    let revision = shim.client.set("elsewhere", "x").await;
    loop {
        let response = stream.next().await;
        assert!(response.events.is_empty());
        assert_eq!(response.watch_id, 3);
        if response.header.expect("header").revision == revision {
            break;
        }
    }
    shim.stop().await;
}

async fn reads_and_watches_survive_compaction_under_load(database: &Database) {
    let shim = Shim::start(database).await;
    let writer = tokio::spawn(write(shim.client.clone(), 0));
    let mut compactions = 0;
    while !writer.is_finished() {
        let revision = shim.client.revision().await;
        if shim.client.compact(revision, compactions % 2 == 0).await.is_ok() {
            compactions += 1;
        }
        let list = RangeRequest {
            key: bytes("w/"),
            range_end: prefix_end("w/"),
            ..Default::default()
        };
        let response = shim
            .client
            .range(list)
            .await
            .expect("a list while history is compacted");
        assert!(response.kvs.iter().all(|kv| kv.value.len() == VALUE));
    }
    writer.await.expect("writer");
    assert!(compactions > 1, "{compactions} compactions");
    // The writer's last revision may be compacted already, and the same one cannot be compacted twice.
    let last = shim.client.set("after", "x").await;
    shim.client.compact(last, true).await.expect("compact");
    let rows: i64 = database.query("SELECT count(*) FROM kine")[0][0]
        .parse()
        .expect("a number");
    let keys = shim
        .client
        .range(RangeRequest {
            key: bytes("\0"),
            range_end: bytes("\0"),
            count_only: true,
            ..Default::default()
        })
        .await
        .expect("count")
        .count;
    // Besides the keys there is kine's own row, and a deletion at the compacted revision itself may stay.
    assert!((keys + 1..=keys + 2).contains(&rows), "{keys} keys, {rows} rows");
    shim.stop().await;
}

/// Whoever compacts, and however far that is: a hash, a list and a replay are those of the revisions they name, or refused.
async fn hashes_are_right_while_rows_are_removed(database: &Database) {
    const STEPS: i64 = 12;
    let mut shims = vec![Shim::start(database).await];
    if matches!(database.kind, Kind::Server(_)) {
        shims.push(Shim::start(database).await);
    }
    let first = shims[0].client.revision().await + 1;
    let last = write(shims[0].client.clone(), 0).await;
    let hash = async |client: &Client, revision: i64| {
        let hash = client.maintenance.clone().hash_kv(HashKvRequest { revision }).await;
        let hash = hash.expect("a hash").into_inner();
        (hash.compact_revision, hash.hash)
    };
    let list = async |client: &Client, revision: i64| {
        let list = RangeRequest {
            key: bytes("w/"),
            range_end: prefix_end("w/"),
            revision,
            ..Default::default()
        };
        client.range(list).await.map(|list| list.kvs)
    };
    // What there was at some old revision, before anything is compacted.
    let middle = first + (last - first) / 2;
    let there = list(&shims[0].client, middle).await.expect("list");
    let compacting = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let readers: Vec<_> = shims
        .iter()
        .chain(&shims)
        .map(|shim| {
            let (client, compacting, there) = (shim.client.clone(), Arc::clone(&compacting), there.clone());
            tokio::spawn(async move {
                let mut hashes = Vec::new();
                let mut refused = 0;
                while compacting.load(std::sync::atomic::Ordering::Acquire) {
                    hashes.push(hash(&client, last).await);
                    match list(&client, middle).await {
                        Ok(kvs) => assert!(kvs == there, "the list of revision {middle} has changed"),
                        Err(status) => {
                            assert_eq!(status.code(), tonic::Code::OutOfRange, "{status}");
                            refused += 1;
                        }
                    }
                    // Complete from its first revision on, or refused.
                    let mut stream = client.stream().await;
                    stream.create(everything(middle));
                    assert!(stream.next().await.created);
                    let answer = stream.next().await;
                    match answer.events.first() {
                        None => assert!(answer.canceled && answer.compact_revision > middle, "{answer:?}"),
                        Some(event) => assert_eq!(event.kv.as_ref().expect("kv").mod_revision, middle),
                    }
                }
                (hashes, refused)
            })
        })
        .collect();
    let mut expected = std::collections::HashMap::from([hash(&shims[0].client, last).await]);
    for step in 1..=STEPS {
        let client = &shims[step as usize % shims.len()].client;
        let revision = first + (last - first) * step / STEPS;
        client.compact(revision, step % 3 > 0).await.expect("compact");
        let (compacted, sum) = hash(client, last).await;
        assert_eq!(compacted, revision);
        expected.insert(compacted, sum);
    }
    compacting.store(false, std::sync::atomic::Ordering::Release);
    let (mut times, mut refusals) = (0, 0);
    for reader in readers {
        let (hashes, refused) = reader.await.expect("reader");
        for (compacted, sum) in &hashes {
            assert_eq!(expected.get(compacted), Some(sum), "compacted to {compacted}");
        }
        times += hashes.len();
        refusals += refused;
    }
    assert!(
        times > shims.len() && refusals > 0,
        "{times} hashes, {refusals} lists refused"
    );
    // And with all rows gone.
    shims[0].client.set("w/after", "x").await;
    shims[0].client.compact(last + 1, true).await.expect("compact");
    let quiet = hash(&shims[0].client, last + 1).await;
    for shim in &shims {
        assert_eq!(hash(&shim.client, last + 1).await, quiet);
    }
    for shim in shims {
        shim.stop().await;
    }
}
