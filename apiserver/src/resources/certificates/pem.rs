//! PEM blocks and the signature of a PKCS #10 request.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
pub(super) struct Block {
    /// What is between `BEGIN` and the dashes.
    pub(super) label: String,
    /// Whether there are headers before the contents.
    pub(super) has_headers: bool,
    /// The contents.
    pub(super) contents: Vec<u8>,
}

/// The first block of a text and what follows it; text around blocks is skipped.
pub(super) fn next(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once(BEGIN)?;
        rest = after;
        let Some((label, body)) = after.split_once(DASHES) else {
            continue;
        };
        let Some((body, tail)) = body.split_once(&format!("{END}{label}{DASHES}")) else {
            continue;
        };
        let lines: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let (headers, encoded): (Vec<&str>, Vec<&str>) = lines.into_iter().partition(|line| line.contains(": "));
        let Ok(contents) = BASE64_STANDARD.decode(encoded.concat()) else {
            continue;
        };
        let block = Block {
            label: label.to_owned(),
            has_headers: !headers.is_empty(),
            contents,
        };
        return Some((block, tail));
    }
}

/// Checks that a text is a request that was signed with its own key.
///
/// # Errors
/// What is wrong with it, in Go's words where they are fixed.
pub(super) fn check_request(text: &str) -> Result<(), String> {
    let block = next(text)
        .map(|(block, _)| block)
        .filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (trailing, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|_| "x509: malformed certificate request".to_owned())?;
    if !trailing.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    let info = &request.certification_request_info;
    let key_kind = info.subject_pki.algorithm.algorithm.to_id_string();
    let curve = info
        .subject_pki
        .algorithm
        .parameters
        .as_ref()
        .and_then(|p| p.as_oid().ok());
    let algorithm = algorithm(
        &request.signature_algorithm.algorithm.to_id_string(),
        curve.map(|oid| oid.to_id_string()).as_deref(),
    )
    .ok_or("x509: cannot verify signature: algorithm unimplemented")?;
    let key = UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data);
    key.verify(info.raw, &request.signature_value.data)
        .map_err(|_| failure(&key_kind).to_owned())
}

const RSA: &str = "1.2.840.113549.1.1.1";
const ED25519: &str = "1.3.101.112";
const P384: &str = "1.3.132.0.34";

fn failure(key_kind: &str) -> &'static str {
    match key_kind {
        RSA => "crypto/rsa: verification error",
        ED25519 => "x509: Ed25519 verification failure",
        _ => "x509: ECDSA verification failure",
    }
}

fn algorithm(signature: &str, curve: Option<&str>) -> Option<&'static dyn VerificationAlgorithm> {
    let on_p384 = curve == Some(P384);
    Some(match (signature, on_p384) {
        ("1.2.840.113549.1.1.11", _) => &signature::RSA_PKCS1_2048_8192_SHA256,
        ("1.2.840.113549.1.1.12", _) => &signature::RSA_PKCS1_2048_8192_SHA384,
        ("1.2.840.113549.1.1.13", _) => &signature::RSA_PKCS1_2048_8192_SHA512,
        ("1.2.840.10045.4.3.2", false) => &signature::ECDSA_P256_SHA256_ASN1,
        ("1.2.840.10045.4.3.2", true) => &signature::ECDSA_P384_SHA256_ASN1,
        ("1.2.840.10045.4.3.3", false) => &signature::ECDSA_P256_SHA384_ASN1,
        ("1.2.840.10045.4.3.3", true) => &signature::ECDSA_P384_SHA384_ASN1,
        (ED25519, _) => &signature::ED25519,
        _ => return None,
    })
}

/// Checks that a text is one or more certificates.
///
/// # Errors
/// What is wrong with it, in upstream's words (`validateCertificate`).
pub(super) fn check_certificates(text: &str) -> Result<(), String> {
    let mut rest = text;
    let mut blocks = 0;
    while let Some((block, tail)) = next(rest) {
        rest = tail;
        blocks += 1;
        if block.label != "CERTIFICATE" {
            let label = machinery::field::go_quote(&block.label);
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".to_owned());
        }
        if block.contents.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        x509_parser::certificate::X509Certificate::from_der(&block.contents)
            .map_err(|_| "x509: malformed certificate".to_owned())?;
    }
    if blocks == 0 {
        return Err("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_with_their_own_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let pem = request.serialize_request(&key).unwrap().pem().unwrap();
        assert_eq!(check_request(&pem), Ok(()));
        let (block, _) = next(&pem).unwrap();
        let mut broken = block.contents.clone();
        *broken.last_mut().unwrap() ^= 1;
        let broken = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            BASE64_STANDARD.encode(broken)
        );
        assert_eq!(check_request(&broken).unwrap_err(), "x509: ECDSA verification failure");
        assert_eq!(
            check_request("no").unwrap_err(),
            "PEM block type must be CERTIFICATE REQUEST"
        );
    }

    #[test]
    fn certificates_come_in_blocks_of_their_own() {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::new(vec![])
            .unwrap()
            .self_signed(&key)
            .unwrap()
            .pem();
        assert_eq!(check_certificates(&format!("{pem}{pem}")), Ok(()));
        for (text, expected) in [
            ("x", "must contain at least one CERTIFICATE PEM block"),
            (
                "-----BEGIN KEY-----\nAA==\n-----END KEY-----\n",
                "only CERTIFICATE PEM blocks are allowed, found \"KEY\"",
            ),
            (
                "-----BEGIN CERTIFICATE-----\na: b\n\nAA==\n-----END CERTIFICATE-----\n",
                "no PEM block headers are permitted",
            ),
        ] {
            assert_eq!(check_certificates(text).unwrap_err(), expected);
        }
    }
}
