//! What clients asked, when, and what they were told.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
    mvccpb::event::EventType,
};

use crate::{
    random::Random,
    support::{Client, bytes, prefix_end},
};

const PREFIX: &str = "linear/";
/// Keys, few enough for calls to get into each other's way.
pub(super) const KEYS: usize = 3;

/// The values of the keys that exist. Values are numbers, none of which is written twice.
pub(super) type State = BTreeMap<usize, usize>;

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Get(usize),
    List,
    Put(usize, usize),
    Delete(usize),
    /// Writes a value if another one is there.
    Swap(usize, usize, usize),
    /// Writes two keys at once.
    PutTwo(usize, usize, usize),
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Value(Option<usize>),
    All(State),
    Done,
    Deleted(bool),
    Swapped(bool),
}

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) client: usize,
    pub(super) ask: Ask,
    pub(super) called: Instant,
    /// When it returned, with the answer and the revision in it; `None` when that never happened.
    pub(super) returned: Option<(Instant, Told, i64)>,
}

/// All calls, and the state before the first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) before: State,
    pub(super) calls: Vec<Call>,
}

/// What a call does to a state, and what it is told.
pub(super) fn apply(ask: Ask, state: &mut State) -> Told {
    match ask {
        Ask::Get(key) => Told::Value(state.get(&key).copied()),
        Ask::List => Told::All(state.clone()),
        Ask::Put(key, value) => {
            state.insert(key, value);
            Told::Done
        }
        Ask::Delete(key) => Told::Deleted(state.remove(&key).is_some()),
        Ask::Swap(key, old, new) => {
            let swapped = state.get(&key) == Some(&old);
            if swapped {
                state.insert(key, new);
            }
            Told::Swapped(swapped)
        }
        Ask::PutTwo(key, one, two) => {
            state.insert(key, one);
            state.insert((key + 1) % KEYS, two);
            Told::Done
        }
    }
}

/// Records the calls of any number of clients.
pub(super) struct Recorder {
    calls: Mutex<Vec<Call>>,
    values: AtomicUsize,
}

impl Recorder {
    pub(super) fn new(round: usize) -> Self {
        Self {
            calls: Mutex::default(),
            values: AtomicUsize::new((round + 1) * 1_000_000),
        }
    }

    pub(super) fn calls(self) -> Vec<Call> {
        self.calls.into_inner().expect("no client panicked")
    }

    fn value(&self) -> usize {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes `count` calls, or fewer when the server goes away.
    pub(super) async fn run(&self, client: Client, number: usize, count: usize, mut random: Random) {
        let mut seen = 0;
        for _ in 0..count {
            let key = random.below(KEYS);
            let ask = match random.below(8) {
                0 | 1 => Ask::Get(key),
                2 => Ask::List,
                3 => Ask::Delete(key),
                4 | 5 => Ask::Swap(key, seen, self.value()),
                6 => Ask::PutTwo(key, self.value(), self.value()),
                _ => Ask::Put(key, self.value()),
            };
            let called = Instant::now();
            let answer = tell(&client, ask).await;
            let returned = answer.map(|(told, revision)| (Instant::now(), told, revision));
            match &returned {
                Some((_, Told::Value(Some(value)), _)) => seen = *value,
                Some((_, Told::All(state), _)) => seen = state.get(&key).copied().unwrap_or(seen),
                _ => {}
            }
            let gone = returned.is_none();
            let call = Call {
                client: number,
                ask,
                called,
                returned,
            };
            self.calls.lock().expect("no client panicked").push(call);
            if gone {
                break;
            }
        }
    }
}

fn name(key: usize) -> bytes::Bytes {
    bytes(&format!("{PREFIX}{key}"))
}

fn put(key: usize, value: usize) -> PutRequest {
    PutRequest {
        key: name(key),
        value: bytes(&value.to_string()),
        ..Default::default()
    }
}

fn number(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes)
        .trim_start_matches(PREFIX)
        .parse()
        .expect("a number")
}

async fn tell(client: &Client, ask: Ask) -> Option<(Told, i64)> {
    let (told, header) = match ask {
        Ask::Get(key) => {
            let request = RangeRequest {
                key: name(key),
                ..Default::default()
            };
            let response = client.range(request).await.ok()?;
            (
                Told::Value(response.kvs.first().map(|kv| number(&kv.value))),
                response.header,
            )
        }
        Ask::List => {
            let response = client.range(everything(0)).await.ok()?;
            let state = response.kvs.iter().map(|kv| (number(&kv.key), number(&kv.value)));
            (Told::All(state.collect()), response.header)
        }
        Ask::Put(key, value) => (Told::Done, client.put(put(key, value)).await.ok()?.header),
        Ask::Delete(key) => {
            let request = DeleteRangeRequest {
                key: name(key),
                ..Default::default()
            };
            let response = client.delete(request).await.ok()?;
            (Told::Deleted(response.deleted > 0), response.header)
        }
        Ask::Swap(key, old, new) => {
            let compare = Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Value.into(),
                key: name(key),
                target_union: Some(TargetUnion::Value(bytes(&old.to_string()))),
                ..Default::default()
            };
            let request = TxnRequest {
                compare: vec![compare],
                success: vec![RequestOp {
                    request: Some(Request::RequestPut(put(key, new))),
                }],
                ..Default::default()
            };
            let response = client.txn(request).await.ok()?;
            (Told::Swapped(response.succeeded), response.header)
        }
        Ask::PutTwo(key, one, two) => {
            let puts = [put(key, one), put((key + 1) % KEYS, two)];
            let request = TxnRequest {
                success: puts
                    .map(|put| RequestOp {
                        request: Some(Request::RequestPut(put)),
                    })
                    .to_vec(),
                ..Default::default()
            };
            (Told::Done, client.txn(request).await.ok()?.header)
        }
    };
    Some((told, header.expect("header").revision))
}

fn everything(revision: i64) -> RangeRequest {
    RangeRequest {
        key: bytes(PREFIX),
        range_end: prefix_end(PREFIX),
        revision,
        ..Default::default()
    }
}

/// The state at a revision.
pub(super) async fn all(client: &Client, revision: i64) -> State {
    let response = client.range(everything(revision)).await.expect("range");
    let state = response.kvs.iter().map(|kv| (number(&kv.key), number(&kv.value)));
    state.collect()
}

/// What changed at each revision from `from` on: keys with their values, `None` where they were deleted.
pub(super) type Events = BTreeMap<i64, BTreeMap<usize, Option<usize>>>;

/// The events from `from` up to now.
pub(super) async fn events(client: &Client, from: i64) -> Events {
    let newest = client.revision().await;
    let mut found = Events::new();
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: bytes(PREFIX),
        range_end: prefix_end(PREFIX),
        start_revision: from,
        ..Default::default()
    });
    while newest >= from && found.last_key_value().is_none_or(|(revision, _)| *revision < newest) {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        for event in response.events {
            let deleted = event.r#type() == EventType::Delete;
            let kv = event.kv.expect("kv");
            let change = (number(&kv.key), (!deleted).then(|| number(&kv.value)));
            found.entry(kv.mod_revision).or_default().extend([change]);
        }
    }
    found
}
