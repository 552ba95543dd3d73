//! Headers of every answer, and headers that no endpoint may see.

use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers by which an authenticating proxy names a user; this server trusts none.
const PROXY_HEADERS: [&str; 3] = ["x-remote-user", "x-remote-uid", "x-remote-group"];
const PROXY_EXTRA_PREFIX: &str = "x-remote-extra-";

/// Everything here is protected, so no cache may keep it (k8s.io/apiserver `endpoints/filters/cachecontrol.go`).
pub fn set_cache_control(headers: &mut HeaderMap) {
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
}

/// Credentials have done their service, and nothing behind may take a proxy's word.
pub fn remove_credentials(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    for name in PROXY_HEADERS {
        headers.remove(name);
    }
    let extra: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(PROXY_EXTRA_PREFIX))
        .cloned()
        .collect();
    for name in extra {
        headers.remove(name);
    }
}
