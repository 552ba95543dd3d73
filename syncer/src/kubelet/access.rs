//! Who asks: the identity in a client certificate, or that of a token, which the virtual API server knows.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The name under which an API server calls kubelets, and the group that may do everything.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const ADMINISTRATORS: &str = "system:masters";
/// The group of everybody who is known.
const AUTHENTICATED: &str = "system:authenticated";

/// Somebody who was authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
    pub(super) by_certificate: bool,
}

impl Caller {
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
}
