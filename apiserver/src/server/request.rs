//! What the filter chain hands over to the endpoints, and the body type of every answer.

use crate::authentication::User;
use crate::filters::request_info::RequestInfo;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use machinery::status::Status;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What a body's stream fails with: the connection is then cut, because the status line is already out.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer: whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The largest request body, as upstream's `--max-request-bytes` for resources (`DefaultMaxRequestBodyBytes`).
pub const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// The address a request comes from, among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub std::net::IpAddr);

/// A request after authentication and authorization.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// What is asked for.
    pub info: RequestInfo,
    /// Who asks.
    pub user: User,
    /// The id that ties the request to logs; also the answer's `Audit-ID` header.
    pub audit_id: String,
    /// When the request's headers had been read.
    pub received: Instant,
    /// When a request that is not long-running is cut off; `None` for watches, logs and tunnels.
    pub deadline: Option<Instant>,
    /// Collects the texts of `Warning` headers.
    pub warnings: Warnings,
    /// Cancelled when the server drains: watches and other streams must end now.
    pub draining: CancellationToken,
}

/// Texts for the client that the chain turns into `Warning: 299 - "…"` headers, each once and in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a text unless it is already there.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// Everything added so far, leaving nothing behind.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The API behind the filter chain.
pub trait Dispatch: Send + Sync + 'static {
    /// Answers one request that authentication and authorization have let through. Errors are answers, too.
    fn dispatch(self: Arc<Self>, cx: RequestContext, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>>;
}

/// A whole body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Plain text, as health checks and Go's `http.Error` answer.
pub fn text_response(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Reads a request body of at most [`MAX_REQUEST_BYTES`].
///
/// # Errors
/// 413 when it is longer, 400 when the client stops sending.
pub async fn read_body(body: Incoming) -> Result<Bytes, Status> {
    match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Status::request_entity_too_large(
            format!("limit is {MAX_REQUEST_BYTES}"),
        )),
        Err(error) => Err(Status::bad_request(format!("cannot read the request body: {error}"))),
    }
}

/// Reads and forgets what a client still sends of a body that nobody wants, as far as it is short and soon there: some
/// clients take a stream that ends before they have sent everything for a failure.
pub async fn discard(body: Incoming) {
    const PATIENCE: Duration = Duration::from_millis(200);
    const MAX_BYTES: usize = 256 * 1024;
    if !body.is_end_stream() {
        let rest = Limited::new(body, MAX_BYTES).collect();
        // Whatever comes of it, the answer is already known.
        let _ = tokio::time::timeout(PATIENCE, rest).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_once_and_in_order() {
        let warnings = Warnings::default();
        for text in ["b", "a", "b", ""] {
            warnings.clone().add(text);
        }
        assert_eq!(warnings.take(), ["b", "a"]);
        assert!(warnings.take().is_empty());
    }
}
