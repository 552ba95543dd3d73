//! Which certificates of webhooks are believed, and Go's words for those that are not.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The verifier of `bundle`, in PEM; the system's authorities are believed when it is empty.
///
/// # Errors
/// In Go's words, when there is no certificate in it.
pub(crate) fn verifier(bundle: &[u8]) -> Result<Arc<dyn ServerCertVerifier>, String> {
    const UNUSABLE: &str = "unable to load root certificates: unable to parse bytes as PEM block";
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    if bundle.iter().all(u8::is_ascii_whitespace) {
        certificates.extend(rustls_native_certs::load_native_certs().certs);
    } else {
        certificates.extend(CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok));
        if certificates.is_empty() {
            return Err(UNUSABLE.to_owned());
        }
    }
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(certificates.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signed = match authorities.is_empty() {
        true => None,
        false => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
                .build()
                .map_err(|_| UNUSABLE.to_owned())?,
        ),
    };
    Ok(Arc::new(Verifier {
        signed,
        listed: certificates,
        provider,
    }))
}

/// A client configuration with this verifier and, where there is one, a certificate of its own.
///
/// # Errors
/// When the certificate cannot be used.
pub(crate) fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<&chassis::tls::Identity>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.certificates.clone(), identity.key.clone_key())
            .map_err(|error| error.to_string())?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes what the authorities have signed, and as Go does the listed certificates themselves: those that sign
/// themselves and call themselves authorities are widely used by webhooks.
#[derive(Debug)]
struct Verifier {
    signed: Option<Arc<WebPkiServerVerifier>>,
    listed: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl Verifier {
    fn is_listed(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if !self.listed.iter().any(|listed| listed.as_ref() == leaf.as_ref()) {
            return Err(unknown());
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| unknown())?;
        let (now, validity) = (now.as_secs().cast_signed(), parsed.validity());
        if now > validity.not_after.timestamp() || now < validity.not_before.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let signed = match &self.signed {
            Some(signed) => signed.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        match signed {
            Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer)) => self
                .is_listed(leaf, name, now)
                .map(|()| ServerCertVerified::assertion()),
            decided => decided,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a handshake failed, in Go's words where it has some.
pub(crate) fn handshake_error(error: &std::io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            std::io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
            _ => error.to_string(),
        };
    };
    match tls {
        Error::InvalidCertificate(error) => match certificate_error(error) {
            Some(why) => format!("tls: failed to verify certificate: x509: {why}"),
            None => format!("tls: failed to verify certificate: {error}"),
        },
        Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        other => format!("tls: {other}"),
    }
}

fn certificate_error(error: &CertificateError) -> Option<String> {
    let time = |time: &UnixTime| {
        let time = jiff::Timestamp::from_second(time.as_secs().cast_signed()).ok();
        time.map(machinery::time::format).unwrap_or_default()
    };
    let expired = "certificate has expired or is not yet valid";
    Some(match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired | CertificateError::NotValidYet => expired.to_owned(),
        CertificateError::ExpiredContext { time: now, not_after } => {
            format!("{expired}: current time {} is after {}", time(now), time(not_after))
        }
        CertificateError::NotValidYetContext { time: now, not_before } => {
            format!("{expired}: current time {} is before {}", time(now), time(not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => wrong_name(expected, presented),
        _ => return None,
    })
}

/// Go's `x509.HostnameError`. rustls writes names as `DnsName("a")` and `IpAddress(b)`.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let of = |kind: &str| -> Vec<&str> {
        let names = presented.iter().filter_map(|name| name.strip_prefix(kind));
        names.map(|name| name.trim_matches(['(', ')', '"'])).collect()
    };
    let wanted = expected.to_str();
    let address = matches!(expected, ServerName::IpAddress(_));
    let names = of(if address { "IpAddress" } else { "DnsName" });
    match names.as_slice() {
        [] if address => {
            format!("cannot validate certificate for {wanted} because it doesn't contain any IP SANs")
        }
        [] => format!("certificate is not valid for any names, but wanted to match {wanted}"),
        names => format!("certificate is valid for {}, not {wanted}", names.join(", ")),
    }
}
