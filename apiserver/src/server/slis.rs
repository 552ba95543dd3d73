//! `/metrics/slis`: what the health checks said so far (component-base `metrics/prometheus/slis`).

use super::request::{Body, full};
use http::{HeaderValue, Response, header};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The path.
pub(super) const PATH: &str = "/metrics/slis";
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
const START_HEADER: &str = "process-start-time-unix";

/// How often a check succeeded and failed.
#[derive(Default)]
struct Count {
    healthy: bool,
    successes: u64,
    errors: u64,
}

/// Counts what health checks say.
pub(super) struct Slis {
    /// In seconds since 1970.
    started: f64,
    /// By name of the check and endpoint.
    counts: Mutex<BTreeMap<(String, String), Count>>,
}

impl Slis {
    pub(super) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Slis {
            started: started.as_secs_f64(),
            counts: Mutex::default(),
        }
    }

    /// Counts one answer of a check.
    pub(super) fn observe(&self, check: &str, endpoint: &str, healthy: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((check.to_owned(), endpoint.to_owned())).or_default();
        count.healthy = healthy;
        let counter = if healthy {
            &mut count.successes
        } else {
            &mut count.errors
        };
        *counter += 1;
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let mut response = Response::new(full(self.text()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Ok(started) = HeaderValue::from_str(&format!("{:.0}", self.started)) {
            headers.insert(START_HEADER, started);
        }
        response
    }

    fn text(&self) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut last, mut total) = (String::new(), String::new());
        for ((name, endpoint), count) in counts.iter() {
            let labels = |status: &str| format!("name=\"{name}\",{status}type=\"{endpoint}\"");
            // Writing to a String cannot fail.
            let _ = writeln!(
                last,
                "kubernetes_healthcheck{{{}}} {}",
                labels(""),
                u8::from(count.healthy)
            );
            for (status, times) in [("error", count.errors), ("success", count.successes)] {
                if times > 0 {
                    let labels = labels(&format!("status=\"{status}\","));
                    let _ = writeln!(total, "kubernetes_healthchecks_total{{{labels}}} {times}");
                }
            }
        }
        let mut text = String::new();
        let started = format!("process_start_time_seconds {}\n", self.started);
        for (name, kind, help, samples) in [
            (
                "kubernetes_healthcheck",
                "gauge",
                "[STABLE] What a health check said last.",
                last,
            ),
            (
                "kubernetes_healthchecks_total",
                "counter",
                "[STABLE] What health checks said.",
                total,
            ),
            (
                "process_start_time_seconds",
                "gauge",
                "[ALPHA] When the process started, in seconds since 1970.",
                started,
            ),
        ] {
            if !samples.is_empty() {
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_checks_are_counted() {
        let slis = Slis::new();
        for healthy in [false, true, true] {
            slis.observe("ping", "readyz", healthy);
        }
        slis.observe("log", "livez", true);
        let text = slis.text();
        let expected = "# TYPE kubernetes_healthcheck gauge\n\
            kubernetes_healthcheck{name=\"log\",type=\"livez\"} 1\n\
            kubernetes_healthcheck{name=\"ping\",type=\"readyz\"} 1\n";
        assert!(text.contains(expected), "{text}");
        let expected = "# TYPE kubernetes_healthchecks_total counter\n\
            kubernetes_healthchecks_total{name=\"log\",status=\"success\",type=\"livez\"} 1\n\
            kubernetes_healthchecks_total{name=\"ping\",status=\"error\",type=\"readyz\"} 1\n\
            kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"readyz\"} 2\n";
        assert!(text.contains(expected), "{text}");
    }
}
