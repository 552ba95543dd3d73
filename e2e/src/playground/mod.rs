//! A playground: a host cluster with simulated nodes and virtual clusters on it, in one directory.

mod board;
mod bootstrap;
mod existing;
mod layout;
mod running;
mod state;

pub use layout::{Layout, remove};
pub use running::{Playground, Settings};
pub use state::{ClusterAccess, Phase, State};
