//! What the service tells about itself: our own metrics, and under the names of kine and etcd what means the same here.
//! Numbers the store knows anyway are read when somebody asks.

mod families;
mod store;

use std::time::Duration;

use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
};
use tonic::Code;

use self::families::{Calls, Reason, ResultOf, Retriable, Statement};
pub use self::families::{Cancelled, Method};
use crate::{backend::Fault, store::Store};

/// What commits and compactions took; written by the writer.
#[derive(Debug, Clone)]
pub struct CommitMetrics {
    requests: Histogram,
    seconds: Histogram,
    compactions: Family<ResultOf, Counter>,
    compaction_seconds: Histogram,
    compacting: Gauge,
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self {
            requests: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            compactions: Family::default(),
            compaction_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            compacting: Gauge::default(),
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

    /// Notes the beginning of a compaction.
    pub fn compacting(&self) {
        self.compacting.set(1);
    }

    /// Notes the end of a compaction.
    pub fn compacted(&self, succeeded: bool, took: Duration) {
        self.compacting.set(0);
        self.compactions.get_or_create(&ResultOf::new(succeeded)).inc();
        self.compaction_seconds.observe(took.as_secs_f64());
    }
}

/// What the database was asked; written by [`crate::backend::observed`].
#[derive(Debug, Clone)]
pub struct SqlMetrics {
    total: Family<Statement, Counter>,
    seconds: Family<Statement, Histogram>,
    written: Counter,
    removed: Counter,
}

impl Default for SqlMetrics {
    fn default() -> Self {
        Self {
            total: Family::default(),
            // kine's buckets.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14))),
            written: Counter::default(),
            removed: Counter::default(),
        }
    }
}

impl SqlMetrics {
    /// Notes a call called `name`.
    pub fn observe(&self, name: &'static str, fault: Option<&Fault>, took: Duration) {
        let statement = Statement::new(name, fault);
        self.total.get_or_create(&statement).inc();
        self.seconds.get_or_create(&statement).observe(took.as_secs_f64());
    }

    /// Notes rows that were added and rows that compaction removed.
    pub fn written(&self, rows: usize, removed: usize) {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        self.written.inc_by(count(rows));
        self.removed.inc_by(count(removed));
    }
}

/// What clients were told; written by the services.
#[derive(Debug, Clone, Default)]
pub struct ServerMetrics {
    cancelled: Family<Reason, Counter>,
    started: Family<Calls, Counter>,
    handled: Family<Calls, Counter>,
}

impl ServerMetrics {
    /// Notes that a call began.
    pub fn started(&self, method: &'static Method) {
        self.started.get_or_create(&Calls { method, code: None }).inc();
    }

    /// Notes that a call ended.
    pub fn handled(&self, method: &'static Method, code: Code) {
        let code = Some(code.into());
        self.handled.get_or_create(&Calls { method, code }).inc();
    }

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

/// Registers the metrics of `store`, of its database and of the services. `quota` is the size at which the store is full,
/// in bytes, 0 for none.
pub fn register(metrics: &chassis::Metrics, store: &Store, sql: &SqlMetrics, server: &ServerMetrics, quota: i64) {
    let commits = store.commits();
    metrics.register(|registry| {
        let ours = registry.sub_registry_with_prefix("kine_shim");
        ours.register(
            "commit_requests",
            "Requests that became durable together",
            commits.requests.clone(),
        );
        ours.register(
            "commit_seconds",
            "Time a commit took to become durable",
            commits.seconds.clone(),
        );
        ours.register(
            "compaction_seconds",
            "Time from a compaction's first slice to its last",
            commits.compaction_seconds.clone(),
        );
        ours.register(
            "compaction_running",
            "Whether rows of a compaction are still to be removed",
            commits.compacting.clone(),
        );
        ours.register("written_rows", "Rows added to the table", sql.written.clone());
        ours.register("compacted_rows", "Rows removed by compaction", sql.removed.clone());
        ours.register(
            "cancelled_watchers",
            "Watches that ended before their stream did, or with it because it was slow",
            server.cancelled.clone(),
        );

        let kine = registry.sub_registry_with_prefix("kine");
        kine.register("sql", "Total number of SQL operations", sql.total.clone());
        kine.register(
            "sql_time_seconds",
            "Length of time per SQL operation",
            sql.seconds.clone(),
        );
        kine.register("compact", "Total number of compactions", commits.compactions.clone());
        // Rows get their identifiers under a lock, so what kine counts here never happens.
        let retries = Family::<Retriable, Counter>::default();
        for retriable in [Retriable::YES, Retriable::NO] {
            drop(retries.get_or_create(&retriable));
        }
        kine.register(
            "insert_errors",
            "Total number of insert retries due to unique constraint violations",
            retries,
        );
        let grpc = registry.sub_registry_with_prefix("grpc_server");
        grpc.register(
            "started",
            "Total number of RPCs started on the server.",
            server.started.clone(),
        );
        grpc.register(
            "handled",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            server.handled.clone(),
        );
        registry.register(
            "etcd_disk_backend_commit_duration_seconds",
            "The latency distributions of commits, as etcd's backend has them",
            commits.seconds.clone(),
        );
        registry.register_collector(Box::new(store::StoreCollector::new(store.clone(), quota)));
    });
}
