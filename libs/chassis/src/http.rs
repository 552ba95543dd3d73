//! A small HTTP/1.1 server for endpoints that answer at once: probes and metrics.

use crate::net::Listener;
use crate::tasks::Tasks;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// More probes and scrapers than any deployment has; the next connection waits.
const MOST_CONNECTIONS: usize = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a handler answers: status, media type and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The Content-Type header.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A plain-text answer.
    pub fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Answer {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    /// 200 with the Prometheus exposition of `metrics`.
    pub fn metrics(metrics: &crate::Metrics) -> Self {
        Answer {
            status: StatusCode::OK,
            content_type: crate::metrics::CONTENT_TYPE,
            body: metrics.encode(),
        }
    }

    /// 404.
    pub fn not_found() -> Self {
        Answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }
}

/// Answers a GET or HEAD request for a path and a query string (empty when there is none).
pub type Handler = Arc<dyn Fn(&str, &str) -> Answer + Send + Sync>;

/// Serves `handler` on `listener` as a task of `tasks`, until its shutdown.
pub fn serve(tasks: &Tasks, name: &'static str, listener: Listener, handler: Handler) {
    tasks.spawn(name, accept(tasks.clone(), name, listener, handler, tasks.shutdown()));
}

/// Serves `handler` on `listener` as a task of `tasks`, until `stop`, which may come before or after its shutdown.
pub fn serve_until(tasks: &Tasks, name: &'static str, listener: Listener, handler: Handler, stop: CancellationToken) {
    tasks.spawn_finite(name, accept(tasks.clone(), name, listener, handler, stop));
}

async fn accept(
    connections: Tasks,
    name: &'static str,
    listener: Listener,
    handler: Handler,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        let connection = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(server = name, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = handler.clone();
        let shutdown = shutdown.clone();
        let handshake = listener.handshake();
        connections.spawn_finite(name, async move {
            let _slot = slot;
            let Some(connection) = handshake.finish(connection).await else {
                return;
            };
            let service = service_fn(move |request| {
                let response = respond(&handler, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(connection), service);
            let mut served = std::pin::pin!(served);
            let ended = tokio::select! {
                ended = served.as_mut() => ended,
                () = shutdown.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(server = name, %error, "connection ended");
            }
        });
    }
}

fn respond(handler: &Handler, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = match *request.method() {
        Method::GET | Method::HEAD => handler(request.uri().path(), request.uri().query().unwrap_or_default()),
        _ => Answer::text(
            StatusCode::METHOD_NOT_ALLOWED,
            "405 only GET and HEAD are allowed here\n",
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let content_type = hyper::header::HeaderValue::from_static(answer.content_type);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, content_type);
    response
}
