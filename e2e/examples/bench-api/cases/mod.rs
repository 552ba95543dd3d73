//! What is measured.

mod history;
mod lists;
mod requests;
mod watch;

use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;

use crate::Scale;
use crate::peer::Peers;
use crate::report::{Line, Report};

type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
/// A case.
pub(crate) type Case = for<'a> fn(&'a mut Peers, Scale, &'a mut Report) -> Running<'a>;

/// All cases, in the order in which they are run.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("idle", |peers, _, report| Box::pin(idle(peers, report))),
    ("requests", |peers, scale, report| {
        Box::pin(requests::run(peers, scale, report))
    }),
    ("lists", |peers, scale, report| {
        Box::pin(lists::run(peers, scale, report))
    }),
    ("watch", |peers, scale, report| {
        Box::pin(watch::run(peers, scale, report))
    }),
    ("history", |peers, scale, report| {
        Box::pin(history::run(peers, scale, report))
    }),
];

/// How long a server is left alone before it counts as idle.
const QUIET: Duration = Duration::from_secs(10);
/// MiB that our server may hold then.
const IDLE_MOST: f64 = 24.0;

async fn idle(peers: &Peers, report: &mut Report) -> Result<()> {
    tokio::time::sleep(QUIET).await;
    let mut before = Vec::new();
    for peer in &peers.0 {
        before.push(peer.cpu()?);
    }
    tokio::time::sleep(QUIET).await;
    let mut lines = Vec::new();
    for (peer, before) in peers.0.iter().zip(before) {
        let cpu = peer.cpu()?.saturating_sub(before).as_secs_f64() / QUIET.as_secs_f64() * 100.0;
        if peer.ours {
            report.goal("MiB held by an idle server", peer.memory()?, IDLE_MOST);
        }
        lines.push(Line::of(peer, vec![peer.memory()?, peer.peak()?, cpu]));
    }
    report.title("A server that nobody uses");
    report.table("", &["MiB", "peak MiB", "% of a core"], &lines);
    Ok(())
}
