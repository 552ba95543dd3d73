//! What the server counts, under upstream's names (k8s.io/apiserver `endpoints/metrics/metrics.go`).

use crate::filters::request_info::{RequestInfo, query_pairs};
use crate::server::request::{Body, full};
use http::{HeaderValue, Request, Response, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::time::Instant;

/// The media type of the exposition.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The one component of this server.
const COMPONENT: &str = "apiserver";

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: String,
    dry_run: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    component: String,
    code: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    component: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    request_kind: &'static str,
}

/// Counts requests.
#[derive(Clone)]
pub struct RequestMetrics {
    registry: chassis::Metrics,
    total: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<KindLabel, Gauge>,
}

/// A request that is being answered.
pub struct Observed {
    start: Instant,
    apply: bool,
    dry_run: bool,
}

impl RequestMetrics {
    /// Registers everything.
    pub fn new(registry: chassis::Metrics) -> Self {
        let metrics = RequestMetrics {
            total: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 4.0, 10.0, 30.0, 60.0])
            }),
            in_flight: Family::default(),
            registry,
        };
        metrics.registry.register(|registry| {
            registry.register(
                "apiserver_request",
                "Requests by what they ask for and how they ended.",
                metrics.total.clone(),
            );
            let help = "Time until the answer begins, in seconds, for requests that are not long-running.";
            registry.register("apiserver_request_duration_seconds", help, metrics.durations.clone());
            let help = "Running requests that are not long-running.";
            registry.register("apiserver_current_inflight_requests", help, metrics.in_flight.clone());
        });
        metrics
    }

    /// The gauges of running requests: reading ones and writing ones.
    pub fn in_flight(&self) -> (Gauge, Gauge) {
        let gauge = |request_kind| self.in_flight.get_or_create(&KindLabel { request_kind }).clone();
        (gauge("readOnly"), gauge("mutating"))
    }

    /// Starts the clock.
    pub fn begin<B>(&self, request: &Request<B>) -> Observed {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let dry_run = query_pairs(request.uri().query().unwrap_or_default()).any(|(key, _)| key == "dryRun");
        Observed {
            start: Instant::now(),
            apply: content_type.starts_with(b"application/apply-patch+"),
            dry_run,
        }
    }

    /// Counts the answer. Coordinates of requests that were refused before any endpoint knew them are left out: they
    /// could be anything, and every distinct label costs memory.
    pub fn end(&self, observed: Observed, info: &RequestInfo, refused: bool, code: StatusCode) {
        let known = !refused && code != StatusCode::NOT_FOUND;
        let coordinate = |text: &str| if known { text.to_owned() } else { String::new() };
        let labels = DurationLabels {
            verb: verb(info, observed.apply),
            group: coordinate(&info.group),
            version: coordinate(&info.version),
            resource: coordinate(&info.resource),
            subresource: coordinate(if info.is_resource || !known {
                &info.subresource
            } else {
                &info.path
            }),
            scope: scope(info).to_owned(),
            component: COMPONENT.to_owned(),
        };
        if !info.is_long_running() {
            self.durations
                .get_or_create(&labels)
                .observe(observed.start.elapsed().as_secs_f64());
        }
        let DurationLabels {
            verb,
            group,
            version,
            resource,
            subresource,
            scope,
            component,
        } = labels;
        let dry_run = if observed.dry_run {
            "All".to_owned()
        } else {
            String::new()
        };
        let code = code.as_u16();
        let labels = RequestLabels {
            verb,
            dry_run,
            group,
            version,
            resource,
            subresource,
            scope,
            component,
            code,
        };
        self.total.get_or_create(&labels).inc();
    }

    /// The answer for `/metrics`; `None` for other paths.
    pub fn answer(&self, path: &str) -> Option<Response<Body>> {
        if path != "/metrics" {
            return None;
        }
        let mut response = Response::new(full(self.registry.encode()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
        Some(response)
    }
}

/// Upstream's names of the verbs in metrics.
fn verb(info: &RequestInfo, apply: bool) -> String {
    match info.verb.as_str() {
        _ if matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy") => "CONNECT",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if apply => "APPLY",
        "patch" => "PATCH",
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
    .to_owned()
}

fn scope(info: &RequestInfo) -> &'static str {
    match (info.is_resource, info.name.is_empty(), info.namespace.is_empty()) {
        (false, ..) => "",
        (true, false, _) => "resource",
        (true, true, false) => "namespace",
        (true, true, true) => "cluster",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_are_counted_by_what_they_ask_for() {
        let metrics = RequestMetrics::new(chassis::Metrics::default());
        let path = "/apis/apps/v1/namespaces/n/deployments/d";
        let request = Request::patch(format!("{path}?dryRun=All"))
            .header("content-type", "application/apply-patch+yaml")
            .body(())
            .unwrap();
        let info = RequestInfo::parse(&Method::PATCH, path, None).unwrap();
        metrics.end(metrics.begin(&request), &info, false, StatusCode::OK);
        metrics.end(metrics.begin(&request), &info, true, StatusCode::FORBIDDEN);
        let text = metrics.registry.encode();
        let counted = r#"apiserver_request_total{verb="APPLY",dry_run="All",group="apps",version="v1",resource="deployments",subresource="",scope="resource",component="apiserver",code="200"} 1"#;
        assert!(text.contains(counted), "{text}");
        let refused = r#"verb="APPLY",dry_run="All",group="",version="",resource="",subresource="",scope="resource",component="apiserver",code="403"} 1"#;
        assert!(text.contains(refused), "{text}");
        assert!(text.contains("apiserver_request_duration_seconds_count"), "{text}");
    }
}
