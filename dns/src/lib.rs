//! The name server of a virtual cluster: CoreDNS' Corefile and plugins, with the records of Services and Pods from the
//! syncer's stream instead of watches of its own.

mod app;
mod config;
mod corefile;
pub mod decoders;
mod instance;
mod metrics;
mod networking;
mod options;
mod plugins;
mod records;
mod request;
mod router;
mod server;
#[cfg(test)]
mod testing;
mod zone;

pub use app::build;
pub use options::Options;
