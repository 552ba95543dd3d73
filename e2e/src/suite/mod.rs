//! The frame of the end-to-end tests: one playground per test file, named cases one after the other, everything gone at
//! the end, whatever happened.

mod kubectl;
mod runner;
mod tools;
mod world;

pub use kubectl::{Background, Kubectl};
pub use runner::{Case, anywhere, configured, main, on_real_nodes, with};
pub use tools::tool;
pub use world::{World, binary, eventually};
