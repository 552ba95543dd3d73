//! The `vcluster` command: today the playground, a host cluster and virtual clusters on this machine.

mod options;
mod playground;
pub mod supervisor;

use std::process::ExitCode;

use clap::Parser;

use options::{Command, Options, Playground};

/// Does what the command line says; one sentence on standard error when that fails.
pub fn run() -> ExitCode {
    let Options {
        command: Command::Playground(command),
    } = Options::parse();
    let done = match command {
        Playground::Up(options) => playground::up(&options),
        Playground::Status(options) => playground::status(&options),
        Playground::Down(options) => playground::down(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster: {error:#}");
            chassis::exit_code(&error)
        }
    }
}
