//! Tests of the whole and of large parts of it, against real stores and over real connections.

mod kubelet;
mod server;
mod storage_contract;
mod support;
