//! What is counted about webhooks, under upstream's names (k8s.io/apiserver `pkg/admission/metrics`).

use crate::admission::Operation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::time::Duration;

/// Codes beyond this are counted as this: a webhook may answer anything.
const MAX_CODE: u16 = 600;

/// What a webhook may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Mutating => "admit",
            Kind::Validating => "validating",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u16,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailOpenLabels {
    name: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExclusionLabels {
    name: String,
    kind: &'static str,
    r#type: &'static str,
    operation: &'static str,
}

/// All webhooks. Two counters have names that do not end as OpenMetrics wants it of counters; they are gauges here, which
/// keep them.
pub(super) struct Metrics {
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    requests: Family<RequestLabels, Counter>,
    rejections: Family<RejectionLabels, Gauge>,
    fail_open: Family<FailOpenLabels, Gauge>,
    exclusions: Family<ExclusionLabels, Counter>,
}

/// One webhook and what is asked of it.
pub(super) struct Calls<'a> {
    metrics: &'a Metrics,
    kind: Kind,
    name: &'a str,
    operation: Operation,
}

impl Metrics {
    pub(super) fn new(registry: &chassis::Metrics) -> Self {
        let metrics = Metrics {
            durations: Family::new_with_constructor(|| Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0])),
            requests: Family::default(),
            rejections: Family::default(),
            fail_open: Family::default(),
            exclusions: Family::default(),
        };
        registry.register(|registry| {
            let help = "How long webhooks took, in seconds.";
            let name = "apiserver_admission_webhook_admission_duration_seconds";
            registry.register(name, help, metrics.durations.clone());
            let help = "Calls of webhooks by how they ended.";
            registry.register("apiserver_admission_webhook_request", help, metrics.requests.clone());
            let help = "Requests that webhooks stood in the way of.";
            let name = "apiserver_admission_webhook_rejection_count";
            registry.register(name, help, metrics.rejections.clone());
            let help = "Calls of webhooks that failed and were passed over.";
            let name = "apiserver_admission_webhook_fail_open_count";
            registry.register(name, help, metrics.fail_open.clone());
            let help = "Webhooks that were not called because of their match conditions.";
            let name = "apiserver_admission_match_condition_exclusions";
            registry.register(name, help, metrics.exclusions.clone());
        });
        metrics
    }

    pub(super) fn of<'a>(&'a self, kind: Kind, name: &'a str, operation: Operation) -> Calls<'a> {
        Calls {
            metrics: self,
            kind,
            name,
            operation,
        }
    }

    /// The match conditions of a webhook did not hold.
    pub(super) fn excluded(&self, kind: Kind, name: &str, operation: Operation) {
        let labels = ExclusionLabels {
            name: name.to_owned(),
            kind: "webhook",
            r#type: kind.as_str(),
            operation: operation.as_str(),
        };
        self.exclusions.get_or_create(&labels).inc();
    }
}

impl Calls<'_> {
    /// A call ended.
    pub(super) fn ended(&self, took: Duration, code: u16, rejected: bool) {
        let rejected = if rejected { "true" } else { "false" };
        let labels = RequestLabels {
            name: self.name.to_owned(),
            r#type: self.kind.as_str(),
            operation: self.operation.as_str(),
            code: code.min(MAX_CODE),
            rejected,
        };
        self.metrics.requests.get_or_create(&labels).inc();
        let labels = DurationLabels {
            name: labels.name,
            r#type: labels.r#type,
            operation: labels.operation,
            rejected,
        };
        self.metrics
            .durations
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// The request is refused.
    pub(super) fn refused(&self, code: u16, error_type: &'static str) {
        let labels = RejectionLabels {
            name: self.name.to_owned(),
            r#type: self.kind.as_str(),
            operation: self.operation.as_str(),
            error_type,
            rejection_code: code.min(MAX_CODE),
        };
        self.metrics.rejections.get_or_create(&labels).inc();
    }

    /// The failure of the call is passed over.
    pub(super) fn passed_over(&self) {
        let labels = FailOpenLabels {
            name: self.name.to_owned(),
            r#type: self.kind.as_str(),
        };
        self.metrics.fail_open.get_or_create(&labels).inc();
    }
}
