//! Health and metrics over HTTP, with the paths and texts of kube-apiserver's `/livez` and `/readyz`.

use crate::health::Health;
use crate::http::{Answer, Handler};
use crate::metrics::Metrics;
use hyper::StatusCode;
use std::sync::Arc;

/// Serves /healthz, /livez, /readyz, /readyz/GATE (with `?verbose` and `?exclude=GATE`) and /metrics.
pub(crate) fn handler(health: Health, metrics: Metrics) -> Handler {
    Arc::new(move |path, query| match path {
        "/metrics" => Answer::metrics(&metrics),
        "/livez" | "/healthz" if has_flag(query, "verbose") => {
            Answer::text(StatusCode::OK, format!("[+]ping ok\n{} check passed\n", &path[1..]))
        }
        "/livez" | "/healthz" => Answer::text(StatusCode::OK, "ok"),
        "/readyz" => readyz(&health, query),
        _ => match path.strip_prefix("/readyz/") {
            Some(gate) => one_gate(&health, gate),
            None => Answer::not_found(),
        },
    })
}

fn readyz(health: &Health, query: &str) -> Answer {
    let excluded: Vec<&str> = parameters(query)
        .filter(|(key, _)| *key == "exclude")
        .map(|(_, value)| value)
        .collect();
    let report = health.report(&excluded);
    match report.is_ready() {
        true if has_flag(query, "verbose") => Answer::text(StatusCode::OK, report.verbose("readyz")),
        true => Answer::text(StatusCode::OK, "ok"),
        false => Answer::text(StatusCode::SERVICE_UNAVAILABLE, report.verbose("readyz")),
    }
}

fn one_gate(health: &Health, name: &str) -> Answer {
    match health.report(&[]).checks.into_iter().find(|(gate, _)| gate == name) {
        Some((_, None)) => Answer::text(StatusCode::OK, "ok"),
        Some((_, Some(why))) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{name} failed: {why}\n")),
        None => Answer::not_found(),
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn has_flag(query: &str, flag: &str) -> bool {
    parameters(query).any(|(key, value)| key == flag && value != "false" && value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_answer_as_kube_apiserver_does() {
        let health = Health::default();
        let handler = handler(health.clone(), Metrics::default());
        health.gate("storage").not_ready("no answer");
        for (path, query, status, body) in [
            ("/livez", "", 200, "ok"),
            ("/healthz", "verbose", 200, "[+]ping ok\nhealthz check passed\n"),
            (
                "/readyz",
                "",
                503,
                "[-]storage failed: no answer\nreadyz check failed\n",
            ),
            ("/readyz", "exclude=storage", 200, "ok"),
            ("/readyz", "verbose&exclude=storage", 200, "readyz check passed\n"),
            ("/readyz/storage", "", 503, "storage failed: no answer\n"),
            ("/readyz/other", "", 404, "404 page not found\n"),
            ("/", "", 404, "404 page not found\n"),
        ] {
            let answer = handler(path, query);
            assert_eq!(
                (answer.status.as_u16(), answer.body.as_str()),
                (status, body),
                "{path}?{query}"
            );
        }
        health.gate("storage").ready();
        assert_eq!(
            handler("/readyz", "verbose").body,
            "[+]storage ok\nreadyz check passed\n"
        );
        assert!(handler("/metrics", "").body.contains("process_start_time_seconds"));
    }
}
