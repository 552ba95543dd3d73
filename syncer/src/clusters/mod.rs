//! The two clusters: a client, and one cache per kind that a watch keeps current.

mod api;
mod cache;
mod connect;
mod informer;

pub use api::{Api, ApiError, Patch, RequestCounter};
pub use cache::{Cache, Change};
pub use connect::{ConnectError, Connection, connect};
pub use informer::{Informer, Selection};

use std::sync::Arc;

use crate::kinds::Kind;
use crate::object::Object;

/// The caches of one cluster.
#[derive(Debug, Default)]
pub struct Caches {
    by_kind: [Cache; Kind::ALL.len()],
}

impl Caches {
    /// The cache of one kind.
    pub fn of(&self, kind: Kind) -> &Cache {
        &self.by_kind[kind as usize]
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.of(kind).get(namespace, name)
    }
}
