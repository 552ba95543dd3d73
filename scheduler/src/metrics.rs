//! Metrics of scheduling, with upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

/// Counts and times attempts to schedule; clones share the counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    attempts: Family<Labels, Counter>,
    duration: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            duration: Histogram::new([0.0001, 0.001, 0.01, 0.1, 1.0]),
        };
        registry.register(
            "scheduler_schedule_attempts",
            "Attempts to schedule a pod by result",
            metrics.attempts.clone(),
        );
        registry.register(
            "scheduler_scheduling_algorithm_duration_seconds",
            "How long choosing a node took",
            metrics.duration.clone(),
        );
        metrics
    }

    /// `result` is `scheduled`, `unschedulable` or `error`.
    pub(crate) fn attempted(&self, result: &'static str) {
        self.attempts.get_or_create(&Labels { result }).inc();
    }

    pub(crate) fn chose(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }
}
