//! What is served: the documents under `/api` and `/apis`, computed from the resource table.

pub mod aggregated;
pub mod legacy;

use super::installer::{method_not_allowed, not_found};
use super::negotiation::{self, Allows, MEDIA_TYPES, Negotiated, Shape, header_text};
use super::respond::{self, Client};
use crate::registry::catalog::Catalog;
use crate::registry::store::Store;
use crate::server::request::{Body, empty};
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

/// What is served outside of `/api` and `/apis`.
const OTHER_PATHS: [&str; 10] = [
    "/.well-known/openid-configuration",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
];

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

/// Answers a request for a discovery document; `None` when the path is none.
pub fn answer(catalog: &Catalog, path: &str, method: &Method, client: Client<'_>) -> Option<Response<Body>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.trim_end_matches('/').split('/').collect();
    let result = match segments.as_slice() {
        [""] if path == "/" => plain(client, &json!({ "paths": paths(catalog) })),
        ["api"] => root(client, &legacy::api_versions(), || aggregated::core(catalog)),
        ["apis"] => root(client, &legacy::group_list(catalog), || aggregated::groups(catalog)),
        ["api", version] => versioned(catalog, "", version, method, client),
        ["apis", group] if catalog.has_group(group) => {
            match groups(catalog).into_iter().find(|(name, _)| name == group) {
                Some((name, versions)) => plain(client, &legacy::group(&name, &versions, true)),
                None => Err(not_found()),
            }
        }
        ["apis", group, version] if catalog.has_group(group) => versioned(catalog, group, version, method, client),
        _ => return None,
    };
    Some(result.unwrap_or_else(|status| respond::error(&status, client)))
}

fn versioned(
    catalog: &Catalog,
    group: &str,
    version: &str,
    method: &Method,
    client: Client<'_>,
) -> Result<Response<Body>, Status> {
    if !catalog.has_version(group, version) {
        return Err(not_found());
    }
    if *method != Method::GET {
        return Err(method_not_allowed());
    }
    plain(client, &legacy::resource_list(catalog, group, version))
}

/// A document that has only one form.
fn plain(client: Client<'_>, document: &Value) -> Result<Response<Body>, Status> {
    negotiation::check_accept(client.headers, &MEDIA_TYPES)?;
    let negotiated = negotiation::negotiate(client.headers, client.query, Allows::Plain)?;
    Ok(respond::tree(StatusCode::OK, document, &negotiated, client))
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

fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/apis/"]
        .into_iter()
        .chain(OTHER_PATHS)
        .map(str::to_owned)
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
