//! Watchers that go away and come back: each sees every revision of its range once and in order, whatever happens in
//! between.
//!
//! Writers write all the time, while the store is compacted and started again. One watcher keeps up, and what it sees is
//! the record the others are held against: one that reconnects again and again, one that reads slowly, one that watches a
//! part of the keys only, one that stops reading until it is cancelled for that, and one that stays away until what it would
//! have to see next is compacted, which it is told, so that it lists the keys and goes on from there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use proto::{
    etcdserverpb::{
        DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchResponse,
        request_op::Request, watch_client::WatchClient,
    },
    mvccpb::event::EventType,
};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    databases::{Database, on_every_database},
    random::Random,
    slow::narrow,
    support::{Client, PATIENCE, Shim, bytes, prefix_end},
};

on_every_database! {
    every_watcher_sees_everything_whatever_happens,
}

const WRITERS: usize = 3;
const RESTARTS: usize = 3;
const ROUND: Duration = Duration::from_millis(1300);
/// How the keys end that only the last revision has.
const END: &str = "/end";
const FLAGS: [&str; 1] = ["--slow-watcher-timeout=300ms"];

/// A change of a key: the key, and its value unless it is deleted.
type Change = (String, Option<String>);
type Changes = BTreeMap<i64, Vec<Change>>;

/// What everybody needs to know.
struct Stage {
    /// The store, while there is one, with its address.
    store: watch::Receiver<Option<(Client, String)>>,
    /// Nothing is written any more but the last revision.
    over: AtomicBool,
    /// How far the record goes.
    recorded: AtomicI64,
    compacted: AtomicI64,
    /// Somebody was cancelled for not reading.
    cancelled: AtomicBool,
}

impl Stage {
    async fn store(&self) -> (Client, String) {
        let mut store = self.store.clone();
        let there = tokio::time::timeout(PATIENCE, store.wait_for(Option::is_some)).await;
        there.expect("a store in time").expect("open").clone().expect("there")
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..Default::default()
    }
}

/// Writes until it is over; returns the changes acknowledged.
async fn write(stage: Arc<Stage>, writer: usize, mut random: Random) -> Changes {
    let mut acknowledged = Changes::new();
    for count in 0.. {
        if stage.is_over() {
            break;
        }
        let (client, _) = stage.store().await;
        let key = |at: usize| format!("w/{writer}/{at}");
        let value = format!("{count}-{}", "x".repeat(random.below(12_000)));
        let (one, two) = (key(random.below(20)), key(20 + random.below(20)));
        let delete = DeleteRangeRequest {
            key: bytes(&one),
            ..Default::default()
        };
        let done = match random.below(5) {
            0 => {
                let deleted = client.delete(delete).await;
                deleted.map(|done| (done.header, vec![(one, None); usize::from(done.deleted > 0)]))
            }
            1 => {
                let operations = [
                    Request::RequestPut(put(&two, &value)),
                    Request::RequestPut(put(&one, &value)),
                ];
                let success = operations.map(|request| RequestOp { request: Some(request) }).to_vec();
                let request = TxnRequest {
                    success,
                    ..Default::default()
                };
                let written = client.txn(request).await;
                written.map(|done| {
                    (
                        done.header,
                        vec![(two, Some(value.clone())), (one, Some(value.clone()))],
                    )
                })
            }
            _ => {
                let written = client.put(put(&one, &value)).await;
                written.map(|done| (done.header, vec![(one, Some(value.clone()))]))
            }
        };
        match done {
            Ok((_, changes)) if changes.is_empty() => {}
            Ok((header, changes)) => {
                let other = acknowledged.insert(header.expect("header").revision, changes);
                assert_eq!(other, None, "one revision for two writes");
            }
            // The store is being started again.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged
}

/// How a watcher behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Keeps up, and tells how far it is.
    Records,
    /// Starts over after a few answers.
    Reconnects,
    /// Reads, but slowly.
    Dawdles,
    /// Stops reading until it is cancelled.
    Stalls,
    /// Stays away until what comes next is compacted.
    StaysAway,
}

/// What a watcher saw.
#[derive(Debug, Default)]
struct Seen {
    changes: Changes,
    /// Keys that were listed instead, with the revision of the list and the first one not watched.
    lists: Vec<(i64, i64, BTreeMap<String, String>)>,
    cancelled_as_slow: usize,
    streams: usize,
}

struct Watching {
    stage: Arc<Stage>,
    prefix: String,
    habit: Habit,
    next: i64,
    /// The last revision has been seen.
    done: bool,
    seen: Seen,
}

impl Watching {
    fn new(stage: &Arc<Stage>, prefix: &str, habit: Habit, first: i64) -> Self {
        Self {
            stage: Arc::clone(stage),
            prefix: prefix.to_owned(),
            habit,
            next: first,
            done: false,
            seen: Seen::default(),
        }
    }

    /// Watches up to the last revision.
    async fn run(mut self) -> (Habit, String, Seen) {
        while !self.done {
            let (mut client, address) = self.stage.store().await;
            if self.habit == Habit::Stalls {
                client.watch = WatchClient::new(narrow(&address).await).max_decoding_message_size(64 << 20);
            }
            let mut stream = client.stream().await;
            stream.create(WatchCreateRequest {
                key: bytes(&self.prefix),
                range_end: prefix_end(&self.prefix),
                start_revision: self.next,
                ..Default::default()
            });
            self.seen.streams += 1;
            for answers in 0.. {
                match stream.try_next().await {
                    Ok(response) if response.canceled => {
                        self.list(&client, &response).await;
                        break;
                    }
                    Ok(response) => self.take(response),
                    Err(status) => {
                        self.ended(&status).await;
                        break;
                    }
                }
                if self.done || self.behave(answers).await {
                    break;
                }
            }
        }
        (self.habit, self.prefix, self.seen)
    }

    /// Takes in an answer: it goes on right after the last one, and no revision is in parts.
    fn take(&mut self, response: WatchResponse) {
        let upto = response.header.expect("header").revision;
        let mut newest = self.next - 1;
        for event in response.events {
            let deleted = event.r#type() == EventType::Delete;
            let kv = event.kv.expect("kv");
            let revision = kv.mod_revision;
            assert!(
                (self.next.max(newest)..=upto).contains(&revision),
                "{:?} got revision {revision} after {newest}, with {} next, of {upto}",
                self.habit,
                self.next
            );
            newest = revision;
            self.done |= kv.key.ends_with(END.as_bytes());
            let change = (text(&kv.key), (!deleted).then(|| text(&kv.value)));
            self.seen.changes.entry(revision).or_default().push(change);
        }
        self.next = newest + 1;
        if self.habit == Habit::Records {
            self.stage.recorded.store(newest, Ordering::Release);
        }
    }

    /// Lists the keys, as what comes next is compacted.
    async fn list(&mut self, client: &Client, refused: &WatchResponse) {
        assert!(
            refused.compact_revision > self.next,
            "{:?} was refused revision {}: {refused:?}",
            self.habit,
            self.next
        );
        assert_ne!(self.habit, Habit::Records);
        let list = RangeRequest {
            key: bytes(&self.prefix),
            range_end: prefix_end(&self.prefix),
            ..Default::default()
        };
        // It may be refused because the store is started again; then so is the watch that follows.
        let Ok(list) = client.range(list).await else { return };
        let revision = list.header.expect("header").revision;
        self.done = list.kvs.iter().any(|kv| kv.key.ends_with(END.as_bytes()));
        let keys = list.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value)));
        self.seen.lists.push((self.next, revision, keys.collect()));
        self.next = revision + 1;
    }

    async fn ended(&mut self, status: &Status) {
        if status.message().contains("left events unread") {
            self.seen.cancelled_as_slow += 1;
            self.stage.cancelled.store(true, Ordering::Release);
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Does what the watcher is here for, as long as it is not over; returns whether it starts over.
    async fn behave(&self, answers: usize) -> bool {
        if self.stage.is_over() {
            return false;
        }
        match self.habit {
            Habit::Records => false,
            Habit::Reconnects => answers % 7 == 6,
            Habit::Dawdles => {
                tokio::time::sleep(Duration::from_millis(25)).await;
                false
            }
            Habit::Stalls => {
                if answers % 3 == 2 {
                    // More than waits for a client, and then for longer than a client may take.
                    let enough = self.stage.recorded.load(Ordering::Acquire) + 100;
                    while self.stage.recorded.load(Ordering::Acquire) < enough && !self.stage.is_over() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(700)).await;
                }
                false
            }
            Habit::StaysAway => {
                let waits = || self.stage.compacted.load(Ordering::Acquire) <= self.next && !self.stage.is_over();
                let away = waits();
                while waits() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                away
            }
        }
    }
}

/// Compacts what is recorded, and starts the store again and again; returns the last store.
async fn disturb(
    database: &Database,
    mut shim: Shim,
    stage: &Stage,
    store: &watch::Sender<Option<(Client, String)>>,
    random: &mut Random,
) -> Shim {
    for restart in 0..=RESTARTS {
        let began = tokio::time::Instant::now();
        // On a slow machine it takes longer until somebody has left enough unread.
        let goes_on = || restart == RESTARTS && !stage.cancelled.load(Ordering::Acquire) && began.elapsed() < PATIENCE;
        while began.elapsed() < ROUND || goes_on() {
            tokio::time::sleep(random.moment(Duration::from_millis(250))).await;
            let revision = stage.recorded.load(Ordering::Acquire) - random.below(20) as i64;
            if revision > stage.compacted.load(Ordering::Acquire) {
                shim.client.compact(revision, random.once_in(2)).await.expect("compact");
                stage.compacted.store(revision, Ordering::Release);
            }
        }
        if restart < RESTARTS {
            store.send_replace(None);
            shim.stop().await;
            shim = Shim::start_with(database, &FLAGS).await;
            store.send_replace(Some((shim.client.clone(), shim.tcp().to_string())));
        }
    }
    shim
}

/// The keys with a prefix at a revision.
fn keys_at(record: &Changes, prefix: &str, revision: i64) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for (key, value) in record.range(..=revision).flat_map(|(_, changes)| changes) {
        match value {
            Some(value) => keys.insert(key.clone(), value.clone()),
            None => keys.remove(key),
        };
    }
    keys.retain(|key, _| key.starts_with(prefix));
    keys
}

async fn every_watcher_sees_everything_whatever_happens(database: &Database) {
    let mut random = Random::new("every_watcher_sees_everything_whatever_happens");
    let shim = Shim::start_with(database, &FLAGS).await;
    let first = shim.client.revision().await + 1;
    let (store, there) = watch::channel(Some((shim.client.clone(), shim.tcp().to_string())));
    let stage = Arc::new(Stage {
        store: there,
        over: AtomicBool::new(false),
        recorded: AtomicI64::new(first - 1),
        compacted: AtomicI64::new(first - 1),
        cancelled: AtomicBool::new(false),
    });
    let watchers = [
        ("w/", Habit::Records),
        ("w/", Habit::Reconnects),
        ("w/1/", Habit::Reconnects),
        ("w/", Habit::Dawdles),
        ("w/", Habit::Stalls),
        ("w/", Habit::StaysAway),
        ("w/2/", Habit::StaysAway),
    ]
    .map(|(prefix, habit)| tokio::spawn(Watching::new(&stage, prefix, habit, first).run()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(Arc::clone(&stage), writer, random.fork())))
        .collect();
    let shim = disturb(database, shim, &stage, &store, &mut random).await;
    stage.over.store(true, Ordering::Release);
    let mut acknowledged = Changes::new();
    for writer in writers {
        for (revision, changes) in writer.await.expect("writer") {
            let other = acknowledged.insert(revision, changes);
            assert_eq!(other, None, "revision {revision} was used twice");
        }
    }
    // The last revision is one that every watcher sees.
    let ends = (0..WRITERS).map(|writer| RequestOp {
        request: Some(Request::RequestPut(put(&format!("w/{writer}{END}"), "x"))),
    });
    let request = TxnRequest {
        success: ends.collect(),
        ..Default::default()
    };
    let last = shim
        .client
        .txn(request)
        .await
        .expect("txn")
        .header
        .expect("header")
        .revision;

    let mut record = Changes::new();
    let mut habits = BTreeMap::new();
    for watcher in watchers {
        let (habit, prefix, seen) = watcher.await.expect("watcher");
        if habit == Habit::Records {
            assert!(seen.changes.keys().copied().eq(first..=last), "the record has no gaps");
            record = seen.changes;
            for (revision, changes) in &acknowledged {
                assert_eq!(
                    record.get(revision),
                    Some(changes),
                    "acknowledged at revision {revision}"
                );
            }
            continue;
        }
        let listed = |revision: i64| {
            seen.lists
                .iter()
                .any(|(from, upto, _)| (*from..=*upto).contains(&revision))
        };
        let mut expected = record.clone();
        expected.retain(|revision, changes| {
            changes.retain(|(key, _)| key.starts_with(&prefix));
            !changes.is_empty() && !listed(*revision)
        });
        // The values are long.
        let differs = seen
            .changes
            .iter()
            .zip(&expected)
            .find(|(seen, expected)| seen != expected);
        assert_eq!(differs, None, "{habit:?} of {prefix}");
        assert_eq!(seen.changes.len(), expected.len(), "{habit:?} of {prefix}");
        for (_, revision, keys) in &seen.lists {
            assert!(
                *keys == keys_at(&record, &prefix, *revision),
                "the list of {prefix} at revision {revision}"
            );
        }
        let count: &mut (usize, usize, usize) = habits.entry(format!("{habit:?}")).or_default();
        count.0 += seen.streams;
        count.1 += seen.lists.len();
        count.2 += seen.cancelled_as_slow;
    }
    eprintln!(
        "revisions {first} to {last}, {} acknowledged; streams, lists, cancellations: {habits:?}",
        acknowledged.len()
    );
    assert!(habits["Reconnects"].0 > 2 * RESTARTS);
    assert!(habits["StaysAway"].1 > 0, "nobody had to list the keys");
    assert!(habits["Stalls"].2 > 0, "nobody was cancelled for being slow");
    shim.stop().await;
}
