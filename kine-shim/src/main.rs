//! etcd v3 over SQL.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match kine_shim::tools::run(std::env::args_os()) {
        Some(code) => code,
        None => chassis::run("kine-shim", kine_shim::app::build),
    }
}
