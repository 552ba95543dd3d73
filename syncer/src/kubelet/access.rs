//! Who asks: the identity in a client certificate, whom a trusted proxy names, or that of a token, which the virtual API
//! server knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use chassis::tls::load_authorities;
use chassis::usage;
use http::HeaderMap;
use machinery::remote_user::Names;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::options::Options;

/// The name under which an API server calls kubelets, and the group that may do everything.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const ADMINISTRATORS: &str = "system:masters";
/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

/// The group of everybody who is not.
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Somebody who was authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
    pub(super) by_certificate: bool,
}

/// What a client's certificates say, which were verified during the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// There are none.
    Nothing,
    /// The identity of a user.
    User(Caller),
    /// A proxy, who says in headers who asks.
    Proxy,
    /// Those of a proxy that is not trusted, and of nobody else.
    Stranger,
}

/// Tells users from proxies: the handshake accepts both.
#[derive(Clone)]
pub struct Trust {
    users: Option<Arc<dyn ClientCertVerifier>>,
    proxies: Option<Arc<dyn ClientCertVerifier>>,
    allowed_names: Vec<String>,
}

impl Trust {
    /// What the flags say.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(options: &Options) -> Result<Self> {
        let verifier = |flag: &str, file: Option<&std::path::PathBuf>| -> Result<Option<Arc<dyn ClientCertVerifier>>> {
            let Some(file) = file else { return Ok(None) };
            let authorities: RootCertStore = load_authorities(flag, file)?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
            Ok(Some(
                verifier.map_err(|error| usage(format!("{flag} cannot be used: {error}")))?,
            ))
        };
        Ok(Trust {
            users: verifier("--client-ca-file", options.client_ca_file.as_ref())?,
            proxies: verifier(
                "--requestheader-client-ca-file",
                options.requestheader_client_ca_file.as_ref(),
            )?,
            allowed_names: options.requestheader_allowed_names.clone(),
        })
    }

    /// Who presented a chain, leaf first.
    pub(super) fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Presented {
        let Some((leaf, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return Presented::Nothing;
        };
        let by = |verifier: &Option<Arc<dyn ClientCertVerifier>>| {
            let verifier = verifier.as_ref();
            verifier.is_some_and(|v| v.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok())
        };
        let caller = Caller::of(chain);
        let allowed = |caller: &Caller| self.allowed_names.is_empty() || self.allowed_names.contains(&caller.user);
        if by(&self.proxies) && caller.as_ref().is_some_and(allowed) {
            return Presented::Proxy;
        }
        match caller {
            Some(caller) if by(&self.users) => Presented::User(caller),
            None if by(&self.users) => Presented::Nothing,
            _ => Presented::Stranger,
        }
    }
}

impl Caller {
    /// Whom the headers of a proxy name.
    pub(super) fn named(headers: &HeaderMap) -> Option<Self> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut named = Names::default().user(headers)?;
        if !named
            .groups
            .iter()
            .any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED)
        {
            named.groups.push(AUTHENTICATED.to_owned());
        }
        Some(Self {
            user: named.name,
            uid: named.uid,
            groups: named.groups,
            extra: named.extra,
            by_certificate: false,
        })
    }

    /// Reads the identity off the first certificate of a chain that was verified during the handshake.
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(chain?.first()?).ok()?;
        let subject = certificate.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().unwrap_or_default().to_owned()
        };
        let user = subject
            .iter_common_name()
            .next()
            .map(text)
            .filter(|user| !user.is_empty())?;
        let mut groups: Vec<String> = subject.iter_organization().map(text).collect();
        groups.push(AUTHENTICATED.to_owned());
        Some(Self {
            user,
            groups,
            by_certificate: true,
            ..Self::default()
        })
    }

    /// Whether this is the API server or an administrator, by certificate: names in tokens are not theirs to give.
    pub(super) fn is_api_server(&self) -> bool {
        self.by_certificate && (self.user == API_SERVER || self.groups.iter().any(|group| group == ADMINISTRATORS))
    }
}

/// The API server, for tests of others.
#[cfg(test)]
pub(super) fn tests_api_server() -> Caller {
    Caller {
        user: API_SERVER.to_owned(),
        by_certificate: true,
        ..Caller::default()
    }
}

#[cfg(test)]
mod tests {
    use chassis::tls::{Authority, Profile};
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn caller(user: &str, groups: &[&str]) -> Caller {
        let authority = Authority::generate("test").expect("an authority");
        let issued = authority
            .issue(&Profile::client(user, groups.iter().copied()))
            .expect("a certificate");
        let leaf = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM");
        Caller::of(Some(&[leaf])).expect("a caller")
    }

    #[test]
    fn the_api_server_is_known_by_its_certificate() {
        assert!(caller("kube-apiserver-kubelet-client", &[]).is_api_server());
        assert!(caller("admin", &["system:masters"]).is_api_server());
        let tenant = caller("tenant", &["developers"]);
        assert!(!tenant.is_api_server());
        assert_eq!(tenant.groups, ["developers", "system:authenticated"]);
        assert!(!caller("system:masters", &[]).is_api_server());
        let by_token = Caller {
            by_certificate: false,
            ..caller("kube-apiserver-kubelet-client", &["system:masters"])
        };
        assert!(!by_token.is_api_server());
        assert_eq!(Caller::of(None), None);
        assert_eq!(Caller::of(Some(&[CertificateDer::from(vec![1, 2, 3])])), None);
    }

    #[test]
    fn proxies_are_told_from_users() {
        chassis::tls::install_provider();
        let (users, proxies) = (Authority::generate("ca"), Authority::generate("front"));
        let (users, proxies) = (users.expect("an authority"), proxies.expect("an authority"));
        let verifier = |authority: &Authority| -> Option<Arc<dyn ClientCertVerifier>> {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes()).expect("PEM");
            roots.add(root).expect("an authority");
            Some(
                WebPkiClientVerifier::builder(Arc::new(roots))
                    .build()
                    .expect("a verifier"),
            )
        };
        let trust = Trust {
            users: verifier(&users),
            proxies: verifier(&proxies),
            allowed_names: vec!["front-proxy-client".to_owned()],
        };
        let judged = |authority: &Authority, name: &str| {
            let profile = Profile::client(name, ["system:masters"]);
            let issued = authority.issue(&profile).expect("a certificate");
            let leaf = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("PEM");
            trust.judge(Some(&[leaf]))
        };
        assert_eq!(judged(&proxies, "front-proxy-client"), Presented::Proxy);
        assert_eq!(
            judged(&proxies, "somebody"),
            Presented::Stranger,
            "groups of proxies mean nothing"
        );
        assert!(matches!(judged(&users, "front-proxy-client"), Presented::User(_)));
        assert_eq!(trust.judge(None), Presented::Nothing);
    }

    #[test]
    fn whom_a_proxy_names_is_not_the_api_server() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| {
                    (
                        http::HeaderName::from_static(name),
                        http::HeaderValue::from_static(value),
                    )
                })
                .collect()
        };
        let caller = Caller::named(&headers(&[
            ("x-remote-user", "jane"),
            ("x-remote-group", "system:masters"),
        ]));
        let caller = caller.expect("somebody");
        assert_eq!(caller.groups, ["system:masters", "system:authenticated"]);
        assert!(!caller.is_api_server());
        assert_eq!(Caller::named(&headers(&[("x-remote-group", "system:masters")])), None);
    }
}
