//! Several stores on one database: one history without gaps, which all of them tell alike.

use std::time::Duration;

use proto::{
    etcdserverpb::{
        AlarmRequest, AlarmType, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
        LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
        alarm_request::AlarmAction, request_op::Request,
    },
    mvccpb::Event,
};
use tonic::Code;

use crate::{
    databases::{Database, on_every_server},
    support::{Client, PATIENCE, Shim, bytes, prefix_end},
};

on_every_server! {
    all_tell_one_history_without_gaps,
    what_one_has_written_another_reads,
    counting_together_loses_nothing,
    leases_belong_to_all,
    a_lease_ends_once,
    all_hear_of_a_compaction,
    alarms_ring_everywhere,
    who_comes_late_or_was_away_knows_everything,
}

const STORES: usize = 3;
const WRITES: usize = 120;

/// Some stores on one database; the handles of the database must live as long as they.
async fn start(database: &Database) -> Vec<(Database, Shim)> {
    let mut stores = Vec::new();
    for _ in 0..STORES {
        let database = database.shared();
        let shim = Shim::start(&database).await;
        stores.push((database, shim));
    }
    stores
}

async fn stop(stores: Vec<(Database, Shim)>) {
    for (_, shim) in stores {
        shim.stop().await;
    }
}

fn client(stores: &[(Database, Shim)], at: usize) -> &Client {
    &stores[at].1.client
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// Writes keys that others write too, now and then several at once; returns the revisions.
async fn write(client: Client, writer: usize) -> Vec<i64> {
    let mut revisions = Vec::new();
    for count in 0..WRITES {
        let key = format!("k/{}", count % 7);
        let value = format!("{writer}-{count}");
        let header = if count % 5 == 4 {
            let success = vec![
                operation(Request::RequestPut(put(&key, &value))),
                operation(Request::RequestPut(put(&format!("k/own/{writer}"), &value))),
                operation(Request::RequestDeleteRange(DeleteRangeRequest {
                    key: bytes("k/gone"),
                    ..Default::default()
                })),
            ];
            let request = TxnRequest {
                success,
                ..Default::default()
            };
            client.txn(request).await.expect("txn").header
        } else if count % 11 == 10 {
            client.put(put("k/gone", &value)).await.expect("put").header
        } else {
            client.put(put(&key, &value)).await.expect("put").header
        };
        revisions.push(header.expect("header").revision);
    }
    revisions
}

/// Follows all keys from a revision to another, with what was there before.
async fn follow(client: Client, first: i64, last: i64) -> Vec<Event> {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes("k/"),
        range_end: prefix_end("k/"),
        start_revision: first,
        prev_kv: true,
        ..Default::default()
    });
    let mut events: Vec<Event> = Vec::new();
    let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
    while events.last().is_none_or(|event| revision(event) < last) {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    events
}

async fn all_tell_one_history_without_gaps(database: &Database) {
    let stores = start(database).await;
    let first = client(&stores, 0).revision().await + 1;
    let writers: Vec<_> = (0..2 * STORES)
        .map(|writer| tokio::spawn(write(client(&stores, writer % STORES).clone(), writer)))
        .collect();
    let last = first + (2 * STORES * WRITES) as i64 - 1;
    let watchers: Vec<_> = (0..STORES)
        .map(|at| tokio::spawn(follow(client(&stores, at).clone(), first, last)))
        .collect();
    let mut acknowledged = Vec::new();
    for writer in writers {
        let revisions = writer.await.expect("writer");
        assert!(revisions.is_sorted(), "a client's own writes are in order");
        acknowledged.extend(revisions);
    }
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (first..=last).collect::<Vec<_>>());
    let replayed = follow(client(&stores, 0).clone(), first, last).await;
    let mut revisions: Vec<_> = replayed
        .iter()
        .map(|event| event.kv.as_ref().expect("kv").mod_revision)
        .collect();
    assert!(revisions.is_sorted());
    revisions.dedup();
    assert_eq!(revisions, acknowledged);
    for watcher in watchers {
        let seen = watcher.await.expect("watcher");
        assert_eq!(seen.len(), replayed.len());
        for (seen, replayed) in seen.iter().zip(&replayed) {
            assert_eq!(seen, replayed);
        }
    }
    stop(stores).await;
}

async fn what_one_has_written_another_reads(database: &Database) {
    let stores = start(database).await;
    for count in 0..60 {
        let written = client(&stores, count % STORES).set("x", &count.to_string()).await;
        let request = RangeRequest {
            key: bytes("x"),
            ..Default::default()
        };
        let read = client(&stores, (count + 1) % STORES)
            .range(request)
            .await
            .expect("range");
        assert_eq!(read.kvs[0].value, bytes(&count.to_string()));
        assert_eq!(read.kvs[0].mod_revision, written);
    }
    stop(stores).await;
}

/// Adds one to a number, as often as it takes, until nobody else has changed it meanwhile.
async fn count_up(client: Client, times: usize) {
    use proto::etcdserverpb::{Compare, compare::TargetUnion};
    for _ in 0..times {
        loop {
            let request = RangeRequest {
                key: bytes("sum"),
                serializable: true,
                ..Default::default()
            };
            let found = client.range(request).await.expect("range").kvs.pop();
            let (revision, sum) = found.map_or((0, 0), |kv| {
                let sum: u64 = String::from_utf8_lossy(&kv.value).parse().expect("a number");
                (kv.mod_revision, sum)
            });
            let request = TxnRequest {
                compare: vec![Compare {
                    target: 2,
                    key: bytes("sum"),
                    target_union: Some(TargetUnion::ModRevision(revision)),
                    ..Default::default()
                }],
                success: vec![operation(Request::RequestPut(put("sum", &(sum + 1).to_string())))],
                ..Default::default()
            };
            if client.txn(request).await.expect("txn").succeeded {
                break;
            }
        }
    }
}

async fn counting_together_loses_nothing(database: &Database) {
    let stores = start(database).await;
    let counters: Vec<_> = (0..STORES)
        .map(|at| tokio::spawn(count_up(client(&stores, at).clone(), 40)))
        .collect();
    for counter in counters {
        counter.await.expect("counter");
    }
    let sum = client(&stores, 0).get("sum").await;
    assert_eq!(sum, Some((40 * STORES).to_string()));
    stop(stores).await;
}

async fn leases(client: &Client) -> Vec<i64> {
    let leases = client.lease.clone().lease_leases(LeaseLeasesRequest {}).await;
    let mut ids: Vec<_> = leases
        .expect("leases")
        .into_inner()
        .leases
        .iter()
        .map(|lease| lease.id)
        .collect();
    ids.sort_unstable();
    ids
}

async fn grant(client: &Client, id: i64, ttl: i64) {
    let request = LeaseGrantRequest { id, ttl };
    client.lease.clone().lease_grant(request).await.expect("grant");
}

async fn leases_belong_to_all(database: &Database) {
    let stores = start(database).await;
    grant(client(&stores, 0), 7, 1000).await;
    let request = LeaseGrantRequest { id: 7, ttl: 1000 };
    let twice = client(&stores, 1).lease.clone().lease_grant(request).await;
    assert_eq!(twice.expect_err("it is there").code(), Code::FailedPrecondition);
    let request = PutRequest {
        lease: 7,
        ..put("leased", "x")
    };
    client(&stores, 1).put(request).await.expect("put");
    assert_eq!(leases(client(&stores, 2)).await, [7]);
    let request = LeaseRevokeRequest { id: 7 };
    client(&stores, 2)
        .lease
        .clone()
        .lease_revoke(request)
        .await
        .expect("revoke");
    assert_eq!(client(&stores, 0).get("leased").await, None);
    assert_eq!(leases(client(&stores, 1)).await, [] as [i64; 0]);
    stop(stores).await;
}

async fn a_lease_ends_once(database: &Database) {
    let stores = start(database).await;
    grant(client(&stores, 0), 8, 2).await;
    let request = PutRequest {
        lease: 8,
        ..put("k/leased", "x")
    };
    let written = client(&stores, 0)
        .put(request)
        .await
        .expect("put")
        .header
        .expect("header")
        .revision;
    // Kept alive at another store for longer than it would live.
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let request = tokio_stream::iter([LeaseKeepAliveRequest { id: 8 }]);
        let alive = client(&stores, 1).lease.clone().lease_keep_alive(request).await;
        let answer = alive.expect("keep alive").into_inner().message().await.expect("answer");
        assert_eq!(answer.expect("answer").ttl, 2);
        assert_eq!(client(&stores, 2).get("k/leased").await.as_deref(), Some("x"));
    }
    let events = follow(client(&stores, 2).clone(), written, written + 1).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].r#type, 1, "{:?}", events[1]);
    for at in 0..STORES {
        assert_eq!(client(&stores, at).revision().await, written + 1, "it is deleted once");
        assert_eq!(leases(client(&stores, at)).await, [] as [i64; 0]);
    }
    stop(stores).await;
}

async fn all_hear_of_a_compaction(database: &Database) {
    let stores = start(database).await;
    let first = client(&stores, 0).set("k/a", "0").await;
    for count in 1..=40 {
        client(&stores, count % STORES).set("k/a", &count.to_string()).await;
    }
    client(&stores, 1).compact(first + 40, true).await.expect("compact");
    for at in 0..STORES {
        let client = client(&stores, at);
        let request = RangeRequest {
            key: bytes("k/a"),
            revision: first + 39,
            ..Default::default()
        };
        assert_eq!(
            client.range(request).await.expect_err("compacted").code(),
            Code::OutOfRange
        );
        assert_eq!(
            client.compact(first, false).await.expect_err("compacted").code(),
            Code::OutOfRange
        );
        let mut stream = client.stream().await;
        stream.create(WatchCreateRequest {
            key: bytes("k/a"),
            start_revision: first,
            ..Default::default()
        });
        assert!(stream.next().await.created);
        assert_eq!(stream.next().await.compact_revision, first + 40);
        assert_eq!(client.get("k/a").await.as_deref(), Some("40"));
    }
    let rows = database.query("SELECT count(*) FROM kine");
    assert_eq!(rows, [["2"]], "kine's own row and the newest");
    client(&stores, 2).set("k/a", "41").await;
    assert_eq!(client(&stores, 0).get("k/a").await.as_deref(), Some("41"));
    stop(stores).await;
}

async fn alarms_ring_everywhere(database: &Database) {
    let stores = start(database).await;
    let member_id = stores[0].1.app.store.header(0).member_id;
    let alarm = async |at: usize, action: AlarmAction| {
        let request = AlarmRequest {
            action: action.into(),
            member_id,
            alarm: AlarmType::Nospace.into(),
        };
        client(&stores, at)
            .maintenance
            .clone()
            .alarm(request)
            .await
            .expect("alarm");
    };
    alarm(0, AlarmAction::Activate).await;
    let refused = client(&stores, 1).put(put("x", "1")).await.expect_err("an alarm is on");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    alarm(2, AlarmAction::Deactivate).await;
    client(&stores, 1).put(put("x", "1")).await.expect("put");
    stop(stores).await;
}

async fn who_comes_late_or_was_away_knows_everything(database: &Database) {
    let one = database.shared();
    let first = Shim::start(&one).await;
    let written = first.client.set("k/a", "1").await;
    let other = database.shared();
    let second = Shim::start(&other).await;
    assert_eq!(second.client.get("k/a").await.as_deref(), Some("1"));
    second.client.set("k/a", "2").await;
    second.stop().await;
    first.client.set("k/b", "3").await;
    first.stop().await;
    let second = Shim::start(&other).await;
    let events = follow(second.client.clone(), written, written + 2).await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[1].prev_kv.as_ref().expect("before").value, bytes("1"));
    let seen = tokio::time::timeout(PATIENCE, second.client.get("k/b"))
        .await
        .expect("in time");
    assert_eq!(seen.as_deref(), Some("3"));
    second.stop().await;
}
