//! `kubernetes [ZONES...] { … }`: the names of Services and Pods (github.com/kubernetes/dns `docs/specification.md`,
//! schema version 1.1.0), answered from the record stream.

mod answer;
mod handler;
mod lookup;
mod resolve;
mod setup;
#[cfg(test)]
mod tests;

pub(crate) use setup::setup;
