//! Client certificates: the common name is the user, the organizations are the groups (k8s.io/apiserver
//! `authentication/request/x509`).

use super::CREDENTIAL_ID;
use super::user::{AUTHENTICATED, User};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a connection's client presented.
#[derive(Clone, Debug)]
pub enum Presented {
    /// No certificate, or one without a common name.
    None,
    /// A certificate that one of the client authorities signed.
    Accepted(Box<CertificateUser>),
    /// Any other certificate; the text says what is wrong with it.
    Rejected(String),
}

/// The user that a certificate names.
#[derive(Clone, Debug)]
pub struct CertificateUser {
    /// The user.
    pub user: User,
    /// When the certificate ends.
    expires: SystemTime,
}

impl CertificateUser {
    /// Whether the certificate is still valid; connections may outlive it.
    pub fn is_current(&self) -> bool {
        SystemTime::now() <= self.expires
    }
}

/// Judges the certificates of a connection, leaf first, by the authorities of `--client-ca-file`.
pub fn judge(verifier: &Arc<dyn ClientCertVerifier>, chain: &[CertificateDer<'_>]) -> Presented {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Presented::None;
    };
    if let Err(error) = verifier.verify_client_cert(leaf, intermediates, UnixTime::now()) {
        return Presented::Rejected(format!("the client certificate is refused: {error}"));
    }
    match user_of(leaf) {
        Ok(Some(user)) => Presented::Accepted(Box::new(user)),
        Ok(None) => Presented::None,
        Err(why) => Presented::Rejected(why),
    }
}

fn user_of(der: &[u8]) -> Result<Option<CertificateUser>, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("the client certificate is no X.509: {error}"))?;
    let subject = certificate.subject();
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
    let Some(name) = subject
        .iter_common_name()
        .last()
        .and_then(text)
        .filter(|name| !name.is_empty())
    else {
        return Ok(None);
    };
    let mut groups: Vec<String> = subject.iter_organization().filter_map(text).collect();
    groups.push(AUTHENTICATED.to_owned());
    let hash = Sha256::digest(der).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let extra = [(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={hash}")])].into();
    let expires = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    let user = User {
        name,
        groups,
        extra,
        ..User::default()
    };
    Ok(Some(CertificateUser {
        user,
        expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::tls::{Authority, Profile};
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;
    use rustls::server::WebPkiClientVerifier;

    fn verifier(authority: &Authority) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap()
    }

    fn issued(authority: &Authority, profile: &Profile) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(authority.issue(profile).unwrap().certificate.as_bytes()).unwrap()
    }

    #[test]
    fn certificates_name_users_and_groups() {
        let authority = Authority::generate("ca").unwrap();
        let verifier = verifier(&authority);
        let admin = issued(&authority, &Profile::client("admin", ["system:masters"]));
        let Presented::Accepted(accepted) = judge(&verifier, std::slice::from_ref(&admin)) else {
            panic!("refused")
        };
        assert_eq!(accepted.user.name, "admin");
        assert_eq!(accepted.user.groups, ["system:masters", "system:authenticated"]);
        assert!(accepted.user.extra[CREDENTIAL_ID][0].starts_with("X509SHA256="));
        assert!(accepted.is_current());

        let other = Authority::generate("other").unwrap();
        let stranger = issued(&other, &Profile::client("admin", ["system:masters"]));
        assert!(matches!(judge(&verifier, &[stranger]), Presented::Rejected(_)));
        let server = issued(&authority, &Profile::server("admin", ["localhost"]));
        assert!(
            matches!(judge(&verifier, &[server]), Presented::Rejected(_)),
            "not a client certificate"
        );
        let nameless = issued(&authority, &Profile::client("", ["system:masters"]));
        assert!(matches!(judge(&verifier, &[nameless]), Presented::None));
        assert!(matches!(judge(&verifier, &[]), Presented::None));
        assert!(matches!(
            judge(&verifier, &[CertificateDer::from(vec![1, 2, 3])]),
            Presented::Rejected(_)
        ));
    }
}
