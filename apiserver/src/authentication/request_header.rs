//! Users that a trusted proxy names in headers (k8s.io/apiserver `authentication/request/headerrequest`): the proxy shows
//! a client certificate of the authorities of `--requestheader-client-ca-file`.

use super::certificate::{Presented, judge};
use super::user::{AUTHENTICATED, UNAUTHENTICATED, User};
use http::{HeaderMap, HeaderName};
use machinery::remote_user::Names;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

/// Who is trusted, and which headers are looked at.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    /// Judges the certificates of proxies.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// The common names of proxies; empty for any.
    pub allowed_names: Vec<String>,
    /// The headers, by the flags `--requestheader-…`.
    pub names: Names,
}

/// What a connection's client presented.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its certificate, by the authorities of users.
    pub certificate: Presented,
    /// The same by the authorities of proxies; whom it names is the proxy.
    pub proxy: Presented,
}

impl From<Presented> for Client {
    /// Somebody who is no proxy.
    fn from(certificate: Presented) -> Self {
        Client {
            certificate,
            proxy: Presented::None,
        }
    }
}

impl RequestHeader {
    /// Judges the certificates of a connection, leaf first.
    pub fn judge(&self, chain: &[CertificateDer<'_>]) -> Presented {
        match judge(&self.verifier, chain) {
            Presented::Accepted(proxy) if !self.allows(&proxy.user.name) => {
                let name = &proxy.user.name;
                Presented::Rejected(format!("x509: subject with cn={name} is not in the allowed list"))
            }
            // A proxy has to be called something only when it matters how.
            other => other,
        }
    }

    fn allows(&self, name: &str) -> bool {
        self.allowed_names.is_empty() || self.allowed_names.iter().any(|allowed| allowed == name)
    }

    /// The user that the headers name, if any.
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let named = self.names.user(headers)?;
        let mut user = User {
            name: named.name,
            uid: named.uid,
            groups: named.groups,
            extra: named.extra,
        };
        if !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        Some(user)
    }

    /// Removes the headers, so that nothing behind takes them for something it has to look at.
    pub fn clear(&self, headers: &mut HeaderMap) {
        let said = headers.keys().filter(|name| self.names.contain(name.as_str()));
        let said: Vec<HeaderName> = said.cloned().collect();
        said.into_iter().for_each(|name| drop(headers.remove(name)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use chassis::tls::{Authority, Profile};
    use http::HeaderValue;
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;
    use rustls::server::WebPkiClientVerifier;

    /// Trusts the proxies of an authority that have one of these names.
    pub(in crate::authentication) fn trusting(authority: &Authority, names: &[&str]) -> RequestHeader {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        RequestHeader {
            verifier: verifier.unwrap(),
            allowed_names: names.iter().map(|name| (*name).to_owned()).collect(),
            names: Names::default(),
        }
    }

    pub(in crate::authentication) fn certificate(authority: &Authority, name: &str) -> CertificateDer<'static> {
        let pem = authority.issue(&Profile::client(name, [""; 0])).unwrap();
        CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn only_proxies_of_the_list_are_trusted() {
        let (authority, other) = (
            Authority::generate("front").unwrap(),
            Authority::generate("ca").unwrap(),
        );
        let trust = trusting(&authority, &["front-proxy-client"]);
        let judged = |certificate| trust.judge(&[certificate]);
        assert!(matches!(
            judged(certificate(&authority, "front-proxy-client")),
            Presented::Accepted(_)
        ));
        assert!(
            matches!(judged(certificate(&authority, "somebody")), Presented::Rejected(why) if why.contains("cn=somebody"))
        );
        assert!(matches!(
            judged(certificate(&other, "front-proxy-client")),
            Presented::Rejected(_)
        ));
        let anybody = trusting(&authority, &[]);
        assert!(matches!(
            anybody.judge(&[certificate(&authority, "somebody")]),
            Presented::Accepted(_)
        ));
    }

    #[test]
    fn whoever_is_named_is_known() {
        let trust = trusting(&Authority::generate("front").unwrap(), &[]);
        let mut headers = HeaderMap::new();
        assert_eq!(trust.user(&headers), None);
        headers.insert("x-remote-user", HeaderValue::from_static("jane"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        assert_eq!(trust.user(&headers).unwrap().groups, ["system:authenticated"]);
        headers.insert("x-remote-group", HeaderValue::from_static("system:unauthenticated"));
        assert_eq!(trust.user(&headers).unwrap().groups, ["system:unauthenticated"]);
        trust.clear(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
