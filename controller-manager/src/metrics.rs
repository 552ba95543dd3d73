//! Metrics of the controllers, with the names of upstream's work queues where they exist.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
}

/// Counts and times the reconciles of every controller; clones share the counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    reconciles: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            errors: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0])),
        };
        registry.register(
            "controller_reconciles",
            "Reconciles that ended",
            metrics.reconciles.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Reconciles that failed and will be retried",
            metrics.errors.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "How long a reconcile took",
            metrics.duration.clone(),
        );
        metrics
    }

    pub(crate) fn reconciled(&self, controller: &'static str, took: Duration, failed: bool) {
        let labels = Labels { controller };
        self.reconciles.get_or_create(&labels).inc();
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
        if failed {
            self.errors.get_or_create(&labels).inc();
        }
    }
}
