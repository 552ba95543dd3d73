//! The two clusters: a client, and one cache per kind that a watch keeps current.

mod api;
mod cache;
mod connect;
pub mod definitions;
mod flow;
mod informer;
mod listing;

pub use api::{Api, ApiError, Meters, Patch};
pub use cache::{Cache, Change};
pub use connect::{ConnectError, Connection, connect};
pub use flow::Flow;
pub use informer::{Informer, Selection};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kinds::Kind;
use crate::object::Object;

/// The caches of one cluster.
#[derive(Debug)]
pub struct Caches {
    by_kind: BTreeMap<Kind, Cache>,
    /// What is known of a kind that nobody watches.
    nothing: Cache,
}

impl Caches {
    /// Empty caches of these kinds.
    pub fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        Self {
            by_kind: kinds.map(|kind| (kind, Cache::default())).collect(),
            nothing: Cache::default(),
        }
    }

    /// The cache of one kind.
    pub fn of(&self, kind: Kind) -> &Cache {
        self.by_kind.get(&kind).unwrap_or(&self.nothing)
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.of(kind).get(namespace, name)
    }
}
