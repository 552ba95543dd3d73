//! TLS of the secure port. As kube-apiserver, it asks every client for a certificate and accepts any that the client has
//! the key of: what a certificate is worth is for the authenticator to say, in an answer rather than a broken handshake.

use chassis::tls::{Identity, Profile};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Judges client certificates by the authorities of a flag.
///
/// # Errors
/// When the authorities cannot be used.
pub fn client_verifier(flag: &str, authorities: RootCertStore) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
    verifier.map_err(|error| chassis::usage(format!("{flag} cannot be used: {error}")))
}

/// The configuration of the secure port. `verifier` knows all authorities of clients: some clients show no certificate of
/// others.
///
/// # Errors
/// When the certificate cannot be used.
pub fn server_config(
    identity: Identity,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> anyhow::Result<ServerConfig> {
    let Some(inner) = verifier else {
        return Ok(chassis::tls::server_config(identity, None)?);
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyCertificate { inner }))
        .with_single_cert(identity.certificates, identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Checks that the client holds the key, not who signed the certificate.
#[derive(Debug)]
struct AnyCertificate {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `apiserver.crt` and `apiserver.key` in `--cert-dir`, made when they are not there (k8s.io/apiserver
/// `options.SecureServingOptions.MaybeDefaultWithSelfSignedCerts`).
///
/// # Errors
/// When they cannot be read or written.
pub fn self_signed(dir: &Path, addresses: &[IpAddr]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (dir.join("apiserver.crt"), dir.join("apiserver.key"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let mut names: Vec<String> = [
        "kubernetes.default.svc",
        "kubernetes.default",
        "kubernetes",
        "localhost",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(addresses.iter().map(IpAddr::to_string));
    let pem = Profile::server("kube-apiserver", names).self_signed()?;
    let failed = |path: &Path, error: std::io::Error| {
        chassis::usage(format!(
            "--cert-dir {}: cannot write {}: {error}",
            dir.display(),
            path.display()
        ))
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for (path, mode, text) in [
        (&key, 0o600, pem.key.as_str()),
        (&certificate, 0o644, pem.certificate.as_str()),
    ] {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(mode).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| failed(path, error))?;
    }
    Ok((certificate, key))
}
