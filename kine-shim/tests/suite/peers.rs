//! Several shims on one database: whoever commits, all of them are the same store.

use std::{sync::Arc, time::Duration};

use proto::{
    etcdserverpb::{
        AlarmRequest, AlarmType, Compare, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
        LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
        alarm_request::AlarmAction,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
    mvccpb::event::EventType,
};
use tokio::sync::Barrier;
use tonic::Code;

use crate::{
    databases::{Database, on_every_server},
    support::{Shim, bytes},
    watching::{WRITES, follow, write},
};

on_every_server! {
    every_shim_shows_every_revision_in_order,
    reads_see_what_any_shim_has_written,
    transactions_compare_with_what_any_shim_has_written,
    a_lease_is_one_on_all_shims,
    compaction_counts_on_all_shims,
    alarms_count_on_all_shims,
    nobody_waits_for_a_busy_shim_for_long,
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
    let last = Arc::new(Barrier::new(7));
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

/// Who has little to write gets its turn while others write all the time.
async fn nobody_waits_for_a_busy_shim_for_long(database: &Database) {
    let shims = shims::<3>(database).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy: Vec<_> = (0..32)
        .map(|writer| {
            let (client, done) = (shims[writer % 2].client.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    client.set(&format!("busy/{writer}"), "x").await;
                }
            })
        })
        .collect();
    let quiet = &shims[2].client;
    let mut groups = Vec::new();
    for count in 0..40 {
        let before = quiet.revision().await;
        let written = quiet.set("quiet", &count.to_string()).await;
        groups.push(written - before);
    }
    done.store(true, std::sync::atomic::Ordering::Release);
    for writer in busy {
        writer.await.expect("writer");
    }
    // Each of the two writes a group of at most 16 while one waits, and may be about to.
    let most = *groups.iter().max().expect("some");
    groups.sort_unstable();
    eprintln!(
        "{most} writes of others came first at most, {} in the middle",
        groups[groups.len() / 2]
    );
    assert!(most <= 400, "{groups:?}");
    stop(shims).await;
}
