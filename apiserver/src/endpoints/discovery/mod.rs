//! What is served: the documents under `/api` and `/apis`, computed from the resource table.

pub mod aggregated;
pub mod legacy;

use super::installer::{method_not_allowed, not_found};
use super::negotiation::{self, Allows, Format, MEDIA_TYPES, Negotiated, Shape, header_text};
use super::respond::{self, Client};
use crate::registry::catalog::Catalog;
use crate::registry::store::Store;
use crate::server::request::{Body, empty, full};
use crate::server::{health, version};
use http::{HeaderValue, Method, Response, StatusCode, header};
use machinery::status::Status;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;

/// The groups in the order in which upstream shows them; others follow by name.
const GROUP_ORDER: [&str; 20] = [
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

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
    /// What is served.
    pub catalog: &'a Catalog,
    /// Host and port of this server.
    pub address: &'a str,
    /// The path.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// Who asks.
    pub client: Client<'a>,
}

/// The named groups and their versions, preferred ones first.
pub fn groups(catalog: &Catalog) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for store in catalog.stores() {
        let kind = &store.resource.gvk;
        if kind.group.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version.clone()),
            None => groups.push((kind.group.clone(), vec![kind.version.clone()])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| Reverse(version_rank(version)));
    }
    let place = |group: &str| {
        GROUP_ORDER
            .iter()
            .position(|known| *known == group)
            .unwrap_or(GROUP_ORDER.len())
    };
    groups.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    groups
}

/// Stable versions before betas before alphas, newer before older (apimachinery `version.CompareKubeAwareVersionStrings`).
fn version_rank(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let number = |text: &str| text.parse().unwrap_or_default();
    for (stability, word) in [(1, "beta"), (0, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (stability, number(major), number(minor));
        }
    }
    (2, number(rest), 0)
}

/// The stores of one group and version, sorted by resource name.
fn stores<'a>(catalog: &'a Catalog, group: &str, version: &str) -> Vec<&'a Arc<Store>> {
    let own = |store: &&Arc<Store>| store.resource.gvk.group == group && store.resource.gvk.version == version;
    let mut stores: Vec<&Arc<Store>> = catalog.stores().iter().filter(own).collect();
    stores.sort_by_key(|store| store.resource.plural);
    stores
}

/// Answers a request for a discovery document; `None` when the path is none. As upstream, some documents do not care for
/// the method, and the list of paths for nothing at all.
pub fn answer(asked: &Asked<'_>) -> Option<Response<Body>> {
    let Asked { catalog, client, .. } = *asked;
    let segments: Vec<&str> = asked.path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
    let result = match segments.as_slice() {
        [""] if asked.path == "/" => return Some(list_of_paths(catalog)),
        ["index.html"] => return Some(list_of_paths(catalog)),
        ["api"] => only_get(asked, &MEDIA_TYPES).and_then(|()| {
            root(client, &legacy::api_versions(asked.address), || {
                aggregated::core(catalog)
            })
        }),
        ["apis"] => root(client, &legacy::group_list(catalog), || aggregated::groups(catalog)),
        ["version"] => only_get(asked, &[Format::Json.media_type()]).map(|()| indented(&version::document())),
        ["api", version] => versioned(asked, "", version),
        ["apis", group] if catalog.has_group(group) => {
            match groups(catalog).into_iter().find(|(name, _)| name == group) {
                Some((name, versions)) => plain(client, &legacy::group(&name, &versions, true)),
                None => Err(not_found()),
            }
        }
        ["apis", group, version] if !group.is_empty() && catalog.has_group(group) => versioned(asked, group, version),
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
    if !asked.catalog.has_version(group, version) {
        return Err(not_found());
    }
    only_get(asked, &MEDIA_TYPES)?;
    plain(asked.client, &legacy::resource_list(asked.catalog, group, version))
}

/// A document that has only one form.
fn plain(client: Client<'_>, document: &Value) -> Result<Response<Body>, Status> {
    let negotiated = negotiation::negotiate(client.headers, client.query, Allows::Plain)?;
    Ok(respond::tree(StatusCode::OK, document, &negotiated, client))
}

/// `/`: everything there is.
fn list_of_paths(catalog: &Catalog) -> Response<Body> {
    indented(&json!({ "paths": paths(catalog) }))
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
pub fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/apis/"]
        .into_iter()
        .chain(OTHER_PATHS)
        .map(str::to_owned)
        .chain(health::paths())
        .collect();
    for (group, versions) in groups(catalog) {
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        paths.push(format!("/apis/{group}"));
    }
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_and_newer_versions_are_preferred() {
        let mut versions = ["v1beta2", "v1", "v2alpha1", "v10", "v1beta10"];
        versions.sort_by_key(|version| Reverse(version_rank(version)));
        assert_eq!(versions, ["v10", "v1", "v1beta10", "v1beta2", "v2alpha1"]);
    }
}
