//! The answer of a filter that does not let a request pass.

use crate::endpoints::query::Query;
use crate::endpoints::respond::{self, Client};
use crate::server::request::{Body, text_response};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use machinery::status::Status;

/// The headers that say what a client takes.
const KEPT: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_ENCODING, header::USER_AGENT];

/// Why a request goes no further.
#[derive(Debug)]
pub enum Refusal {
    /// A Kubernetes Status.
    Status(Box<Status>),
    /// A Status after authentication, which upstream sends with `nosniff` (`responsewriters.Forbidden`).
    Forbidden(Box<Status>),
    /// Plain text, and the seconds after which to try again.
    Busy(&'static str, u32),
    /// Plain text: the request line makes no sense.
    Unreadable(String),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Refusal::Status(Box::new(status))
    }
}

/// What the answer to a refused request depends on; kept until it is known whether the request is refused.
pub struct Asker {
    headers: HeaderMap,
    query: Option<String>,
}

impl Asker {
    /// What a request says about the answer.
    pub fn of<B>(request: &Request<B>) -> Self {
        let kept = |name: HeaderName| Some((name.clone(), request.headers().get(name)?.clone()));
        Asker {
            headers: KEPT.into_iter().filter_map(kept).collect(),
            query: request.uri().query().map(str::to_owned),
        }
    }
}

impl Refusal {
    /// The answer, in a form that the client takes.
    pub fn answer(&self, asker: &Asker) -> Response<Body> {
        let status = |status: &Status| {
            let query = Query::parse(asker.query.as_deref());
            let client = Client {
                headers: &asker.headers,
                query: &query,
            };
            respond::error(status, client)
        };
        match self {
            Refusal::Status(refusal) => status(refusal),
            Refusal::Forbidden(refusal) => {
                let mut response = status(refusal);
                response
                    .headers_mut()
                    .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                response
            }
            Refusal::Busy(text, seconds) => {
                let mut response = text_response(StatusCode::TOO_MANY_REQUESTS, *text);
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                response
            }
            Refusal::Unreadable(text) => text_response(StatusCode::INTERNAL_SERVER_ERROR, text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn answer(refusal: Refusal, accept: &str, agent: &str) -> (Response<()>, String) {
        let request = Request::get("/api")
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, agent)
            .body(())
            .unwrap();
        let (parts, body) = refusal.answer(&Asker::of(&request)).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            Response::from_parts(parts, ()),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn refusals_take_the_form_that_the_client_wants() {
        let status = || Refusal::from(Status::too_many_requests("later", 7));
        let (response, text) = answer(status(), "application/json", "kubectl").await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &"7".parse().unwrap())
        );
        assert!(text.starts_with("{\"kind\":") && text.ends_with("}\n"), "{text}");
        let (_, text) = answer(status(), "*/*", "curl/8").await;
        assert!(text.starts_with("{\n  \"kind\":"), "{text}");
        let (response, text) = answer(status(), "application/yaml", "kubectl").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/yaml");
        assert!(text.starts_with("apiVersion: v1\ncode: 429\n"), "{text}");
    }
}
