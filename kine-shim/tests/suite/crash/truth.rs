//! What is known of a store, and the comparison with what it says itself.

use std::collections::{BTreeMap, BTreeSet};

use proto::etcdserverpb::{
    HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest, WatchCreateRequest,
};
use tonic::Code;

use super::load::{Told, by_revision};
use crate::{
    random::Random,
    support::{Client, bytes, prefix_end},
};

/// Where everything is written.
pub(super) const PREFIX: &str = "crash/";

/// A change of a key, as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: String,
    /// `None` for a deletion.
    pub(super) value: Option<String>,
    pub(super) version: i64,
    pub(super) created: i64,
    pub(super) lease: i64,
}

type State = BTreeMap<String, (i64, Change)>;

/// Everything known: from watchers, acknowledgements, and what the store said before.
#[derive(Debug)]
pub(super) struct Truth {
    /// The keys at the revision compacted to.
    base: State,
    /// Every change since then.
    history: BTreeMap<i64, Vec<Change>>,
    newest: i64,
    compacted: i64,
    /// The last compaction asked for, which may or may not have happened.
    compacting: i64,
    leases: BTreeSet<i64>,
    doubtful: BTreeSet<i64>,
    /// Acknowledged writes not compared yet.
    writes: Vec<(i64, BTreeMap<String, Option<String>>)>,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            base: State::new(),
            history: BTreeMap::new(),
            newest: 1,
            compacted: -1,
            compacting: -1,
            leases: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            writes: Vec::new(),
        }
    }
}

pub(super) fn everything(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: bytes(PREFIX),
        range_end: prefix_end(PREFIX),
        start_revision,
        ..Default::default()
    }
}

impl Truth {
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Takes in what clients were told.
    pub(super) fn learn(&mut self, told: Told) {
        for (revision, changes) in told.seen {
            self.note(revision, changes);
        }
        self.writes = told.writes;
        for (lease, there) in told.leases {
            if there {
                self.leases.insert(lease);
            } else {
                self.leases.remove(&lease);
            }
        }
        for lease in told.doubtful {
            self.leases.remove(&lease);
            self.doubtful.insert(lease);
        }
        let (done, asked) = told.compacted;
        self.compacted = self.compacted.max(done);
        self.compacting = self.compacting.max(asked);
    }

    /// A revision seen twice must be the same both times.
    fn note(&mut self, revision: i64, changes: Vec<Change>) {
        self.newest = self.newest.max(revision);
        if let Some(before) = self.history.get(&revision) {
            assert_eq!(*before, changes, "revision {revision} was used twice");
        }
        self.history.insert(revision, changes);
    }

    /// The keys at a revision.
    fn at(&self, revision: i64) -> State {
        let mut state = self.base.clone();
        for (at, changes) in self.history.range(..=revision) {
            for change in changes {
                match change.value {
                    Some(_) => state.insert(change.key.clone(), (*at, change.clone())),
                    None => state.remove(&change.key),
                };
            }
        }
        state
    }

    /// Holds everything against what the store says, and forgets what cannot be asked for any more.
    pub(super) async fn compare(&mut self, client: &Client, random: &mut Random) {
        self.compare_compaction(client).await;
        let newest = client.revision().await;
        assert!(
            newest >= self.newest,
            "revision {} is lost, the newest is {newest}",
            self.newest
        );
        self.replay(client, newest).await;
        let first = self.history.keys().next().copied().unwrap_or(newest + 1);
        let known: Vec<i64> = self.history.keys().copied().collect();
        assert_eq!(known, (first..=newest).collect::<Vec<_>>(), "revisions have gaps");
        for (revision, changes) in std::mem::take(&mut self.writes) {
            let there: BTreeMap<_, _> = self.history[&revision]
                .iter()
                .map(|change| (change.key.clone(), change.value.clone()))
                .collect();
            assert_eq!(there, changes, "the write acknowledged at revision {revision}");
        }
        let oldest = self.compacted.max(1);
        for revision in [
            oldest,
            oldest + random.below((newest - oldest) as usize + 1) as i64,
            newest,
        ] {
            self.compare_keys(client, revision).await;
        }
        self.compare_leases(client).await;
        self.base = self.at(self.compacted);
        self.history = self.history.split_off(&(self.compacted + 1));
    }

    async fn compare_compaction(&mut self, client: &Client) {
        let mut maintenance = client.maintenance.clone();
        let hash = maintenance.hash_kv(HashKvRequest { revision: 0 }).await;
        let compacted = hash.expect("hash").into_inner().compact_revision;
        assert!(
            compacted == self.compacted || compacted == self.compacting,
            "compacted to {compacted}, not {} or {}",
            self.compacted,
            self.compacting
        );
        (self.compacted, self.compacting) = (compacted, compacted);
        // Nothing lies before the first revision: a compaction to it is one that watches and reads do not notice.
        if compacted > 1 {
            let mut stream = client.stream().await;
            stream.create(everything(1));
            assert!(stream.next().await.created);
            let refused = stream.next().await;
            assert!(
                refused.canceled && refused.compact_revision == compacted,
                "{refused:?}, compacted to {compacted}"
            );
            let request = RangeRequest {
                key: bytes(PREFIX),
                revision: compacted - 1,
                ..Default::default()
            };
            let refused = client.range(request).await.expect_err("what was compacted stays so");
            assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
        }
    }

    /// Learns from the store what nobody was told, and compares what somebody was.
    async fn replay(&mut self, client: &Client, newest: i64) {
        let mut next = self.compacted.max(1) + 1;
        let mut stream = client.stream().await;
        stream.create(everything(next));
        while next <= newest {
            let response = stream.next().await;
            assert!(!response.canceled, "{response:?}");
            for (revision, changes) in by_revision(response.events) {
                assert_eq!(revision, next, "a gap");
                self.note(revision, changes);
                next += 1;
            }
        }
    }

    async fn compare_keys(&self, client: &Client, revision: i64) {
        let list = RangeRequest {
            key: bytes(PREFIX),
            range_end: prefix_end(PREFIX),
            revision,
            ..Default::default()
        };
        let response = client.range(list).await.expect("range");
        let there: State = response
            .kvs
            .into_iter()
            .map(|kv| {
                let key = String::from_utf8_lossy(&kv.key).into_owned();
                let change = Change {
                    key: key.clone(),
                    value: Some(String::from_utf8_lossy(&kv.value).into_owned()),
                    version: kv.version,
                    created: kv.create_revision,
                    lease: kv.lease,
                };
                (key, (kv.mod_revision, change))
            })
            .collect();
        assert_eq!(there, self.at(revision), "at revision {revision}");
    }

    async fn compare_leases(&mut self, client: &Client) {
        let response = client.lease.clone().lease_leases(LeaseLeasesRequest {}).await;
        let there: BTreeSet<i64> = response
            .expect("leases")
            .into_inner()
            .leases
            .iter()
            .map(|lease| lease.id)
            .collect();
        for lease in std::mem::take(&mut self.doubtful) {
            if there.contains(&lease) {
                self.leases.insert(lease);
            }
        }
        assert_eq!(there, self.leases);
        let mut keys: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for (key, (_, change)) in self.at(self.newest) {
            keys.entry(change.lease).or_default().insert(key);
        }
        // Those with keys are the ones that could be wrong.
        for lease in there
            .iter()
            .filter(|lease| keys.contains_key(lease))
            .chain(there.last())
        {
            let request = LeaseTimeToLiveRequest { id: *lease, keys: true };
            let response = client
                .lease
                .clone()
                .lease_time_to_live(request)
                .await
                .expect("lease")
                .into_inner();
            let hanging: BTreeSet<_> = response
                .keys
                .iter()
                .map(|key| String::from_utf8_lossy(key).into_owned())
                .collect();
            assert_eq!(
                (response.granted_ttl, hanging),
                (3600, keys.get(lease).cloned().unwrap_or_default())
            );
        }
    }
}
