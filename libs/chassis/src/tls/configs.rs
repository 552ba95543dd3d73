//! rustls configurations as servers and clients of a Kubernetes control plane need them.

use super::load::TlsError;
use super::trust::Trust;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// A certificate chain, leaf first, and the key of the leaf.
#[derive(Debug)]
pub struct Identity {
    /// Leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Whether the key is usable and belongs to the leaf.
    pub(super) fn check(&self) -> Result<(), rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(self.certificates.clone(), self.key.clone_key(), &provider).map(|_| ())
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            certificates: self.certificates.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// A server that presents `identity`. With `client_authorities`, a client certificate is asked for and verified, and a
/// client without one is let through for the authenticator to judge, as kube-apiserver's `RequestClientCert` does.
/// Speaks HTTP/2 and HTTP/1.1.
pub fn server_config(identity: Identity, client_authorities: Option<RootCertStore>) -> Result<ServerConfig, TlsError> {
    build_server(identity, client_authorities, |verifier| {
        verifier.allow_unauthenticated()
    })
}

/// A server that presents `identity` and talks to clients with a certificate of `client_authorities` only. Speaks HTTP/2 and
/// HTTP/1.1.
pub fn mutual_config(identity: Identity, client_authorities: RootCertStore) -> Result<ServerConfig, TlsError> {
    build_server(identity, Some(client_authorities), |verifier| verifier)
}

fn build_server(
    identity: Identity,
    client_authorities: Option<RootCertStore>,
    judge: impl FnOnce(ClientCertVerifierBuilder) -> ClientCertVerifierBuilder,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wrong = |error: &dyn std::fmt::Display| TlsError::Config(format!("the TLS server cannot be set up: {error}"));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match client_authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => builder.with_client_cert_verifier(
            judge(WebPkiClientVerifier::builder_with_provider(
                Arc::new(authorities),
                provider,
            ))
            .build()
            .map_err(|error| wrong(&error))?,
        ),
    };
    let mut config = builder
        .with_single_cert(identity.certificates, identity.key)
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A client that believes what `trust` says and presents `identity` when asked. No protocol is negotiated; set
/// `alpn_protocols` for HTTP/2.
pub fn client_config(trust: impl Into<Trust>, identity: Option<Identity>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wrong = |error: &dyn std::fmt::Display| TlsError::Config(format!("the TLS client cannot be set up: {error}"));
    let verifier = trust
        .into()
        .verifier(Arc::clone(&provider))
        .map_err(|error| wrong(&error))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder
            .with_client_auth_cert(identity.certificates, identity.key)
            .map_err(|error| wrong(&error)),
    }
}
