//! Ten thousand pods at once: through the virtual cluster, and what the host alone needs for the same.

use anyhow::{Context, Result};
use tokio::time::{Duration, sleep};

use crate::Scale;
use crate::clusters::{Cluster, Clusters};
use crate::pods::{self, Name};
use crate::report::Report;
use crate::sightings::{Seen, spans};
use e2e::bench::percentile;

/// Pods that the host starts per second: five times what a kube-scheduler does with its own limit of 50 requests.
const PER_SECOND: u32 = 250;
/// How many times longer than on the host alone.
const RATIO_MOST: f64 = 1.2;
/// MiB.
const HELD_MOST: f64 = 120.0;
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn alone(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    let title = format!(
        "{} pods on the host alone, which starts {PER_SECOND} per second",
        scale.burst
    );
    clusters.pace.set(PER_SECOND);
    let p99 = measured(clusters, &clusters.host, scale, report, &title).await?;
    report.keep("burst", p99);
    Ok(())
}

pub(crate) async fn synced(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    let title = format!("{} pods in the virtual cluster, on the same host", scale.burst);
    clusters.pace.set(PER_SECOND);
    let p99 = measured(clusters, &clusters.virtual_, scale, report, &title).await?;
    if let Some(alone) = report.kept("burst") {
        report.goal("p99, times what the host alone needs", p99 / alone, RATIO_MOST);
    }
    sleep(SETTLE).await;
    report.goal(
        &format!("memory with {} pods, MiB", scale.burst),
        clusters.memory()?,
        HELD_MOST,
    );
    Ok(())
}

pub(crate) async fn flood_alone(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    let title = format!(
        "{} pods on the host alone, which starts them without limit",
        scale.burst
    );
    let p99 = measured(clusters, &clusters.host, scale, report, &title).await?;
    report.keep("flood", p99);
    Ok(())
}

pub(crate) async fn flood_synced(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    let title = format!(
        "{} pods in the virtual cluster, on the same host and the same processors",
        scale.burst
    );
    let p99 = measured(clusters, &clusters.virtual_, scale, report, &title).await?;
    if let Some(alone) = report.kept("flood") {
        report.number("p99, times what the host alone needs", p99 / alone);
    }
    Ok(())
}

/// The milliseconds from the request for a pod until it runs, p99.
async fn measured(
    clusters: &Clusters,
    cluster: &Cluster,
    scale: Scale,
    report: &mut Report,
    title: &str,
) -> Result<f64> {
    let names = Name::many("busy", "burst", scale.burst);
    let keys: Vec<String> = names.iter().map(Name::key).collect();
    let cpu = clusters.cpu();
    let asked = pods::create(cluster, &names).await?;
    cluster
        .pods
        .until(&keys, "running", |seen: &Seen| seen.running.is_some())
        .await?;
    let spent = clusters.cpu();
    let seen = keys.iter().map(|key| cluster.pods.of(key).running);
    let mut times = spans(asked.iter().map(|at| Some(*at)).zip(seen))?;
    report.title(title);
    report.number("from the request until it runs, p50 in ms", percentile(&mut times, 0.5));
    let p99 = percentile(&mut times, 0.99);
    report.number("p99 in ms", p99);
    for (who, (after, before)) in ["syncer", "virtual cluster", "host"].iter().zip(spent.iter().zip(&cpu)) {
        let per_pod = after.saturating_sub(*before).as_secs_f64() * 1e6 / names.len() as f64;
        report.number(&format!("processor time of the {who}, µs per pod"), per_pod);
    }
    let last = times.last().context("no pods")?;
    report.number("the longest in ms", last.as_secs_f64() * 1e3);
    Ok(p99)
}
