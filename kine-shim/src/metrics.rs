//! What the store tells about itself. Numbers the store knows anyway are read when somebody asks.

use std::time::Duration;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
};

use crate::store::Store;

/// What commits took; written by the writer.
#[derive(Debug, Clone)]
pub struct CommitMetrics {
    requests: Histogram,
    seconds: Histogram,
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self {
            requests: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
        }
    }
}

impl CommitMetrics {
    /// Notes a commit of `requests` requests.
    pub fn observe(&self, requests: usize, took: Duration) {
        self.requests
            .observe(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
        self.seconds.observe(took.as_secs_f64());
    }
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Cancelled {
    /// Its client asked for it.
    Client,
    /// The revision it needs next has been compacted.
    Compacted,
    /// Its client left events unread for too long.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Cancelled,
}

/// What clients were told; written by the services.
#[derive(Debug, Clone, Default)]
pub struct ServerMetrics {
    cancelled: Family<Reason, Counter>,
}

impl ServerMetrics {
    /// Notes that `watches` watches ended.
    pub fn cancelled(&self, reason: Cancelled, watches: usize) {
        let watches = u64::try_from(watches).unwrap_or(u64::MAX);
        self.cancelled.get_or_create(&Reason { reason }).inc_by(watches);
    }

    /// Watches that ended for a reason.
    pub fn count_cancelled(&self, reason: Cancelled) -> u64 {
        self.cancelled.get_or_create(&Reason { reason }).get()
    }
}

/// Registers the metrics of `store` and of the services.
pub fn register(metrics: &chassis::Metrics, store: &Store, server: &ServerMetrics) {
    let commits = store.commits();
    metrics.register(|registry| {
        let registry = registry.sub_registry_with_prefix("kine_shim");
        registry.register(
            "commit_requests",
            "Requests that became durable together",
            commits.requests.clone(),
        );
        registry.register(
            "commit_seconds",
            "Time a commit took to become durable",
            commits.seconds.clone(),
        );
        registry.register(
            "cancelled_watchers",
            "Watches that ended before their stream did, or with it because it was slow",
            server.cancelled.clone(),
        );
        registry.register_collector(Box::new(StoreCollector(store.clone())));
    });
}

#[derive(Debug)]
struct StoreCollector(Store);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let store = &self.0;
        let (watchers, slow) = store.hub().watchers();
        let (keys, leases) = store.counts();
        let size = store.size_now().unwrap_or_default();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let gauges = [
            ("revision", "The newest revision", store.revision()),
            (
                "compact_revision",
                "The revision the store is compacted to",
                store.compacted(),
            ),
            (
                "keys",
                "Keys in the index, deleted ones included until they are compacted",
                count(keys),
            ),
            ("leases", "Leases", count(leases)),
            ("watchers", "Watchers", count(watchers)),
            (
                "slow_watchers",
                "Watchers that have not fetched everything there is for them",
                count(slow),
            ),
            (
                "watch_lag_revisions",
                "Revisions the watcher is behind that is furthest behind",
                store.hub().lag(),
            ),
            (
                "db_size_bytes",
                "Bytes the database takes on disk, without its log",
                size.total,
            ),
            ("db_used_bytes", "Bytes of the database that hold data", size.used),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
