//! The one writer: a thread that owns the writing connection.
//!
//! Whatever waits while a commit is under way forms the next group. A group is evaluated in memory, written and made
//! durable in one commit, and only then shown to readers and watchers and answered. Revisions are counted here, in memory,
//! at that moment; the database never hands one out.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chassis::lock;
use tokio::sync::mpsc;

use super::{
    answers::{self, Answers},
    batch::{Batch, Change, Failure, LeaseChange, Values},
    command::{Command, Reply, answer},
    compaction::Compaction,
    pace::Pace,
    peers::GRACE,
    publish::Outcome,
    shared::Shared,
    txn,
};
use crate::{
    backend::{
        Counters, Fault,
        driver::{Begun, Changes, LeaseWrite, Writer},
    },
    error::Error,
};

/// Most requests in one commit.
const GROUP_SIZE: usize = 1024;

/// How long a held compaction waits before it looks again.
const HOLD_PAUSE: Duration = Duration::from_millis(1);

/// The writer's thread.
pub struct Worker {
    pub(super) backend: Box<dyn Writer>,
    pub(super) shared: Arc<Shared>,
    /// The numbers of the database as the state has them.
    pub(super) counters: Counters,
    /// A commit may have happened without being shown.
    pub(super) behind: bool,
    commands: mpsc::Receiver<Command>,
    pub(super) compaction: Option<Compaction>,
    vacuuming: bool,
    pace: Pace,
    /// Closed last, when the database is.
    answers: answers::Sender,
}

/// What is collected while a group is evaluated.
#[derive(Default)]
struct Round {
    answers: Answers,
    compact_to: Option<i64>,
    physical: Vec<Reply<i64>>,
    alarms: Option<i64>,
}

impl Round {
    /// Keeps the answer to a request until the commit is through.
    fn settle<T: Send + 'static>(&mut self, reply: Reply<T>, result: Result<T, Failure>) -> Result<(), Fault> {
        let (result, fault) = match result {
            Ok(value) => (Ok(value), Ok(())),
            Err(Failure::Refused(error)) => (Err(error), Ok(())),
            Err(Failure::Fault(fault)) => (Err(Error::from(&fault)), Err(fault)),
        };
        self.answers.push(reply, result);
        fault
    }
}

struct Source<'a> {
    backend: &'a dyn Writer,
    shared: &'a Shared,
    begun: &'a Begun,
}

impl Values for Source<'_> {
    fn value(&self, id: i64) -> Result<Bytes, Fault> {
        if let Some(value) = lock(&self.shared.cache).get(id) {
            return Ok(value);
        }
        if let Ok(at) = self.begun.values.binary_search_by_key(&id, |(row, _)| *row) {
            return Ok(self.begun.values[at].1.clone());
        }
        // The index names only rows that are there, and nobody but this thread removes any.
        let missing = || Fault::Damaged(format!("row {id} of table kine is missing"));
        self.backend.value(id)?.ok_or_else(missing)
    }

    fn wants_before(&self) -> bool {
        self.shared.hub.wants_before()
    }
}

impl Worker {
    /// A writer that takes requests from `commands`. It first finishes the compaction that the last run may have left.
    pub fn new(
        backend: Box<dyn Writer>,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        counters: Counters,
        answers: answers::Sender,
    ) -> Self {
        let compacted = shared.state().compacted;
        let mut worker = Self {
            backend,
            shared,
            counters,
            behind: false,
            commands,
            compaction: None,
            vacuuming: false,
            pace: Pace::default(),
            answers,
        };
        if compacted > 0 {
            worker.start_compaction(compacted, GRACE, Vec::new());
        }
        worker
    }

    /// Works until told to stop or until nobody can ask any more.
    pub fn run(mut self) {
        while let Some((group, more)) = self.next_group() {
            let (size, began) = (group.len(), Instant::now());
            self.work(group);
            self.pace.done(size, began.elapsed());
            if !more {
                break;
            }
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            command.refuse(Error::Stopped);
        }
        if let Err(fault) = self.backend.checkpoint() {
            tracing::warn!(%fault, "the write-ahead log stays until the next start");
        }
    }

    /// The requests that wait, at least one unless there is housekeeping to do; false when the last one has been taken.
    fn next_group(&mut self) -> Option<(Vec<Command>, bool)> {
        let mut group = Vec::new();
        let mut most = GROUP_SIZE;
        if !self.sweeps() && !self.vacuuming && !self.behind {
            if let Some(half) = self.pace.half(self.commands.len()) {
                self.pace.gather(&self.shared.bell, half, || self.commands.len());
                most = half.min(GROUP_SIZE);
            }
            group.push(self.commands.blocking_recv()?);
        }
        let mut more = true;
        while group.len() < most && more {
            match self.commands.try_recv() {
                Ok(command) => group.push(command),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => more = false,
            }
        }
        if let Some(stop) = group.iter().position(|command| matches!(command, Command::Stop)) {
            group.drain(stop..).for_each(|command| command.refuse(Error::Stopped));
            more = false;
        }
        Some((group, more))
    }

    fn work(&mut self, group: Vec<Command>) {
        // Defragmenting cannot be part of a transaction.
        let (defragment, rest): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|command| matches!(command, Command::Defragment(_)));
        if rest.is_empty() && !self.sweeps() && self.vacuuming {
            self.vacuum();
        } else if rest.is_empty() && self.compaction.as_ref().is_some_and(Compaction::removes) && self.held() {
            std::thread::sleep(HOLD_PAUSE);
        } else {
            self.commit(rest);
        }
        for command in defragment {
            self.defragment(command);
        }
        self.sweep();
        if let Err(fault) = self.backend.tend_log() {
            tracing::warn!(%fault, "the write-ahead log grows for now");
        }
    }

    fn commit(&mut self, group: Vec<Command>) {
        let size = group.len();
        let removes = self.removes();
        let begun = match self.begin(&group, removes) {
            Ok(begun) => begun,
            Err(fault) => {
                tracing::error!(%fault, "a group of {size} requests was not begun");
                let error = Error::from(&fault);
                return group.into_iter().for_each(|command| command.refuse(error));
            }
        };
        let mut round = Round::default();
        let evaluated = self.evaluate(group, &mut round, &begun);
        let began = Instant::now();
        let stored = evaluated.and_then(|outcome| self.store(&outcome, removes).map(|()| outcome));
        match stored {
            Ok(outcome) => {
                let wrote = outcome.is_stored();
                self.shared.publish(outcome);
                self.show_epoch();
                if wrote {
                    self.shared.disk_full.store(false, Ordering::Release);
                    self.shared.commits.observe(size, began.elapsed());
                }
                if let Some(revision) = round.compact_to {
                    self.start_compaction(revision, GRACE, round.physical);
                }
                self.answers.send(round.answers, Ok(()));
            }
            Err(fault) => self.failed(&fault, size, round),
        }
    }

    fn failed(&mut self, fault: &Fault, size: usize, round: Round) {
        self.backend.rollback();
        tracing::error!(%fault, "a group of {size} requests was not committed");
        match fault {
            Fault::NoSpace(_) => self.shared.disk_full.store(true, Ordering::Release),
            Fault::Unknown(_) | Fault::Lost(_) => self.behind = self.shared.peers.is_some(),
            _ => {}
        }
        let error = Error::from(fault);
        // A server comes back. Otherwise whoever waits for the end of a compaction is told.
        if !self.behind
            && let Some(compaction) = &mut self.compaction
        {
            self.shared.commits.compacted(false, compaction.took());
            compaction.failed(error);
            self.remind();
        }
        round.physical.into_iter().for_each(|reply| answer(reply, Err(error)));
        self.answers.send(round.answers, Err(error));
    }

    fn evaluate(&self, group: Vec<Command>, round: &mut Round, begun: &Begun) -> Result<Outcome, Fault> {
        let state = self.shared.state();
        let source = Source {
            backend: self.backend.as_ref(),
            shared: &self.shared,
            begun,
        };
        let mut batch = Batch::new(&state, &source);
        let mut fault = Ok(());
        for command in group {
            match &fault {
                Ok(()) => fault = self.carry_out(command, &mut batch, round, begun),
                Err(fault) => command.refuse(Error::from(fault)),
            }
        }
        fault?;
        Ok(Outcome {
            top: batch.top,
            changes: batch.changes,
            leases: batch.leases,
            revision: batch.revision,
            compact_to: round.compact_to,
            alarms: round.alarms,
        })
    }

    fn carry_out(
        &self,
        command: Command,
        batch: &mut Batch<'_>,
        round: &mut Round,
        begun: &Begun,
    ) -> Result<(), Fault> {
        if let Some(error) = self.alarmed(&command, round) {
            command.refuse(error);
            return Ok(());
        }
        match command {
            Command::Put(request, reply) => round.settle(reply, txn::put(batch, request)),
            Command::Delete(request, reply) => round.settle(reply, txn::delete_range(batch, &request)),
            Command::Txn(request, reply) => round.settle(reply, txn::txn(batch, request)),
            Command::Grant { id, ttl, reply } => {
                let granted = if batch.has_lease(id) {
                    Err(Error::LeaseExists.into())
                } else {
                    batch.leases.push(LeaseChange::Grant { id, ttl });
                    Ok(batch.revision)
                };
                round.settle(reply, granted)
            }
            Command::Revoke {
                id,
                only_expired,
                reply,
            } => {
                let alive = only_expired && self.is_alive(id, batch, begun);
                let revoked = if alive || !batch.has_lease(id) {
                    Err(Error::LeaseNotFound.into())
                } else {
                    txn::revoke(batch, id).map(|()| {
                        batch.leases.push(LeaseChange::Revoke { id });
                        batch.revision
                    })
                };
                round.settle(reply, revoked)
            }
            Command::Compact {
                revision,
                physical,
                reply,
            } => {
                let compacted = round.compact_to.unwrap_or(batch.state().compacted);
                if revision <= compacted {
                    round.settle(reply, Err(Error::Compacted.into()))
                } else if revision > batch.revision {
                    round.settle(reply, Err(Error::FutureRevision.into()))
                } else {
                    round.compact_to = Some(revision);
                    if physical {
                        round.physical.push(reply);
                        return Ok(());
                    }
                    round.settle(reply, Ok(batch.revision))
                }
            }
            Command::KeepAlive { id, reply } => {
                let lease = batch.state().leases.get(id).filter(|_| batch.has_lease(id));
                let renewed = match lease.map(|lease| lease.ttl) {
                    Some(ttl) if self.is_alive(id, batch, begun) => {
                        batch.leases.push(LeaseChange::Renew { id });
                        Ok(ttl)
                    }
                    _ => Err(Error::LeaseNotFound.into()),
                };
                round.settle(reply, renewed)
            }
            Command::SetAlarms { bits, on, reply } => {
                let now = self.alarms(round);
                round.alarms = Some(if on { now | bits } else { now & !bits });
                round.settle(reply, Ok(batch.revision))
            }
            // The one has been done when the group began, the other was taken out of it.
            Command::CatchUp { reply, .. } | Command::Defragment(reply) => round.settle(reply, Ok(batch.revision)),
            Command::Sweep | Command::Stop => Ok(()),
        }
    }

    /// Whether a lease has time left. What the database says counts, and is noted.
    fn is_alive(&self, id: i64, batch: &mut Batch<'_>, begun: &Begun) -> bool {
        let Some(lease) = batch.state().leases.get(id) else {
            return true;
        };
        match begun.leases.iter().find(|(lease, _)| *lease == id) {
            Some((_, left)) if *left > 0 => {
                batch.leases.push(LeaseChange::Note { id, left: *left });
                true
            }
            Some(_) => false,
            None => lease.expires > Instant::now(),
        }
    }

    fn alarms(&self, round: &Round) -> i64 {
        round
            .alarms
            .unwrap_or_else(|| self.shared.alarms.load(Ordering::Acquire))
    }

    fn alarmed(&self, command: &Command, round: &Round) -> Option<Error> {
        let alarms = self.alarms(round);
        if alarms & super::alarm::CORRUPT != 0 && command.touches_data() {
            Some(Error::Corrupt)
        } else if alarms & super::alarm::NO_SPACE != 0 && command.grows() {
            Some(Error::NoSpace)
        } else {
            None
        }
    }

    /// Writes an outcome, and removes a slice of rows for the running compaction with it, in one durable commit.
    fn store(&mut self, outcome: &Outcome, removes: bool) -> Result<(), Fault> {
        let removed = match &self.compaction {
            Some(compaction) if removes => compaction.next_rows(),
            _ => Vec::new(),
        };
        if !outcome.is_stored() && removed.is_empty() {
            self.backend.rollback();
            return Ok(());
        }
        let leases = outcome.leases.iter().filter_map(|change| match *change {
            LeaseChange::Grant { id, ttl } => Some(LeaseWrite::Grant { id, ttl }),
            LeaseChange::Renew { id } => Some(LeaseWrite::Renew { id }),
            LeaseChange::Revoke { id } => Some(LeaseWrite::Revoke { id }),
            LeaseChange::Note { .. } => None,
        });
        let compacted = outcome
            .compact_to
            .map(|revision| (revision, self.last_row_of(revision, outcome)));
        let counters = self.successor(outcome, compacted);
        let changes = Changes {
            rows: outcome.changes.iter().map(Change::row).collect(),
            leases: leases.collect(),
            removed: &removed,
            compacted,
            alarms: outcome.alarms,
            counters,
        };
        let began = Instant::now();
        self.backend.commit(&changes)?;
        if let Some(compaction) = self.compaction.as_mut().filter(|_| removes) {
            let deletions = compaction.removed(&removed, began.elapsed());
            if !deletions.is_empty() {
                let index = &mut self.shared.state_mut().index;
                deletions.iter().for_each(|(id, key)| index.forget_row(key, *id));
            }
        }
        if let Some(counters) = counters {
            self.counters = counters;
        }
        Ok(())
    }

    /// Whether there is a slice of a compaction to do, be it in memory or in the database.
    fn sweeps(&self) -> bool {
        self.compaction.as_ref().is_some_and(Compaction::is_due)
    }

    /// Whether rows are to be removed.
    fn removes(&self) -> bool {
        self.compaction.as_ref().is_some_and(Compaction::removes) && !self.held()
    }

    /// Whether a read asks compaction to wait.
    fn held(&self) -> bool {
        self.shared.compaction_holds.load(Ordering::Acquire) > 0
    }

    /// The last row written at or before a revision.
    fn last_row_of(&self, revision: i64, outcome: &Outcome) -> i64 {
        let written = outcome
            .changes
            .iter()
            .rev()
            .find(|change| change.version.revision <= revision);
        match written {
            Some(change) => change.version.id,
            None => self.shared.state().anchors.first_row(revision + 1) - 1,
        }
    }

    /// Forgets the next versions that are compacted, and ends the compaction when nothing is left to do.
    fn sweep(&mut self) {
        let Some(compaction) = &mut self.compaction else { return };
        let found = compaction.look(&self.shared.state().index);
        if let Some(found) = found {
            if !found.keys.is_empty() {
                self.shared.state_mut().index.forget(&found.keys);
            }
            compaction.found(found);
        }
        if let Some(compaction) = self.compaction.take_if(|compaction| compaction.is_done()) {
            self.shared.commits.compacted(true, compaction.took());
            compaction.finish(self.shared.state().revision);
            self.vacuuming = true;
        }
    }

    /// Starts a compaction, which takes over what an earlier one has left to do. Where there may be peers, rows stay for a
    /// while.
    pub(super) fn start_compaction(&mut self, revision: i64, pause: Duration, waiting: Vec<Reply<i64>>) {
        self.shared.commits.compacting();
        let not_before = self.shared.peers.as_ref().map(|_| Instant::now() + pause);
        let mut compaction = Compaction::new(revision, not_before);
        compaction.take_over(self.compaction.take(), waiting);
        self.compaction = Some(compaction);
        self.remind();
    }

    /// Makes sure that the writer is woken when rows may be removed.
    fn remind(&self) {
        if let (Some(peers), Some(compaction)) = (&self.shared.peers, &self.compaction) {
            peers.sweep.send_replace(compaction.not_before());
        }
    }

    fn vacuum(&mut self) {
        self.vacuuming = self.backend.reclaim().unwrap_or_else(|fault| {
            tracing::warn!(%fault, "free space of the database is not given back for now");
            false
        });
    }

    fn defragment(&mut self, command: Command) {
        let Command::Defragment(reply) = command else {
            return command.refuse(Error::Unhealthy);
        };
        let done = self.backend.defragment().map_err(|fault| {
            tracing::error!(%fault, "the database was not defragmented");
            Error::from(&fault)
        });
        let revision = self.shared.state().revision;
        answer(reply, done.map(|()| revision));
    }
}
