//! What the name server knows about the virtual cluster, fed by the syncer's record stream.

mod index;
mod stream;

pub(crate) use index::{Endpoint, Index, Kind, Port};
pub(crate) use stream::follow;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;

/// The records, shared by the stream that fills them and the plugins that read them.
#[derive(Debug, Default)]
pub(crate) struct Store {
    index: RwLock<Index>,
    synced: watch::Sender<bool>,
    include_pods: watch::Sender<bool>,
}

impl Store {
    /// The records as they are now. Not to be held across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all records were there once. Stays true when the stream breaks: the last good state answers.
    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Asks for pod records too, or no longer.
    pub(crate) fn include_pods(&self, include: bool) {
        self.include_pods
            .send_if_modified(|current| std::mem::replace(current, include) != include);
    }

    /// Puts a complete new state in place of the old one.
    pub(crate) fn replace(&self, index: Index) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.synced.send_replace(true);
    }

    /// Changes the state in place.
    fn update(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }
}
