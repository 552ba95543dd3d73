//! Translates objects between the virtual and the host cluster: the only part with host credentials.
//!
//! Changes of either side are noticed by [`clusters`], queued by [`engine`], decided upon by [`resources`] with the naming
//! rules of [`names`], and written back. [`kubelet`] plays the kubelet of every virtual node; [`grpc`] streams DNS records
//! and answers questions about mappings and lag.
//!
//! Where to begin: [`app`] builds every part in start order, [`watches`] lists what is watched, and [`resources`] has the table of
//! synced kinds. A decision is a function of the [`world`] and the name of one virtual object; what it returns is a
//! [`engine::plan::Plan`], which the engine carries out. `resources/copied.rs` decides for most kinds.

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
