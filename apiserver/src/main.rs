//! The API server of a virtual cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("apiserver", apiserver::app::build)
}
