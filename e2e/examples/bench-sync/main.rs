//! `make bench-sync`: the syncer between two API servers: what it adds to what the host alone needs, in time, requests and
//! memory.

mod cases;
mod clusters;
mod node;
mod pods;
mod report;
mod sightings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use e2e::bench;

use clusters::Clusters;
use report::Report;

/// The syncer between two API servers
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Only these cases
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    cases: Vec<String>,

    /// Another build of the syncer
    #[arg(long, value_name = "FILE")]
    syncer: Option<PathBuf>,

    /// Where data is kept while it runs; a disk, not memory
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,

    /// Short rounds and small numbers: shows that everything works
    #[arg(long)]
    quick: bool,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// How long nothing is done.
    pub(crate) idle: Duration,
    /// Pods that come one after another.
    pub(crate) steady: usize,
    /// Pods that come at once.
    pub(crate) burst: usize,
    /// Pods that come at once while somebody else wants single ones.
    pub(crate) crowd: usize,
}

const WHOLE: Scale = Scale {
    idle: Duration::from_secs(30),
    steady: 1_500,
    burst: 10_000,
    crowd: 3_000,
};

const QUICK: Scale = Scale {
    idle: Duration::from_secs(5),
    steady: 200,
    burst: 500,
    crowd: 500,
};

fn main() -> ExitCode {
    let options = Options::parse();
    bench::run("bench-sync", measure(&options))
}

/// Whether all goals were reached.
async fn measure(options: &Options) -> Result<bool> {
    let scale = if options.quick { QUICK } else { WHOLE };
    let mut report = Report::default();
    for case in bench::chosen(cases::ALL, &options.cases)? {
        // Every case starts with empty stores and fresh servers.
        let clusters = Clusters::start(options).await?;
        case(&clusters, scale, &mut report).await?;
        clusters.stop().await?;
    }
    Ok(report.goals())
}
