//! What others need to check service account tokens (kubernetes `pkg/serviceaccount/openidmetadata.go`,
//! `pkg/routes/openidmetadata.go`): where the keys are, and the keys.

use super::installer::method_not_allowed;
use super::negotiation::check_accept;
use super::respond::{self, Client};
use crate::authentication::jwt::VerifyingKey;
use crate::server::request::{Body, full};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use machinery::status::Status;
use serde_json::{Value, json};

const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
const KEYS_PATH: &str = "/openid/v1/jwks";
const KEYS_TYPE: &str = "application/jwk-set+json";
/// Keys are replaced seldom enough for this.
const CACHED: &str = "public, max-age=3600";

/// The documents of the issuer of tokens.
pub struct Metadata {
    configuration: Bytes,
    keys: Bytes,
}

impl Metadata {
    /// The documents of an issuer, whose keys are found at `jwks_uri`, or without one on this server at `address`.
    pub fn new(issuer: &str, keys: &[VerifyingKey], jwks_uri: Option<&str>, address: &str) -> Self {
        let keys: Vec<Value> = keys.iter().map(VerifyingKey::jwk).collect();
        let mut algorithms: Vec<&str> = keys.iter().filter_map(|key| key["alg"].as_str()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let here = || format!("https://{address}{KEYS_PATH}");
        let configuration = json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri.map_or_else(here, str::to_owned),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        Metadata {
            configuration: configuration.to_string().into(),
            keys: json!({ "keys": keys }).to_string().into(),
        }
    }

    /// The answer for the path of a document; `None` for other paths.
    pub fn answer(&self, path: &str, method: &Method, client: Client<'_>) -> Option<Response<Body>> {
        let (document, media_type) = match path.strip_suffix('/').unwrap_or(path) {
            CONFIGURATION_PATH => (&self.configuration, "application/json"),
            KEYS_PATH => (&self.keys, KEYS_TYPE),
            _ => return None,
        };
        let answer = || -> Result<Response<Body>, Status> {
            if *method != Method::GET {
                return Err(method_not_allowed());
            }
            check_accept(client.headers, &[media_type])?;
            let mut response = respond::body(StatusCode::OK, media_type, full(document.clone()));
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
            Ok(response)
        };
        Some(answer().unwrap_or_else(|status| respond::error(&status, client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::query::Query;
    use http::HeaderMap;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn documents_name_issuer_and_keys() {
        let (headers, query) = (HeaderMap::new(), Query::default());
        let client = Client {
            headers: &headers,
            query: &query,
        };
        let metadata = Metadata::new("https://issuer", &[], None, "10.0.0.1:8443");
        let response = metadata.answer(CONFIGURATION_PATH, &Method::GET, client).unwrap();
        assert_eq!(response.headers()[header::CACHE_CONTROL], CACHED);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["issuer"], "https://issuer");
        assert_eq!(document["jwks_uri"], "https://10.0.0.1:8443/openid/v1/jwks");
        let keys = metadata.answer(KEYS_PATH, &Method::GET, client).unwrap();
        assert_eq!(keys.headers()[header::CONTENT_TYPE], KEYS_TYPE);
        assert_eq!(metadata.answer(KEYS_PATH, &Method::POST, client).unwrap().status(), 405);
        assert!(metadata.answer("/openid/v1", &Method::GET, client).is_none());
        let elsewhere = Metadata::new("i", &[], Some("https://keys"), "x");
        assert!(
            std::str::from_utf8(&elsewhere.configuration)
                .unwrap()
                .contains("https://keys")
        );
    }

    #[test]
    fn keys_are_only_sent_as_what_they_are() {
        let (mut headers, query) = (HeaderMap::new(), Query::default());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let client = Client {
            headers: &headers,
            query: &query,
        };
        let metadata = Metadata::new("i", &[], None, "x");
        assert_eq!(metadata.answer(KEYS_PATH, &Method::GET, client).unwrap().status(), 406);
    }
}
