//! The id that ties a request to what is logged about it (k8s.io/apiserver `endpoints/filters/audit_init.go`).

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header, in requests and answers.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// The id that the client chose, or a new one.
pub fn of(headers: &HeaderMap) -> String {
    let chosen = headers
        .get(AUDIT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty());
    chosen.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// Tells the client the id.
pub fn set(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.entry(AUDIT_ID).or_insert(value);
    }
}
