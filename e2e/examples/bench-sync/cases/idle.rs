//! A virtual cluster that nobody uses.

use std::time::Duration;

use anyhow::Result;

use super::{host_requests, since, with_verb};
use crate::Scale;
use crate::clusters::Clusters;
use crate::report::Report;

/// Until what the start brought is done.
const SETTLE: Duration = Duration::from_secs(5);
/// MiB.
const HELD_MOST: f64 = 14.0;

pub(crate) async fn run(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    tokio::time::sleep(SETTLE).await;
    let before = host_requests(clusters).await?;
    let cpu = clusters.cpu();
    tokio::time::sleep(scale.idle).await;
    let requests = since(&before, host_requests(clusters).await?);
    let spent = clusters.cpu()[0].saturating_sub(cpu[0]);
    report.title("A syncer with nothing to do");
    report.goal("memory, MiB", clusters.memory()?, HELD_MOST);
    let watches = with_verb(&requests, "watch");
    let others = requests.values().sum::<f64>() - watches;
    report.goal("requests to the host other than watches", others.abs(), 0.0);
    report.number("watches opened again", watches);
    report.number(
        "processor time, % of one",
        spent.as_secs_f64() / scale.idle.as_secs_f64() * 100.0,
    );
    Ok(())
}
