//! Translates objects between the virtual and the host cluster: the only part with host credentials.
//!
//! Changes of either side are noticed by [`clusters`], queued by [`engine`], decided upon by [`resources`] with the naming
//! rules of [`names`], and written back. [`kubelet`] plays the kubelet of every virtual node; [`grpc`] streams DNS records
//! and answers questions about mappings and lag.

pub mod app;
pub mod clusters;
pub mod deploy;
pub mod ending;
pub mod engine;
pub mod export;
pub mod foreign;
pub mod grpc;
pub mod json;
pub mod kinds;
pub mod kubelet;
pub mod metrics;
pub mod monitors;
pub mod names;
pub mod network;
pub mod object;
pub mod options;
pub mod patches;
pub mod rbac;
pub mod resources;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod watches;
pub mod world;
