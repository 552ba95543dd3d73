//! The store: etcd's semantics over a table.
//!
//! Requests that write go to the [`writer`], which evaluates them in memory ([`txn`] within a [`batch`]), commits them in
//! groups and publishes them to the [`state`] and the [`hub`]. Reads are answered from the state's [`index`], with values
//! from a cache or the table. What decides anything is a pure function of index and request; databases, threads and
//! clocks are at the edges.

pub mod alarm;
pub mod anchors;
pub mod answers;
pub mod batch;
pub mod cache;
pub mod check;
pub mod command;
pub mod compaction;
mod follow;
pub mod hash;
pub mod history;
pub mod hub;
pub mod index;
pub mod lease;
pub mod load;
mod maintenance;
pub mod news;
mod pace;
pub mod peers;
pub mod publish;
pub mod range;
mod read;
pub mod rows;
pub mod shared;
pub mod state;
pub mod txn;
pub mod writer;

use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::{answers::WriterEnd, maintenance::KeyHash, read::Replay};
use self::{
    command::{Command, Reply},
    hub::Hub,
    load::{Loaded, load},
    pace::Bell,
    peers::Following,
    shared::Shared,
    writer::Worker,
};
use crate::{
    backend::{
        self, Backend, OpenError,
        driver::{Changes, LeaseWrite, Purpose, Wish},
        endpoint::{DatastoreOptions, Endpoint},
        random_id,
    },
    error::Error,
    metrics::CommitMetrics,
};

/// Requests that may wait for the writer; further ones wait for a place.
const QUEUE: usize = 4096;
/// Reads of the database at the same time; further ones wait.
const CONCURRENT_READS: usize = 4;

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    reads: Arc<Semaphore>,
}

impl Store {
    /// Opens the database and starts the writer. Blocks until everything is loaded. Requests to the writer are answered
    /// as long as [`WriterEnd::deliver`] runs.
    pub fn open(endpoint: &Endpoint, options: &DatastoreOptions) -> Result<(Self, WriterEnd), OpenError> {
        Self::start(backend::open(endpoint, options)?, endpoint)
    }

    /// Starts the writer of a database that is open. Blocks until everything is loaded.
    pub fn start(backend: Backend, endpoint: &Endpoint) -> Result<(Self, WriterEnd), OpenError> {
        let fault = |fault| OpenError::new(endpoint, fault);
        let Backend {
            mut writer,
            readers,
            peers,
        } = backend;
        let Loaded {
            state,
            numbers,
            made_up,
        } = load(writer.as_mut()).map_err(fault)?;
        if !made_up.is_empty() {
            let grant = |(id, ttl): (i64, i64)| LeaseWrite::Grant { id, ttl };
            let changes = Changes {
                leases: made_up.into_iter().map(grant).collect(),
                ..Changes::default()
            };
            writer.begin(Purpose::Write, &Wish::default()).map_err(fault)?;
            writer.commit(&changes).map_err(fault)?;
        }

        tracing::info!(
            %endpoint,
            revision = state.revision,
            compacted = state.compacted,
            keys = state.index.len(),
            leases = state.leases.len(),
            "the store is open"
        );
        let shared = Arc::new(Shared {
            hub: Arc::new(Hub::new(state.revision)),
            state: RwLock::new(state),
            cache: Mutex::default(),
            readers,
            peers: peers.is_some().then(|| Following::new(numbers.counters.epoch)),
            news: Mutex::new(peers),
            size: Mutex::default(),
            cluster_id: numbers.cluster_id.cast_unsigned(),
            member_id: numbers.member_id.cast_unsigned(),
            alarms: AtomicI64::new(numbers.counters.alarms),
            disk_full: AtomicBool::new(false),
            compaction_holds: AtomicUsize::new(0),
            lease_granted: tokio::sync::Notify::new(),
            commits: CommitMetrics::default(),
            bell: Bell::default(),
        });
        let (commands, queue) = mpsc::channel(QUEUE);
        let (answers, writer_end) = answers::channel();
        let worker = Worker::new(writer, Arc::clone(&shared), queue, numbers.counters, answers);
        std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || worker.run())
            .map_err(OpenError::Thread)?;
        let reads = Arc::new(Semaphore::new(CONCURRENT_READS));
        Ok((
            Self {
                shared,
                commands,
                reads,
            },
            writer_end,
        ))
    }

    /// Ends the writer after everything asked of it before.
    pub async fn stop(&self) {
        // A closed queue means it has ended already.
        let _ = self.commands.send(Command::Stop).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::Stopped)?;
        self.shared.bell.arrived(QUEUE - self.commands.capacity());
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// A header for an answer at `revision`.
    pub fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.shared.cluster_id,
            member_id: self.shared.member_id,
            revision,
            raft_term: RAFT_TERM,
        }
    }

    /// Says who answers in a header that has a revision already.
    pub fn sign(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header(revision));
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.shared.state().revision
    }

    /// The revision below which history is gone, -1 before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.shared.state().compacted
    }

    /// The watchers.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.shared.hub
    }

    /// What commits took.
    pub fn commits(&self) -> &CommitMetrics {
        &self.shared.commits
    }

    /// Number of keys in the index, deleted ones included until they are compacted, and number of leases.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.index.len(), state.leases.len())
    }

    /// Writes a key.
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        check::check_put(&request)?;
        let mut response = self.ask(|reply| Command::Put(request, reply)).await?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Deletes keys.
    pub async fn delete_range(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        check::check_delete(&request)?;
        let mut response = self.ask(|reply| Command::Delete(request, reply)).await?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Runs a transaction of at most `max_operations`.
    pub async fn txn(&self, request: TxnRequest, max_operations: usize) -> Result<TxnResponse, Error> {
        check::check_txn(&request, max_operations)?;
        let mut response = self.ask(|reply| Command::Txn(request, reply)).await?;
        self.sign(&mut response.header);
        Ok(response)
    }

    /// Forgets history before `revision`; with `physical`, returns once its rows are gone. Returns the newest revision.
    pub async fn compact(&self, revision: i64, physical: bool) -> Result<i64, Error> {
        self.ask(|reply| Command::Compact {
            revision,
            physical,
            reply,
        })
        .await
    }

    /// Grants a lease, with an identifier of its own if none is given. Returns identifier, seconds to live and the newest
    /// revision.
    pub async fn grant(&self, id: i64, ttl: i64) -> Result<(i64, i64, i64), Error> {
        if ttl > lease::MAX_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        let id = if id == 0 { random_id() } else { id };
        let ttl = ttl.max(lease::MIN_TTL);
        let revision = self.ask(|reply| Command::Grant { id, ttl, reply }).await?;
        Ok((id, ttl, revision))
    }

    /// Revokes a lease. Returns the newest revision.
    pub async fn revoke(&self, id: i64) -> Result<i64, Error> {
        self.ask(|reply| Command::Revoke {
            id,
            only_expired: false,
            reply,
        })
        .await
    }

    /// Starts the life of a lease anew and returns its seconds to live, `None` when it is not there.
    pub async fn keep_alive(&self, id: i64) -> Result<Option<i64>, Error> {
        if self.shared.peers.is_none() {
            return Ok(self.shared.state_mut().leases.keep_alive(id, Instant::now()));
        }
        match self.ask(|reply| Command::KeepAlive { id, reply }).await {
            Ok(ttl) => Ok(Some(ttl)),
            Err(Error::LeaseNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks the database when a lease ends, which peers may have changed, and makes sure that none has gone or come.
    pub async fn refresh_lease(&self, id: i64) -> Result<(), Error> {
        self.confirm().await?;
        if self.shared.peers.is_none() || self.lease(id, |_| ()).is_none() {
            return Ok(());
        }
        let asked = self
            .blocking(move |shared| shared.readers.lease_left(id).map_err(|fault| read::failed(&fault)))
            .await?;
        if let Some(left) = asked? {
            self.shared.state_mut().leases.set_left(id, left, Instant::now());
        }
        Ok(())
    }

    /// Looks at a lease.
    pub fn lease<T>(&self, id: i64, look: impl FnOnce(&lease::Lease) -> T) -> Option<T> {
        self.shared.state().leases.get(id).map(look)
    }

    /// Identifiers of all leases, the one that ends next first.
    pub fn leases(&self) -> Vec<i64> {
        self.shared.state().leases.by_expiry()
    }

    /// Revokes leases as they end. Runs for ever.
    pub async fn expire_leases(&self) {
        loop {
            let next = self.shared.state().leases.next_expiry();
            let granted = self.shared.lease_granted.notified();
            match next {
                None => granted.await,
                Some(next) if next > Instant::now() => {
                    tokio::select! {
                        () = tokio::time::sleep_until(next.into()) => {}
                        () = granted => {}
                    }
                }
                Some(_) => {
                    let expired = self.shared.state().leases.expired(Instant::now());
                    for id in expired {
                        let revoked = self
                            .ask(|reply| Command::Revoke {
                                id,
                                only_expired: true,
                                reply,
                            })
                            .await;
                        if let Err(
                            error @ (Error::NoSpace
                            | Error::Unhealthy
                            | Error::Corrupt
                            | Error::Timeout
                            | Error::TimeoutConnectionLost),
                        ) = revoked
                        {
                            tracing::warn!(lease = id, %error, "an ended lease could not be revoked, trying again");
                            tokio::time::sleep(RETRY).await;
                        } else if revoked == Err(Error::Stopped) {
                            return std::future::pending().await;
                        }
                    }
                }
            }
        }
    }

    fn corrupt(&self) -> Result<(), Error> {
        if self.shared.alarms.load(Ordering::Acquire) & alarm::CORRUPT != 0 {
            Err(Error::Corrupt)
        } else {
            Ok(())
        }
    }
}

/// The term every answer names: there are no elections here.
const RAFT_TERM: u64 = 2;
/// How long to wait before a failed revocation is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests;
