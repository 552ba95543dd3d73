//! 50 pods per second: how long each change takes to the other side, and what a pod costs the host over its life.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{host_requests, since, with_verb};
use crate::Scale;
use crate::clusters::Clusters;
use crate::pods::{self, Name};
use crate::report::Report;
use crate::sightings::{Seen, spans};
use e2e::bench::percentile;

const PER_SECOND: u32 = 50;
/// Until what the start and the node brought is done.
const SETTLE: Duration = Duration::from_secs(5);
/// After so many pods one is created on the host directly.
const BESIDE: usize = 4;
/// Milliseconds.
const P50_MOST: f64 = 5.0;
const P99_MOST: f64 = 25.0;

pub(crate) async fn run(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    // The first pod brings the node with it.
    let first = Name::many("busy", "first", 1);
    live(clusters, &first).await?;
    tokio::time::sleep(SETTLE).await;

    let names = Name::many("busy", "web", scale.steady);
    let before = host_requests(clusters).await?;
    let alone = live(clusters, &names).await?;
    report.title("50 pods per second, one after another");
    let pairs = || {
        names.iter().map(|name| {
            (
                clusters.virtual_.pods.of(&name.key()),
                clusters.host.pods.of(&name.host_key()),
            )
        })
    };
    let mut down = spans(pairs().map(|(virtual_, host)| (virtual_.added, host.added)))?;
    let mut up = spans(pairs().map(|(virtual_, host)| (host.running, virtual_.running)))?;
    let shown = alone
        .iter()
        .map(|(asked, name)| (Some(*asked), clusters.host.pods.of(&name.key()).added));
    let mut shown = spans(shown)?;
    report.number(
        "any creation until its own watch shows it, p50 in ms",
        percentile(&mut shown, 0.5),
    );
    report.number("p99 in ms", percentile(&mut shown, 0.99));
    for (what, times) in [("to the host", &mut down), ("status to the virtual cluster", &mut up)] {
        report.goal(&format!("{what}, p50 in ms"), percentile(times, 0.5), P50_MOST);
        report.goal(&format!("{what}, p99 in ms"), percentile(times, 0.99), P99_MOST);
    }

    pods::delete(&clusters.virtual_, &names).await?;
    let keys = |of: fn(&Name) -> String| names.iter().map(of).collect::<Vec<_>>();
    let gone = |seen: &Seen| seen.gone.is_some();
    clusters.host.pods.until(&keys(Name::host_key), "gone", gone).await?;
    clusters.virtual_.pods.until(&keys(Name::key), "gone", gone).await?;
    let requests = since(&before, host_requests(clusters).await?);
    let per_pod = |verb: &str| with_verb(&requests, verb) / names.len() as f64;
    report.goal("creations on the host per pod over its life", per_pod("create"), 1.0);
    report.goal("deletions", per_pod("delete"), 1.0);
    report.goal("patches", per_pod("patch"), 0.0);
    report.goal("reads", per_pod("get") + per_pod("list"), 0.0);
    for (request, count) in &requests {
        report.number(&format!("  {request}"), *count);
    }
    Ok(())
}

/// Creates pods at the pace, and waits until all of them run in both clusters. Returns other pods that were created on the
/// host directly at the same time, and when they were asked for: what one request and one watch take on this machine.
async fn live(clusters: &Clusters, names: &[Name]) -> Result<Vec<(Instant, Name)>> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut alone = Vec::new();
    for (number, name) in names.iter().enumerate() {
        ticks.tick().await;
        pods::create(&clusters.virtual_, std::slice::from_ref(name)).await?;
        if number % BESIDE == BESIDE - 1 {
            let beside = Name {
                namespace: "quiet",
                name: format!("beside-{number}"),
            };
            let asked = pods::create(&clusters.host, std::slice::from_ref(&beside)).await?;
            alone.extend(asked.into_iter().map(|asked| (asked, beside.clone())));
        }
    }
    let keys: Vec<String> = names.iter().map(Name::key).collect();
    let running = |seen: &Seen| seen.running.is_some();
    clusters.virtual_.pods.until(&keys, "running", running).await?;
    Ok(alone)
}
