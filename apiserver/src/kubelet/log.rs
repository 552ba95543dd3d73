//! `GET pods/{name}/log`, streamed through (kubernetes `pkg/registry/core/pod/rest/log.go`).

use super::transport::authority;
use super::{Kubelet, location};
use crate::server::request::{Body, empty};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming};
use machinery::status::Status;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What is read of an error that a kubelet answers.
const MAX_ERROR_BYTES: usize = 50_000;

impl Kubelet {
    /// A container's log. `query` is the client's; the stream ends when `draining` does.
    ///
    /// # Errors
    /// The Status for the client, also when the kubelet answers with an error.
    pub async fn log(
        &self,
        namespace: &str,
        name: &str,
        query: &str,
        draining: &CancellationToken,
    ) -> Result<Response<Body>, Status> {
        let parameters = location::log_parameters(name, query)?;
        let pod = self.pod(namespace, name).await?;
        let container = location::container(&pod, &location::parameter(query, "container"))?;
        let Some(node) = location::node(&pod) else {
            // Nothing has run anywhere yet: there is no log, and no content.
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        };
        let (host, port) = self.address(node).await?;
        let path = format!("/containerLogs/{namespace}/{name}/{container}");
        let target = if parameters.is_empty() {
            path
        } else {
            format!("{path}?{parameters}")
        };
        let request = Request::get(target)
            .header(header::HOST, authority(&host, port))
            .body(empty())
            .map_err(Status::internal)?;
        let response = self.transport.send(&host, port, request, &self.tasks).await?;
        if !response.status().is_success() {
            return Err(refused(response, name).await);
        }
        Ok(plain(until(response.into_body(), draining.clone())))
    }
}

fn plain(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// What the kubelet answered, as upstream words it (k8s.io/apiserver `registry/generic/rest/response_checker.go`).
async fn refused(response: Response<Incoming>, name: &str) -> Status {
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_ERROR_BYTES).collect().await;
    let text = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let text = String::from_utf8_lossy(&text);
    match code {
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal(text),
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => {
            let why = format!("the server could not find the requested resource ( pods/log {name})");
            Status::failure(404, "NotFound", why)
        }
        code => {
            let why = format!(
                "the server responded with the status code {} but did not return more information ( pods/log {name})",
                code.as_u16()
            );
            Status::failure(code.as_u16(), "InternalError", why)
        }
    }
}

/// A body that ends when the server drains.
pub(crate) fn until(inner: Incoming, draining: CancellationToken) -> Body {
    let body = Lasting {
        inner,
        end: Box::pin(draining.cancelled_owned()),
    };
    body.boxed_unsync()
}

struct Lasting {
    inner: Incoming,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl hyper::body::Body for Lasting {
    type Data = Bytes;
    type Error = crate::server::BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}
