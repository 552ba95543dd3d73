//! What every service's main shares: flags, logs, traces, metrics, health, tasks, gRPC, TLS and drain.
//!
//! A service is three things: an [`Options`] type, an `async fn build(options, &mut Chassis)` that makes its components in
//! start order, and a `main` that hands both to [`run`]:
//!
//! ```no_run
//! use chassis::{Chassis, CommonOptions};
//!
//! /// Answers questions.
//! #[derive(clap::Parser)]
//! struct Options {
//!     #[command(flatten)]
//!     common: CommonOptions,
//! }
//!
//! impl chassis::Options for Options {
//!     fn common(&self) -> &CommonOptions {
//!         &self.common
//!     }
//! }
//!
//! async fn build(_options: Options, chassis: &mut Chassis) -> anyhow::Result<()> {
//!     let storage = chassis.health().gate("storage");
//!     chassis.tasks().spawn("answers", {
//!         let shutdown = chassis.shutdown();
//!         async move { shutdown.cancelled().await }
//!     });
//!     storage.ready();
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     chassis::run("answers", build)
//! }
//! ```
//!
//! Tests call the same `build` with [`Chassis::start`] and [`CommonOptions::ephemeral`], then [`Chassis::serve`],
//! [`Chassis::addresses`] and [`Chassis::drain`].
#![warn(missing_docs)]

mod admin;
mod error;
pub mod grpc;
mod health;
pub mod http;
mod metrics;
pub mod net;
mod options;
mod reflection;
mod run;
mod service;
mod sync;
mod tasks;
mod telemetry;
pub mod tls;

pub use crate::error::{Usage, exit_code, usage};
pub use crate::grpc::GrpcServices;
pub use crate::health::{Gate, Health, Report};
pub use crate::metrics::Metrics;
pub use crate::net::{Addresses, BindAddress, Listener};
pub use crate::options::{BindFlag, CommonOptions, Defaults, LogFormat, Options};
pub use crate::run::run;
pub use crate::service::Chassis;
pub use crate::sync::lock;
pub use crate::tasks::{Outcome, Tasks};
pub use tokio_util::sync::CancellationToken;

/// The version every binary of the workspace reports.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
