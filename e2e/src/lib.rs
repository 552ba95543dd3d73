//! The embedded host: the project's own binaries plus simulated nodes as a host cluster on loopback, and any number of
//! virtual clusters on it. The end-to-end suite and `vcluster playground` run on it.

pub mod bench;
pub mod controlplane;
pub mod faulty;
pub mod measurements;
pub mod node;
pub mod playground;
pub mod process;
pub mod standalone;
pub mod suite;
