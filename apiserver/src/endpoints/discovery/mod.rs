//! What is served: the documents under `/api` and `/apis`, computed from the resource table.

pub mod aggregated;
pub mod legacy;

use super::installer::{method_not_allowed, not_found};
use super::negotiation::{self, Allows, Format, MEDIA_TYPES, Negotiated, Shape, header_text};
use super::respond::{self, Client};
use crate::aggregator::Aggregator;
use crate::aggregator::local::{self, Announced};
use crate::registry::catalog::Served;
use crate::registry::store::Store;
use crate::server::request::{Body, empty, full};
use crate::server::{health, version};
use http::{HeaderValue, Method, Response, StatusCode, header};
use machinery::status::Status;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;

/// What is served outside of `/api`, `/apis` and the health checks.
const OTHER_PATHS: [&str; 10] = [
    "/.well-known/openid-configuration",
    "/flagz",
    "/metrics",
    "/metrics/slis",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/statusz",
    "/version",
];

/// A request for a document.
pub struct Asked<'a> {
    /// What is served here.
    pub served: &'a Served,
    /// What others serve.
    pub aggregator: &'a Aggregator,
    /// Host and port of this server.
    pub address: &'a str,
    /// The path.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// Who asks.
    pub client: Client<'a>,
}

/// The named groups and versions that this server answers for.
fn own(served: &Served) -> Vec<Announced> {
    let mut own: Vec<Announced> = Vec::new();
    for store in served.stores() {
        let kind = &store.resource.gvk;
        let known = own
            .iter()
            .any(|one| (&one.group, &one.version) == (&kind.group, &kind.version));
        if !kind.group.is_empty() && !known {
            own.push(Announced {
                group: kind.group.clone(),
                version: kind.version.clone(),
                priorities: local::priorities(&kind.group, &kind.version),
            });
        }
    }
    own
}

/// The named groups that this server answers for and their versions, preferred ones first.
pub fn groups(served: &Served) -> Vec<(String, Vec<String>)> {
    local::in_order(own(served))
}

/// The same with those that other servers answer for.
pub fn all_groups(served: &Served, aggregator: &Aggregator) -> Vec<(String, Vec<String>)> {
    let others = aggregator.backends();
    let others = others
        .iter()
        .map(|backend| &backend.spec)
        .filter(|spec| !spec.group.is_empty());
    // What an APIService says of a group and version is what counts.
    let others = others.map(|spec| Announced {
        group: spec.group.clone(),
        version: spec.version.clone(),
        priorities: (spec.group_priority, spec.version_priority),
    });
    let mut all: Vec<Announced> = others.collect();
    for one in own(served) {
        if !all
            .iter()
            .any(|known| (&known.group, &known.version) == (&one.group, &one.version))
        {
            all.push(one);
        }
    }
    local::in_order(all)
}

/// The stores of one group and version, sorted by resource name.
fn stores<'a>(served: &'a Served, group: &str, version: &str) -> Vec<&'a Arc<Store>> {
    let own = |store: &&Arc<Store>| store.resource.gvk.group == group && store.resource.gvk.version == version;
    let mut stores: Vec<&Arc<Store>> = served.stores().filter(own).collect();
    stores.sort_by(|a, b| a.resource.plural.cmp(&b.resource.plural));
    stores
}

/// Answers a request for a discovery document; `None` when the path is none. As upstream, some documents do not care for
/// the method, and the list of paths for nothing at all.
pub fn answer(asked: &Asked<'_>) -> Option<Response<Body>> {
    let Asked {
        served,
        aggregator,
        client,
        ..
    } = *asked;
    let segments: Vec<&str> = asked.path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
    let result = match segments.as_slice() {
        [""] if asked.path == "/" => return Some(list_of_paths(served, aggregator)),
        ["index.html"] => return Some(list_of_paths(served, aggregator)),
        ["api"] => only_get(asked, &MEDIA_TYPES).and_then(|()| {
            root(client, &legacy::api_versions(asked.address), || {
                aggregated::core(served)
            })
        }),
        ["apis"] => root(client, &legacy::group_list(&all_groups(served, aggregator)), || {
            aggregated::groups(served, aggregator)
        }),
        ["version"] => only_get(asked, &[Format::Json.media_type()]).map(|()| indented(&version::document())),
        ["api", version] => versioned(asked, "", version),
        ["apis", group] if !group.is_empty() => {
            let all = all_groups(served, aggregator);
            let (name, versions) = all.iter().find(|(name, _)| name == group)?;
            plain(client, &legacy::group(name, versions, true))
        }
        ["apis", group, version]
            if !group.is_empty() && (served.is_builtin(group) || served.has_version(group, version)) =>
        {
            versioned(asked, group, version)
        }
        _ => return None,
    };
    Some(result.unwrap_or_else(|status| respond::error(&status, client)))
}

/// What go-restful checks before it calls anybody: the method, then whether the client takes what there is.
fn only_get(asked: &Asked<'_>, produces: &[&str]) -> Result<(), Status> {
    if *asked.method != Method::GET {
        return Err(method_not_allowed());
    }
    negotiation::check_accept(asked.client.headers, produces)
}

fn versioned(asked: &Asked<'_>, group: &str, version: &str) -> Result<Response<Body>, Status> {
    if !asked.served.has_version(group, version) {
        return Err(not_found());
    }
    only_get(asked, &MEDIA_TYPES)?;
    plain(asked.client, &legacy::resource_list(asked.served, group, version))
}

/// A document that has only one form.
fn plain(client: Client<'_>, document: &Value) -> Result<Response<Body>, Status> {
    let negotiated = negotiation::negotiate(client.headers, client.query, Allows::Plain)?;
    Ok(respond::tree(StatusCode::OK, document, &negotiated, client))
}

/// `/`: everything there is.
fn list_of_paths(served: &Served, aggregator: &Aggregator) -> Response<Body> {
    indented(&json!({ "paths": paths(served, aggregator) }))
}

/// A document that upstream indents for everybody.
fn indented(document: &Value) -> Response<Body> {
    respond::body(StatusCode::OK, Format::Json.media_type(), full(format!("{document:#}")))
}

/// A document that has an aggregated form, too.
fn root(client: Client<'_>, legacy: &Value, aggregated: impl FnOnce() -> Value) -> Result<Response<Body>, Status> {
    let negotiated = negotiation::negotiate(client.headers, client.query, Allows::Discovery)?;
    if !matches!(negotiated.shape, Shape::Discovery(_)) {
        return Ok(respond::tree(StatusCode::OK, legacy, &negotiated, client));
    }
    let document = aggregated();
    let etag = etag(document.to_string().as_bytes());
    let negotiated = Negotiated {
        shape: Shape::Plain,
        ..negotiated
    };
    let mut response = if header_text(client.headers, header::IF_NONE_MATCH) == etag {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut response = respond::tree(StatusCode::OK, &document, &negotiated, client);
        let media_type = format!(
            "{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            negotiated.format.media_type()
        );
        set(&mut response, header::CONTENT_TYPE, &media_type);
        response
    };
    set(&mut response, header::ETAG, &etag);
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Accept"));
    set(&mut response, header::CACHE_CONTROL, "public");
    Ok(response)
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The entity tag of a document: a quoted digest.
pub fn etag(document: &[u8]) -> String {
    let mut text = String::with_capacity(66);
    text.push('"');
    for byte in Sha256::digest(document) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text.push('"');
    text
}

/// What is listed at `/`.
pub fn paths(served: &Served, aggregator: &Aggregator) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/apis/"]
        .into_iter()
        .chain(OTHER_PATHS)
        .map(str::to_owned)
        .chain(health::paths())
        .collect();
    for (group, versions) in all_groups(served, aggregator) {
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        paths.push(format!("/apis/{group}"));
    }
    paths.sort();
    paths
}
