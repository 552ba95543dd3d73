//! What the syncer measures.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::clusters::Meters;
use crate::kinds::{Kind, Side};

/// Upper bounds of the lag histogram, in seconds.
const LAG_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A kind, as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    kind: &'static str,
}

impl From<Kind> for KindLabel {
    fn from(kind: Kind) -> Self {
        Self { kind: kind.name() }
    }
}

/// Where a change came from, and its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LagLabels {
    from: &'static str,
    kind: &'static str,
}

/// The syncer's metrics; clones share the numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The way to both API servers.
    pub clusters: Meters,
    /// Objects that wait for their turn.
    pub queue_length: Gauge,
    /// Attempts that failed and are made again.
    pub failures: Family<KindLabel, Counter>,
    /// Objects that were found to differ although nothing had happened to them.
    pub divergences: Family<KindLabel, Counter>,
    lag: Family<LagLabels, Histogram>,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &chassis::Metrics) -> Self {
        let metrics = Self {
            clusters: Meters::default(),
            queue_length: Gauge::default(),
            failures: Family::default(),
            divergences: Family::default(),
            lag: Family::new_with_constructor(|| Histogram::new(LAG_BUCKETS)),
        };
        let copy = metrics.clone();
        registry.register(move |registry| {
            registry.register(
                "syncer_requests",
                "Requests by cluster, verb, resource and status code",
                copy.clusters.requests,
            );
            registry.register(
                "syncer_pushbacks",
                "Answers with which a server asked for less",
                copy.clusters.pushbacks,
            );
            registry.register(
                "syncer_concurrency_limit",
                "Objects that may be worked on at the same time, as the server lets",
                copy.clusters.limits,
            );
            registry.register(
                "syncer_watch_repairs",
                "Watches that were rebuilt because they lost something, were silent or had another history",
                copy.clusters.repairs,
            );
            registry.register(
                "syncer_lost_changes",
                "Changes that a watch had not shown and a comparison found",
                copy.clusters.lost,
            );
            registry.register(
                "syncer_divergences",
                "Objects that differed although nothing had happened to them, found by looking at all again",
                copy.divergences,
            );
            registry.register(
                "syncer_queue_length",
                "Objects that wait for their turn",
                copy.queue_length,
            );
            registry.register(
                "syncer_failures",
                "Attempts that failed and are made again",
                copy.failures,
            );
            registry.register(
                "syncer_lag_seconds",
                "Time from a change on one side to the write on the other",
                copy.lag,
            );
        });
        metrics
    }

    /// Records how long a change took.
    pub fn observe_lag(&self, from: Side, kind: Kind, lag: Duration) {
        let labels = LagLabels {
            from: from.as_str(),
            kind: kind.name(),
        };
        self.lag.get_or_create(&labels).observe(lag.as_secs_f64());
    }
}
