//! What is measured. Each case starts the peers anew, on empty databases.

mod compaction;
mod history;
mod puts;
mod reads;
mod watch;

use std::path::PathBuf;

use anyhow::Result;
use proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::{
    Options, Scale,
    connection::Connection,
    load::PATIENCE,
    peer::{Peer, Program, Running},
    report::Report,
};

/// A case: measures all peers and prints its tables.
pub(crate) type Case = fn(&Bench<'_>, &mut Report) -> Result<()>;

/// All cases by their names, in the order in which they run.
pub(crate) const CASES: [(&str, Case); 6] = [
    ("puts", puts::puts),
    ("overwrites", puts::overwrites),
    ("reads", reads::reads),
    ("watch", watch::watch),
    ("history", history::history),
    ("compaction", compaction::compaction),
];

/// What a case works with.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) scale: Scale,
    pub(crate) peers: &'a [Peer],
    /// Where the peers keep their data; removed after the case.
    pub(crate) directory: PathBuf,
}

impl Bench<'_> {
    /// Starts the peers whose program is wanted. Those that do not start are named.
    pub(crate) fn start(&self, wanted: impl Fn(Program) -> bool) -> Vec<Running> {
        let mut running = Vec::new();
        for peer in self.peers.iter().filter(|peer| wanted(peer.program)) {
            match peer.start(self.options, &self.directory.join(peer.name.replace(' ', "-"))) {
                Ok(peer) => running.push(peer),
                Err(error) => println!("not there: {} ({error:#})", peer.name),
            }
        }
        running
    }
}

/// Reads keys on a connection for ranges.
fn range(connection: &mut Connection, request: &RangeRequest) -> Result<RangeResponse> {
    connection.unary(request, PATIENCE)
}

/// The request for all keys that begin with `prefix`, which ends with a slash.
fn prefix(prefix: &str) -> RangeRequest {
    let end = prefix.strip_suffix('/').map(|start| format!("{start}0"));
    RangeRequest {
        key: prefix.to_owned().into(),
        range_end: end.unwrap_or_else(|| "\0".to_owned()).into(),
        ..Default::default()
    }
}
