//! How available APIServices are, for whoever scrapes (kube-aggregator `pkg/controllers/status/metrics`).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Marked {
    name: String,
    reason: &'static str,
}

/// Which APIServices are unavailable, and how often they became so.
#[derive(Clone, Default)]
pub struct Availability {
    unavailable: Family<Named, Gauge>,
    marked: Family<Marked, Counter>,
}

impl Availability {
    /// Registers both.
    pub fn new(registry: &chassis::Metrics) -> Self {
        let metrics = Self::default();
        registry.register(|registry| {
            let help = "Whether an APIService is unavailable, by name.";
            registry.register("aggregator_unavailable_apiservice", help, metrics.unavailable.clone());
            // The registry ends the name with _total.
            let help = "How often an APIService became unavailable, by name and reason.";
            registry.register("aggregator_unavailable_apiservice", help, metrics.marked.clone());
        });
        metrics
    }

    /// Whether an APIService was found to be available.
    pub fn set(&self, name: &str, available: bool) {
        let labels = Named { name: name.to_owned() };
        self.unavailable.get_or_create(&labels).set(i64::from(!available));
    }

    /// An APIService that was available is marked as unavailable, for this reason.
    pub fn count(&self, name: &str, reason: &'static str) {
        let name = name.to_owned();
        self.marked.get_or_create(&Marked { name, reason }).inc();
    }

    /// There are none any more.
    pub(super) fn clear(&self) {
        self.unavailable.clear();
    }

    /// An APIService is no more.
    pub(super) fn forget(&self, name: &str) {
        self.unavailable.remove(&Named { name: name.to_owned() });
    }
}
