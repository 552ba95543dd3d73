//! Answers in the form of the Kubernetes API, and those of the other API server on their way through.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderName, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body as HostBody;
use serde_json::{Value, json};

use super::ownership;
use super::place::Place;
use crate::kubelet::Body;
use crate::kubelet::metrics_api::status;
use crate::settings::Proxied;

/// The headers of an answer that are for the client.
const PASSED_ON: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::ETAG,
    header::RETRY_AFTER,
    header::VARY,
    header::WARNING,
];
/// The longest event of a watch: no object is longer.
const LONGEST_EVENT: usize = 8 << 20;

/// Why a request is not passed on, or its answer not shown.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Value);

impl Refusal {
    pub(super) fn new(code: StatusCode, reason: &str, message: &str) -> Self {
        Self(status(code, reason, message))
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// As an API server says it of what is not there.
    pub(super) fn not_found(version: &Proxied, place: &Place) -> Self {
        let (resource, group, name) = (&place.resource, &version.group, &place.name);
        let message = format!("{resource}.{group} {name:?} not found");
        let mut status = status(StatusCode::NOT_FOUND, "NotFound", &message);
        status["details"] = json!({"name": name, "group": group, "kind": resource});
        Self(status)
    }

    /// As an API server says it of a namespace that is not there.
    pub(super) fn no_namespace(name: &str) -> Self {
        let message = format!("namespaces {name:?} not found");
        let mut status = status(StatusCode::NOT_FOUND, "NotFound", &message);
        status["details"] = json!({"name": name, "kind": "namespaces"});
        Self(status)
    }

    pub(super) fn answer(self) -> Response<Body> {
        let code = self.0["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let code = code.and_then(|code| StatusCode::from_u16(code).ok());
        document(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &self.0)
    }
}

/// A JSON document.
pub(super) fn document(code: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// An answer as it comes.
pub(super) fn streamed(answer: Response<HostBody>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    passed_on(&parts, body.map_err(Into::into).boxed_unsync())
}

/// An answer that was read as a whole.
pub(super) fn read(answer: Response<Bytes>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    passed_on(&parts, Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

fn passed_on(parts: &http::response::Parts, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = parts.status;
    for name in PASSED_ON {
        for value in parts.headers.get_all(&name) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

/// The events of a watch, with what controllers of this cluster see of their objects.
pub(super) fn events_for_controllers(answer: Response<HostBody>) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let frames = stream::unfold(Some((body, Vec::new())), |state| async move {
        let (mut body, mut left): (HostBody, Vec<u8>) = state?;
        match body.frame().await {
            None => None,
            Some(Err(error)) => Some((Err(error.into()), None)),
            Some(Ok(frame)) => {
                left.extend_from_slice(&frame.into_data().unwrap_or_default());
                let whole = whole_events(&mut left);
                if left.len() > LONGEST_EVENT {
                    return Some((
                        Err(Box::<dyn std::error::Error + Send + Sync>::from("an event is too long")),
                        None,
                    ));
                }
                Some((Ok(Frame::data(Bytes::from(whole))), Some((body, left))))
            }
        }
    });
    // Nothing is sent as long as no event is complete.
    let frames = frames.filter(|frame| {
        let empty = matches!(frame, Ok(frame) if frame.data_ref().is_some_and(Bytes::is_empty));
        std::future::ready(!empty)
    });
    passed_on(&parts, StreamBody::new(frames).boxed_unsync())
}

/// Takes the complete events out of a buffer.
fn whole_events(buffer: &mut Vec<u8>) -> Vec<u8> {
    let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let rest = buffer.split_off(end + 1);
    let complete = std::mem::replace(buffer, rest);
    let mut out = Vec::with_capacity(complete.len());
    for line in complete.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Value>(line) {
            Ok(mut event) => {
                ownership::for_controllers(&mut event["object"]);
                out.extend_from_slice(event.to_string().as_bytes());
            }
            Err(_) => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_rewritten_however_they_are_cut() {
        let event = |name: &str| {
            let metadata = json!({"name": name, "ownerReferences": [{"uid": "u"}]});
            json!({"type": "ADDED", "object": {"metadata": metadata}}).to_string() + "\n"
        };
        let whole = event("a") + &event("b");
        let expected = whole.replace(r#","ownerReferences":[{"uid":"u"}]"#, "");
        for cut in 0..whole.len() {
            let (mut buffer, mut out) = (Vec::new(), Vec::new());
            for part in [&whole[..cut], &whole[cut..]] {
                buffer.extend_from_slice(part.as_bytes());
                out.extend(whole_events(&mut buffer));
            }
            assert_eq!(String::from_utf8_lossy(&out), expected);
            assert!(buffer.is_empty());
        }
    }
}
