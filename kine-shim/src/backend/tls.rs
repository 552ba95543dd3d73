//! TLS to a database server, as its URL and the flags say.

use std::{path::Path, sync::Arc};

use chassis::tls::{load_authorities, load_identity};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::endpoint::{Address, DatastoreOptions, Server, TlsMode};

/// How the connection to `server` is protected: as its URL says; else as the flags make sense only, which is how kine reads
/// them; else if the server can. What stays on this machine is not.
pub(super) fn mode(server: &Server, options: &DatastoreOptions) -> TlsMode {
    if matches!(server.address, Address::Unix(..)) {
        return TlsMode::Disable;
    }
    let has_files = options.ca_file.is_some() || options.cert_file.is_some();
    match server.tls {
        Some(TlsMode::VerifyCa | TlsMode::VerifyFull) if options.skip_verify => TlsMode::Require,
        Some(mode) => mode,
        None if options.skip_verify => TlsMode::Require,
        None if has_files => TlsMode::VerifyFull,
        None => TlsMode::Prefer,
    }
}

/// The client's side of TLS to `server`. Errors are a sentence that names flag and file.
pub(super) fn client_config(
    server: &Server,
    options: &DatastoreOptions,
    mode: TlsMode,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(default_provider());
    let broken = |error: &dyn std::fmt::Display| format!("TLS cannot be set up: {error}");
    let webpki = match mode {
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let authorities = match ca_file(server, options) {
                Some((flag, file)) => load_authorities(flag, file).map_err(|error| error.to_string())?,
                None => system_authorities()?,
            };
            let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider.clone()).build();
            Some(webpki.map_err(|error| broken(&error))?)
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => None,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?;
    let builder = match webpki {
        Some(webpki) if mode == TlsMode::VerifyFull => builder.with_webpki_verifier(webpki),
        authority => {
            let verifier = Lenient { authority, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    match identity_files(server, options)? {
        Some((certificate, key)) => {
            let identity = load_identity(certificate, key).map_err(|error| error.to_string())?;
            builder
                .with_client_auth_cert(identity.certificates, identity.key)
                .map_err(|error| broken(&error))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// A file, and where it is named.
type Named<'a> = (&'a str, &'a Path);

/// The file with the authorities to trust, and where it is named.
pub(super) fn ca_file<'a>(server: &'a Server, options: &'a DatastoreOptions) -> Option<Named<'a>> {
    file(
        "--endpoint: sslrootcert",
        server.ca_file.as_deref(),
        "--ca-file",
        options.ca_file.as_deref(),
    )
}

/// The files with the client's certificate and its key, and where they are named.
pub(super) fn identity_files<'a>(
    server: &'a Server,
    options: &'a DatastoreOptions,
) -> Result<Option<(Named<'a>, Named<'a>)>, String> {
    let certificate = file(
        "--endpoint: sslcert",
        server.cert_file.as_deref(),
        "--cert-file",
        options.cert_file.as_deref(),
    );
    let key = file(
        "--endpoint: sslkey",
        server.key_file.as_deref(),
        "--key-file",
        options.key_file.as_deref(),
    );
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some((flag, _)), None) | (None, Some((flag, _))) => Err(format!(
            "{flag} names one half of a client certificate; name the certificate and its key"
        )),
    }
}

fn file<'a>(url: &'a str, in_url: Option<&'a Path>, flag: &'a str, in_flag: Option<&'a Path>) -> Option<Named<'a>> {
    in_url.map(|file| (url, file)).or(in_flag.map(|file| (flag, file)))
}

fn system_authorities() -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system_certificates());
    if store.is_empty() {
        return Err("the system has no certificate authorities; name the server's with --ca-file".into());
    }
    Ok(store)
}

/// The certificate authorities of the system.
pub(super) fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Trusts more than it should, because it was told to: any certificate, or any of a known authority whatever its name.
#[derive(Debug)]
struct Lenient {
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else {
            return Ok(ServerCertVerified::assertion());
        };
        match authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
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
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::endpoint::Endpoint;

    #[test]
    fn the_url_decides_then_the_flags_then_the_server() {
        let plain = DatastoreOptions::default();
        let trusting = DatastoreOptions {
            skip_verify: true,
            ..DatastoreOptions::default()
        };
        let careful = DatastoreOptions {
            ca_file: Some("ca.crt".into()),
            ..DatastoreOptions::default()
        };
        for (url, options, expected) in [
            ("postgres://h/db", &plain, TlsMode::Prefer),
            ("postgres://h/db", &careful, TlsMode::VerifyFull),
            ("postgres://h/db", &trusting, TlsMode::Require),
            ("postgres://h/db?sslmode=disable", &careful, TlsMode::Disable),
            ("postgres://h/db?sslmode=verify-ca", &plain, TlsMode::VerifyCa),
            ("postgres://h/db?sslmode=verify-full", &trusting, TlsMode::Require),
            ("postgres:///db?host=/run/postgresql", &careful, TlsMode::Disable),
        ] {
            let Ok(Endpoint::Postgres(server)) = url.parse() else {
                panic!("{url}");
            };
            assert_eq!(mode(&server, options), expected, "{url}");
        }
    }

    #[test]
    fn half_an_identity_is_refused() {
        let Ok(Endpoint::Postgres(server)) = "postgres://h/db?sslcert=client.crt".parse() else {
            panic!("endpoint");
        };
        let error = client_config(&server, &DatastoreOptions::default(), TlsMode::Require).expect_err("half");
        assert!(error.contains("sslcert"), "{error}");
    }
}
