//! Storage over the etcd v3 API (k8s.io/apiserver `pkg/storage/etcd3`). Objects change by compare-and-swap on their
//! key's modification revision, which is also their resourceVersion.

mod client;
mod compact;
mod errors;
mod lease;
mod list;
mod store;
mod watch;

pub use client::{Connection, Servers, StoreState};
pub use compact::Compactor;
pub use store::Store;

pub(super) use client::timed;
pub(super) use errors::WATCH_EXPIRED;
