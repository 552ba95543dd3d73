//! Numbers that are read from the store when somebody asks.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

use crate::store::Store;

/// The watchers whose lag is told: the one in the middle, the slow ones, and the worst one.
const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99), ("1", 1.0)];

#[derive(Debug)]
pub(super) struct StoreCollector {
    store: Store,
    quota: i64,
}

impl StoreCollector {
    pub(super) fn new(store: Store, quota: i64) -> Self {
        Self { store, quota }
    }
}

/// The lag of the watcher at a quantile; `lags` is sorted.
fn at(lags: &[i64], quantile: f64) -> i64 {
    // The number of watchers is far from where a float loses count.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let rank = (lags.len() as f64 * quantile).ceil() as usize;
    lags.get(rank.max(1) - 1).copied().unwrap_or(0)
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let store = &self.store;
        let mut lags = store.hub().lags();
        lags.sort_unstable();
        let slow = lags.iter().filter(|lag| **lag > 0).count();
        let (keys, leases) = store.counts();
        let size = store.size_now().unwrap_or_default();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let (revision, compacted) = (store.revision(), store.compacted());
        let gauges = [
            ("kine_shim_revision", "The newest revision", revision),
            (
                "kine_shim_compact_revision",
                "The revision the store is compacted to",
                compacted,
            ),
            (
                "kine_shim_keys",
                "Keys in the index, deleted ones included until they are compacted",
                count(keys),
            ),
            ("kine_shim_leases", "Leases", count(leases)),
            ("kine_shim_watchers", "Watchers", count(lags.len())),
            (
                "kine_shim_slow_watchers",
                "Watchers that have not fetched everything there is for them",
                count(slow),
            ),
            (
                "kine_shim_db_size_bytes",
                "Bytes the database takes on disk, without its log",
                size.total,
            ),
            (
                "kine_shim_db_used_bytes",
                "Bytes of the database that hold data",
                size.used,
            ),
            (
                "kine_shim_db_log_bytes",
                "Bytes of the database's own log, as far as it is known",
                store.log_bytes(),
            ),
            (
                "etcd_mvcc_db_total_size_in_bytes",
                "Total size of the underlying database physically allocated in bytes",
                size.total,
            ),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Total size of the underlying database logically in use in bytes",
                size.used,
            ),
            (
                "etcd_server_quota_backend_bytes",
                "Size in bytes at which the store takes no more data, 0 for none",
                self.quota,
            ),
            (
                "etcd_server_has_leader",
                "Whether there is a leader: this one always is",
                1,
            ),
            (
                "etcd_server_is_leader",
                "Whether this member is the leader: it always is",
                1,
            ),
            (
                "etcd_debugging_mvcc_current_revision",
                "The current revision of the store",
                revision,
            ),
            (
                "etcd_debugging_mvcc_compact_revision",
                "The revision of the last compaction in the store",
                compacted,
            ),
            ("etcd_debugging_mvcc_keys_total", "Total number of keys", count(keys)),
            (
                "etcd_debugging_mvcc_watcher_total",
                "Total number of watchers",
                count(lags.len()),
            ),
            (
                "etcd_debugging_mvcc_slow_watcher_total",
                "Total number of unsynced slow watchers",
                count(slow),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let mut family = encoder.encode_descriptor(
            "kine_shim_watch_lag_revisions",
            "Revisions that watchers are behind: the quantile over all of them, 1 is the worst one",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (label, quantile) in QUANTILES {
            let gauge = ConstGauge::new(at(&lags, quantile));
            gauge.encode(family.encode_family(&[("quantile", label)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_name_a_watcher_there_is() {
        let lags: Vec<i64> = (1..=100).collect();
        assert_eq!(QUANTILES.map(|(_, quantile)| at(&lags, quantile)), [50, 90, 99, 100]);
        assert_eq!(QUANTILES.map(|(_, quantile)| at(&[7], quantile)), [7; 4]);
        assert_eq!(at(&[], 0.5), 0);
    }
}
