//! Tests of the whole and of large parts of it, against real stores and over real connections.
#![allow(clippy::unwrap_used)]

mod aggregation;
mod custom_resources;
mod kubelet;
mod server;
mod several;
mod storage_contract;
mod support;
