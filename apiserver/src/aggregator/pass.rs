//! Passing requests on to the backend of their group and version (kube-aggregator `pkg/apiserver/handler_proxy.go`).

use super::{Aggregator, Backend, identity};
use crate::kubelet::is_upgrade;
use crate::proxy::Way;
use crate::server::request::{Body, Peer, RequestContext, discard, full, text_response};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::time::Duration;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Nobody may be impersonated twice.
const IMPERSONATION: &str = "impersonate-";
/// How long a backend may take to tell what it has.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(5);
const UNAVAILABLE: &str = "service unavailable";

impl Aggregator {
    /// Passes a request on. What goes wrong is told in plain text, as upstream does.
    pub async fn pass(&self, backend: &Backend, cx: &RequestContext, request: Request<Incoming>) -> Response<Body> {
        let target = if !backend.is_available() {
            Err((StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE.to_owned()))
        } else {
            match &backend.security {
                Ok(security) => self.target(&backend.spec.place, security.clone()).await.map_err(|why| {
                    tracing::warn!(apiservice = backend.name, why, "no address for an APIService");
                    (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE.to_owned())
                }),
                Err(why) => Err((StatusCode::INTERNAL_SERVER_ERROR, why.clone())),
            }
        };
        let target = match target {
            Ok(target) => target,
            Err((code, why)) => {
                discard(request.into_body()).await;
                return refused(code, &why);
            }
        };
        let client = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
        let way = Way {
            transport: &self.transport,
            tasks: &self.tasks,
            target: &target,
            path: &cx.info.path,
            client: client.as_deref(),
            draining: &cx.draining,
        };
        let mut request = request;
        prepare(request.headers_mut(), cx, &target.authority());
        let answered = async {
            if is_upgrade(request.headers()) {
                let query = request.uri().query().map(str::to_owned);
                return way.upgrade(request, query.as_deref()).await;
            }
            way.forward(request).await.map_err(|status| status.message)
        };
        let answer = if is_discovery(cx) {
            let late = |_| Err("error trying to reach service: context deadline exceeded".to_owned());
            tokio::time::timeout(DISCOVERY_PATIENCE, answered)
                .await
                .unwrap_or_else(late)
        } else {
            answered.await
        };
        match answer {
            Ok(answer) => without_redirect(answer),
            Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }
}

/// The headers that the backend gets: who asks, and under which name it is asked.
fn prepare(headers: &mut HeaderMap, cx: &RequestContext, authority: &str) {
    let impersonation: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(IMPERSONATION))
        .cloned()
        .collect();
    for name in impersonation {
        headers.remove(name);
    }
    identity::set(headers, &cx.user);
    for (name, value) in [(header::HOST, authority), (AUDIT_ID, cx.audit_id.as_str())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Whether a request asks for the resources of a group and version.
fn is_discovery(cx: &RequestContext) -> bool {
    !cx.info.is_resource && cx.info.path.trim_matches('/').split('/').count() == 3
}

/// Backends may lead nobody elsewhere.
fn without_redirect(answer: Response<Body>) -> Response<Body> {
    if !(answer.status().is_redirection() && answer.headers().contains_key(header::LOCATION)) {
        return answer;
    }
    const WHY: &str = "the backend attempted to redirect this request, which is not permitted";
    let mut response = Response::new(full(WHY));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// As Go's `http.Error`.
fn refused(code: StatusCode, why: &str) -> Response<Body> {
    text_response(code, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::request::empty;

    #[test]
    fn redirects_are_not_passed_on() {
        let answer = |code: u16, location: bool| {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            if location {
                let to = HeaderValue::from_static("https://elsewhere");
                response.headers_mut().insert(header::LOCATION, to);
            }
            without_redirect(response).status().as_u16()
        };
        assert_eq!(answer(302, true), 502);
        assert_eq!(answer(304, false), 304);
        assert_eq!(answer(201, true), 201);
    }
}
