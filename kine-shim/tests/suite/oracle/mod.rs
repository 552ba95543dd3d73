//! The same random requests to the shim and to a real etcd: every answer must be the same, but for the names of cluster and
//! member.

mod answers;
mod requests;
mod watches;

use bytes::Bytes;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use prost::Message;
use proto::{
    etcdserverpb::{RangeRequest, WatchCreateRequest},
    mvccpb::Event,
};

use self::{
    answers::{share_of, told},
    requests::{Ask, ask},
    watches::Watches,
};
use crate::{
    databases::{Database, on_everything},
    support::{Client, Etcd, Shim},
};

/// Requests of one run.
const REQUESTS: usize = 3000;
/// Requests between two comparisons of the whole contents, history and hashes.
const ROUND: usize = 150;

/// Everything that has happened from `from` on, as a watch tells it.
async fn history(client: &Client, from: i64, upto: i64) -> Vec<Event> {
    let mut stream = client.stream().await;
    stream.create(WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: from,
        prev_kv: true,
        ..Default::default()
    });
    assert!(stream.next().await.created);
    let mut events: Vec<Event> = Vec::new();
    while events
        .last()
        .and_then(|event| event.kv.as_ref())
        .is_none_or(|kv| kv.mod_revision < upto)
    {
        let response = stream.next().await;
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    events
}

/// Everything there is, and everything that has happened as far as it can be known.
async fn compare_whole(shim: &Client, etcd: &Client, revision: i64, compacted: i64) {
    let everything = Ask::Range(RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    });
    for ask in [everything, Ask::Hash(255), Ask::Leases] {
        let (ours, theirs) = (
            told(shim, &ask, revision - 1).await,
            told(etcd, &ask, revision - 1).await,
        );
        assert_eq!(ours, theirs, "{ask:?}");
    }
    // What the reference cannot know any more is not compared: versions before the compaction, deletions at it.
    let from = compacted.max(0) + 2;
    if from <= revision && from > 1 {
        let (ours, theirs) = (history(shim, from, revision).await, history(etcd, from, revision).await);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec(), "{ours:?}, {theirs:?}");
        }
    }
}

on_everything! { answers_are_those_of_etcd }

async fn answers_are_those_of_etcd(database: &Database) {
    let Some(etcd) = Etcd::start().await else { return };
    let mut shim = Shim::start(database).await;
    let seed: [u8; 32] = match std::env::var("ORACLE_SEED") {
        Ok(seed) => std::array::from_fn(|at| seed.as_bytes().get(at).copied().unwrap_or(0)),
        Err(_) => *b"kine-shim against a real etcd...",
    };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let requests = ask();
    let mut watches = Watches::default();
    for count in 1..=REQUESTS {
        let ask = requests.new_tree(&mut runner).expect("a request").current();
        let (revision, compacted) = (shim.app.store.revision(), shim.app.store.compacted());
        // What was before is not told any more once it is compacted, so watches have to be through by then.
        if count % ROUND == 0 || matches!(ask, Ask::Compact(..)) {
            let known = compacted.max(1) + 1;
            let happened = match known <= revision {
                true => history(&etcd.client, known, revision).await,
                false => Vec::new(),
            };
            watches.finish(&happened).await;
        }
        // At the revision it is compacted to, a store can be hashed by newer versions of etcd only.
        if matches!(ask, Ask::Hash(share) if share_of(revision, share) == compacted) {
            continue;
        }
        if let Ask::Watch(request, start) = &ask {
            watches
                .start((&shim.client, &etcd.client), request, *start, revision, compacted)
                .await;
        }
        let (ours, theirs) = tokio::join!(told(&shim.client, &ask, revision), told(&etcd.client, &ask, revision));
        assert_eq!(ours, theirs, "request {count} at revision {revision}: {ask:?}");
        if count % ROUND == 0 {
            let (revision, compacted) = (shim.app.store.revision(), shim.app.store.compacted());
            compare_whole(&shim.client, &etcd.client, revision, compacted).await;
            if count % (4 * ROUND) == 0 {
                // What is read back from the database is what was there.
                shim.stop().await;
                shim = Shim::start(database).await;
                compare_whole(&shim.client, &etcd.client, revision, compacted).await;
            }
        }
    }
    shim.stop().await;
}
