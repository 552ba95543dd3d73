//! Who may use the kubelet API: the API server, which authorizes its own callers.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The name under which an API server calls kubelets, and the group that may do everything.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
const ADMINISTRATORS: &str = "system:masters";

/// The identity in a client certificate that was verified during the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    user: String,
    groups: Vec<String>,
}

impl Caller {
    /// Reads the identity off the first certificate of a verified chain; nobody when there is none.
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(Ok((_, certificate))) = chain.and_then(<[_]>::first).map(|leaf| X509Certificate::from_der(leaf))
        else {
            return Self::default();
        };
        let subject = certificate.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().unwrap_or_default().to_owned()
        };
        Self {
            user: subject.iter_common_name().next().map(text).unwrap_or_default(),
            groups: subject.iter_organization().map(text).collect(),
        }
    }

    /// Whether this is the API server or an administrator.
    pub(super) fn is_api_server(&self) -> bool {
        self.user == API_SERVER || self.groups.iter().any(|group| group == ADMINISTRATORS)
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
        Caller::of(Some(&[leaf]))
    }

    #[test]
    fn only_the_api_server_is_let_in() {
        assert!(caller("kube-apiserver-kubelet-client", &[]).is_api_server());
        assert!(caller("admin", &["system:masters"]).is_api_server());
        assert!(!caller("tenant", &["developers"]).is_api_server());
        assert!(!caller("system:masters", &[]).is_api_server());
        assert!(!Caller::of(None).is_api_server());
        assert!(!Caller::of(Some(&[CertificateDer::from(vec![1, 2, 3])])).is_api_server());
    }
}
