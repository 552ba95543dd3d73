//! The load before a crash, with a record of what clients were told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proto::{
    etcdserverpb::{
        DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RequestOp, StatusRequest, TxnRequest,
        request_op::Request, response_op::Response,
    },
    mvccpb::{Event, event::EventType},
};
use tokio::task::JoinHandle;

use super::truth::{Change, PREFIX, Truth, everything};
use crate::{
    random::Random,
    support::{Client, bytes},
};

const WRITERS: usize = 8;

/// Writes: the revision, and the value of each key changed, `None` where it was deleted.
type Writes = Vec<(i64, BTreeMap<String, Option<String>>)>;

/// What clients were told in one round.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Acknowledged writes: the revision, and the value of each key changed, `None` where it was deleted.
    pub(super) writes: Writes,
    /// What the watcher saw.
    pub(super) seen: BTreeMap<i64, Vec<Change>>,
    /// Leases whose grant or revocation was acknowledged, with whether they are there.
    pub(super) leases: BTreeMap<i64, bool>,
    /// Leases of which nobody knows.
    pub(super) doubtful: Vec<i64>,
    /// The last compaction acknowledged, and the last one asked for.
    pub(super) compacted: (i64, i64),
}

impl Told {
    pub(super) fn writes(&self) -> usize {
        self.writes.len()
    }
}

/// A load under way.
pub(super) struct Loading {
    writers: Vec<JoinHandle<Writes>>,
    watcher: JoinHandle<BTreeMap<i64, Vec<Change>>>,
    leaser: JoinHandle<(BTreeMap<i64, bool>, Vec<i64>)>,
    compactor: JoinHandle<(i64, i64)>,
}

impl Loading {
    /// Waits for every client to notice that the server is gone.
    pub(super) async fn end(self) -> Told {
        let mut told = Told {
            seen: self.watcher.await.expect("watcher"),
            compacted: self.compactor.await.expect("compactor"),
            ..Told::default()
        };
        (told.leases, told.doubtful) = self.leaser.await.expect("leaser");
        for writer in self.writers {
            told.writes.extend(writer.await.expect("writer"));
        }
        told
    }
}

/// Starts to load the store; everything ends with the server.
pub(super) async fn start(client: &Client, round: usize, truth: &Truth, random: &mut Random) -> Loading {
    let seen = Arc::new(AtomicI64::new(truth.newest()));
    let mut stream = client.stream().await;
    stream.create(everything(truth.newest() + 1));
    assert!(stream.next().await.created);
    let watcher = tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            let mut events = BTreeMap::new();
            while let Ok(response) = stream.try_next().await {
                assert!(!response.canceled, "{response:?}");
                for (revision, changes) in by_revision(response.events) {
                    assert_eq!(revision, seen.load(Ordering::Acquire) + 1, "a gap");
                    assert!(
                        events.insert(revision, changes).is_none(),
                        "revision {revision} came twice"
                    );
                    seen.store(revision, Ordering::Release);
                }
            }
            events
        }
    });
    let writers = (0..WRITERS)
        .map(|writer| tokio::spawn(write(client.clone(), round, writer, random.fork())))
        .collect();
    Loading {
        writers,
        watcher,
        leaser: tokio::spawn(lease(client.clone(), round, random.fork())),
        compactor: tokio::spawn(compact(client.clone(), truth.compacted(), seen, random.fork())),
    }
}

/// Events in the order of their revisions, as changes.
pub(super) fn by_revision(events: Vec<Event>) -> BTreeMap<i64, Vec<Change>> {
    let mut found: BTreeMap<i64, Vec<Change>> = BTreeMap::new();
    for event in events {
        let deleted = event.r#type() == EventType::Delete;
        let kv = event.kv.expect("kv");
        let change = Change {
            key: String::from_utf8_lossy(&kv.key).into_owned(),
            value: (!deleted).then(|| String::from_utf8_lossy(&kv.value).into_owned()),
            version: kv.version,
            created: kv.create_revision,
            lease: kv.lease,
        };
        found.entry(kv.mod_revision).or_default().push(change);
    }
    found
}

/// Writes until the server is gone.
async fn write(client: Client, round: usize, writer: usize, mut random: Random) -> Writes {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        // A few keys over and over, so that versions, history and old values matter too.
        let key = |at: usize| format!("{PREFIX}{writer}/{at}");
        let value = format!("{round}-{count}-{}", "x".repeat(random.below(300)));
        let put = |key: &str| PutRequest {
            key: bytes(key),
            value: bytes(&value),
            ..Default::default()
        };
        let delete = |key: &str| DeleteRangeRequest {
            key: bytes(key),
            ..Default::default()
        };
        let (one, two, three) = (key(random.below(3)), key(3 + random.below(3)), key(6 + random.below(3)));
        let done = match random.below(4) {
            0 => client.delete(delete(&one)).await.map(|response| {
                let changes = (response.deleted > 0).then_some((one, None));
                (response.header, changes.into_iter().collect())
            }),
            1 => {
                let operations = [
                    Request::RequestPut(put(&one)),
                    Request::RequestDeleteRange(delete(&two)),
                    Request::RequestPut(put(&three)),
                ];
                let success = operations.map(|request| RequestOp { request: Some(request) }).to_vec();
                let request = TxnRequest {
                    success,
                    ..Default::default()
                };
                client.txn(request).await.map(|response| {
                    let mut changes = BTreeMap::from([(one, Some(value.clone())), (three, Some(value.clone()))]);
                    if let Some(Response::ResponseDeleteRange(deletion)) = &response.responses[1].response
                        && deletion.deleted > 0
                    {
                        changes.insert(two, None);
                    }
                    (response.header, changes)
                })
            }
            _ => {
                let response = client.put(put(&one)).await;
                response.map(|response| (response.header, BTreeMap::from([(one, Some(value.clone()))])))
            }
        };
        match done {
            Ok((_, changes)) if changes.is_empty() => {}
            Ok((header, changes)) => acknowledged.push((header.expect("header").revision, changes)),
            Err(_) => break,
        }
    }
    acknowledged
}

/// Grants leases, hangs a key on each, and revokes every third.
async fn lease(client: Client, round: usize, mut random: Random) -> (BTreeMap<i64, bool>, Vec<i64>) {
    let mut leases = BTreeMap::new();
    for count in 0.. {
        let id = (round * 100_000 + count + 1) as i64;
        let granted = client
            .lease
            .clone()
            .lease_grant(LeaseGrantRequest { id, ttl: 3600 })
            .await;
        if granted.is_err() {
            return (leases, vec![id]);
        }
        leases.insert(id, true);
        let put = PutRequest {
            key: bytes(&format!("{PREFIX}lease/{}", id % 7)),
            lease: id,
            ..Default::default()
        };
        if client.put(put).await.is_err() {
            return (leases, vec![]);
        }
        if count % 3 == 2 {
            let revoked = client.lease.clone().lease_revoke(LeaseRevokeRequest { id }).await;
            leases.insert(id, false);
            if revoked.is_err() {
                leases.remove(&id);
                return (leases, vec![id]);
            }
        }
        tokio::time::sleep(random.moment(Duration::from_millis(10))).await;
    }
    (leases, vec![])
}

/// Compacts what the watcher has seen, so that everything that is compacted is known.
async fn compact(client: Client, from: i64, seen: Arc<AtomicI64>, mut random: Random) -> (i64, i64) {
    let (mut done, mut asked) = (from, from);
    loop {
        tokio::time::sleep(random.moment(Duration::from_millis(120))).await;
        let revision = seen.load(Ordering::Acquire) - random.below(60) as i64;
        if revision <= asked {
            // Ask for something harmless, to notice when the server is gone.
            let mut maintenance = client.maintenance.clone();
            if maintenance.status(StatusRequest {}).await.is_err() {
                return (done, asked);
            }
            continue;
        }
        asked = revision;
        match client.compact(revision, random.once_in(3)).await {
            Ok(_) => done = revision,
            Err(_) => return (done, asked),
        }
    }
}
