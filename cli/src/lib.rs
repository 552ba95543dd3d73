//! The `vcluster` command: the playground, a host cluster and virtual clusters on this machine; and the certificates of a
//! control plane that runs elsewhere.

mod certs;
mod manifests;
mod options;
mod playground;
pub mod supervisor;

use std::process::ExitCode;

use clap::Parser;

use options::{Certs, Command, Options, Playground};

/// Does what the command line says; one sentence on standard error when that fails.
pub fn run() -> ExitCode {
    let done = match Options::parse().command {
        Command::Playground(Playground::Up(options)) => playground::up(&options),
        Command::Playground(Playground::Status(options)) => playground::status(&options),
        Command::Playground(Playground::Down(options)) => playground::down(&options),
        Command::Certs(Certs::Create(options)) => certs::create(options),
        Command::Manifests(options) => manifests::print(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster: {error:#}");
            chassis::exit_code(&error)
        }
    }
}
