//! Exec, attach and port-forward: the client's upgrade is repeated towards the kubelet, and from then on bytes are passed
//! both ways untouched, so that SPDY and WebSocket work alike (apimachinery `util/proxy/upgradeaware.go`).

use super::transport::authority;
use super::{Kubelet, location};
use crate::server::request::{Body, empty, full};
use chassis::Tasks;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::status::Status;
use tokio_util::sync::CancellationToken;

/// What is passed on of an answer that is no upgrade.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

impl Kubelet {
    /// Tunnels `exec`, `attach` or `portforward` to the pod's kubelet until either side ends or `draining` does.
    ///
    /// # Errors
    /// The Status for the client, when there is nothing to tunnel to.
    pub async fn connect(
        &self,
        subresource: &str,
        namespace: &str,
        name: &str,
        mut request: Request<Incoming>,
        draining: &CancellationToken,
    ) -> Result<Response<Body>, Status> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let pod = self.pod(namespace, name).await?;
        let path = if subresource == "portforward" {
            format!("/portForward/{namespace}/{name}")
        } else {
            let container = location::container(&pod, &location::parameter(&query, "container"))?;
            format!("/{subresource}/{namespace}/{name}/{container}")
        };
        let node = location::node(&pod)
            .ok_or_else(|| Status::bad_request(format!("pod {name} does not have a host assigned")))?;
        let (host, port) = self.address(node).await?;
        if !is_upgrade(request.headers()) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let parameters = location::stream_parameters(subresource, &query);
        let mut onwards = Request::builder()
            .method(request.method().clone())
            .uri(if parameters.is_empty() {
                path
            } else {
                format!("{path}?{parameters}")
            })
            .body(empty())
            .map_err(Status::internal)?;
        *onwards.headers_mut() = request.headers().clone();
        let host_header = authority(&host, port).parse().map_err(Status::internal)?;
        onwards.headers_mut().insert(header::HOST, host_header);
        onwards.headers_mut().remove(header::CONTENT_LENGTH);
        let mut answer = self.transport.send(&host, port, onwards, &self.tasks).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(passed_on(answer).await);
        }
        Ok(tunnel(&mut request, &mut answer, &self.tasks, draining))
    }
}

/// Connects a client with a backend that has agreed to switch protocols.
pub(crate) fn tunnel(
    request: &mut Request<Incoming>,
    answer: &mut Response<Incoming>,
    tasks: &Tasks,
    draining: &CancellationToken,
) -> Response<Body> {
    let (client, backend) = (hyper::upgrade::on(request), hyper::upgrade::on(&mut *answer));
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    tasks.spawn_finite("tunnel", pass_bytes(client, backend, draining.clone()));
    response
}

/// Whether the client wants to switch protocols.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        });
    asks && headers.contains_key(header::UPGRADE)
}

/// An error of the kubelet, as it is.
async fn passed_on(answer: Response<Incoming>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let mut response = Response::new(full(body));
    *response.status_mut() = if parts.status.is_success() {
        StatusCode::BAD_GATEWAY
    } else {
        parts.status
    };
    if let Some(content_type) = parts.headers.get(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type.clone());
    }
    response
}

/// Runs a tunnel.
async fn pass_bytes(client: OnUpgrade, kubelet: OnUpgrade, draining: CancellationToken) {
    let (client, kubelet) = match tokio::try_join!(client, kubelet) {
        Ok((client, kubelet)) => (client, kubelet),
        Err(error) => return tracing::debug!(%error, "a tunnel was not established"),
    };
    let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
    let passed = tokio::select! {
        passed = tokio::io::copy_bidirectional(&mut client, &mut kubelet) => passed,
        () = draining.cancelled() => return,
    };
    match passed {
        Ok((sent, received)) => tracing::debug!(sent, received, "a tunnel ended"),
        Err(error) => tracing::debug!(%error, "a tunnel broke"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrades_are_recognised() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(k, v)| (http::HeaderName::from_static(k), http::HeaderValue::from_static(v)))
                .collect()
        };
        assert!(is_upgrade(&headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1")
        ])));
        assert!(is_upgrade(&headers(&[
            ("connection", "keep-alive, upgrade"),
            ("upgrade", "websocket")
        ])));
        assert!(!is_upgrade(&headers(&[("upgrade", "websocket")])));
        assert!(!is_upgrade(&headers(&[("connection", "Upgrade")])));
    }
}
