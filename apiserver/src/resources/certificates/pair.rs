//! Whether a certificate and a key belong together, in the words of Go's `tls.X509KeyPair`.

use super::pem::{self, Block};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use x509_parser::prelude::FromDer;

/// Checks a certificate and its key, both PEM. A key in a form that is not read here is taken to fit.
///
/// # Errors
/// What is wrong with them.
pub(in super::super) fn check(certificate: &str, key: &str) -> Result<(), String> {
    let blocks = blocks(certificate);
    let Some(certificate) = blocks.iter().find(|block| block.label == "CERTIFICATE") else {
        return Err(match labels(&blocks).as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [one] if one.ends_with("PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs \
                 may have been switched"
                    .to_owned()
            }
            many => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
                 following types: [{}]",
                many.join(" ")
            ),
        });
    };
    let blocks = self::blocks(key);
    let is_key = |block: &&Block| block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY");
    let Some(key) = blocks.iter().find(is_key) else {
        return Err(match labels(&blocks).as_slice() {
            [] => "tls: failed to find any PEM data in key input".to_owned(),
            ["CERTIFICATE"] => "tls: found a certificate rather than a key in the PEM for the private key".to_owned(),
            many => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM \
                 blocks of the following types: [{}]",
                many.join(" ")
            ),
        });
    };
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&certificate.contents)
        .map_err(|_| "x509: malformed certificate".to_owned())?;
    match public_key(&key.contents) {
        Some(public) if public != *parsed.public_key().subject_public_key.data => {
            Err("tls: private key does not match public key".to_owned())
        }
        _ => Ok(()),
    }
}

fn blocks(mut text: &str) -> Vec<Block> {
    std::iter::from_fn(|| {
        let (block, rest) = pem::next(text)?;
        text = rest;
        Some(block)
    })
    .collect()
}

fn labels(blocks: &[Block]) -> Vec<&str> {
    blocks.iter().map(|block| block.label.as_str()).collect()
}

fn public_key(key: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, key, &random) {
            return Some(pair.public_key().as_ref().to_vec());
        }
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
        return Some(pair.public_key().as_ref().to_vec());
    }
    let pair = RsaKeyPair::from_pkcs8(key)
        .or_else(|_| RsaKeyPair::from_der(key))
        .ok()?;
    Some(pair.public_key().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_its_own_certificate_only() {
        let pair = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::new(vec![])
                .unwrap()
                .self_signed(&key)
                .unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (pair(), pair());
        assert_eq!(check(&certificate, &key), Ok(()));
        for (certificate, key, expected) in [
            (
                certificate.as_str(),
                other.as_str(),
                "tls: private key does not match public key",
            ),
            (
                "x",
                key.as_str(),
                "tls: failed to find any PEM data in certificate input",
            ),
            (&certificate, "x", "tls: failed to find any PEM data in key input"),
            (
                &certificate,
                &certificate,
                "tls: found a certificate rather than a key in the PEM for the private key",
            ),
            (
                &key,
                &key,
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ),
        ] {
            assert_eq!(check(certificate, key).unwrap_err(), expected);
        }
    }
}
