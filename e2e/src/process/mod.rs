//! Processes: free ports that stay theirs, start, readiness, restart, stop.

mod leftovers;
mod ports;
mod supervisor;

pub(crate) use leftovers::send;
pub use leftovers::{Leftover, cpu_time, end, find, kill, peak_memory, resident_memory, terminate};
pub use ports::Ports;
pub(crate) use supervisor::last_line;
pub use supervisor::{Health, Process, Report, Spec, is_ready};

/// Environment variable every process of a playground carries, with the playground's directory as its value: what is left
/// of one after a crash is found by it.
pub const MARKER: &str = "VCLUSTER_PLAYGROUND";
