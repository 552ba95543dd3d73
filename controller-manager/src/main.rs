//! The built-in controllers of a Kubernetes control plane.

mod app;
mod common;
mod context;
mod controllers;
mod error;
mod informers;
mod metrics;
mod options;
mod workers;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chassis::run("controller-manager", app::build)
}
