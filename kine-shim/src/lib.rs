//! etcd v3 over SQL.
//!
//! [`backend`] is the database, [`store`] gives it etcd's semantics, [`server`] speaks etcd's protocol, and [`app`] puts
//! them together as [`options`] say. [`tools`] check, copy and restore a store.
#![warn(missing_docs)]

pub mod app;
pub mod backend;
pub mod error;
pub mod metrics;
pub mod options;
pub mod server;
pub mod store;
pub mod tools;
