//! Headers of every answer, and headers that no endpoint may see.

use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, HeaderValue};
use machinery::remote_user::Names;

/// Everything here is protected, so no cache may keep it (k8s.io/apiserver `endpoints/filters/cachecontrol.go`).
pub fn set_cache_control(headers: &mut HeaderMap) {
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
}

/// Credentials have done their service, and nothing behind may take a proxy's word.
pub fn remove_credentials(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    let names = Names::default();
    let proxied = headers.keys().filter(|name| names.contain(name.as_str()));
    let proxied: Vec<HeaderName> = proxied.cloned().collect();
    for name in proxied {
        headers.remove(name);
    }
}
