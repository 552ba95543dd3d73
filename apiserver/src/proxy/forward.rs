//! Passing a request on and its answer back (apimachinery `pkg/util/proxy/upgradeaware.go`).

use super::rewrite::{Links, joined};
use super::{Target, Wanted, location};
use crate::kubelet::{Kubelet, Transport, is_upgrade, tunnel};
use crate::server::request::{Body, BodyError, empty, full};
use bytes::Bytes;
use chassis::Tasks;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use machinery::status::Status;
use std::io::{Read, Write};
use tokio_util::sync::CancellationToken;

/// Headers that concern one connection only (Go's `net/http/httputil`).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers of backends that would give scripts rights on this server (`corsRemovingTransport`).
const CORS: [&str; 6] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
];
/// Longer pages are passed on without a look at their links.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

impl Kubelet {
    /// Passes a request on. `client` is the address it came from.
    ///
    /// # Errors
    /// The Status for the client when the request cannot be passed on.
    pub async fn proxy(
        &self,
        wanted: &Wanted<'_>,
        request: Request<Incoming>,
        client: Option<&str>,
        draining: &CancellationToken,
    ) -> Result<Response<Body>, Status> {
        let target = location::find(self, wanted).await?;
        let way = Way {
            transport: &self.transport,
            tasks: &self.tasks,
            target: &target,
            path: wanted.path,
            client,
            draining,
        };
        if is_upgrade(request.headers()) {
            return way.upgrade(request, None).await.map_err(Status::internal);
        }
        if wanted.path.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD) {
            return moved(&request);
        }
        way.forward(request).await
    }
}

/// A backend that was found, and how requests get there.
pub(crate) struct Way<'a> {
    /// Dials.
    pub(crate) transport: &'a Transport,
    /// Owns the connections.
    pub(crate) tasks: &'a Tasks,
    /// What is dialled.
    pub(crate) target: &'a Target,
    /// The decoded path that the backend is asked for.
    pub(crate) path: &'a str,
    /// The address that the request came from.
    pub(crate) client: Option<&'a str>,
    /// Ends what is still under way.
    pub(crate) draining: &'a CancellationToken,
}

impl Way<'_> {
    /// Passes a request on and its answer back.
    ///
    /// # Errors
    /// The Status for the client when the backend cannot be reached.
    pub(crate) async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let target = self.target;
        let prepend = prefix(request.uri().path(), self.path);
        let host = header_text(request.headers(), header::HOST);
        let onwards = onwards(request, self.path, &prepend, self.client, target)?;
        let answer = self
            .send(onwards)
            .await
            .map_err(|why| Status::service_unavailable(format!("error trying to reach service: {why}")))?;
        let backend = target.authority();
        let links = Links {
            prepend: &prepend,
            backend: &backend,
            host: &host,
        };
        back(answer, &links, self.draining).await
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, String> {
        let Target { security, host, port } = self.target;
        self.transport.pass(security, (host, *port), request, self.tasks).await
    }

    /// Repeats an upgrade towards the backend, with `query`, and then passes bytes both ways.
    ///
    /// # Errors
    /// Why the backend was not reached, or that it neither agreed nor refused.
    pub(crate) async fn upgrade(
        &self,
        mut request: Request<Incoming>,
        query: Option<&str>,
    ) -> Result<Response<Body>, String> {
        let path = encoded(self.path);
        let uri = match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut onwards = Request::builder()
            .method(request.method().clone())
            .uri(uri)
            .body(empty())
            .map_err(|error| error.to_string())?;
        *onwards.headers_mut() = request.headers().clone();
        onwards.headers_mut().remove(header::CONTENT_LENGTH);
        forwarded_for(onwards.headers_mut(), self.client);
        let mut answer = self.send(onwards).await?;
        let code = answer.status();
        if code == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(tunnel(&mut request, &mut answer, self.tasks, self.draining));
        }
        if !(code.is_client_error() || code.is_server_error()) {
            return Err(format!("invalid upgrade response: status code {}", code.as_u16()));
        }
        Ok(answer.map(|body| until(body, self.draining.clone())))
    }
}

/// What the client's path has in front of the backend's.
fn prefix(whole: &str, path: &str) -> String {
    let whole = crate::filters::request_info::percent_decode(whole);
    let suffix = if whole.ends_with('/') && !path.ends_with('/') {
        format!("{path}/")
    } else {
        path.to_owned()
    };
    whole.strip_suffix(&suffix).unwrap_or(&whole).to_owned()
}

/// Pages at the root of a backend expect to be in a directory.
fn moved(request: &Request<Incoming>) -> Result<Response<Body>, Status> {
    let query = request.uri().query().filter(|query| !query.is_empty());
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", request.uri().path());
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::from_str(&location).map_err(Status::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The request as the backend gets it.
fn onwards(
    request: Request<Incoming>,
    path: &str,
    prepend: &str,
    client: Option<&str>,
    target: &Target,
) -> Result<Request<Body>, Status> {
    let (parts, body) = request.into_parts();
    let path = encoded(path);
    let uri = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.clone(),
    };
    let body = body.map_err(|error| -> BodyError { error.into() }).boxed_unsync();
    let mut onwards = Request::builder()
        .method(parts.method)
        .uri(uri)
        .body(body)
        .map_err(Status::internal)?;
    let mut headers = parts.headers;
    remove_hop_by_hop(&mut headers);
    if !headers.contains_key(header::HOST) {
        let host = parts
            .uri
            .authority()
            .map_or_else(|| target.authority(), ToString::to_string);
        headers.insert(header::HOST, HeaderValue::from_str(&host).map_err(Status::internal)?);
    }
    forwarded_for(&mut headers, client);
    if let Ok(uri) = HeaderValue::from_str(&joined(prepend, &path)) {
        headers.insert(HeaderName::from_static("x-forwarded-uri"), uri);
    }
    *onwards.headers_mut() = headers;
    Ok(onwards)
}

/// A path as it is written in a request line.
fn encoded(path: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        out.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'/' | b'$' | b'&' | b'+' | b',' | b':' | b';' | b'=' | b'@' => {
                out.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

fn header_text(headers: &HeaderMap, name: HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    named.into_iter().for_each(|name| drop(headers.remove(name)));
    HOP_BY_HOP.into_iter().for_each(|name| drop(headers.remove(name)));
}

fn forwarded_for(headers: &mut HeaderMap, client: Option<&str>) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
    let Some(client) = client else { return };
    let before = headers.get_all(&NAME).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = before.chain([client]).collect();
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(NAME, value);
    }
}

/// The answer as the client gets it.
async fn back(
    answer: Response<Incoming>,
    links: &Links<'_>,
    draining: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let (mut parts, body) = answer.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    CORS.into_iter().for_each(|name| drop(parts.headers.remove(name)));
    let to = header_text(&parts.headers, header::LOCATION);
    if !to.is_empty() {
        let to = HeaderValue::from_str(&links.rewrite(&to)).map_err(Status::internal)?;
        parts.headers.insert(header::LOCATION, to);
        return Ok(Response::from_parts(parts, until(body, draining.clone())));
    }
    let media_type = header_text(&parts.headers, header::CONTENT_TYPE);
    let encoding = header_text(&parts.headers, header::CONTENT_ENCODING);
    let is_page = media_type
        .split(';')
        .next()
        .is_some_and(|name| name.trim() == "text/html");
    let known = matches!(encoding.as_str(), "" | "gzip" | "deflate");
    let short = http_body::Body::size_hint(&body).lower() <= MAX_PAGE_BYTES as u64;
    if !(is_page && known && short) {
        return Ok(Response::from_parts(parts, until(body, draining.clone())));
    }
    let unreachable =
        |why: &dyn std::fmt::Display| Status::service_unavailable(format!("error trying to reach service: {why}"));
    let page = Limited::new(body, MAX_PAGE_BYTES)
        .collect()
        .await
        .map_err(|error| unreachable(&error))?
        .to_bytes();
    let text = decoded(&page, &encoding).map_err(|error| unreachable(&error))?;
    let page = match std::str::from_utf8(&text) {
        Ok(text) => coded(links.page(text).as_bytes(), &encoding).map_err(Status::internal)?,
        Err(_) => page,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, full(page)))
}

/// The text of a page; no more of it than a page may have.
fn decoded(page: &Bytes, encoding: &str) -> std::io::Result<Bytes> {
    let mut text = Vec::new();
    let limit = MAX_PAGE_BYTES as u64;
    match encoding {
        "gzip" => GzDecoder::new(page.as_ref()).take(limit).read_to_end(&mut text)?,
        "deflate" => DeflateDecoder::new(page.as_ref()).take(limit).read_to_end(&mut text)?,
        _ => return Ok(page.clone()),
    };
    Ok(text.into())
}

fn coded(text: &[u8], encoding: &str) -> std::io::Result<Bytes> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text)?;
            Ok(encoder.finish()?.into())
        }
        "deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text)?;
            Ok(encoder.finish()?.into())
        }
        _ => Ok(Bytes::copy_from_slice(text)),
    }
}

/// A body that ends when the server drains.
fn until(body: Incoming, draining: CancellationToken) -> Body {
    crate::kubelet::until(body, draining)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_what_stands_before_the_backends_path() {
        for (whole, path, expected) in [
            (
                "/api/v1/namespaces/n/pods/p/proxy/a/b",
                "/a/b",
                "/api/v1/namespaces/n/pods/p/proxy",
            ),
            ("/api/v1/nodes/x/proxy/", "/", "/api/v1/nodes/x/proxy"),
            ("/api/v1/nodes/x/proxy", "", "/api/v1/nodes/x/proxy"),
            ("/api/v1/nodes/x/proxy/a%20b/", "/a b/", "/api/v1/nodes/x/proxy"),
        ] {
            assert_eq!(prefix(whole, path), expected, "{whole}");
        }
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
        forwarded_for(&mut headers, Some("10.0.0.9"));
        forwarded_for(&mut headers, Some("10.0.0.10"));
        assert_eq!(headers["x-forwarded-for"], "10.0.0.9, 10.0.0.10");
    }

    #[test]
    fn paths_are_encoded_again() {
        for (path, expected) in [
            ("", "/"),
            ("/a b", "/a%20b"),
            ("/a?b#c%", "/a%3Fb%23c%25"),
            ("/é", "/%C3%A9"),
        ] {
            assert_eq!(encoded(path), expected);
        }
    }

    #[test]
    fn pages_are_decoded_and_coded() {
        for encoding in ["", "gzip", "deflate"] {
            let page = coded(b"<p>page</p>", encoding).unwrap();
            assert_eq!(decoded(&page, encoding).unwrap(), "<p>page</p>", "{encoding}");
        }
        assert!(decoded(&Bytes::from_static(b"no gzip"), "gzip").is_err());
    }
}
