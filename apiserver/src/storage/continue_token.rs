//! Continue tokens of chunked lists (k8s.io/apiserver `pkg/storage/continue.go`): where to go on, as of which revision.

use super::interface::Error;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{Engine, alphabet};
use serde::{Deserialize, Serialize};

/// The part of an etcd key that follows the list's prefix, and the revision of the list.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

const VERSION: &str = "meta.k8s.io/v1";
/// As Go's decoder, which does not look at bits that belong to no byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// The first key that may be returned.
    pub from_key: String,
    /// The revision of the first chunk; `None` goes on with the latest state.
    pub revision: Option<u64>,
}

/// The token of a chunk that starts at `from_key`, which lies below `prefix`. `None` for `revision` makes a token that
/// goes on with the latest state.
pub fn encode(from_key: &str, prefix: &str, revision: Option<u64>) -> String {
    let start = from_key.strip_prefix(prefix).unwrap_or(from_key).to_owned();
    let rv = revision.and_then(|revision| i64::try_from(revision).ok()).unwrap_or(-1);
    // A struct of plain fields always serialises.
    let json = serde_json::to_vec(&Wire {
        v: VERSION.to_owned(),
        rv,
        start,
    })
    .unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// Reads a token for a list below `prefix`.
///
/// # Errors
/// [`Error::Invalid`] with upstream's text.
pub fn decode(token: &str, prefix: &str) -> Result<Continuation, Error> {
    let invalid = |why: String| Error::Invalid(format!("invalid continue token: continue key is not valid{why}"));
    let json = LENIENT
        .decode(token)
        .map_err(|error| invalid(format!(": {}", base64_error(token, &error))))?;
    machinery::schema::json::parse(&json).map_err(|error| invalid(format!(": {error}")))?;
    let wire: Wire = serde_json::from_slice(&json).map_err(|error| invalid(format!(": {error}")))?;
    if wire.v != VERSION {
        return Err(invalid(format!(
            ": server does not recognize this encoded version {}",
            wire.v
        )));
    }
    if wire.rv == 0 {
        return Err(invalid(
            ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned(),
        ));
    }
    if wire.start.is_empty() {
        return Err(invalid(": encoded start key empty (version meta.k8s.io/v1)".to_owned()));
    }
    let start = wire.start.strip_prefix('/').unwrap_or(&wire.start);
    // A key that a path cleaner would change could lead out of the prefix.
    if start.ends_with('/') || start.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(invalid(format!(": {}", wire.start)));
    }
    Ok(Continuation {
        from_key: format!("{prefix}{start}"),
        revision: u64::try_from(wire.rv).ok(),
    })
}

/// Go's text for the first byte that is wrong.
fn base64_error(token: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => token.len() / 4 * 4,
    };
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_upstreams() {
        let token = encode("/registry/pods/ns/a\0", "/registry/pods/", Some(7));
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
        assert_eq!(json, r#"{"v":"meta.k8s.io/v1","rv":7,"start":"ns/a\u0000"}"#);
        let latest = decode(
            &encode("/registry/pods/ns/a\0", "/registry/pods/", None),
            "/registry/pods/",
        )
        .unwrap();
        assert_eq!(
            latest,
            Continuation {
                from_key: "/registry/pods/ns/a\0".to_owned(),
                revision: None
            }
        );
    }

    #[test]
    fn bad_tokens_are_refused_in_upstreams_words() {
        let raw = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for (token, expected) in [
            ("notbase6!".to_owned(), "illegal base64 data at input byte 8"),
            (raw("{}"), "server does not recognize this encoded version "),
            (
                raw(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
                "incorrect encoded start resourceVersion",
            ),
            (raw(r#"{"v":"meta.k8s.io/v1","rv":1}"#), "encoded start key empty"),
            (
                raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../a"}"#),
                "continue key is not valid: ../a",
            ),
            (
                raw(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}"#),
                "continue key is not valid: a//b",
            ),
            (raw("[]x"), "continue key is not valid: "),
        ] {
            let error = decode(&token, "/registry/pods/").unwrap_err().to_string();
            assert!(
                error.starts_with("invalid continue token: continue key is not valid: "),
                "{error}"
            );
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_token_panics_or_leads_out(token in "\\PC{0,40}", start in "[a-z./]{0,12}") {
            let _ = decode(&token, "/registry/pods/");
            let forged = URL_SAFE_NO_PAD.encode(format!(r#"{{"v":"meta.k8s.io/v1","rv":1,"start":"{start}"}}"#));
            if let Ok(continuation) = decode(&forged, "/registry/pods/") {
                prop_assert!(continuation.from_key.starts_with("/registry/pods/"));
                prop_assert!(!continuation.from_key.contains("/../"));
            }
        }
    }
}
