//! The same watch over HTTP/1.1, HTTP/2 and WebSocket.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};

use super::Running;
use super::connection::{Dialer, text};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WATCH: &str =
    "/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name=seen&timeoutSeconds=60";
/// The first bytes of every object in protobuf.
const MAGIC: &[u8] = b"k8s\0";

#[tokio::test]
async fn every_transport_carries_the_same_events() -> Result<()> {
    let running = Running::start(&[]).await?;
    let dialer = running.dialer()?;
    let get = |accept: &str| Request::get(format!("https://localhost{WATCH}")).header(header::ACCEPT, accept);
    let plain = |accept: &str| {
        get(accept)
            .header(header::HOST, "localhost")
            .body(Full::new(Bytes::new()))
    };

    let mut one = dialer.http1().await?.send_request(plain("application/json")?).await?;
    ensure!(
        one.headers()[header::TRANSFER_ENCODING] == "chunked",
        "{:?}",
        one.headers()
    );
    let mut two = dialer.http2().await?;
    let mut two = two
        .send_request(get("application/json").body(Full::new(Bytes::new()))?)
        .await?;
    ensure!(two.version() == http::Version::HTTP_2, "{:?}", two.version());
    let (mut socket, protocol) = open(&dialer, WATCH, &["base64.binary.k8s.io"], "application/json").await?;
    ensure!(protocol.as_deref() == Some("base64.binary.k8s.io"), "{protocol:?}");
    let (mut binary, _) = open(&dialer, WATCH, &[], "application/vnd.kubernetes.protobuf;stream=watch").await?;

    for (method, path, body, expected) in [
        ("POST", MAPS.to_string(), json!({"metadata": {"name": "seen"}}), "ADDED"),
        (
            "PUT",
            format!("{MAPS}/seen"),
            json!({"metadata": {"name": "seen"}, "data": {"a": "b"}}),
            "MODIFIED",
        ),
        ("DELETE", format!("{MAPS}/seen"), json!({}), "DELETED"),
    ] {
        write(&dialer, method, &path, &body).await?;
        let first = line(&mut one).await?;
        ensure!(
            first["type"] == expected && first["object"]["metadata"]["name"] == "seen",
            "{first}"
        );
        ensure!(line(&mut two).await? == first, "HTTP/2 differs from {first}");
        let message = socket.next().await.context("the WebSocket ends")??;
        ensure!(message.is_text(), "{message:?}");
        ensure!(serde_json::from_str::<Value>(message.to_text()?)? == first, "{message}");
        let message = binary.next().await.context("the WebSocket ends")??;
        let Message::Binary(bytes) = &message else {
            anyhow::bail!("{message:?}");
        };
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        ensure!(has(MAGIC) && has(expected.as_bytes()) && has(b"seen"), "{message:?}");
    }
    socket.close(None).await?;
    running.stop().await
}

#[tokio::test]
async fn the_end_of_a_watch_closes_its_websocket() -> Result<()> {
    let running = Running::start(&[]).await?;
    let path = format!("{MAPS}?watch=true&timeoutSeconds=1");
    let (mut socket, _) = open(&running.dialer()?, &path, &[], "application/json").await?;
    let last = socket.next().await.context("no message")??;
    ensure!(last.is_close(), "{last:?}");
    running.stop().await
}

#[tokio::test]
async fn handshakes_are_refused_as_upstream_does() -> Result<()> {
    let running = Running::start(&[]).await?;
    let dialer = running.dialer()?;
    let refused = open(&dialer, WATCH, &["a", "b"], "application/json").await;
    let code = |error: &anyhow::Error| match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        _ => 0,
    };
    ensure!(
        refused.as_ref().err().map(code) == Some(400),
        "two protocols are accepted"
    );
    // A request without an Origin comes from no browser, and Go's library wants one.
    let request = Request::get(WATCH)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Full::new(Bytes::new()))?;
    let answer = dialer.http1().await?.send_request(request).await?;
    ensure!(answer.status() == 403, "{}", answer.status());
    running.stop().await
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

/// A WebSocket, and the protocol that was chosen.
async fn open(dialer: &Dialer, path: &str, protocols: &[&str], accept: &str) -> Result<(Socket, Option<String>)> {
    let mut request = format!("wss://localhost{path}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(header::ORIGIN, HeaderValue::from_static("https://localhost"));
    headers.insert(header::ACCEPT, HeaderValue::from_str(accept)?);
    if !protocols.is_empty() {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_str(&protocols.join(", "))?,
        );
    }
    let (socket, answer) = tokio_tungstenite::client_async(request, dialer.tls("http/1.1").await?).await?;
    let protocol = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    Ok((
        socket,
        protocol.and_then(|value| Some(value.to_str().ok()?.to_string())),
    ))
}

async fn write(dialer: &Dialer, method: &str, path: &str, body: &Value) -> Result<()> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = Full::new(Bytes::from(serde_json::to_vec(body)?));
    let answer = dialer.http1().await?.send_request(request.body(body)?).await?;
    let status = answer.status();
    ensure!(status.is_success(), "{method} {path}: {status} {}", text(answer).await?);
    Ok(())
}

/// The next event of a streamed watch, which comes as one piece.
async fn line(answer: &mut http::Response<Incoming>) -> Result<Value> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let frame = answer.frame().await.context("the watch ends")??;
        line.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    Ok(serde_json::from_slice(&line)?)
}
