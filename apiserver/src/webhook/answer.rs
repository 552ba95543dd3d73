//! What a webhook answers, read as client-go reads it (`rest.Result.Into`).

use super::CallError;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, StatusCode, header};
use machinery::field::go_quote;
use machinery::schema::json;
use machinery::status::{Cause, Details, Status};
use serde_json::Value;
use std::time::Duration;

/// How much of an answer is quoted (`maxUnstructuredResponseTextBytes`).
const MAX_QUOTED: usize = 2048;
/// How Go calls what it looks for first in an answer.
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// The object that an answer holds.
pub(super) fn read(parts: &Parts, body: &Bytes) -> Result<Value, CallError> {
    let code = parts.status.as_u16();
    if !(200..=206).contains(&code) {
        return Err(CallError::Refused(Box::new(refusal(parts, body))));
    }
    if body.is_empty() {
        let kind = content_type(&parts.headers).unwrap_or("application/json");
        let why = format!("0-length response with status code: {code} and content type: {kind}");
        return Err(CallError::Failed(why));
    }
    object(body).map_err(CallError::Failed)
}

/// An object in JSON or YAML.
fn object(body: &[u8]) -> Result<Value, String> {
    let value = match json::parse(body) {
        Ok(node) => node.into_value(),
        Err(error) => {
            let yaml: Result<Value, _> = serde_yaml::from_slice(body);
            yaml.map_err(|_| format!("couldn't get version/kind; json parse error: {error}"))?
        }
    };
    let found = match &value {
        Value::Object(_) => return Ok(value),
        Value::Null => return Ok(Value::Object(serde_json::Map::new())),
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    Err(format!(
        "couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {TYPE_META}"
    ))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    (!value.is_empty()).then_some(value)
}

/// The error that an answer is: the Status in it, or what its code means.
fn refusal(parts: &Parts, body: &[u8]) -> Status {
    if let Ok(found) = serde_json::from_slice::<Status>(body)
        && found.kind == "Status"
        && found.status == "Failure"
    {
        return found;
    }
    let readable = content_type(&parts.headers).is_none_or(|kind| kind.trim().starts_with("text/"));
    let shown = &body[..body.len().min(MAX_QUOTED)];
    let text = if readable {
        String::from_utf8_lossy(shown).trim().to_owned()
    } else {
        "unknown".to_owned()
    };
    let (reason, message) = meaning(parts.status, &text);
    let cause = Cause {
        reason: "UnexpectedServerResponse".to_owned(),
        message: text,
        ..Cause::default()
    };
    Status::failure(parts.status.as_u16(), reason, message).with_details(Details {
        causes: vec![cause],
        retry_after_seconds: retry_after(&parts.headers).map_or(0, |pause| pause.as_secs().try_into().unwrap_or(0)),
        ..Details::default()
    })
}

/// What a code says of a `POST` whose answer is this text (apimachinery `errors.NewGenericServerResponse`).
fn meaning(code: StatusCode, text: &str) -> (&'static str, String) {
    let fixed = |reason, message: &str| (reason, message.to_owned());
    match code.as_u16() {
        400 => fixed("BadRequest", "the server rejected our request for an unknown reason"),
        401 => fixed(
            "Unauthorized",
            "the server has asked for the client to provide credentials",
        ),
        403 => fixed("Forbidden", text),
        404 => fixed("NotFound", "the server could not find the requested resource"),
        405 => fixed(
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        406 if matches!(text, "" | "unknown") => fixed(
            "NotAcceptable",
            "the server was unable to respond with a content type that the client supports",
        ),
        406 => fixed("NotAcceptable", text),
        409 => fixed("AlreadyExists", "the server reported a conflict"),
        415 => fixed("UnsupportedMediaType", text),
        422 => fixed(
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        429 => fixed(
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => fixed(
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => fixed(
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        500.. => (
            "InternalError",
            format!(
                "an error on the server ({}) has prevented the request from succeeding",
                go_quote(text)
            ),
        ),
        code => (
            "",
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    }
}

/// The pause that an answer asks for before it is tried again.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Whether an answer means that the same may be tried again, and after how long (client-go `with_retry.go`).
pub(super) fn asks_for_another(parts: &Parts) -> Option<Duration> {
    let busy = parts.status == StatusCode::TOO_MANY_REQUESTS || parts.status.is_server_error();
    busy.then(|| retry_after(&parts.headers)).flatten()
}
