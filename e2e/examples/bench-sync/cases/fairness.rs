//! Single pods of one namespace, while another one gets very many.

use std::time::Duration;

use anyhow::Result;

use crate::Scale;
use crate::clusters::Clusters;
use crate::pods::{self, Name};
use crate::report::Report;
use crate::sightings::{Seen, spans};
use e2e::bench::percentile;

const EVERY: Duration = Duration::from_millis(200);
/// Milliseconds.
const DELAY_MOST: f64 = 100.0;

pub(crate) async fn run(clusters: &Clusters, scale: Scale, report: &mut Report) -> Result<()> {
    let crowd = Name::many("busy", "crowd", scale.crowd);
    let keys: Vec<String> = crowd.iter().map(Name::key).collect();
    let running = |seen: &Seen| seen.running.is_some();
    let mut singles = Vec::new();
    {
        let burst = async {
            pods::create(&clusters.virtual_, &crowd).await?;
            clusters.virtual_.pods.until(&keys, "running", running).await
        };
        let mut burst = std::pin::pin!(burst);
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                done = &mut burst => { done?; break }
                _ = ticks.tick() => {
                    let name = Name { namespace: "quiet", name: format!("single-{}", singles.len()) };
                    pods::create(&clusters.virtual_, std::slice::from_ref(&name)).await?;
                    singles.push(name);
                }
            }
        }
    }
    let keys: Vec<String> = singles.iter().map(Name::key).collect();
    clusters.virtual_.pods.until(&keys, "running", running).await?;
    let pairs = singles.iter().map(|name| {
        (
            clusters.virtual_.pods.of(&name.key()),
            clusters.host.pods.of(&name.host_key()),
        )
    });
    let mut times = spans(pairs.map(|(virtual_, host)| (virtual_.added, host.added)))?;
    report.title(&format!("Single pods, while another namespace gets {}", scale.crowd));
    report.number("single pods", times.len() as f64);
    report.number("to the host, p50 in ms", percentile(&mut times, 0.5));
    report.goal(
        "to the host, the longest in ms",
        percentile(&mut times, 1.0),
        DELAY_MOST,
    );
    Ok(())
}
