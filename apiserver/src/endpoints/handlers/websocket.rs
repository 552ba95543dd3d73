//! Watches over WebSocket (RFC 6455): a message for each event, and nothing but control frames the other way
//! (k8s.io/apiserver `endpoints/handlers/watch.go`, golang.org/x/net/websocket).

use crate::server::request::{Body, empty, full};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ring::digest;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

const PROTOCOL: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
/// What the key is hashed with (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
/// Control frames are not longer than this.
const MAX_CONTROL: u64 = 125;
/// The code of a normal end.
const NORMAL: [u8; 2] = [0x03, 0xe8];

/// Whether a client wants to speak WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    crate::kubelet::is_upgrade(headers) && upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// The answer that opens the connection.
///
/// # Errors
/// The answer that refuses it, in the words of Go's library.
pub(super) fn accept(headers: &HeaderMap) -> Result<Response<Body>, Box<Response<Body>>> {
    let text = |name: HeaderName| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(refused(StatusCode::BAD_REQUEST, "mismatch challenge/response"));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        let mut response = refused(StatusCode::BAD_REQUEST, "missing or bad WebSocket Version");
        let versions = HeaderValue::from_static("13");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, versions);
        return Err(response);
    }
    if text(header::ORIGIN).is_empty() {
        return Err(refused(StatusCode::FORBIDDEN, ""));
    }
    let protocols: Vec<&str> = text(PROTOCOL)
        .split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .collect();
    if protocols.len() > 1 {
        return Err(refused(StatusCode::BAD_REQUEST, ""));
    }
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(hash)) {
        answers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    if let Some(protocol) = protocols.first().and_then(|p| HeaderValue::from_str(p).ok()) {
        answers.insert(PROTOCOL, protocol);
    }
    Ok(response)
}

fn refused(code: StatusCode, why: &'static str) -> Box<Response<Body>> {
    let mut response = Response::new(full(why));
    *response.status_mut() = code;
    Box::new(response)
}

/// Sends messages until they or the client end.
pub(super) async fn send(upgrade: OnUpgrade, messages: impl Stream<Item = Bytes>, text: bool) {
    let connection = match upgrade.await {
        Ok(connection) => TokioIo::new(connection),
        Err(error) => return tracing::debug!(%error, "a WebSocket was not established"),
    };
    let (reader, writer) = tokio::io::split(connection);
    let (pings, pinged) = mpsc::channel(1);
    let sent = async {
        tokio::select! {
            sent = write(writer, messages, pinged, if text { TEXT } else { BINARY }) => sent,
            received = receive(reader, pings) => received,
        }
    };
    if let Err(error) = sent.await {
        tracing::debug!(%error, "a WebSocket broke");
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    messages: impl Stream<Item = Bytes>,
    mut pinged: mpsc::Receiver<Vec<u8>>,
    kind: u8,
) -> io::Result<()> {
    let mut messages = std::pin::pin!(messages);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => frame(&mut writer, kind, &message).await?,
                None => break,
            },
            Some(ping) = pinged.recv() => frame(&mut writer, PONG, &ping).await?,
        }
    }
    frame(&mut writer, CLOSE, &NORMAL).await?;
    writer.shutdown().await
}

async fn frame(writer: &mut (impl AsyncWrite + Unpin), kind: u8, payload: &[u8]) -> io::Result<()> {
    writer.write_all(&head(kind, payload.len())).await?;
    writer.write_all(payload).await?;
    writer.flush().await
}

/// What stands before a payload that is not masked.
fn head(kind: u8, length: usize) -> Vec<u8> {
    let mut head = vec![FINAL | kind];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if u64::from(length) <= MAX_CONTROL => head.push(length),
        (_, Ok(length)) => {
            head.push(126);
            head.extend(length.to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

/// Reads until the client closes. What it says is of no interest, but pings are answered.
///
/// # Errors
/// Those of the connection, which may also end within a frame.
pub async fn receive(mut reader: impl AsyncRead + Unpin, pings: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    loop {
        let (first, second) = (reader.read_u8().await?, reader.read_u8().await?);
        let length = match second & 0x7f {
            126 => u64::from(reader.read_u16().await?),
            127 => reader.read_u64().await?,
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            reader.read_exact(&mut mask).await?;
        }
        match first & 0x0f {
            CLOSE => return Ok(()),
            PING if length <= MAX_CONTROL => {
                let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
                reader.read_exact(&mut payload).await?;
                payload
                    .iter_mut()
                    .zip(mask.iter().cycle())
                    .for_each(|(byte, mask)| *byte ^= mask);
                // Without a writer there is nobody to answer any more.
                let _ = pings.send(payload).await;
            }
            _ => {
                let skipped = tokio::io::copy(&mut (&mut reader).take(length), &mut tokio::io::sink()).await?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn handshakes_are_judged_as_by_gos_library() {
        // The example of RFC 6455, 1.3.
        let good = [
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("origin", "http://x"),
        ];
        let response = accept(&headers(&good)).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        let code = |pairs: &[(&'static str, &'static str)]| {
            accept(&headers(pairs)).map_or_else(|r| r.status().as_u16(), |_| 101)
        };
        assert_eq!(code(&good[..2]), 403, "no origin");
        assert_eq!(code(&[good[0], good[2]]), 400, "no version");
        assert_eq!(code(&good[1..]), 400, "no key");
        let with = |protocols| code(&[good[0], good[1], good[2], ("sec-websocket-protocol", protocols)]);
        assert_eq!((with("a"), with("a, b")), (101, 400));
        assert!(is_wanted(&headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "WebSocket")
        ])));
        assert!(!is_wanted(&headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1")
        ])));
    }

    #[test]
    fn lengths_have_three_forms() {
        assert_eq!(head(TEXT, 5), [0x81, 5]);
        assert_eq!(head(BINARY, 126), [0x82, 126, 0, 126]);
        assert_eq!(head(TEXT, 65536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[tokio::test]
    async fn pings_are_answered_until_the_client_closes() {
        let (sender, mut pinged) = mpsc::channel(1);
        // Masked: a text nobody reads, a ping, the end.
        let input = b"\x81\x82\x01\x02\x03\x04ab\x89\x81\x01\x00\x00\x00\x60\x88\x80\0\0\0\0rest";
        receive(&input[..], sender).await.unwrap();
        assert_eq!(pinged.recv().await.unwrap(), b"\x61");
        let (sender, _pinged) = mpsc::channel(1);
        assert!(receive(&b"\x81\x05ab"[..], sender).await.is_err());
    }

    #[tokio::test]
    async fn messages_are_framed_and_the_end_is_told() {
        let (_pings, pinged) = mpsc::channel(1);
        let mut out = Vec::new();
        let messages = futures::stream::iter([Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        write(&mut out, messages, pinged, TEXT).await.unwrap();
        assert_eq!(out, b"\x81\x03one\x81\x03two\x88\x02\x03\xe8");
    }
}
