//! Passes requests on to the host API server: logs as a stream, sessions byte for byte.

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::client::Body as HostBody;
use serde_json::Value;
use tracing::debug;

use super::route::{Session, Target, host_query};
use super::{Body, answer, text};
use crate::clusters::Connection;
use crate::json;
use crate::kinds::Kind;
use crate::names::Names;
use crate::object::ObjectKey;

/// Headers of a session that both ends have to see.
const SESSION_HEADERS: &[&str] = &[
    "connection",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "x-accepted-stream-protocol-versions",
    "x-stream-protocol-version",
];

/// The pod of a request and its copy on the host.
#[derive(Clone, Copy)]
pub(super) struct Copied<'a> {
    pub(super) names: &'a Names,
    pub(super) target: &'a Target,
    pub(super) host: &'a ObjectKey,
}

/// How much is read of why the host refuses.
const LONGEST_REFUSAL: usize = 64 << 10;

fn path(host: &ObjectKey, subresource: &str, query: &str) -> String {
    let separator = if query.is_empty() { "" } else { "?" };
    format!(
        "{}/{}/{subresource}{separator}{query}",
        Kind::Pod.path(&host.namespace),
        host.name
    )
}

/// The log of a container.
pub(super) async fn logs(connection: &Connection, pod: Copied<'_>, request: Request<Incoming>) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), &pod.target.container);
    let outgoing = Request::get(path(pod.host, "log", &query)).body(HostBody::empty());
    let Ok(outgoing) = outgoing else {
        return text(StatusCode::BAD_REQUEST, "the query is malformed");
    };
    match connection.shared.send(outgoing).await {
        Ok(response) if response.status().is_success() => passed_on(response),
        Ok(response) => refused(response, pod).await,
        Err(error) => unreachable(&error),
    }
}

/// A session with a container.
pub(super) async fn session(
    connection: &Connection,
    pod: Copied<'_>,
    kind: Session,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), &pod.target.container);
    tunnel(connection, pod, path(pod.host, kind.subresource(), &query), request).await
}

/// Connections to ports of a pod.
pub(super) async fn port_forward(
    connection: &Connection,
    pod: Copied<'_>,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), "");
    tunnel(connection, pod, path(pod.host, "portforward", &query), request).await
}

/// Opens the same upgraded connection to the host and joins the two.
async fn tunnel(
    connection: &Connection,
    pod: Copied<'_>,
    path: String,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let method = if request.method() == Method::POST {
        Method::POST
    } else {
        Method::GET
    };
    if !request.headers().contains_key(header::UPGRADE) {
        return text(
            StatusCode::BAD_REQUEST,
            "you must specify at least an Upgrade header: SPDY/3.1 or websocket",
        );
    }
    let outgoing = Request::builder().method(method).uri(path).body(HostBody::empty());
    let Ok(mut outgoing) = outgoing else {
        return text(StatusCode::BAD_REQUEST, "the query is malformed");
    };
    copy_headers(request.headers(), outgoing.headers_mut());
    let client_side = hyper::upgrade::on(&mut request);
    let mut response = match connection.upgradable.send(outgoing).await {
        Ok(response) => response,
        Err(error) => return unreachable(&error),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return refused(response, pod).await;
    }
    let host_side = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        match tokio::try_join!(client_side, host_side) {
            Ok((client_side, host_side)) => {
                let (mut client_side, mut host_side) = (TokioIo::new(client_side), TokioIo::new(host_side));
                if let Err(error) = tokio::io::copy_bidirectional(&mut client_side, &mut host_side).await {
                    debug!(%error, "a session ended");
                }
            }
            Err(error) => debug!(%error, "a session did not begin"),
        }
    });
    let mut answer = Response::new(Body::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    copy_headers(response.headers(), answer.headers_mut());
    answer
}

/// Only what belongs to the session: no credentials of either side cross.
fn copy_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for name in SESSION_HEADERS {
        let name = HeaderName::from_static(name);
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn passed_on(response: Response<HostBody>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(body.map_err(Into::into).boxed_unsync());
    *answer.status_mut() = parts.status;
    if let Some(content_type) = parts.headers.get(header::CONTENT_TYPE) {
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    answer
}

/// What a kubelet says when it refuses: a sentence, where the host's API server has made a Status of it.
async fn refused(response: Response<HostBody>, pod: Copied<'_>) -> Response<Body> {
    let Copied { names, target, host } = pod;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said: Option<Value> = serde_json::from_slice(&body).ok();
    let said = match &said {
        Some(said) if said["kind"] == "Status" => json::text(said, &["message"]).to_owned(),
        _ => String::from_utf8_lossy(&body).into_owned(),
    };
    let virtual_ = ObjectKey::new(&target.namespace, &target.pod);
    answer(
        status,
        "text/plain; charset=utf-8",
        names.retold(&said, host, &virtual_),
    )
}

fn unreachable(error: &kube::Error) -> Response<Body> {
    debug!(%error, "the host API server did not answer");
    text(StatusCode::BAD_GATEWAY, "the host cluster did not answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_told_as_a_kubelet_would() {
        let host = ObjectKey::new("host", "web-x-team-x-vc");
        let target = Target {
            namespace: "team".to_owned(),
            pod: "web".to_owned(),
            container: "c".to_owned(),
        };
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"container \"c\" in pod \"web-x-team-x-vc\" is waiting to start: ImagePullBackOff",
            "reason":"BadRequest","code":400}"#;
        for (body, told) in [
            (
                status,
                "container \"c\" in pod \"web\" is waiting to start: ImagePullBackOff",
            ),
            ("container not found (\"c\")", "container not found (\"c\")"),
            ("{\"kind\":\"Pod\"}", "{\"kind\":\"Pod\"}"),
            ("", ""),
        ] {
            let mut response = Response::new(HostBody::from(body.as_bytes().to_vec()));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let pod = Copied {
                names: &crate::testing::world().names,
                target: &target,
                host: &host,
            };
            let answer = refused(response, pod).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            let answer = answer.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(String::from_utf8_lossy(&answer), told);
        }
    }
}
