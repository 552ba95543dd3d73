//! Which protocol an upgraded connection speaks, and the answer that starts it.

use http::header::{CONNECTION, HeaderMap, UPGRADE};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
const WEBSOCKET_PROTOCOL: &str = "sec-websocket-protocol";

/// The framing of an upgraded connection and the subprotocol agreed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upgrade {
    Spdy { protocol: String },
    WebSocket { protocol: String, accept: String },
}

/// Chooses among what the client offers: `spdy` and `websocket` are our subprotocols in order of preference.
///
/// # Errors
/// Status code and sentence for the client.
pub(super) fn negotiate(
    headers: &HeaderMap,
    spdy: &[&str],
    websocket: &[&str],
) -> Result<Upgrade, (StatusCode, String)> {
    let wanted = headers
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if wanted.eq_ignore_ascii_case(SPDY) {
        let offered = list(headers, STREAM_PROTOCOL);
        let protocol = choose(spdy, &offered).ok_or_else(|| {
            let message = format!("unable to upgrade: unsupported stream protocol {offered:?}, supported: {spdy:?}");
            (StatusCode::FORBIDDEN, message)
        })?;
        return Ok(Upgrade::Spdy { protocol });
    }
    if wanted.eq_ignore_ascii_case("websocket") {
        let key = headers.get("sec-websocket-key").ok_or_else(|| {
            (
                StatusCode::BAD_REQUEST,
                "unable to upgrade: Sec-WebSocket-Key is missing".to_string(),
            )
        })?;
        let offered = list(headers, WEBSOCKET_PROTOCOL);
        let protocol = choose(websocket, &offered).ok_or_else(|| {
            let message = format!("unable to upgrade: unsupported subprotocol {offered:?}, supported: {websocket:?}");
            (StatusCode::BAD_REQUEST, message)
        })?;
        return Ok(Upgrade::WebSocket {
            protocol,
            accept: derive_accept_key(key.as_bytes()),
        });
    }
    Err((
        StatusCode::BAD_REQUEST,
        "you must specify at least 1 of stdin, stdout, stderr and upgrade the connection".to_string(),
    ))
}

impl Upgrade {
    /// The `101 Switching Protocols` that confirms the choice.
    pub(super) fn response<B: Default>(&self) -> Response<B> {
        let builder = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "Upgrade");
        let builder = match self {
            Upgrade::Spdy { protocol } => builder.header(UPGRADE, SPDY).header(STREAM_PROTOCOL, protocol),
            Upgrade::WebSocket { protocol, accept } => builder
                .header(UPGRADE, "websocket")
                .header("sec-websocket-accept", accept)
                .header(WEBSOCKET_PROTOCOL, protocol),
        };
        // Every part is a constant or came out of a valid header.
        builder.body(B::default()).unwrap_or_default()
    }
}

fn choose(ours: &[&str], offered: &[String]) -> Option<String> {
    ours.iter()
        .find(|ours| offered.iter().any(|offered| offered == **ours))
        .map(|chosen| chosen.to_string())
}

/// A header that can be repeated or hold a comma-separated list.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().to_string())
        .filter(|v| !v.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value): (http::HeaderName, _)| {
                map.append(name, value);
                map
            })
    }

    #[test]
    fn old_and_new_clients_get_their_protocol() {
        let old = headers(&[
            ("upgrade", "SPDY/3.1"),
            (STREAM_PROTOCOL, "v4.channel.k8s.io"),
            (STREAM_PROTOCOL, "channel.k8s.io"),
        ]);
        let chosen = negotiate(&old, &["v4.channel.k8s.io"], &[]).unwrap();
        assert_eq!(
            chosen,
            Upgrade::Spdy {
                protocol: "v4.channel.k8s.io".to_string()
            }
        );
        let response = chosen.response::<String>();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let new = headers(&[
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (WEBSOCKET_PROTOCOL, "a, v5.channel.k8s.io"),
        ]);
        let chosen = negotiate(&new, &[], &["v5.channel.k8s.io", "v4.channel.k8s.io"]).unwrap();
        // The example of RFC 6455, section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_string();
        assert_eq!(
            chosen,
            Upgrade::WebSocket {
                protocol: "v5.channel.k8s.io".to_string(),
                accept
            }
        );
    }

    #[test]
    fn what_cannot_be_agreed_is_refused() {
        let spdy = headers(&[("upgrade", "SPDY/3.1"), (STREAM_PROTOCOL, "v9")]);
        assert_eq!(
            negotiate(&spdy, &["v4.channel.k8s.io"], &[]).unwrap_err().0,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            negotiate(&HeaderMap::new(), &[], &[]).unwrap_err().0,
            StatusCode::BAD_REQUEST
        );
        let no_key = headers(&[("upgrade", "websocket")]);
        assert_eq!(negotiate(&no_key, &[], &["x"]).unwrap_err().0, StatusCode::BAD_REQUEST);
    }
}
