//! The writer's part in following peers: every group begins with what they have committed since the last one.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use chassis::lock;
use proto::etcdserverpb::{Compare, PutRequest, RequestOp, compare::CompareTarget, request_op::Request};

use super::{
    batch::LeaseChange,
    command::Command,
    index::Keys,
    load::{Loaded, load},
    news::{News, lease_changes},
    peers::{Backoff, GRACE, PATIENCE, PEERS_TURN},
    publish::Outcome,
    range::KeyRange,
    state::State,
    writer::Worker,
};
use crate::backend::{
    Counters, Fault,
    driver::{Begun, Purpose, Wish},
};

/// Most values looked up when a group begins; further ones are looked up as they are needed.
const WISHES: usize = 4096;
/// How long the writer sleeps at most while the database is away.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

impl Worker {
    /// Begins a group: waits for the database if it has gone, keeps peers from writing, and takes in what they have
    /// written.
    pub(super) fn begin(&mut self, group: &[Command], removes: bool) -> Result<Begun, Fault> {
        if self.shared.peers.is_none() || !(removes || self.needs_database(group)) {
            return Ok(Begun::default());
        }
        let looks = |command: &Command| matches!(command, Command::CatchUp { .. } | Command::Sweep);
        let purpose = if !removes && group.iter().all(looks) {
            Purpose::Look
        } else {
            Purpose::Write
        };
        let wish = self.wish(group);
        let deadline = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        loop {
            let begun = self.backend.begin(purpose, &wish).and_then(|begun| {
                let begun = begun.unwrap_or_default();
                self.take_in(begun.counters).map(|complete| (begun, complete))
            });
            match begun {
                Ok((mut begun, true)) => {
                    begun.values.sort_unstable_by_key(|(id, _)| *id);
                    self.behind = false;
                    self.note(None);
                    return Ok(begun);
                }
                Ok((_, false)) => {
                    self.backend.rollback();
                    self.reload()?;
                }
                Err(fault) => {
                    self.backend.rollback();
                    let gone = matches!(fault, Fault::Lost(_));
                    if gone {
                        self.note(Some(&fault));
                    }
                    if !gone || Instant::now() > deadline {
                        if group.is_empty() {
                            // Nobody waits, and housekeeping tries again at once.
                            std::thread::sleep(LONGEST_SLEEP);
                        }
                        return Err(fault);
                    }
                    std::thread::sleep(backoff.next().min(LONGEST_SLEEP));
                }
            }
        }
    }

    fn note(&self, fault: Option<&Fault>) {
        if let Some(peers) = &self.shared.peers {
            peers.note(fault);
        }
    }

    /// What peers have to know after a group, `None` when it is nothing.
    pub(super) fn successor(&self, outcome: &Outcome, compacted: Option<(i64, i64)>) -> Option<Counters> {
        self.shared.peers.as_ref()?;
        let of_peers = |change: &LeaseChange| matches!(change, LeaseChange::Grant { .. } | LeaseChange::Revoke { .. });
        let leases = outcome.leases.iter().any(of_peers);
        if outcome.changes.is_empty() && !leases && compacted.is_none() && outcome.alarms.is_none() {
            return None;
        }
        let now = self.counters;
        let last = outcome.changes.last();
        let (compact_revision, compact_row) = compacted.unzip();
        Some(Counters {
            epoch: now.epoch + 1,
            lease_epoch: now.lease_epoch + i64::from(leases),
            revision: outcome.revision,
            last_row: last.map_or(now.last_row, |change| change.version.id),
            compact_revision: compact_revision.or(now.compact_revision),
            compact_row: compact_row.or(now.compact_row),
            alarms: outcome.alarms.unwrap_or(now.alarms),
        })
    }

    /// Lets reads know the epoch the state is at, once the state is there: they take it for the proof that nothing newer
    /// can have been seen anywhere.
    pub(super) fn show_epoch(&self) {
        if let Some(peers) = &self.shared.peers {
            peers.epoch.store(self.counters.epoch, Ordering::Release);
        }
    }

    fn needs_database(&self, group: &[Command]) -> bool {
        let asks = |command: &Command| match command {
            Command::CatchUp { epoch, .. } => *epoch > self.counters.epoch,
            Command::Sweep => false,
            _ => true,
        };
        self.behind || group.iter().any(asks)
    }

    /// Takes in what peers have committed. Returns false when that is not possible any more: history has gone that would
    /// have been needed, or the database is another one.
    fn take_in(&mut self, now: Counters) -> Result<bool, Fault> {
        let known = self.counters;
        if now.epoch == known.epoch {
            return Ok(true);
        }
        let (revision, last_row) = {
            let state = self.shared.state();
            (state.revision, state.last_row)
        };
        let gone = now.compact_revision.is_some_and(|compacted| compacted > revision);
        if gone || now.epoch < known.epoch || now.revision < revision || now.last_row < last_row {
            return Ok(false);
        }
        let leases = if now.lease_epoch == known.lease_epoch {
            Vec::new()
        } else {
            let there = self.backend.leases()?;
            lease_changes(&self.shared.state().leases, &there)
        };
        let compact_to = now
            .compact_revision
            .filter(|_| now.compact_revision != known.compact_revision);
        let alarms = (now.alarms != known.alarms).then_some(now.alarms);
        let mut news = News::new(&self.shared, leases);
        self.backend.news(last_row, &mut |row| news.push(row))?;
        news.finish(now.revision, compact_to, alarms);
        if let Some(revision) = compact_to {
            // It may be one of our own of which the commit was not confirmed.
            let pause = if self.behind { GRACE } else { PEERS_TURN };
            self.start_compaction(revision, pause, Vec::new());
        }
        self.counters = now;
        self.show_epoch();
        Ok(true)
    }

    /// Builds the state anew from the whole database.
    fn reload(&mut self) -> Result<(), Fault> {
        tracing::warn!("too much has happened since the last look at the database, loading it anew");
        let Loaded { state, numbers, .. } = load(self.backend.as_mut())?;
        let (revision, compacted) = (state.revision, state.compacted);
        *self.shared.state_mut() = state;
        *lock(&self.shared.cache) = Default::default();
        self.shared.alarms.store(numbers.counters.alarms, Ordering::Release);
        self.shared.hub.restart(revision);
        self.shared.lease_granted.notify_one();
        if compacted > 0 {
            self.start_compaction(compacted, PEERS_TURN, Vec::new());
        }
        self.counters = numbers.counters;
        self.show_epoch();
        Ok(())
    }

    /// The values and leases a group will most likely need.
    fn wish(&self, group: &[Command]) -> Wish {
        let state = self.shared.state();
        let seen = self.shared.hub.wants_before();
        let mut wish = Wish::default();
        for command in group {
            match command {
                Command::Put(put, _) => before_put(&state, put, seen, &mut wish),
                Command::Delete(delete, _) => within(&state, &KeyRange::new(&delete.key, &delete.range_end), &mut wish),
                Command::Txn(txn, _) => {
                    let by_value = |compare: &&Compare| compare.target() == CompareTarget::Value;
                    for compare in txn.compare.iter().filter(by_value) {
                        newest(&state, &compare.key, &mut wish);
                    }
                    operations(&state, &txn.success, seen, &mut wish);
                    operations(&state, &txn.failure, seen, &mut wish);
                }
                Command::KeepAlive { id, .. } => wish.leases.push(*id),
                Command::Revoke { id, .. } => {
                    wish.leases.push(*id);
                    for key in state.leases.get(*id).into_iter().flat_map(|lease| &lease.keys) {
                        newest(&state, key, &mut wish);
                    }
                }
                _ => {}
            }
            if wish.values.len() > WISHES {
                break;
            }
        }
        drop(state);
        wish.values.sort_unstable();
        wish.values.dedup();
        let cache = lock(&self.shared.cache);
        wish.values.retain(|id| cache.get(*id).is_none());
        wish
    }
}

fn newest(state: &State, key: &[u8], wish: &mut Wish) {
    if let Some(version) = state.index.newest(key).filter(|version| version.is_live()) {
        wish.values.push(version.id);
    }
}

/// What a put replaces matters to whoever asked for it, and to watchers if one of them wants to see it.
fn before_put(state: &State, put: &PutRequest, seen: bool, wish: &mut Wish) {
    if seen || put.prev_kv || put.ignore_value {
        newest(state, &put.key, wish);
    }
}

fn within(state: &State, range: &KeyRange, wish: &mut Wish) {
    state.index.visit(range, state.revision, &mut |_, version| {
        if wish.values.len() <= WISHES {
            wish.values.push(version.id);
        }
    });
}

fn operations(state: &State, operations: &[RequestOp], seen: bool, wish: &mut Wish) {
    for operation in operations {
        match &operation.request {
            Some(Request::RequestPut(put)) => before_put(state, put, seen, wish),
            Some(Request::RequestDeleteRange(delete)) => {
                within(state, &KeyRange::new(&delete.key, &delete.range_end), wish);
            }
            Some(Request::RequestRange(range)) if range.revision == 0 && !range.count_only && !range.keys_only => {
                within(state, &KeyRange::new(&range.key, &range.range_end), wish);
            }
            Some(Request::RequestTxn(txn)) => {
                self::operations(state, &txn.success, seen, wish);
                self::operations(state, &txn.failure, seen, wish);
            }
            _ => {}
        }
    }
}
