//! Answers: the one place where objects, lists and errors become HTTP
//! (k8s.io/apiserver `pkg/endpoints/handlers/responsewriters`).

use super::negotiation::{self, Allows, Format, Negotiated, header_text};
use super::query::Query;
use super::yaml;
use crate::registry::codec;
use crate::server::request::{Body, BodyError, full};
use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use machinery::gvk::GroupVersion;
use machinery::status::Status;
use machinery::{schema, wire};
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Answers longer than this are compressed for clients that can take it (upstream `defaultGzipThresholdBytes`).
const GZIP_THRESHOLD: usize = 128 * 1024;
/// How much of a long list is put together at a time.
const CHUNK: usize = 64 * 1024;

/// What the answer depends on besides its content.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's parameters.
    pub query: &'a Query,
}

/// An error in the encoding that the client accepts; JSON when it accepts none.
pub fn error(status: &Status, client: Client<'_>) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A Status holds nothing that JSON cannot express.
    let value = serde_json::to_value(status).unwrap_or_default();
    let mut response = match negotiation::negotiate(client.headers, client.query, Allows::Plain) {
        Ok(negotiated) => tree(code, &value, &negotiated, client),
        Err(_) => {
            let mut text = Vec::new();
            let _ = serde_json::to_writer_pretty(&mut text, &value);
            body(code, Format::Json.media_type(), full(text))
        }
    };
    if let Some(seconds) = status
        .details
        .as_ref()
        .map(|d| d.retry_after_seconds)
        .filter(|seconds| *seconds > 0)
    {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A tree in the negotiated encoding.
pub fn tree(code: StatusCode, value: &Value, negotiated: &Negotiated, client: Client<'_>) -> Response<Body> {
    match negotiated.format {
        Format::Json => json(code, codec::to_bytes(value), negotiated, client),
        Format::Yaml => compressible(code, Format::Yaml.media_type(), yaml::from_json(value), client),
        Format::Protobuf => match protobuf(value) {
            Ok(bytes) => compressible(code, Format::Protobuf.media_type(), bytes.into(), client),
            // Not even an error could be sent as what the client wants.
            Err(status) => tree(
                StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                &serde_json::to_value(&status).unwrap_or_default(),
                &Negotiated {
                    format: Format::Json,
                    ..negotiated.clone()
                },
                client,
            ),
        },
    }
}

/// An object in the protobuf form of the kind that it says it is.
///
/// # Errors
/// 406 for a kind without one.
pub fn protobuf(value: &Value) -> Result<Vec<u8>, Status> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    // Discovery documents of the core group leave their version to the reader.
    let version = match text("apiVersion") {
        "" => GroupVersion::new("", "v1"),
        text => GroupVersion::parse(text).unwrap_or_default(),
    };
    let ty = schema::by_gvk(&version.group, &version.version, text("kind"));
    let encoded = ty.map(|ty| wire::encode_as(value, &version, ty));
    match encoded {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(error)) => Err(Status::failure(406, "NotAcceptable", error.to_string())),
        None => Err(negotiation::not_acceptable(&["application/json", "application/yaml"])),
    }
}

/// JSON that is already encoded, in the negotiated encoding.
pub fn json(code: StatusCode, text: Bytes, negotiated: &Negotiated, client: Client<'_>) -> Response<Body> {
    match negotiated.format {
        Format::Json if negotiated.pretty => {
            compressible(code, Format::Json.media_type(), indent(&text).into(), client)
        }
        Format::Json => pieces(
            code,
            Format::Json.media_type(),
            [text, Bytes::from_static(b"\n")].into(),
            client,
        ),
        Format::Yaml | Format::Protobuf => match serde_json::from_slice(&text) {
            Ok(value) => tree(code, &value, negotiated, client),
            Err(error) => self::error(&Status::internal(error), client),
        },
    }
}

/// Bytes of a media type, compressed where that pays and is wanted.
pub fn compressible(code: StatusCode, media_type: &'static str, bytes: Bytes, client: Client<'_>) -> Response<Body> {
    if bytes.len() > GZIP_THRESHOLD
        && accepts_gzip(client.headers)
        && let Some(compressed) = gzip([&bytes])
    {
        return gzipped(code, media_type, compressed);
    }
    body(code, media_type, full(bytes))
}

/// A long answer made of pieces, without a copy of all of it.
pub fn pieces(
    code: StatusCode,
    media_type: &'static str,
    pieces: VecDeque<Bytes>,
    client: Client<'_>,
) -> Response<Body> {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    if length > GZIP_THRESHOLD
        && accepts_gzip(client.headers)
        && let Some(compressed) = gzip(&pieces)
    {
        return gzipped(code, media_type, compressed);
    }
    if length <= CHUNK {
        let mut whole = BytesMut::with_capacity(length);
        pieces.iter().for_each(|piece| whole.put_slice(piece));
        return body(code, media_type, full(whole.freeze()));
    }
    let pieces = Pieces {
        pieces,
        left: length as u64,
    };
    body(
        code,
        media_type,
        pieces.map_err(|never| -> BodyError { match never {} }).boxed_unsync(),
    )
}

/// An answer of a media type.
pub fn body(code: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn gzipped(code: StatusCode, media_type: &'static str, compressed: Vec<u8>) -> Response<Body> {
    let mut response = body(code, media_type, full(compressed));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Whether the client takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    header_text(headers, header::ACCEPT_ENCODING)
        .split(',')
        .any(|item| item.trim() == "gzip")
}

/// The pieces, compressed quickly rather than well.
pub fn gzip<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        encoder.write_all(piece).ok()?;
    }
    encoder.finish().ok()
}

/// A body of known length that is put together while it is sent.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut chunk = BytesMut::new();
        while let Some(piece) = self.pieces.pop_front() {
            if chunk.is_empty() && piece.len() >= CHUNK {
                self.left -= piece.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if chunk.len() + piece.len() > CHUNK && !chunk.is_empty() {
                self.pieces.push_front(piece);
                break;
            }
            if chunk.is_empty() {
                chunk.reserve(CHUNK);
            }
            chunk.put_slice(&piece);
        }
        if chunk.is_empty() {
            return Poll::Ready(None);
        }
        self.left -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk.freeze()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// JSON indented by two blanks, without being parsed into a tree.
fn indent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', depth * 2));
    };
    for (i, &byte) in text.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let empty_next = text[i + 1..]
            .iter()
            .find(|b| !b.is_ascii_whitespace())
            .is_some_and(|b| matches!(b, b'}' | b']'));
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !empty_next {
                    newline(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    newline(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                newline(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            b if b.is_ascii_whitespace() => {}
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn indenting_is_the_same_as_printing_the_tree() {
        for value in [
            json!({}),
            json!([]),
            json!({"a": {}, "b": [], "c": [1, "x\"],{:", null, {"d": "\\"}]}),
            json!({"text": "a: b, {c}"}),
        ] {
            let text = serde_json::to_vec(&value).unwrap();
            let expected = serde_json::to_vec_pretty(&value).unwrap();
            assert_eq!(
                String::from_utf8(indent(&text)).unwrap(),
                String::from_utf8(expected).unwrap()
            );
        }
    }

    #[tokio::test]
    async fn long_lists_are_sent_in_chunks_of_known_total_length() {
        let piece = Bytes::from(vec![b'x'; 1000]);
        let all: VecDeque<Bytes> = std::iter::repeat_n(piece, 200)
            .chain([Bytes::from(vec![b'y'; 100_000])])
            .collect();
        let headers = HeaderMap::new();
        let client = Client {
            headers: &headers,
            query: &Query::default(),
        };
        let response = pieces(StatusCode::OK, Format::Json.media_type(), all.clone(), client);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(300_000));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, all.into_iter().flatten().collect::<Vec<u8>>());
    }

    #[test]
    fn errors_fall_back_to_json() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/cbor"));
        let query = Query::default();
        let response = error(
            &Status::too_many_requests("later", 3),
            Client {
                headers: &headers,
                query: &query,
            },
        );
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
