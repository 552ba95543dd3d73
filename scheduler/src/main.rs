//! The scheduler: chooses a node for every pod that has none.

mod app;
mod cache;
mod cycle;
mod metrics;
mod options;
mod plugins;
mod pod;
mod queue;
mod scheduler;
mod terms;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chassis::run("scheduler", app::build)
}
