//! What the binary does beside serving: check a store, copy it into a file, restore it from one.
//!
//! All three read a store in one pass ([`survey`]) through [`crate::backend::contents`], so they do the same with every
//! database.

pub mod check;
pub mod digest;
pub mod restore;
pub mod rules;
pub mod snapshot;
pub mod stores;
pub mod survey;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Parser;

use self::stores::Place;
use crate::backend::endpoint::{DatastoreOptions, Endpoint};

/// The names of the tools; without one of them first, the command line is the service's.
const NAMES: [&str; 3] = ["check", "snapshot", "restore"];

/// Tools for a store
#[derive(Debug, Clone, Parser)]
#[command(name = "kine-shim", version = chassis::VERSION)]
enum Tool {
    /// Look for anything inconsistent in a store, without changing it; a shim may serve it meanwhile
    ///
    /// Prints a line for each finding, and a summary with a digest that is the same for equal stores, whichever database
    /// they are in. The exit code is 0 when there is nothing to find, 1 when there is, 2 when the store cannot be read.
    Check {
        /// A file, or the URL of a database as for --endpoint
        #[arg(value_name = "FILE|URL")]
        store: Place,
        #[command(flatten)]
        datastore: DatastoreOptions,
    },
    /// Copy a store into an SQLite file, consistently; a shim may serve it meanwhile
    Snapshot {
        /// The database to copy, as for the service
        #[arg(long, value_name = "URL")]
        endpoint: Endpoint,
        /// The file to write; it appears when it is complete
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        datastore: DatastoreOptions,
    },
    /// Put the store of a file in the place of the one at --endpoint, all at once; no shim may serve that one
    Restore {
        /// A snapshot, be it of `kine-shim snapshot` or of `etcdctl snapshot save`, or a database file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The database to put in place, as for the service
        #[arg(long, value_name = "URL")]
        endpoint: Endpoint,
        /// Replace a store that has something in it; it is kept under another name, which is printed
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        datastore: DatastoreOptions,
    },
}

/// Runs the tool that the first argument names; `None` when it names none.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.get(1)?.to_str().filter(|name| NAMES.contains(name))?;
    let tool = match Tool::try_parse_from(&arguments) {
        Ok(tool) => tool,
        Err(error) => {
            // Nothing can be said when standard error is gone.
            let _ = error.print();
            return Some(ExitCode::from(if error.use_stderr() { 2 } else { 0 }));
        }
    };
    let done = match tool {
        Tool::Check { store, datastore } => check::run(&store.0, &datastore, &mut std::io::stdout().lock()),
        Tool::Snapshot {
            endpoint,
            file,
            datastore,
        } => snapshot::run(&endpoint, &datastore, &file).map(|said| say(&said)),
        Tool::Restore {
            file,
            endpoint,
            replace,
            datastore,
        } => restore::run(&file, &endpoint, &datastore, replace).map(|said| say(&said)),
    };
    Some(done.unwrap_or_else(|error| {
        eprintln!("kine-shim {name}: {error:#}");
        chassis::exit_code(&error)
    }))
}

fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}
