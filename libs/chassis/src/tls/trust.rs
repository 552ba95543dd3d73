//! Which servers a client believes.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::VerifierBuilderError;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// The certificates a client takes from a server, the strictest first. Whatever is taken, the server has to own the key.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those of these authorities for the name of the server.
    Authorities(RootCertStore),
    /// Those of these authorities for any name.
    AnyName(RootCertStore),
    /// Any: for a user who asked for it, or where upstream looks at none.
    Anything,
}

impl From<RootCertStore> for Trust {
    fn from(authorities: RootCertStore) -> Self {
        Trust::Authorities(authorities)
    }
}

impl Trust {
    pub(super) fn verifier(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
        let webpki = |authorities| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider)).build()
        };
        let authorities = match self {
            Trust::Authorities(authorities) => return Ok(webpki(authorities)?),
            Trust::AnyName(authorities) => Some(webpki(authorities)?),
            Trust::Anything => None,
        };
        Ok(Arc::new(Lenient { authorities, provider }))
    }
}

/// Takes what is issued by one of the authorities whatever its name, or without authorities everything.
#[derive(Debug)]
struct Lenient {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        match authorities.verify_server_cert(leaf, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
