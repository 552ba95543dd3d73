//! PEM files: certificates, private keys, bundles of authorities.

use super::configs::Identity;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::io;
use std::path::{Path, PathBuf};

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{flag}: cannot read {}: {cause}", path.display())]
    Read {
        /// The flag that names the file.
        flag: String,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("{flag}: {} {problem}", path.display())]
    Content {
        /// The flag that names the file.
        flag: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without any of its content.
        problem: String,
    },
    /// Certificate, key and authorities do not make a configuration.
    #[error("{0}")]
    Config(String),
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Read {
        flag: flag.to_owned(),
        path: path.to_owned(),
        cause,
    })
}

fn content(flag: &str, path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Content {
        flag: flag.to_owned(),
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// pem::Error may quote the file, which can hold a key; this does not.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "has a PEM section without its END line",
        pem::Error::IllegalSectionStart { .. } => "has a malformed BEGIN line",
        pem::Error::Base64Decode(_) => "has a PEM section that is not base64",
        _ => "is not a PEM file",
    }
}

/// The certificates of a PEM file in order, at least one. Other sections are passed over.
pub fn load_certificates(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(flag, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| content(flag, path, describe(&error)))?;
    for (index, certificate) in certificates.iter().enumerate() {
        if x509_parser::parse_x509_certificate(certificate).is_err() {
            return Err(content(
                flag,
                path,
                format!("holds something that is no certificate, in section {}", index + 1),
            ));
        }
    }
    if certificates.is_empty() {
        return Err(content(flag, path, "holds no CERTIFICATE section"));
    }
    Ok(certificates)
}

/// The first private key of a PEM file: PKCS#8, SEC1 or PKCS#1.
pub fn load_private_key(flag: &str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(flag, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => content(flag, path, "holds no PRIVATE KEY section"),
        other => content(flag, path, describe(&other)),
    })
}

/// A bundle of certificate authorities, at least one.
pub fn load_authorities(flag: &str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in load_certificates(flag, path)? {
        let refused = |error: rustls::Error| content(flag, path, format!("holds an unusable authority: {error}"));
        store.add(certificate).map_err(refused)?;
    }
    Ok(store)
}

/// A certificate chain and its key. The flags are named in errors.
pub fn load_identity(
    (certificate_flag, certificate_file): (&str, &Path),
    (key_flag, key_file): (&str, &Path),
) -> Result<Identity, TlsError> {
    let certificates = load_certificates(certificate_flag, certificate_file)?;
    let key = load_private_key(key_flag, key_file)?;
    let identity = Identity { certificates, key };
    identity.check().map_err(|problem| {
        content(
            key_flag,
            key_file,
            format!(
                "does not fit {} {}: {problem}",
                certificate_flag,
                certificate_file.display()
            ),
        )
    })?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::super::issue::{Authority, Profile};
    use super::*;

    #[test]
    fn errors_name_flag_and_file_and_show_no_content() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::generate("ca").unwrap();
        let first = authority.issue(&Profile::server("a", ["a"])).unwrap();
        let second = authority.issue(&Profile::server("b", ["b"])).unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = write("first.crt", &first.certificate);
        let own_key = write("first.key", first.key.as_str());
        let other_key = write("second.key", second.key.as_str());
        let text = write("text.pem", "hunter2");
        let broken = write(
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n",
        );
        let cases = [
            (
                load_certificates("--cert", &dir.path().join("absent")).unwrap_err(),
                "--cert: cannot read",
            ),
            (
                load_certificates("--cert", &text).unwrap_err(),
                "text.pem holds no CERTIFICATE section",
            ),
            (
                load_certificates("--cert", &broken).unwrap_err(),
                "broken.pem has a PEM section that is not base64",
            ),
            (
                load_private_key("--key", &certificate).unwrap_err(),
                "first.crt holds no PRIVATE KEY section",
            ),
            (
                load_identity(("--cert", &certificate), ("--key", &other_key)).unwrap_err(),
                "second.key does not fit --cert",
            ),
        ];
        for (error, expected) in cases {
            let message = error.to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        load_identity(("--cert", &certificate), ("--key", &own_key)).unwrap();
    }
}
