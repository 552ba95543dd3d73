//! Requests that this server makes itself: whether a backend answers, and what it has.

use super::{Aggregator, Backend, identity};
use crate::authentication::User;
use crate::server::request::empty;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use std::time::Duration;

/// Who this server is to backends.
const NAME: &str = "system:kube-aggregator";
/// How long a backend may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// No document of a backend is longer.
const MAX_BYTES: usize = 16 * 1024 * 1024;

impl Aggregator {
    /// Asks a backend for a document in the name of this server; as one who may do everything, if `almighty`. Says the
    /// URL and the answer, or why there is none.
    pub(super) async fn ask(
        &self,
        backend: &Backend,
        path: &str,
        headers: &[(HeaderName, &str)],
        almighty: bool,
    ) -> (String, Result<Response<Bytes>, String>) {
        let security = match &backend.security {
            Ok(security) => security.clone(),
            Err(why) => return (String::new(), Err(why.clone())),
        };
        let target = match self.target(&backend.spec.place, security).await {
            Ok(target) => target,
            Err(why) => return (String::new(), Err(why)),
        };
        let authority = target.authority();
        let url = format!("https://{authority}{path}");
        let mut request = match Request::get(path).header(header::HOST, authority).body(empty()) {
            Ok(request) => request,
            Err(error) => return (url, Err(error.to_string())),
        };
        let groups: &[&str] = if almighty { &["system:masters"] } else { &[] };
        identity::set(request.headers_mut(), &User::new(NAME, groups));
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers_mut().insert(name, value);
            }
        }
        let answered = tokio::time::timeout(PATIENCE, async {
            let place = (target.host.as_str(), target.port);
            let answer = self
                .transport
                .pass(&target.security, place, request, &self.tasks)
                .await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Response::from_parts(parts, body))
        });
        let answer = answered
            .await
            .unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
        (url, answer)
    }
}
