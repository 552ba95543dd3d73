//! The answer of a filter that does not let a request pass.

use crate::server::request::{Body, status_response, text_response};
use http::{HeaderValue, Response, StatusCode, header};
use machinery::status::Status;

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

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Status(status) => status_response(&status),
            Refusal::Forbidden(status) => {
                let mut response = status_response(&status);
                response
                    .headers_mut()
                    .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                response
            }
            Refusal::Busy(text, seconds) => {
                let mut response = text_response(StatusCode::TOO_MANY_REQUESTS, text);
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Refusal::Unreadable(text) => text_response(StatusCode::INTERNAL_SERVER_ERROR, text),
        }
    }
}
