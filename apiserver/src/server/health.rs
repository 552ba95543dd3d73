//! `/healthz`, `/livez` and `/readyz` on the secure port (k8s.io/apiserver `pkg/server/healthz`): upstream's checks, each
//! answered by the readiness gate that stands for it here.

use super::request::{Body, text_response};
use super::slis::{self, Slis};
use crate::filters::request_info::query_pairs;
use chassis::{CancellationToken, Health};
use http::{Response, StatusCode, header};
use std::fmt::Write;

/// The endpoints that have a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    All,
    /// Not `/readyz`.
    Life,
    /// Only `/readyz`.
    Readiness,
}

/// What stands for a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// That a request is answered at all.
    Answer,
    /// The gate of this name.
    Gate(&'static str),
    /// That the server does not drain.
    Staying,
}

const STORE: Stands = Stands::Gate("etcd");
const BOOTSTRAP: Stands = Stands::Gate("bootstrap");

/// The checks in the order of upstream's reports.
const CHECKS: [(&str, On, Stands); 37] = [
    ("ping", On::All, Stands::Answer),
    ("log", On::All, Stands::Answer),
    ("loopback-serving-certificate", On::Life, Stands::Answer),
    ("etcd", On::All, STORE),
    ("etcd-readiness", On::Readiness, STORE),
    ("informer-sync", On::Readiness, STORE),
    (
        "poststarthook/start-apiserver-admission-initializer",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/generic-apiserver-start-informers", On::All, STORE),
    (
        "poststarthook/priority-and-fairness-config-consumer",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/priority-and-fairness-filter", On::All, Stands::Answer),
    (
        "poststarthook/storage-object-count-tracker-hook",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/start-apiextensions-informers", On::All, STORE),
    ("poststarthook/start-apiextensions-controllers", On::All, Stands::Answer),
    ("poststarthook/crd-informer-synced", On::All, STORE),
    ("poststarthook/start-system-namespaces-controller", On::All, BOOTSTRAP),
    (
        "poststarthook/peer-endpoint-reconciler-controller",
        On::All,
        Stands::Answer,
    ),
    (
        "poststarthook/start-cluster-authentication-info-controller",
        On::All,
        Stands::Answer,
    ),
    (
        "poststarthook/start-kube-apiserver-identity-lease-controller",
        On::All,
        Stands::Answer,
    ),
    (
        "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/storage-readiness", On::All, STORE),
    (
        "poststarthook/start-legacy-token-tracking-controller",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/start-service-ip-repair-controllers", On::All, BOOTSTRAP),
    ("poststarthook/rbac/bootstrap-roles", On::All, BOOTSTRAP),
    (
        "poststarthook/scheduling/bootstrap-system-priority-classes",
        On::All,
        BOOTSTRAP,
    ),
    (
        "poststarthook/priority-and-fairness-config-producer",
        On::All,
        BOOTSTRAP,
    ),
    ("poststarthook/bootstrap-controller", On::All, BOOTSTRAP),
    (
        "poststarthook/start-kubernetes-service-cidr-controller",
        On::All,
        BOOTSTRAP,
    ),
    ("poststarthook/start-kube-aggregator-informers", On::All, STORE),
    (
        "poststarthook/apiservice-status-local-available-controller",
        On::All,
        Stands::Answer,
    ),
    (
        "poststarthook/apiservice-status-remote-available-controller",
        On::All,
        Stands::Answer,
    ),
    (
        "poststarthook/apiservice-registration-controller",
        On::All,
        Stands::Answer,
    ),
    ("poststarthook/apiservice-discovery-controller", On::All, Stands::Answer),
    ("poststarthook/kube-apiserver-autoregistration", On::All, BOOTSTRAP),
    ("autoregister-completion", On::All, BOOTSTRAP),
    ("poststarthook/apiservice-openapi-controller", On::All, Stands::Answer),
    ("poststarthook/apiservice-openapiv3-controller", On::All, Stands::Answer),
    ("shutdown", On::Readiness, Stands::Staying),
];
const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// The paths of all checks.
pub fn paths() -> impl Iterator<Item = String> {
    ENDPOINTS.into_iter().flat_map(|endpoint| {
        let single = CHECKS.iter().filter(move |(_, on, _)| has(endpoint, *on));
        let single = single.map(move |(name, _, _)| format!("/{endpoint}/{name}"));
        std::iter::once(format!("/{endpoint}")).chain(single)
    })
}

fn has(endpoint: &str, on: On) -> bool {
    match on {
        On::All => true,
        On::Life => endpoint != "readyz",
        On::Readiness => endpoint == "readyz",
    }
}

/// Answers health checks from the readiness gates.
pub struct HealthChecks {
    health: Health,
    draining: CancellationToken,
    slis: Slis,
}

/// A check and why it fails.
type Outcome = (String, Option<String>);

impl HealthChecks {
    /// Checks all gates of `health`, that requests are answered at all, and that the server does not drain.
    pub fn new(health: Health, draining: CancellationToken) -> Self {
        HealthChecks {
            health,
            draining,
            slis: Slis::new(),
        }
    }

    /// The answer for a health path and for what is counted of them, whatever the method; `None` for other paths.
    pub fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        if path == slis::PATH {
            return Some(self.slis.answer());
        }
        let rest = path.strip_prefix('/')?;
        let (endpoint, single) = rest.split_once('/').unwrap_or((rest, ""));
        (ENDPOINTS.contains(&endpoint) && !rest.ends_with('/')).then_some(())?;
        let outcomes = self.outcomes(endpoint);
        if !single.is_empty() {
            let (_, failure) = outcomes.into_iter().find(|(check, _)| check == single)?;
            return Some(alone(failure));
        }
        let excluded: Vec<String> = query_pairs(query)
            .filter(|(key, _)| key == "exclude")
            .map(|(_, value)| value)
            .collect();
        let verbose = query_pairs(query).any(|(key, _)| key == "verbose");
        for (name, failure) in outcomes.iter().filter(|(name, _)| !excluded.contains(name)) {
            self.slis.observe(name, endpoint, failure.is_none());
            if let Some(why) = failure {
                tracing::debug!(check = name, endpoint, why, "health check failed");
            }
        }
        Some(overall(endpoint, outcomes, excluded, verbose))
    }

    /// All checks of an endpoint. Gates that stand for no check of upstream's show themselves when they fail.
    fn outcomes(&self, endpoint: &str) -> Vec<Outcome> {
        let gates = self.health.report(&[]).checks;
        let why = |stands: Stands| match stands {
            Stands::Answer => None,
            Stands::Staying => self
                .draining
                .is_cancelled()
                .then(|| "process is shutting down".to_owned()),
            Stands::Gate(name) => gates
                .iter()
                .find(|(gate, _)| gate == name)
                .and_then(|(_, why)| why.clone()),
        };
        let checks = CHECKS.iter().filter(|(_, on, _)| has(endpoint, *on));
        let mut outcomes: Vec<Outcome> = checks
            .map(|(name, _, stands)| ((*name).to_owned(), why(*stands)))
            .collect();
        let stood_for = |gate: &str| {
            CHECKS
                .iter()
                .any(|(_, _, stands)| matches!(stands, Stands::Gate(name) if *name == gate))
        };
        if endpoint == "readyz" {
            outcomes.extend(
                gates
                    .into_iter()
                    .filter(|(gate, why)| why.is_some() && !stood_for(gate)),
            );
        }
        outcomes
    }
}

/// The answer of a single check. Upstream's handlers of these leave `nosniff` out when all is well.
fn alone(failure: Option<String>) -> Response<Body> {
    match failure {
        None => {
            let mut response = text_response(StatusCode::OK, "ok");
            response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
            response
        }
        Some(why) => text_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal server error: {why}\n"),
        ),
    }
}

fn overall(endpoint: &str, outcomes: Vec<Outcome>, mut excluded: Vec<String>, verbose: bool) -> Response<Body> {
    let (mut text, mut failed) = (String::new(), false);
    for (name, failure) in outcomes {
        let skipped = excluded.contains(&name);
        excluded.retain(|excluded| *excluded != name);
        failed |= failure.is_some() && !skipped;
        // Writing to a String cannot fail.
        let _ = match failure {
            _ if skipped => writeln!(text, "[+]{name} excluded: ok"),
            None => writeln!(text, "[+]{name} ok"),
            // Everybody may ask, so that the reason stays in the log.
            Some(_) => writeln!(text, "[-]{name} failed: reason withheld"),
        };
    }
    if !excluded.is_empty() {
        excluded.sort();
        let quoted: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let _ = writeln!(
            text,
            "warn: some health checks cannot be excluded: no matches for {}",
            quoted.join(",")
        );
    }
    let _ = writeln!(text, "{endpoint} check {}", if failed { "failed" } else { "passed" });
    match (failed, verbose) {
        (false, false) => text_response(StatusCode::OK, "ok"),
        (false, true) => text_response(StatusCode::OK, text),
        (true, _) => text_response(StatusCode::INTERNAL_SERVER_ERROR, text),
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
        let (health, draining) = (Health::default(), CancellationToken::new());
        let (etcd, other) = (health.gate("etcd"), health.gate("other"));
        let checks = HealthChecks::new(health, draining.clone());
        let ok = Some((200, "ok".to_owned()));
        let (code, text) = get(&checks, "/readyz", "").await.unwrap();
        assert_eq!(code, 500);
        for line in [
            "[+]ping ok\n",
            "[-]etcd failed: reason withheld\n",
            "[-]other failed: reason withheld\n",
            "\nreadyz check failed\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert_eq!(
            get(&checks, "/readyz/etcd", "").await,
            Some((500, "internal server error: starting\n".to_owned()))
        );
        other.ready();
        assert_eq!(
            get(&checks, "/readyz", "exclude=etcd").await.unwrap().0,
            500,
            "hooks of the store fail, too"
        );
        etcd.ready();
        for path in [
            "/readyz",
            "/livez",
            "/healthz",
            "/readyz/ping",
            "/livez/poststarthook/rbac/bootstrap-roles",
        ] {
            assert_eq!(get(&checks, path, "").await, ok, "{path}");
        }
        for path in [
            "/readyz/nope",
            "/readyz/ping/x",
            "/api",
            "/readyz/loopback-serving-certificate",
            "/livez/shutdown",
        ] {
            assert_eq!(get(&checks, path, "").await, None, "{path}");
        }
        let (_, text) = get(&checks, "/livez", "verbose&exclude=ping&exclude=nope")
            .await
            .unwrap();
        assert!(text.starts_with("[+]ping excluded: ok\n[+]log ok\n"), "{text}");
        assert!(
            text.ends_with(
                "warn: some health checks cannot be excluded: no matches for \"nope\"\nlivez check passed\n"
            )
        );
        draining.cancel();
        assert_eq!(get(&checks, "/readyz", "").await.unwrap().0, 500);
        assert_eq!(get(&checks, "/livez", "").await, ok);
    }

    #[test]
    fn every_check_has_a_path() {
        let paths: Vec<String> = paths().collect();
        for path in ["/healthz", "/readyz/shutdown", "/livez/autoregister-completion"] {
            assert!(paths.iter().any(|known| known == path), "{path}");
        }
        assert!(!paths.iter().any(|known| known == "/livez/shutdown"));
    }
}
