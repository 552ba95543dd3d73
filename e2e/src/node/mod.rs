//! Simulated nodes: they register, keep their lease, take the pods bound to them through a truthful life and serve the
//! kubelet API, all inside one process and on one watch.

pub mod kubelet;
pub mod lifecycle;
pub mod sandbox;
pub mod shell;

mod addresses;
mod pods;
mod registration;

pub use pods::Pods;
pub use registration::{NodeIdentity, register};
