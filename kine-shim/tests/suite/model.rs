//! Transactions and ranges against a model that keeps every state of the store whole.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use bytes::Bytes;
use kine_shim::{
    backend::Fault,
    store::{
        batch::{Batch, Failure, Values},
        index::{Index, Keys, Layered, Version},
        range::{KeyRange, select},
        state::State,
        txn,
    },
};
use proptest::prelude::*;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, compare::TargetUnion,
    request_op::Request,
};

/// What the store is, as plainly as possible: all keys with their versions and values, at every revision.
#[derive(Debug, Clone, Default)]
struct Model {
    states: Vec<BTreeMap<Bytes, (Version, Bytes)>>,
}

impl Model {
    fn new() -> Self {
        // Revisions start at 1.
        Self {
            states: vec![BTreeMap::new(), BTreeMap::new()],
        }
    }

    fn revision(&self) -> i64 {
        self.states.len() as i64 - 1
    }

    fn now(&self) -> &BTreeMap<Bytes, (Version, Bytes)> {
        self.states.last().expect("a state")
    }

    fn change(&mut self, puts: &[(Bytes, Bytes)], deletes: &[KeyRange]) {
        let revision = self.revision() + 1;
        let mut next = self.now().clone();
        let before = next.len();
        next.retain(|key, _| !deletes.iter().any(|range| range.contains(key)));
        let changed = next.len() != before || !puts.is_empty();
        for (key, value) in puts {
            let old = next.get(key).map(|(version, _)| *version);
            let version = Version {
                id: 0,
                revision,
                create_revision: old.map_or(revision, |old| old.create_revision),
                version: old.map_or(1, |old| old.version + 1),
                lease: 0,
            };
            next.insert(key.clone(), (version, value.clone()));
        }
        if changed {
            self.states.push(next);
        }
    }

    fn at(&self, range: &KeyRange, revision: i64) -> Vec<(Bytes, Version)> {
        let state = &self.states[revision as usize];
        state
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(key, (version, _))| (key.clone(), *version))
            .collect()
    }
}

/// The store without a database.
#[derive(Default)]
struct Memory {
    state: State,
    values: Table,
}

#[derive(Default)]
struct Table(HashMap<i64, Bytes>);

impl Values for Table {
    fn value(&self, id: i64) -> Result<Bytes, Fault> {
        Ok(self.0.get(&id).expect("the index names rows that are there").clone())
    }

    fn wants_before(&self) -> bool {
        true
    }
}

impl Memory {
    fn commit<T>(&mut self, work: impl FnOnce(&mut Batch<'_>) -> Result<T, Failure>) -> T {
        let mut batch = Batch::new(&self.state, &self.values);
        let done = work(&mut batch).unwrap_or_else(|failure| panic!("{failure:?}"));
        let Batch {
            top,
            changes,
            leases,
            revision,
            ..
        } = batch;
        for change in &changes {
            self.values.0.insert(change.version.id, change.value.clone());
        }
        self.state.apply(top, &changes, &leases, revision, Instant::now());
        done
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(Bytes, Bytes),
    Delete(Bytes, Bytes),
    /// Several changes at one revision.
    Many(Vec<(Bytes, Bytes)>, Option<(Bytes, Bytes)>),
    /// Writes only if the key has this version.
    Guarded(Bytes, i64, Bytes),
    /// Everything since the last one becomes one commit.
    Compact(u8),
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just("a"),
        Just("aa"),
        Just("ab"),
        Just("b"),
        Just("b\0"),
        Just("c"),
        Just("d")
    ]
    .prop_map(Bytes::from)
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just(Bytes::new()), 1 => Just(Bytes::from_static(b"\0")), 3 => key()]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (key(), end()).prop_map(|(key, end)| Step::Delete(key, end)),
        2 => (prop::collection::btree_map(key(), value(), 0..4), prop::option::of((key(), end())))
            .prop_map(|(puts, delete)| Step::Many(puts.into_iter().collect(), delete)),
        2 => (key(), 0..3_i64, value()).prop_map(|(key, version, value)| Step::Guarded(key, version, value)),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

fn put(key: &Bytes, value: &Bytes) -> PutRequest {
    PutRequest {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn run(memory: &mut Memory, model: &mut Model, compacted: &mut i64, step: &Step) {
    match step {
        Step::Put(key, value) => {
            memory.commit(|batch| txn::put(batch, put(key, value)));
            model.change(&[(key.clone(), value.clone())], &[]);
        }
        Step::Delete(key, end) => {
            let request = DeleteRangeRequest {
                key: key.clone(),
                range_end: end.clone(),
                prev_kv: true,
            };
            let range = KeyRange::new(key, end);
            let expected = model.at(&range, model.revision()).len();
            let response = memory.commit(|batch| txn::delete_range(batch, &request));
            assert_eq!(response.deleted, expected as i64);
            assert_eq!(response.prev_kvs.len(), expected);
            model.change(&[], &[range]);
        }
        Step::Many(puts, delete) => {
            let delete = delete.as_ref().filter(|(key, end)| {
                let range = KeyRange::new(key, end);
                !puts.iter().any(|(key, _)| range.contains(key))
            });
            let mut success: Vec<_> = puts
                .iter()
                .map(|(key, value)| operation(Request::RequestPut(put(key, value))))
                .collect();
            let mut ranges = Vec::new();
            if let Some((key, end)) = delete {
                let request = DeleteRangeRequest {
                    key: key.clone(),
                    range_end: end.clone(),
                    prev_kv: false,
                };
                success.push(operation(Request::RequestDeleteRange(request)));
                ranges.push(KeyRange::new(key, end));
            }
            memory.commit(|batch| {
                txn::txn(
                    batch,
                    TxnRequest {
                        success,
                        ..Default::default()
                    },
                )
            });
            model.change(puts, &ranges);
        }
        Step::Guarded(key, version, value) => {
            let compare = Compare {
                target: 0,
                key: key.clone(),
                target_union: Some(TargetUnion::Version(*version)),
                ..Default::default()
            };
            let request = TxnRequest {
                compare: vec![compare],
                success: vec![operation(Request::RequestPut(put(key, value)))],
                failure: vec![],
            };
            let holds = model.now().get(key).map_or(0, |(version, _)| version.version) == *version;
            let response = memory.commit(|batch| txn::txn(batch, request));
            assert_eq!(response.succeeded, holds);
            if holds {
                model.change(&[(key.clone(), value.clone())], &[]);
            }
        }
        Step::Compact(share) => {
            let revision = 1 + i64::from(*share) * (model.revision() - 1) / 255;
            if revision <= *compacted {
                return;
            }
            *compacted = revision;
            memory.state.compacted = revision;
            let mut cursor = None;
            loop {
                let slice = memory.state.index.superfluous(revision, cursor.as_deref(), 2, 3);
                memory.state.index.forget(&slice.keys);
                for row in &slice.rows {
                    memory.values.0.remove(row).expect("a row is removed once");
                }
                for (row, key) in &slice.deletions {
                    memory.state.index.forget_row(key, *row);
                }
                cursor = slice.cursor;
                if !slice.more {
                    break;
                }
            }
        }
    }
}

fn same(memory: &Memory, model: &Model, compacted: i64) {
    assert_eq!(memory.state.revision, model.revision());
    let all = KeyRange::new(&Bytes::from_static(b"\0"), &Bytes::from_static(b"\0"));
    for revision in compacted.max(1)..=model.revision() {
        let expected = model.at(&all, revision);
        let request = RangeRequest {
            key: all.start.clone(),
            range_end: "\0".into(),
            revision,
            ..Default::default()
        };
        let found = select(&memory.state.index, &request, model.revision(), compacted).expect("readable");
        let bare = |(key, version): &(Bytes, Version)| (key.clone(), Version { id: 0, ..*version });
        assert_eq!(
            found.keys.iter().map(bare).collect::<Vec<_>>(),
            expected,
            "at revision {revision}"
        );
        for (key, version) in &found.keys {
            assert_eq!(
                memory.values.0.get(&version.id),
                model.states[revision as usize].get(key).map(|(_, v)| v)
            );
        }
    }
    // Row identifiers and revisions find each other.
    for revision in compacted.max(1) + 1..=model.revision() {
        let first = memory.state.anchors.first_row(revision);
        memory.state.index.each_newest(|key, newest| {
            let version = memory.state.index.row(key, newest.id).expect("a row that is there");
            assert_eq!(
                version.revision >= revision,
                version.id >= first,
                "row {} revision {revision}",
                version.id
            );
        });
    }
}

fn list(keys: &impl Keys, range: &KeyRange, revision: i64) -> Vec<(Vec<u8>, Version)> {
    let mut found = Vec::new();
    keys.visit(range, revision, &mut |key, version| {
        found.push((key.to_vec(), *version))
    });
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_revision_reads_as_it_was(steps in prop::collection::vec(step(), 1..60)) {
        let (mut memory, mut model, mut compacted) = (Memory::default(), Model::new(), -1);
        for step in &steps {
            run(&mut memory, &mut model, &mut compacted, step);
        }
        same(&memory, &model, compacted);
    }

    #[test]
    fn a_layer_reads_like_one_index(
        below in prop::collection::vec((key(), any::<bool>()), 0..12),
        above in prop::collection::vec((key(), any::<bool>()), 0..12),
        start in key(),
        end in end(),
    ) {
        let (mut base, mut top, mut whole) = (Index::default(), Index::default(), Index::default());
        let split = below.len();
        for (at, (key, live)) in below.into_iter().chain(above).enumerate() {
            let id = at as i64 + 2;
            let version = if live {
                Version { id, revision: id, create_revision: id, version: 1, lease: 0 }
            } else {
                Version::tombstone(id, id)
            };
            if at < split { &mut base } else { &mut top }.push(&key, version);
            whole.push(&key, version);
        }
        let range = KeyRange::new(&start, &end);
        let layered = Layered { base: &base, top: &top };
        for revision in 0..30 {
            prop_assert_eq!(list(&whole, &range, revision), list(&layered, &range, revision));
        }
    }
}
