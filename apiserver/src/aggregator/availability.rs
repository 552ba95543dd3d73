//! Whether what an APIService announces can be reached (kube-aggregator `pkg/controllers/status/remote`).

use super::{Aggregator, Backend};
use crate::webhook::endpoints;
use machinery::meta;
use serde_json::Value;
use std::time::Duration;

/// The condition that says it.
pub const AVAILABLE: &str = "Available";
/// How often a Service is asked before it counts as silent: each time another of its endpoints may answer.
const ATTEMPTS: usize = 5;
/// The first and the longest pause before a silent Service is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How often one that answers is asked: the network may fail without any object telling of it.
pub const RECHECK: Duration = Duration::from_secs(30);

/// The state of a condition, its reason and what to say.
pub type Verdict = (&'static str, &'static str, String);

impl Aggregator {
    /// Looks at the Service of a backend and asks it.
    pub async fn judge(&self, backend: &Backend) -> Verdict {
        let place = &backend.spec.place;
        let at = format!("service/{} in {:?}", place.name, place.namespace);
        let (service, slices) = match self.services.find(&place.reference(), true).await {
            Ok(found) => found,
            Err(why) => {
                let message = format!("{at} cannot be checked due to: {why}");
                return ("Unknown", "ServiceAccessError", message);
            }
        };
        if let Err((reason, message)) = check(&at, service.as_ref(), &slices, place.port) {
            return ("False", reason, message);
        }
        match self.discovery_check(backend).await {
            Ok(()) => ("True", "Passed", "all checks passed".to_owned()),
            Err(why) => ("False", "FailedDiscoveryCheck", why),
        }
    }

    /// Asks once, and when that fails as often again as it takes, all at once.
    async fn discovery_check(&self, backend: &Backend) -> Result<(), String> {
        let Err(first) = self.answers(backend).await else {
            return Ok(());
        };
        let others = (1..ATTEMPTS).map(|_| Box::pin(self.answers(backend)));
        match futures::future::select_ok(others).await {
            Ok(_) => Ok(()),
            Err(_) => Err(first),
        }
    }

    async fn answers(&self, backend: &Backend) -> Result<(), String> {
        let path = backend.spec.path();
        let (url, answer) = self.ask(backend, &path, &[], true).await;
        if url.is_empty() {
            return answer.map(drop);
        }
        let failed = |why: String| format!("failing or missing response from {url}: {why}");
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(failed(format!("bad status from {url}: {}", answer.status().as_u16()))),
            Err(why) => Err(failed(format!("Get {url:?}: {why}"))),
        }
    }
}

/// When to judge again after so many refusals in a row; `None` when an event will tell.
pub fn pause(verdict: &Verdict, failures: u32) -> Option<Duration> {
    match verdict.1 {
        "Passed" => Some(RECHECK),
        "FailedDiscoveryCheck" | "ServiceAccessError" => {
            let (first, longest) = PAUSES;
            Some(first.saturating_mul(1 << failures.min(20)).min(longest))
        }
        _ => None,
    }
}

/// What the objects say, before anybody is asked.
fn check(at: &str, service: Option<&Value>, slices: &[Value], port: u16) -> Result<(), (&'static str, String)> {
    let Some(service) = service else {
        return Err(("ServiceNotFound", format!("{at} is not present")));
    };
    if endpoints::kind(service) != "ClusterIP" {
        return Ok(());
    }
    let Some(port_name) = endpoints::port_name(service, port) else {
        return Err(("ServicePortError", format!("{at} is not listening on port {port}")));
    };
    if slices.is_empty() {
        return Err(("EndpointsNotFound", format!("cannot find endpointslices for {at}")));
    }
    if !slices.iter().any(|slice| has_endpoint(slice, port_name)) {
        let message = format!("endpointslices for {at} have no addresses with port name {port_name:?}");
        return Err(("MissingEndpoints", message));
    }
    Ok(())
}

fn has_endpoint(slice: &Value, port_name: &str) -> bool {
    let ready = |endpoint: &Value| meta::bool_at(endpoint, &["conditions", "ready"]) != Some(false);
    let port = |port: &Value| meta::str_at(port, &["name"]) == Some(port_name) && port["port"].is_number();
    meta::list_at(slice, &["endpoints"]).iter().any(ready) && meta::list_at(slice, &["ports"]).iter().any(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_named() {
        let service = |port: u16| json!({"spec": {"type": "ClusterIP", "ports": [{"name": "p", "port": port}]}});
        let slice = |ready: bool, port: &str| {
            json!({
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
                "ports": [{"name": port, "port": 8443}],
            })
        };
        let (ready, unready, other) = (slice(true, "p"), slice(false, "p"), slice(true, "q"));
        for (service, slices, expected) in [
            (None, vec![], Some("ServiceNotFound")),
            (Some(service(80)), vec![ready.clone()], Some("ServicePortError")),
            (Some(service(443)), vec![], Some("EndpointsNotFound")),
            (
                Some(service(443)),
                vec![unready.clone(), other],
                Some("MissingEndpoints"),
            ),
            (Some(service(443)), vec![unready, ready], None),
            (Some(json!({"spec": {"type": "ExternalName"}})), vec![], None),
        ] {
            let found = check("service/s in \"n\"", service.as_ref(), &slices, 443);
            assert_eq!(found.err().map(|(reason, _)| reason), expected);
        }
        let (_, message) = check("service/s in \"n\"", None, &[], 443).unwrap_err();
        assert_eq!(message, r#"service/s in "n" is not present"#);
    }

    #[test]
    fn only_what_no_event_tells_is_asked_for_again() {
        let verdict = |reason| ("False", reason, String::new());
        assert_eq!(pause(&verdict("Passed"), 0), Some(RECHECK));
        assert_eq!(pause(&verdict("FailedDiscoveryCheck"), 0), Some(PAUSES.0));
        assert_eq!(pause(&verdict("FailedDiscoveryCheck"), 99), Some(PAUSES.1));
        assert_eq!(pause(&verdict("MissingEndpoints"), 0), None);
    }
}
