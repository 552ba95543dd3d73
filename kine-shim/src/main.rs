//! etcd v3 over SQL.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("kine-shim", kine_shim::app::build)
}
