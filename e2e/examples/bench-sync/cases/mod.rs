//! What is measured.

mod burst;
mod fairness;
mod idle;
mod steady;

use std::collections::BTreeMap;
use std::pin::Pin;

use anyhow::Result;

use crate::Scale;
use crate::clusters::Clusters;
use crate::report::Report;

type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
type Case = for<'a> fn(&'a Clusters, Scale, &'a mut Report) -> Running<'a>;

/// All cases by name, in the order they run.
pub(crate) const ALL: &[(&str, Case)] = &[
    ("idle", |clusters, scale, report| {
        Box::pin(idle::run(clusters, scale, report))
    }),
    ("steady", |clusters, scale, report| {
        Box::pin(steady::run(clusters, scale, report))
    }),
    ("fairness", |clusters, scale, report| {
        Box::pin(fairness::run(clusters, scale, report))
    }),
    ("burst-alone", |clusters, scale, report| {
        Box::pin(burst::alone(clusters, scale, report))
    }),
    ("burst", |clusters, scale, report| {
        Box::pin(burst::synced(clusters, scale, report))
    }),
    ("flood-alone", |clusters, scale, report| {
        Box::pin(burst::flood_alone(clusters, scale, report))
    }),
    ("flood", |clusters, scale, report| {
        Box::pin(burst::flood_synced(clusters, scale, report))
    }),
];

/// The syncer's requests to the host so far, as `verb resource code`.
async fn host_requests(clusters: &Clusters) -> Result<BTreeMap<String, f64>> {
    let mut sums = BTreeMap::new();
    for (labels, count) in clusters.bridge.counter("syncer_requests_total").await? {
        let label = |name: &str| {
            let rest = labels.split(&format!("{name}=\"")).nth(1);
            rest.and_then(|rest| rest.split('"').next()).unwrap_or_default()
        };
        if label("cluster") == "host" {
            let key = format!("{} {} {}", label("verb"), label("resource"), label("code"));
            *sums.entry(key).or_insert(0.0) += count;
        }
    }
    Ok(sums)
}

/// How many of them have this verb.
fn with_verb(requests: &BTreeMap<String, f64>, verb: &str) -> f64 {
    let of_verb = requests.iter().filter(|(key, _)| key.split(' ').next() == Some(verb));
    // No summands make -0.
    of_verb.map(|(_, count)| count).sum::<f64>().abs()
}

/// What came since `before`.
fn since(before: &BTreeMap<String, f64>, after: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let spent = after.into_iter().map(|(verb, count)| {
        let earlier = before.get(&verb).copied().unwrap_or(0.0);
        (verb, count - earlier)
    });
    spent.filter(|(_, count)| *count > 0.0).collect()
}
