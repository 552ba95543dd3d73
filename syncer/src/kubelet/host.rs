//! Requests to the host's API server on behalf of the kubelet API.

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde_json::Value;
use tracing::debug;

use crate::clusters::Connection;
use crate::json;

/// What is said where there is no right to what the host measures.
pub(super) const NO_RIGHT: &str =
    "the host does not let this virtual cluster read measurements: its syncer has no right to them";
/// The longest document that is read as a whole.
const LONGEST: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Refused {
    /// What to tell the caller.
    pub(super) status: StatusCode,
    /// Why, in one sentence.
    pub(super) message: String,
}

/// Opens an answer in this format; an error of the host is told in its words.
pub(super) async fn open(connection: &Connection, path: &str, format: &'static str) -> Result<Body, Refused> {
    let unreachable = |error: &dyn std::fmt::Display| {
        debug!(path, %error, "the host API server did not answer");
        Refused {
            status: StatusCode::BAD_GATEWAY,
            message: "the host cluster did not answer".to_owned(),
        }
    };
    let request = Request::get(path)
        .header(header::ACCEPT, format)
        .body(Body::empty())
        .map_err(|error| unreachable(&error))?;
    let response = connection
        .shared
        .send(request)
        .await
        .map_err(|error| unreachable(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = whole(response.into_body()).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    debug!(path, %status, message = json::text(&body, &["message"]), "the host refused");
    let message = match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => NO_RIGHT.to_owned(),
        StatusCode::NOT_FOUND => "the host has no such measurements".to_owned(),
        _ => format!("the host answered {status}"),
    };
    let status = match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    };
    Err(Refused { status, message })
}

/// Reads a JSON document.
pub(super) async fn read(connection: &Connection, path: &str) -> Result<Value, Refused> {
    let broken = || Refused {
        status: StatusCode::BAD_GATEWAY,
        message: "the answer of the host broke off".to_owned(),
    };
    let body = open(connection, path, "application/json").await?;
    let body = whole(body).await.ok_or_else(broken)?;
    serde_json::from_slice(&body).map_err(|_| broken())
}

async fn whole(body: Body) -> Option<bytes::Bytes> {
    let body = Limited::new(body, LONGEST).collect().await.ok()?;
    Some(body.to_bytes())
}
