//! What the writer and the readers share.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicI64, AtomicUsize},
};

use tokio::sync::Notify;

use super::{cache::Cache, hub::Hub, pace::Bell, peers::Following, state::State};
use crate::{
    backend::{
        Size,
        driver::{Peers, Readers},
    },
    metrics::CommitMetrics,
};

/// Shared parts of the store. Locks are taken in the order of the fields and never held while waiting.
#[derive(Debug)]
pub struct Shared {
    /// What is committed.
    pub state: RwLock<State>,
    /// Watchers and recent history.
    pub hub: Arc<Hub>,
    /// Recently used values.
    pub cache: Mutex<Cache>,
    /// Reading connections.
    pub readers: Box<dyn Readers>,
    /// What is known of other stores on the same database; `None` when there cannot be any.
    pub peers: Option<Following>,
    /// Where one hears of them, until somebody listens.
    pub news: Mutex<Option<Box<dyn Peers>>>,
    /// How large the database was when it was asked last.
    pub size: Mutex<Size>,
    /// Identifier of the cluster.
    pub cluster_id: u64,
    /// Identifier of the one member.
    pub member_id: u64,
    /// Alarms raised by hand, as a sum of powers of two of their numbers.
    pub alarms: AtomicI64,
    /// The disk was full at the last attempt to write.
    pub disk_full: AtomicBool,
    /// Reads that cannot finish while compaction takes rows away; it waits for them.
    pub compaction_holds: AtomicUsize,
    /// A lease was granted, so the next expiry may be nearer.
    pub lease_granted: Notify,
    /// What commits took.
    pub commits: CommitMetrics,
    /// Tells the writer of requests.
    pub bell: Bell,
}

impl Shared {
    /// The committed state, for reading.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committed state, for changing.
    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
