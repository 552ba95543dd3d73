//! How available APIServices are, for whoever scrapes (kube-aggregator `pkg/controllers/status/metrics`).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
}

/// Which APIServices are unavailable.
#[derive(Clone, Default)]
pub struct Availability(Family<Named, Gauge>);

impl Availability {
    /// Registers it.
    pub fn new(registry: &chassis::Metrics) -> Self {
        let metrics = Self::default();
        registry.register(|registry| {
            let help = "Whether an APIService is unavailable, by name.";
            registry.register("aggregator_unavailable_apiservice", help, metrics.0.clone());
        });
        metrics
    }

    /// Whether an APIService is available.
    pub(super) fn set(&self, name: &str, available: bool) {
        let labels = Named { name: name.to_owned() };
        self.0.get_or_create(&labels).set(i64::from(!available));
    }

    /// There are none any more.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// An APIService is no more.
    pub(super) fn forget(&self, name: &str) {
        self.0.remove(&Named { name: name.to_owned() });
    }
}
