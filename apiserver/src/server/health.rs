//! `/healthz`, `/livez` and `/readyz` on the secure port (k8s.io/apiserver `pkg/server/healthz`).

use super::request::{Body, text_response};
use crate::filters::request_info::query_pairs;
use chassis::{Health, Report};
use http::{Response, StatusCode, header};

/// Gates whose failure means that the process itself is broken. Everything else may become good by waiting, so that a
/// restart would not help.
const LIVENESS: [&str; 1] = ["ping"];

/// Answers health checks from the readiness gates.
pub struct HealthChecks {
    health: Health,
}

impl HealthChecks {
    /// Checks all gates of `health`, and that requests are answered at all (`ping`).
    pub fn new(health: Health) -> Self {
        health.gate("ping").ready();
        HealthChecks { health }
    }

    /// The answer for a health path; `None` for other paths.
    pub fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        let mut segments = path.trim_matches('/').split('/');
        let endpoint = segments
            .next()
            .filter(|endpoint| matches!(*endpoint, "healthz" | "livez" | "readyz"))?;
        let single = segments.next();
        if segments.next().is_some() {
            return None;
        }
        let excluded: Vec<String> = query_pairs(query)
            .filter(|(key, _)| key == "exclude")
            .map(|(_, value)| value)
            .collect();
        let excluded: Vec<&str> = excluded.iter().map(String::as_str).collect();
        let mut report = self.health.report(&excluded);
        if endpoint == "livez" {
            report.checks.retain(|(name, _)| LIVENESS.contains(&name.as_str()));
        }
        match single {
            None => Some(overall(
                endpoint,
                &report,
                query_pairs(query).any(|(key, _)| key == "verbose"),
            )),
            Some(name) => {
                let (_, failure) = report.checks.into_iter().find(|(check, _)| check == name)?;
                Some(match failure {
                    None => {
                        let mut response = text_response(StatusCode::OK, "ok");
                        // Upstream's handlers of single checks leave this one out.
                        response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
                        response
                    }
                    Some(why) => text_response(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        format!("internal server error: {why}\n"),
                    ),
                })
            }
        }
    }
}

fn overall(endpoint: &str, report: &Report, verbose: bool) -> Response<Body> {
    match (report.is_ready(), verbose) {
        (true, false) => text_response(StatusCode::OK, "ok"),
        (true, true) => text_response(StatusCode::OK, report.verbose(endpoint)),
        (false, _) => text_response(StatusCode::INTERNAL_SERVER_ERROR, report.verbose(endpoint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn get(checks: &HealthChecks, path: &str, query: &str) -> Option<(u16, String)> {
        let response = checks.answer(path, query)?;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Some((code, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn checks_follow_the_gates() {
        let health = Health::default();
        let etcd = health.gate("etcd");
        let checks = HealthChecks::new(health);
        let ok = Some((200, "ok".to_owned()));
        assert_eq!(get(&checks, "/livez", "").await, ok);
        let failed = "[-]etcd failed: starting\n[+]ping ok\nreadyz check failed\n";
        assert_eq!(get(&checks, "/readyz", "").await, Some((500, failed.to_owned())));
        assert_eq!(get(&checks, "/readyz", "exclude=etcd").await, ok);
        assert_eq!(
            get(&checks, "/readyz/etcd", "").await,
            Some((500, "internal server error: starting\n".to_owned()))
        );
        etcd.ready();
        assert_eq!(get(&checks, "/readyz", "").await, ok);
        let verbose = "[+]etcd ok\n[+]ping ok\nhealthz check passed\n";
        assert_eq!(
            get(&checks, "/healthz", "verbose").await,
            Some((200, verbose.to_owned()))
        );
        assert_eq!(get(&checks, "/readyz/ping", "").await, ok);
        assert_eq!(get(&checks, "/readyz/nope", "").await, None);
        assert_eq!(get(&checks, "/readyz/ping/x", "").await, None);
        assert_eq!(get(&checks, "/api", "").await, None);
    }
}
