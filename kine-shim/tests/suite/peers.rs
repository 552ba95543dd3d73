//! Several shims on one database: whoever commits, all of them are the same store.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use proto::{
    etcdserverpb::{
        AlarmRequest, AlarmType, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
        LeaseTimeToLiveRequest, PutRequest, RangeRequest, WatchCreateRequest, alarm_request::AlarmAction,
    },
    mvccpb::event::EventType,
};
use tokio::sync::Barrier;
use tonic::Code;

use crate::{
    databases::{Database, endpoint, on_every_server},
    servers::{Product, Server},
    support::{Client, PATIENCE, Process, Shim, bytes, prefix_end},
    watching::{WRITES, everything, follow, write},
};

on_every_server! {
    every_shim_shows_every_revision_in_order,
    reads_see_what_any_shim_has_written,
    transactions_compare_with_what_any_shim_has_written,
    a_lease_is_one_on_all_shims,
    compaction_counts_on_all_shims,
    alarms_count_on_all_shims,
    a_shim_that_dies_leaves_a_whole_store,
    a_shim_that_was_away_reads_everything_anew,
}

async fn shims<const N: usize>(database: &Database) -> [Shim; N] {
    let mut shims = Vec::new();
    for _ in 0..N {
        shims.push(Shim::start(database).await);
    }
    shims.try_into().ok().expect("as many as asked for")
}

async fn stop<const N: usize>(shims: [Shim; N]) {
    for shim in shims {
        shim.stop().await;
    }
}

/// A shim that is a process of its own.
async fn process(database: &Database, name: &str) -> (Process, Client) {
    let socket = database.directory.path().join(format!("{name}.sock"));
    let socket = format!("unix://{}", socket.display());
    let process = Process::spawn(
        Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .args(["--endpoint", &database.endpoint(), "--listen-address", &socket])
            .args(["--log-level", "error"])
            .stderr(Stdio::inherit()),
    );
    (process, Client::connect(&socket).await)
}

fn get(key: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(key),
        ..Default::default()
    }
}

async fn every_shim_shows_every_revision_in_order(database: &Database) {
    let shims = shims::<3>(database).await;
    let first = shims[0].client.revision().await + 1;
    let writers: Vec<_> = (0..6)
        .map(|writer| tokio::spawn(write(shims[writer % 3].client.clone(), writer)))
        .collect();
    // Watchers of the present and watchers that come late, quick ones and slow ones, on every shim.
    let last = std::sync::Arc::new(Barrier::new(7));
    let mut watchers = Vec::new();
    for (at, shim) in shims.iter().chain(&shims).enumerate() {
        let (client, last) = (shim.client.clone(), last.clone());
        watchers.push(tokio::spawn(async move {
            if at >= 3 {
                last.wait().await;
            } else {
                tokio::spawn(async move { last.wait().await });
            }
            follow(
                client,
                first,
                first + 6 * WRITES as i64 - 1,
                Duration::from_millis(at as u64),
                at % 2 == 1,
            )
            .await
        }));
    }
    let mut newest = Vec::new();
    for writer in writers {
        newest.push(writer.await.expect("writer"));
    }
    last.wait().await;
    assert_eq!(
        newest.iter().max(),
        Some(&(first + 6 * WRITES as i64 - 1)),
        "revisions without gaps"
    );
    let mut seen = Vec::new();
    for watcher in watchers {
        seen.push(watcher.await.expect("watcher"));
    }
    for (at, revisions) in seen.iter().enumerate() {
        assert!(revisions.is_sorted(), "watcher {at}");
        assert_eq!(revisions, &seen[0], "watcher {at}");
    }
    let mut once = seen.remove(0);
    once.dedup();
    assert_eq!(once, (first..first + 6 * WRITES as i64).collect::<Vec<_>>());
    stop(shims).await;
}

async fn reads_see_what_any_shim_has_written(database: &Database) {
    let shims = shims::<3>(database).await;
    for count in 0..150 {
        let (writer, reader) = (&shims[count % 3].client, &shims[(count + 1 + count % 2) % 3].client);
        let written = writer.set("fresh", &count.to_string()).await;
        let response = reader.range(get("fresh")).await.expect("range");
        assert_eq!(response.kvs[0].value, bytes(&count.to_string()));
        assert!(response.header.expect("header").revision >= written);
    }
    // One that may be stale is answered all the same.
    let stale = RangeRequest {
        serializable: true,
        ..get("fresh")
    };
    assert_eq!(shims[0].client.range(stale).await.expect("range").count, 1);
    stop(shims).await;
}

async fn transactions_compare_with_what_any_shim_has_written(database: &Database) {
    use proto::etcdserverpb::{
        Compare, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    };
    const ROUNDS: usize = 40;
    let shims = shims::<3>(database).await;
    shims[0].client.set("counter", "0").await;
    let counters: Vec<_> = (0..6)
        .map(|at| {
            let client = shims[at % 3].client.clone();
            tokio::spawn(async move {
                let mut added = 0;
                while added < ROUNDS {
                    let kv = client.range(get("counter")).await.expect("range").kvs.remove(0);
                    let value: usize = String::from_utf8_lossy(&kv.value).parse().expect("a number");
                    let put = PutRequest {
                        key: bytes("counter"),
                        value: bytes(&(value + 1).to_string()),
                        ..Default::default()
                    };
                    let request = TxnRequest {
                        compare: vec![Compare {
                            key: bytes("counter"),
                            result: CompareResult::Equal.into(),
                            target: CompareTarget::Mod.into(),
                            target_union: Some(TargetUnion::ModRevision(kv.mod_revision)),
                            ..Default::default()
                        }],
                        success: vec![RequestOp {
                            request: Some(Request::RequestPut(put)),
                        }],
                        failure: vec![],
                    };
                    added += usize::from(client.txn(request).await.expect("txn").succeeded);
                }
            })
        })
        .collect();
    for counter in counters {
        counter.await.expect("counter");
    }
    let total = (6 * ROUNDS).to_string();
    assert_eq!(shims[1].client.get("counter").await, Some(total));
    stop(shims).await;
}

async fn a_lease_is_one_on_all_shims(database: &Database) {
    let shims = shims::<3>(database).await;
    let [a, b, c] = shims.each_ref().map(|shim| &shim.client);
    let grant = LeaseGrantRequest { id: 5, ttl: 2 };
    a.lease.clone().lease_grant(grant).await.expect("grant");
    let leased = PutRequest {
        key: bytes("leased"),
        lease: 5,
        ..Default::default()
    };
    let written = b.put(leased).await.expect("put").header.expect("header").revision;
    let again = c.lease.clone().lease_grant(grant).await.expect_err("granted already");
    assert_eq!(again.message(), "etcdserver: lease already exists");
    let mut watches = Vec::new();
    for client in [a, b, c] {
        let stream = client.stream().await;
        stream.create(WatchCreateRequest {
            key: bytes("leased"),
            start_revision: written + 1,
            ..Default::default()
        });
        watches.push(stream);
    }
    // Kept alive for longer than it lives without, by one that neither granted nor attached it.
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let request = tokio_stream::iter([LeaseKeepAliveRequest { id: 5 }]);
        let mut alive = c
            .lease
            .clone()
            .lease_keep_alive(request)
            .await
            .expect("keep alive")
            .into_inner();
        assert_eq!(alive.message().await.expect("answer").expect("answer").ttl, 2);
    }
    for client in [a, b, c] {
        assert_eq!(client.range(get("leased")).await.expect("range").count, 1);
        let request = LeaseTimeToLiveRequest { id: 5, keys: true };
        let left = client
            .lease
            .clone()
            .lease_time_to_live(request)
            .await
            .expect("ttl")
            .into_inner();
        assert_eq!((left.granted_ttl, left.keys), (2, vec![bytes("leased")]));
        assert!((0..=2).contains(&left.ttl), "{}", left.ttl);
    }
    // Left alone it ends, once, for everybody.
    for watch in &mut watches {
        assert!(watch.next().await.created);
        let response = watch.next().await;
        let event = &response.events[0];
        assert_eq!((event.r#type(), response.events.len()), (EventType::Delete, 1));
        assert_eq!(event.kv.as_ref().expect("kv").mod_revision, written + 1);
    }
    for client in [a, b, c] {
        assert_eq!(client.revision().await, written + 1);
        let leases = client
            .lease
            .clone()
            .lease_leases(LeaseLeasesRequest {})
            .await
            .expect("leases");
        assert_eq!(leases.into_inner().leases.len(), 0);
    }
    stop(shims).await;
}

async fn compaction_counts_on_all_shims(database: &Database) {
    let shims = shims::<2>(database).await;
    let [a, b] = shims.each_ref().map(|shim| &shim.client);
    let mut revisions = Vec::new();
    for count in 0..10 {
        revisions.push(a.set("k", &count.to_string()).await);
    }
    a.compact(revisions[6], true).await.expect("compact");
    let past = |revision| RangeRequest { revision, ..get("k") };
    // A read at a revision does not have to be fresh, but it asks first as any other.
    let error = b.range(past(revisions[3])).await.expect_err("compacted");
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted"
        )
    );
    assert_eq!(
        b.range(past(revisions[7])).await.expect("range").kvs[0].value,
        bytes("7")
    );
    let error = b.compact(revisions[5], false).await.expect_err("compacted");
    assert_eq!(
        error.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    let mut stream = b.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("k"),
        start_revision: revisions[2],
        ..Default::default()
    });
    assert!(stream.next().await.created);
    let refused = stream.next().await;
    assert!(refused.canceled);
    assert_eq!(refused.compact_revision, revisions[6]);
    // And the other way round.
    b.compact(revisions[8], true).await.expect("compact");
    let error = a.range(past(revisions[7])).await.expect_err("compacted");
    assert_eq!(error.code(), Code::OutOfRange);
    let rows = database.query("SELECT count(*) FROM kine");
    assert_eq!(rows[0][0], "3", "two versions and kine's own row");
    stop(shims).await;
}

async fn alarms_count_on_all_shims(database: &Database) {
    let shims = shims::<2>(database).await;
    let [a, b] = shims.each_ref().map(|shim| &shim.client);
    let request = |action: AlarmAction| AlarmRequest {
        action: action.into(),
        member_id: 0,
        alarm: AlarmType::Nospace.into(),
    };
    a.maintenance
        .clone()
        .alarm(request(AlarmAction::Activate))
        .await
        .expect("alarm");
    let put = PutRequest {
        key: bytes("k"),
        ..Default::default()
    };
    let error = b.put(put.clone()).await.expect_err("no space");
    assert_eq!(error.message(), "etcdserver: mvcc: database space exceeded");
    b.maintenance
        .clone()
        .alarm(request(AlarmAction::Deactivate))
        .await
        .expect("alarm");
    a.put(put).await.expect("put");
    stop(shims).await;
}

/// Writes until the shim is gone; returns what was acknowledged.
async fn write_until_gone(client: Client, writer: usize) -> Vec<(String, String, i64)> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let (key, value) = (format!("k/{writer}/{count}"), count.to_string());
        let put = PutRequest {
            key: bytes(&key),
            value: bytes(&value),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(response) => acknowledged.push((key, value, response.header.expect("header").revision)),
            Err(_) => break,
        }
    }
    acknowledged
}

async fn a_shim_that_dies_leaves_a_whole_store(database: &Database) {
    let survivor = Shim::start(database).await;
    let first = survivor.client.revision().await + 1;
    let mut stream = survivor.client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("k/"),
        range_end: prefix_end("k/"),
        start_revision: first,
        ..Default::default()
    });
    let mut acknowledged: BTreeMap<i64, (String, String)> = BTreeMap::new();
    for round in 0..4 {
        let (process, client) = process(database, &round.to_string()).await;
        let writers: Vec<_> = (0..8)
            .map(|writer| tokio::spawn(write_until_gone(client.clone(), round * 8 + writer)))
            .collect();
        let mut own = Vec::new();
        for count in 0..20 + round * 10 {
            let (key, value) = (format!("k/own/{round}/{count}"), count.to_string());
            let revision = survivor.client.set(&key, &value).await;
            own.push((key, value, revision));
        }
        process.kill();
        for writer in writers {
            own.extend(writer.await.expect("writer"));
        }
        for (key, value, revision) in own {
            let other = acknowledged.insert(revision, (key, value));
            assert_eq!(other, None, "revision {revision} was used twice");
        }
    }
    let last = survivor.client.set("k/last", "x").await;
    let mut seen = BTreeMap::new();
    assert!(stream.next().await.created);
    while seen.last_key_value().is_none_or(|(revision, _)| *revision < last) {
        for event in stream.next().await.events {
            let kv = event.kv.expect("kv");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let other = seen.insert(kv.mod_revision, (text(&kv.key), text(&kv.value)));
            assert_eq!(other, None, "revision {} was shown twice", kv.mod_revision);
        }
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        (first..=last).collect::<Vec<_>>()
    );
    for (revision, written) in acknowledged {
        assert_eq!(seen.get(&revision), Some(&written));
    }
    survivor.stop().await;
}

/// What a store that was cut off for long finds: its state is older than the history that is left.
async fn a_shim_that_was_away_reads_everything_anew(database: &Database) {
    let there = Shim::start(database).await;
    let (process, client) = process(database, "away").await;
    there.client.set("gone", "x").await;
    let seen = there.client.set("stays", "x").await;
    assert_eq!(client.get("gone").await, Some("x".into()));
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("stays"),
        ..Default::default()
    });
    assert!(stream.next().await.created);
    process.signal("STOP");
    let request = DeleteRangeRequest {
        key: bytes("gone"),
        ..Default::default()
    };
    there.client.delete(request).await.expect("delete");
    let last = there.client.set("stays", "y").await;
    there.client.compact(last, true).await.expect("compact");
    process.signal("CONT");
    assert_eq!(client.get("gone").await, None);
    assert_eq!(client.get("stays").await, Some("y".into()));
    let next = client.set("stays", "z").await;
    assert_eq!(next, last + 1);
    // The watcher has missed what is not there any more, and is told so.
    let response = stream.next().await;
    assert!(
        response.canceled && response.compact_revision == last,
        "{response:?}, {seen}"
    );
    process.kill();
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_and_come_back() {
    the_server_may_go_and_come_back(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_may_go_and_come_back() {
    the_server_may_go_and_come_back(Product::MariaDb).await;
}

/// Writes until `end`, again and again where it is not certain; returns what was acknowledged.
async fn write_stubbornly(client: Client, writer: usize, end: std::time::Instant) -> Vec<(String, i64)> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        if std::time::Instant::now() > end {
            break;
        }
        let key = format!("w/{writer}/{count}");
        let put = PutRequest {
            key: bytes(&key),
            value: bytes("x"),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(response) => acknowledged.push((key, response.header.expect("header").revision)),
            Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error:?}"),
        }
    }
    acknowledged
}

async fn the_server_may_go_and_come_back(product: Product) {
    let Some(server) = Server::start(product) else { return };
    let endpoint = endpoint(&server, &server.create_database());
    let directory = tempfile::tempdir().expect("directory");
    let mut shims = Vec::new();
    for _ in 0..2 {
        shims.push(
            Shim::try_start_at(&endpoint, directory.path(), &[])
                .await
                .expect("start"),
        );
    }
    let first = shims[0].client.revision().await + 1;
    let end = std::time::Instant::now() + Duration::from_secs(4);
    let writers: Vec<_> = (0..8)
        .map(|writer| tokio::spawn(write_stubbornly(shims[writer % 2].client.clone(), writer, end)))
        .collect();
    let mut streams = Vec::new();
    for shim in &shims {
        let stream = shim.client.stream().await;
        stream.create(everything(first));
        streams.push(stream);
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.crash();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.resume();
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("writer"));
    }
    assert!(acknowledged.len() > 100, "{} writes", acknowledged.len());
    let back = async {
        let put = PutRequest {
            key: bytes("w/last"),
            ..Default::default()
        };
        loop {
            match shims[0].client.put(put.clone()).await {
                Ok(response) => return response.header.expect("header").revision,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let last = tokio::time::timeout(PATIENCE, back).await.expect("the shim is back");
    for (shim, stream) in shims.iter().zip(&mut streams) {
        let mut seen = BTreeMap::new();
        while seen.last_key_value().is_none_or(|(revision, _)| *revision < last) {
            let response = stream.next().await;
            assert!(!response.canceled);
            for event in response.events {
                let kv = event.kv.expect("kv");
                let other = seen.insert(kv.mod_revision, kv.key);
                assert_eq!(other, None, "revision {} was shown twice", kv.mod_revision);
            }
        }
        assert_eq!(
            seen.keys().copied().collect::<Vec<_>>(),
            (first..=last).collect::<Vec<_>>()
        );
        for (key, revision) in &acknowledged {
            assert_eq!(seen.get(revision), Some(&bytes(key)));
        }
        assert_eq!(shim.client.revision().await, last);
    }
    for shim in shims {
        shim.stop().await;
    }
}
