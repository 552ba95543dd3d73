//! etcd v3 over SQL.

use std::process::ExitCode;

fn main() -> ExitCode {
    match kine_shim::tools::run(std::env::args_os()) {
        Some(code) => code,
        None => chassis::run("kine-shim", kine_shim::app::build),
    }
}
