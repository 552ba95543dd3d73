//! `make bench-store`: the store beside etcd and kine, on the same machine, the same disk, in one run.
//!
//! Every case is measured in rounds, and in each round one peer after the other, so that whatever else the machine does
//! falls on all of them. docs/benchmarks.md says what each case means.

mod cases;
mod connection;
mod database;
mod load;
mod peer;
mod process;
mod report;

use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::{
    peer::{PEERS, Peer, Program},
    report::Report,
};

/// Measures kine-shim beside etcd and kine
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Where the stores keep their data; must be on the disk to measure [default: the directory for temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,

    /// A short run with small numbers, which shows little more than that everything works
    #[arg(long)]
    quick: bool,

    /// Only these cases: puts, overwrites, reads, watch, history, compaction
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    cases: Vec<String>,

    /// Only these numbers of clients that write: 1, 10, 100, 1000
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    clients: Vec<usize>,

    /// Only these peers, by their names in the table
    #[arg(long, value_name = "PEERS", value_delimiter = ',')]
    peers: Vec<String>,

    /// The kine-shim to measure [default: the one built together with this program]
    #[arg(long, value_name = "BINARY")]
    kine_shim: Option<PathBuf>,

    /// An older kine-shim to compare with
    #[arg(long, value_name = "BINARY")]
    before: Option<PathBuf>,

    /// etcd [default: the one in PATH]
    #[arg(long, value_name = "BINARY")]
    etcd: Option<PathBuf>,

    /// kine [default: the one in PATH]
    #[arg(long, value_name = "BINARY")]
    kine: Option<PathBuf>,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    /// How long one peer writes in one round.
    pub(crate) span: Duration,
    /// Keys in the store that is read, and keys in the list.
    pub(crate) keys: usize,
    pub(crate) listed: usize,
    /// Events a watcher is measured with.
    pub(crate) events: usize,
    /// Revisions of the key with a history, and of the store that is compacted.
    pub(crate) history: usize,
    pub(crate) compacted: usize,
}

const FULL: Scale = Scale {
    rounds: 3,
    span: Duration::from_secs(3),
    keys: 100_000,
    listed: 10_000,
    events: 500,
    history: 100_000,
    compacted: 1_000_000,
};
const QUICK: Scale = Scale {
    rounds: 1,
    span: Duration::from_secs(1),
    keys: 10_000,
    listed: 1_000,
    events: 100,
    history: 5_000,
    compacted: 20_000,
};

fn main() -> Result<()> {
    let options = Options::parse();
    let base = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new()
        .prefix("bench-store-")
        .tempdir_in(&base)
        .with_context(|| format!("--dir: cannot write to {}", base.display()))?;
    // The database servers run as users of their own.
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;

    let peers = present(&options);
    ensure!(!peers.is_empty(), "nobody to measure is there");
    let scale = if options.quick { QUICK } else { FULL };
    let known = cases::CASES.map(|(name, _)| name);
    let unknown = options.cases.iter().find(|case| !known.contains(&case.as_str()));
    ensure!(
        unknown.is_none(),
        "--cases: there is no {unknown:?}; choose from {known:?}"
    );
    let mut report = Report::default();
    for (name, measure) in cases::CASES {
        if options.cases.is_empty() || options.cases.iter().any(|case| case == name) {
            let bench = cases::Bench {
                options: &options,
                scale,
                peers: &peers,
                directory: directory.path().join(name),
            };
            measure(&bench, &mut report)?;
            std::fs::remove_dir_all(&bench.directory)?;
        }
    }
    report.goals();
    Ok(())
}

/// The peers to measure; whoever is not there is named.
fn present(options: &Options) -> Vec<Peer> {
    let wanted = |peer: &&Peer| {
        let asked = options.peers.is_empty() || options.peers.iter().any(|name| name == peer.name);
        asked && (peer.program != Program::Before || options.before.is_some())
    };
    let mut present = Vec::new();
    for peer in PEERS.iter().filter(wanted) {
        match peer.database.missing() {
            None if peer.binary(options).is_some() => present.push(*peer),
            None => println!("not there: {} (no binary)", peer.name),
            Some(reason) => println!("not there: {} ({reason})", peer.name),
        }
    }
    present
}
