//! Counts calls under the names that gRPC servers written in Go use, `grpc_server_started_total` and
//! `grpc_server_handled_total`, which dashboards of etcd know.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{
    Code,
    body::Body,
    codegen::{BoxFuture, Service},
    server::NamedService,
};

use crate::metrics::{Method, ServerMetrics};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// How tonic begins to say that a message is too large, and the code it gives it.
const TOO_LARGE: (&str, Code) = ("Error,%20decoded%20message%20length%20too%20large", Code::OutOfRange);

/// Every method there is, by path: what a client asks for that is not here makes no metric.
static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    // The descriptors are made when this is built, and a test reads them.
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut methods = HashMap::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server_stream",
                    (true, false) => "client_stream",
                    (true, true) => "bidi_stream",
                };
                let labels = Method {
                    kind,
                    service: name.clone(),
                    name: method.name().to_owned(),
                };
                methods.insert(format!("/{name}/{}", method.name()), labels);
            }
        }
    }
    methods
});

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    inner: S,
    metrics: ServerMetrics,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, metrics: ServerMetrics) -> Self {
        Self { inner, metrics }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = METHODS
            .get(request.uri().path())
            .map(|method| Call::start(self.metrics.clone(), method));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            correct(response.headers_mut());
            let Some(mut call) = call else {
                return Ok(response);
            };
            if let Some(code) = code(response.headers()) {
                // A status without a message: the headers are all there is.
                call.end(code);
                return Ok(response);
            }
            Ok(response.map(|inner| Body::new(Watched { inner, call })))
        })
    }
}

/// Gives a message that is too large the code that gRPC servers written in Go give it, for which clients look.
fn correct(headers: &mut HeaderMap) {
    let (beginning, given) = TOO_LARGE;
    let said = headers.get(MESSAGE).and_then(|message| message.to_str().ok());
    if code(headers) == Some(given) && said.is_some_and(|said| said.starts_with(beginning)) {
        headers.insert(STATUS, HeaderValue::from(Code::ResourceExhausted as u16));
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get(STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// A call that is not counted as handled yet. One that is dropped was cancelled by its client.
struct Call {
    metrics: ServerMetrics,
    method: &'static Method,
    ended: bool,
}

impl Call {
    fn start(metrics: ServerMetrics, method: &'static Method) -> Self {
        metrics.started(method);
        Self {
            metrics,
            method,
            ended: false,
        }
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            self.metrics.handled(self.method, code);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The answer of a call, whose trailers say how it went.
struct Watched {
    inner: Body,
    call: Call,
}

impl http_body::Body for Watched {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code) {
                    this.call.end(code);
                }
            }
            Some(Err(status)) => this.call.end(status.code()),
            None => this.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_known() {
        let kind = |path: &str| METHODS.get(path).map(|method| method.kind);
        assert_eq!(kind("/etcdserverpb.KV/Put"), Some("unary"));
        assert_eq!(kind("/etcdserverpb.Watch/Watch"), Some("bidi_stream"));
        assert_eq!(kind("/etcdserverpb.Maintenance/Snapshot"), Some("server_stream"));
        assert_eq!(kind("/etcdserverpb.KV/Nonsense"), None);
    }

    #[test]
    fn only_the_code_of_large_messages_changes() {
        for (status, message, expected) in [
            ("11", TOO_LARGE.0, Code::ResourceExhausted),
            (
                "11",
                "etcdserver: mvcc: required revision has been compacted",
                Code::OutOfRange,
            ),
            ("3", TOO_LARGE.0, Code::InvalidArgument),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, HeaderValue::from_static(status));
            headers.insert(MESSAGE, HeaderValue::from_static(message));
            correct(&mut headers);
            assert_eq!(code(&headers), Some(expected));
        }
    }
}
