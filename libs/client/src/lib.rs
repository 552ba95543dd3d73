//! What every process that watches an API server shares: one HTTP/2 connection, informers with indexes, rate-limited work
//! queues, leader election and event recording. The counterpart of k8s.io/client-go's tools.
#![warn(missing_docs)]

pub mod connect;
pub mod events;
pub mod informer;
pub mod kubeconfig;
pub mod leader;
pub mod queue;

pub use connect::{configuration, connect, connect_with};
pub use events::Recorder;
pub use informer::{Change, Informer, ObjectKey};
pub use queue::WorkQueue;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks a mutex; a panic in another holder leaves data that is still consistent here, so poisoning is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
