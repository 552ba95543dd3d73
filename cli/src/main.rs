//! The `vcluster` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if cli::supervisor::is_called() {
        return cli::supervisor::run();
    }
    cli::run()
}
