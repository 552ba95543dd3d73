//! `make bench-api`: the API server beside a kube-apiserver or an older build of itself, each on its own store, on one
//! machine and in one run. What counts are the ratios.

mod cases;
mod load;
mod peer;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use e2e::bench;

use peer::Peers;
use report::Report;

/// The API server beside a kube-apiserver or an older build of itself
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// A kube-apiserver; without it and --before, our server is measured alone
    #[arg(long, value_name = "FILE", env = "KUBE_APISERVER")]
    kube_apiserver: Option<PathBuf>,

    /// The store of the kube-apiserver
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    etcd: PathBuf,

    /// An older build of our server
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,

    /// Only these cases
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    cases: Vec<String>,

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
    /// How long a rate is measured at a time.
    pub(crate) round: Duration,
    /// How often.
    pub(crate) rounds: usize,
    /// Pods in a list.
    pub(crate) pods: usize,
    /// Watchers of one collection.
    pub(crate) watchers: usize,
    /// Events they get.
    pub(crate) events: usize,
    /// Revisions of one key.
    pub(crate) revisions: usize,
}

const WHOLE: Scale = Scale {
    round: Duration::from_secs(2),
    rounds: 3,
    pods: 5_000,
    watchers: 500,
    events: 200,
    revisions: 20_000,
};

const QUICK: Scale = Scale {
    round: Duration::from_secs(1),
    rounds: 1,
    pods: 500,
    watchers: 50,
    events: 20,
    revisions: 500,
};

fn main() -> ExitCode {
    let options = Options::parse();
    bench::run("bench-api", measure(&options))
}

/// Whether all goals were reached.
async fn measure(options: &Options) -> Result<bool> {
    let scale = if options.quick { QUICK } else { WHOLE };
    let mut report = Report::default();
    for case in bench::chosen(cases::ALL, &options.cases)? {
        // Every case starts with empty stores and fresh servers.
        let mut peers = Peers::start(options).await?;
        case(&mut peers, scale, &mut report).await?;
        peers.stop().await?;
    }
    Ok(report.goals())
}
