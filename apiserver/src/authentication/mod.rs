//! Who is asking: whom a trusted proxy names, client certificates, service account tokens, or nobody (k8s.io/apiserver `pkg/authentication`).

pub mod certificate;
pub mod issue;
pub mod jwt;
pub mod request_header;
pub mod token;
pub mod user;

pub use user::User;

use certificate::Presented;
use futures::future::BoxFuture;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use machinery::gvk::GroupResource;
use machinery::status::Status;
use request_header::{Client, RequestHeader};
use serde_json::Value;
use std::sync::Arc;
use token::TokenAuthenticator;

/// Where authenticators put the credential that was used (k8s.io/apiserver `user.CredentialIDKey`).
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Reads an object by resource, namespace and name; `None` when there is none.
pub type Getter =
    Arc<dyn Fn(GroupResource, String, String) -> BoxFuture<'static, Result<Option<Value>, Status>> + Send + Sync>;

/// Tries all ways to authenticate in upstream's order: proxy, certificate, token, anonymous.
pub struct Authenticator {
    /// Proxies that say who asks; `None` without `--requestheader-client-ca-file`.
    pub proxies: Option<Arc<RequestHeader>>,
    /// Service account tokens; `None` when there is no key to check them with.
    pub tokens: Option<Arc<TokenAuthenticator>>,
    /// Whether requests without credentials are let through as `system:anonymous` (`--anonymous-auth`).
    pub anonymous: bool,
}

impl Authenticator {
    /// The user of a request. `None` is answered with 401: there are credentials and none of them is good.
    pub async fn authenticate(&self, client: &Client, headers: &HeaderMap) -> Option<User> {
        const EXPIRED: &str = "the client certificate has expired";
        let mut rejected = Vec::new();
        match (&self.proxies, &client.proxy) {
            (Some(proxies), Presented::Accepted(proxy)) if proxy.is_current() => {
                if let Some(user) = proxies.user(headers) {
                    return Some(user);
                }
            }
            (Some(_), Presented::Accepted(_)) => rejected.push(EXPIRED.to_owned()),
            (Some(_), Presented::Rejected(why)) => rejected.push(why.clone()),
            _ => {}
        }
        match &client.certificate {
            Presented::Accepted(user) if user.is_current() => return Some(user.user.clone()),
            Presented::Accepted(_) => rejected.push(EXPIRED.to_owned()),
            Presented::Rejected(why) => rejected.push(why.clone()),
            Presented::None => {}
        }
        if let Some(token) = bearer_token(headers) {
            match &self.tokens {
                Some(tokens) => match tokens.authenticate(token, &[]).await {
                    Ok(accepted) => return Some(accepted.user),
                    Err(why) => rejected.push(why),
                },
                None => rejected.push("bearer tokens are not accepted: there is no key to check them with".to_owned()),
            }
        }
        if rejected.is_empty() {
            return self.anonymous.then(User::anonymous);
        }
        tracing::warn!(why = rejected.join("; "), "unable to authenticate a request");
        None
    }

    /// Removes the headers of proxies: they have done their service.
    pub fn clear(&self, headers: &mut HeaderMap) {
        if let Some(proxies) = &self.proxies {
            proxies.clear(headers);
        }
    }
}

/// The token of an `Authorization: Bearer` header (k8s.io/apiserver `authentication/request/bearertoken`).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim_start().split(' ').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: Option<&str>) -> HeaderMap {
        authorization
            .map(|value| (AUTHORIZATION, value.parse().unwrap()))
            .into_iter()
            .collect()
    }

    #[test]
    fn bearer_tokens_are_found() {
        for (header, expected) in [
            (None, None),
            (Some("Bearer abc"), Some("abc")),
            (Some("bearer abc"), Some("abc")),
            (Some("Bearer  abc"), Some("abc")),
            (Some("Bearer "), None),
            (Some("Bearer"), None),
            (Some("Basic abc"), None),
        ] {
            assert_eq!(bearer_token(&headers(header)), expected, "{header:?}");
        }
    }

    #[tokio::test]
    async fn bad_credentials_are_not_anonymous() {
        let authenticator = Authenticator {
            proxies: None,
            tokens: None,
            anonymous: true,
        };
        let none = || Client::from(Presented::None);
        let anonymous = authenticator.authenticate(&none(), &headers(None)).await.unwrap();
        assert_eq!(
            (anonymous.name.as_str(), anonymous.groups),
            ("system:anonymous", vec!["system:unauthenticated".into()])
        );
        let token = headers(Some("Bearer x"));
        assert_eq!(authenticator.authenticate(&none(), &token).await, None);
        let bad = Presented::Rejected("unknown authority".to_owned()).into();
        assert_eq!(authenticator.authenticate(&bad, &headers(None)).await, None);
        let closed = Authenticator {
            anonymous: false,
            ..authenticator
        };
        assert_eq!(closed.authenticate(&none(), &headers(None)).await, None);
    }

    #[tokio::test]
    async fn proxies_name_users_and_nobody_else_does() {
        let authority = chassis::tls::Authority::generate("front").unwrap();
        let proxies = request_header::tests::trusting(&authority, &["front"]);
        let proxy = proxies.judge(&[request_header::tests::certificate(&authority, "front")]);
        let authenticator = Authenticator {
            proxies: Some(Arc::new(proxies)),
            tokens: None,
            anonymous: true,
        };
        let named: HeaderMap = [(
            http::HeaderName::from_static("x-remote-user"),
            http::HeaderValue::from_static("jane"),
        )]
        .into_iter()
        .collect();
        let client = |proxy: Presented| Client {
            // To the authorities of users the proxy is a stranger.
            certificate: Presented::Rejected("unknown authority".to_owned()),
            proxy,
        };
        let user = authenticator
            .authenticate(&client(proxy.clone()), &named)
            .await
            .unwrap();
        assert_eq!(user.name, "jane");
        assert_eq!(
            authenticator.authenticate(&client(proxy), &HeaderMap::new()).await,
            None
        );
        let stranger = client(Presented::Rejected("no proxy".to_owned()));
        assert_eq!(authenticator.authenticate(&stranger, &named).await, None);
        let nobody = authenticator
            .authenticate(&Presented::None.into(), &named)
            .await
            .unwrap();
        assert_eq!(nobody.name, "system:anonymous");
    }
}
