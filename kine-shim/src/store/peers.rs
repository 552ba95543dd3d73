//! Other stores on the same database: hearing of what they commit, and making sure before an answer that there is nothing
//! to hear.
//!
//! A read that must not be stale asks the database whether its counters are still the ones the state was built from, as an
//! etcd follower asks its leader (etcd: `linearizableReadLoop`); all reads that wait share one question.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::lock;
use tokio::sync::{Notify, oneshot, watch};

use super::{
    Store,
    command::{Command, Reply, answer},
};
use crate::{
    backend::{Fault, driver::Peers},
    error::Error,
};

/// How long a request waits for a database that has gone before it is refused.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long rows that are compacted stay for peers that have not heard of the newest commits yet.
pub(super) const GRACE: Duration = Duration::from_millis(200);
/// How long a peer has for removing the rows it has compacted, before others make sure that they are gone.
pub(super) const PEERS_TURN: Duration = Duration::from_secs(5);
/// Pauses between attempts to reach the database grow from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the peers.
#[derive(Debug)]
pub struct Following {
    /// The epoch the state was built from.
    pub epoch: AtomicI64,
    /// What keeps the store from its database, for the readiness of the service.
    pub trouble: watch::Sender<Option<String>>,
    /// When compacted rows may be removed: peers have had their time by then.
    pub(super) sweep: watch::Sender<Option<Instant>>,
    waiting: Mutex<Vec<Reply<()>>>,
    asked: Notify,
}

impl Following {
    /// Starts at an epoch.
    pub(super) fn new(epoch: i64) -> Self {
        Self {
            epoch: AtomicI64::new(epoch),
            trouble: watch::Sender::new(None),
            sweep: watch::Sender::new(None),
            waiting: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Notes whether the database can be reached.
    pub(super) fn note(&self, fault: Option<&Fault>) {
        let reason = fault.map(ToString::to_string);
        self.trouble.send_if_modified(|known| {
            let changed = *known != reason;
            if changed {
                match &reason {
                    Some(reason) => tracing::warn!("{reason}; trying again"),
                    None => tracing::info!("the database is back"),
                }
                *known = reason;
            }
            changed
        });
    }
}

/// Pauses that grow.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Backoff {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

impl Store {
    /// What keeps the store from its database, as it changes; `None` when the database is a file.
    pub fn trouble(&self) -> Option<watch::Receiver<Option<String>>> {
        self.shared.peers.as_ref().map(|peers| peers.trouble.subscribe())
    }

    /// Follows the peers. Runs for ever; does nothing when there cannot be any.
    pub async fn follow(&self) {
        let peers = lock(&self.shared.news).take();
        match (peers, &self.shared.peers) {
            (Some(mut peers), Some(following)) => {
                tokio::join!(
                    self.hear(peers.as_mut(), following),
                    self.confirm_reads(following),
                    self.sweep_later(following)
                );
            }
            _ => std::future::pending().await,
        }
    }

    async fn hear(&self, peers: &mut dyn Peers, following: &Following) {
        let mut backoff = Backoff::default();
        loop {
            peers.changed(&following.epoch).await;
            while let Err(error) = self.catch_up(i64::MAX).await {
                if error == Error::Stopped {
                    return std::future::pending().await;
                }
                tokio::time::sleep(backoff.next()).await;
            }
            backoff = Backoff::default();
        }
    }

    async fn confirm_reads(&self, following: &Following) {
        loop {
            following.asked.notified().await;
            let waiting = std::mem::take(&mut *lock(&following.waiting));
            if waiting.is_empty() {
                continue;
            }
            let confirmed = self.confirm_now(following).await;
            waiting.into_iter().for_each(|reply| answer(reply, confirmed));
        }
    }

    async fn confirm_now(&self, following: &Following) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        let deadline = Instant::now() + PATIENCE;
        let epoch = loop {
            let shared = std::sync::Arc::clone(&self.shared);
            let asked = tokio::task::spawn_blocking(move || shared.readers.epoch()).await;
            match asked.map_err(|_| Error::Stopped)? {
                Ok(epoch) => break epoch,
                Err(Fault::Lost(_)) if Instant::now() < deadline => tokio::time::sleep(backoff.next()).await,
                Err(fault) => return Err(Error::from(&fault)),
            }
        };
        if epoch == following.epoch.load(Ordering::Acquire) {
            Ok(())
        } else {
            self.catch_up(epoch).await
        }
    }

    async fn sweep_later(&self, following: &Following) {
        let mut times = following.sweep.subscribe();
        loop {
            // The time may be known already, and it may change while it is waited for.
            let time = *times.borrow_and_update();
            let due = async {
                match time {
                    Some(time) => tokio::time::sleep_until(time.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    following.sweep.send_if_modified(|set| {
                        if *set == time {
                            *set = None;
                        }
                        false
                    });
                    // A closed queue means that the store ends.
                    let _ = self.commands.send(Command::Sweep).await;
                }
                // The sender lives as long as the store.
                _ = times.changed() => {}
            }
        }
    }

    /// Returns when everything that was committed before is in the state, whoever committed it.
    pub async fn confirm(&self) -> Result<(), Error> {
        let Some(following) = &self.shared.peers else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        lock(&following.waiting).push(reply);
        following.asked.notify_one();
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Lets the writer take in what peers have committed up to `epoch`.
    pub(super) async fn catch_up(&self, epoch: i64) -> Result<(), Error> {
        self.ask(|reply| Command::CatchUp { epoch, reply }).await.map(drop)
    }
}
