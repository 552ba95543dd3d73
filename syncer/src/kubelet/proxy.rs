//! Passes requests on to the host API server: logs as a stream, sessions byte for byte.

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::client::Body as HostBody;
use tracing::debug;

use super::route::{Session, Target, host_query};
use super::{Body, text};
use crate::clusters::Connection;
use crate::kinds::Kind;
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

fn path(host: &ObjectKey, subresource: &str, query: &str) -> String {
    let separator = if query.is_empty() { "" } else { "?" };
    format!(
        "{}/{}/{subresource}{separator}{query}",
        Kind::Pod.path(&host.namespace),
        host.name
    )
}

/// The log of a container.
pub(super) async fn logs(
    connection: &Connection,
    host: &ObjectKey,
    target: &Target,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), &target.container);
    let outgoing = Request::get(path(host, "log", &query)).body(HostBody::empty());
    let Ok(outgoing) = outgoing else {
        return text(StatusCode::BAD_REQUEST, "the query is malformed");
    };
    match connection.shared.send(outgoing).await {
        Ok(response) => passed_on(response),
        Err(error) => unreachable(&error),
    }
}

/// A session with a container.
pub(super) async fn session(
    connection: &Connection,
    host: &ObjectKey,
    kind: Session,
    target: &Target,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), &target.container);
    tunnel(connection, path(host, kind.subresource(), &query), request).await
}

/// Connections to ports of a pod.
pub(super) async fn port_forward(
    connection: &Connection,
    host: &ObjectKey,
    request: Request<Incoming>,
) -> Response<Body> {
    let query = host_query(request.uri().query().unwrap_or_default(), "");
    tunnel(connection, path(host, "portforward", &query), request).await
}

/// Opens the same upgraded connection to the host and joins the two.
async fn tunnel(connection: &Connection, path: String, mut request: Request<Incoming>) -> Response<Body> {
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
        return passed_on(response);
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

fn unreachable(error: &kube::Error) -> Response<Body> {
    debug!(%error, "the host API server did not answer");
    text(StatusCode::BAD_GATEWAY, "the host cluster did not answer")
}
