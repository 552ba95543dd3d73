//! The metrics, under CoreDNS' names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// CoreDNS' `plugin.TimeBuckets`: 0.25 ms doubled up to 8 s.
fn seconds() -> Histogram {
    Histogram::new((0..16).map(|power| 0.00025 * f64::from(1u32 << power)))
}

/// CoreDNS' buckets of request and response sizes.
fn bytes() -> Histogram {
    Histogram::new([
        0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3,
    ])
}

/// Labels of a server block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ServerLabels {
    pub(crate) server: String,
    pub(crate) zone: String,
    pub(crate) view: &'static str,
}

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) server: String,
    pub(crate) zone: String,
    pub(crate) view: &'static str,
    pub(crate) proto: &'static str,
    pub(crate) family: &'static str,
    pub(crate) r#type: String,
}

/// Labels of sizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SizeLabels {
    pub(crate) server: String,
    pub(crate) zone: String,
    pub(crate) view: &'static str,
    pub(crate) proto: &'static str,
}

/// Labels of a response.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResponseLabels {
    pub(crate) server: String,
    pub(crate) zone: String,
    pub(crate) view: &'static str,
    pub(crate) rcode: String,
    pub(crate) plugin: &'static str,
}

/// Labels of a plugin in a server block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PluginLabels {
    pub(crate) server: String,
    pub(crate) zone: String,
    pub(crate) view: &'static str,
    pub(crate) name: &'static str,
}

/// Labels of a cache; `type` is success or denial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CacheLabels {
    pub(crate) server: String,
    pub(crate) r#type: &'static str,
    pub(crate) zones: String,
    pub(crate) view: &'static str,
}

/// Labels of all lookups of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CacheZoneLabels {
    pub(crate) server: String,
    pub(crate) zones: String,
    pub(crate) view: &'static str,
}

/// Labels of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct UpstreamLabels {
    pub(crate) proxy_name: &'static str,
    pub(crate) to: String,
}

/// Labels of an exchange with an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ExchangeLabels {
    pub(crate) proxy_name: &'static str,
    pub(crate) to: String,
    pub(crate) rcode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// Everything the service counts.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_seconds: Family<ServerLabels, Histogram>,
    pub(crate) request_bytes: Family<SizeLabels, Histogram>,
    pub(crate) response_bytes: Family<SizeLabels, Histogram>,
    pub(crate) responses: Family<ResponseLabels, Counter>,
    pub(crate) plugin_enabled: Family<PluginLabels, Gauge>,
    pub(crate) cache_entries: Family<CacheLabels, Gauge>,
    pub(crate) cache_hits: Family<CacheLabels, Counter>,
    pub(crate) cache_misses: Family<CacheZoneLabels, Counter>,
    pub(crate) cache_requests: Family<CacheZoneLabels, Counter>,
    pub(crate) cache_evictions: Family<CacheLabels, Counter>,
    pub(crate) exchange_seconds: Family<ExchangeLabels, Histogram>,
    pub(crate) healthcheck_failures: Family<UpstreamLabels, Counter>,
    pub(crate) healthcheck_broken: Counter,
    pub(crate) concurrent_rejects: Counter,
    pub(crate) hosts_entries: Gauge,
    pub(crate) reload_failed: Counter,
    pub(crate) records: Gauge,
    pub(crate) stream_restarts: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            request_bytes: Family::new_with_constructor(bytes),
            response_bytes: Family::new_with_constructor(bytes),
            responses: Family::default(),
            plugin_enabled: Family::default(),
            cache_entries: Family::default(),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
            cache_requests: Family::default(),
            cache_evictions: Family::default(),
            exchange_seconds: Family::new_with_constructor(seconds),
            healthcheck_failures: Family::default(),
            healthcheck_broken: Counter::default(),
            concurrent_rejects: Counter::default(),
            hosts_entries: Gauge::default(),
            reload_failed: Counter::default(),
            records: Gauge::default(),
            stream_restarts: Counter::default(),
        }
    }
}

impl Metrics {
    /// Metrics that are part of `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels {
                version: chassis::VERSION,
            })
            .set(1);
        registry.register("coredns_build_info", "The running version", build);
        registry.register(
            "coredns_dns_requests",
            "Requests per zone, protocol, family and type",
            metrics.requests.clone(),
        );
        registry.register(
            "coredns_dns_request_duration_seconds",
            "Time to answer",
            metrics.request_seconds.clone(),
        );
        registry.register(
            "coredns_dns_request_size_bytes",
            "Size of requests",
            metrics.request_bytes.clone(),
        );
        registry.register(
            "coredns_dns_response_size_bytes",
            "Size of responses",
            metrics.response_bytes.clone(),
        );
        registry.register(
            "coredns_dns_responses",
            "Responses per zone, code and plugin",
            metrics.responses.clone(),
        );
        registry.register(
            "coredns_plugin_enabled",
            "Plugins of each server block",
            metrics.plugin_enabled.clone(),
        );
        registry.register(
            "coredns_cache_entries",
            "Messages in the cache",
            metrics.cache_entries.clone(),
        );
        registry.register(
            "coredns_cache_hits",
            "Answers from the cache",
            metrics.cache_hits.clone(),
        );
        registry.register(
            "coredns_cache_misses",
            "Lookups the cache had no answer for",
            metrics.cache_misses.clone(),
        );
        registry.register(
            "coredns_cache_requests",
            "Lookups in the cache",
            metrics.cache_requests.clone(),
        );
        registry.register(
            "coredns_cache_evictions",
            "Messages that made room in the cache",
            metrics.cache_evictions.clone(),
        );
        registry.register(
            "coredns_proxy_request_duration_seconds",
            "Time upstreams took",
            metrics.exchange_seconds.clone(),
        );
        registry.register(
            "coredns_proxy_healthcheck_failures",
            "Failed health checks",
            metrics.healthcheck_failures.clone(),
        );
        registry.register(
            "coredns_forward_healthcheck_broken",
            "Requests without a healthy upstream",
            metrics.healthcheck_broken.clone(),
        );
        registry.register(
            "coredns_forward_max_concurrent_rejects",
            "Requests over max_concurrent",
            metrics.concurrent_rejects.clone(),
        );
        registry.register(
            "coredns_hosts_entries",
            "Names and addresses of hosts files",
            metrics.hosts_entries.clone(),
        );
        registry.register(
            "coredns_reload_failed",
            "Corefiles that could not be used",
            metrics.reload_failed.clone(),
        );
        registry.register(
            "dns_records",
            "Services, pods and namespaces known from the record stream",
            metrics.records.clone(),
        );
        registry.register(
            "dns_record_stream_restarts",
            "Record streams that ended",
            metrics.stream_restarts.clone(),
        );
        metrics
    }
}
