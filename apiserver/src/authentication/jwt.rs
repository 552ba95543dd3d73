//! Signed JSON web tokens (RFC 7515): RS256 and ES256, the algorithms of service account tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// DER of the OBJECT IDENTIFIERs rsaEncryption (with its NULL parameter), and id-ecPublicKey on prime256v1.
const RSA_ALGORITHM: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
const P256_ALGORITHM: &[u8] = &[
    0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
];

/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// A key that tokens are checked with.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    /// PKCS#1 for RSA, an uncompressed point for P-256.
    public: Vec<u8>,
    /// The `kid` that tokens of this key carry.
    id: String,
}

/// A key that tokens are signed with.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl VerifyingKey {
    fn new(algorithm: Algorithm, public: Vec<u8>) -> Self {
        let identifier = if algorithm == Algorithm::Rs256 {
            RSA_ALGORITHM
        } else {
            P256_ALGORITHM
        };
        let mut bits = vec![0];
        bits.extend_from_slice(&public);
        let spki = der(0x30, &[der(0x30, identifier), der(0x03, &bits)].concat());
        // Upstream's `keyIDFromPublicKey`: the hash of the key in its PKIX form.
        VerifyingKey {
            algorithm,
            public,
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(spki)),
        }
    }

    /// The `kid` of tokens signed with this key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Every key of a PEM file: public keys, certificates or private keys.
    ///
    /// # Errors
    /// Says what the file holds instead.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for spki in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            keys.push(Self::from_spki(
                &spki.map_err(|error| format!("is not valid PEM: {error}"))?,
            )?);
        }
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let der = certificate.map_err(|error| format!("is not valid PEM: {error}"))?;
            let (_, certificate) = x509_parser::parse_x509_certificate(&der)
                .map_err(|error| format!("holds something that is no certificate: {error}"))?;
            keys.push(Self::from_spki(certificate.public_key().raw)?);
        }
        for key in PrivateKeyDer::pem_slice_iter(pem) {
            keys.push(SigningKey::from_der(&key.map_err(|error| format!("is not valid PEM: {error}"))?)?.public);
        }
        if keys.is_empty() {
            Err("holds no public key, certificate or private key".to_owned())
        } else {
            Ok(keys)
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, String> {
        let wrong = || "holds a key that is neither RSA nor ECDSA P-256".to_owned();
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| wrong())?;
        let public = spki.subject_public_key.data.to_vec();
        match spki.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => Ok(Self::new(Algorithm::Rs256, public)),
            "1.2.840.10045.2.1" if public.len() == 65 => Ok(Self::new(Algorithm::Es256, public)),
            _ => Err(wrong()),
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::Rs256 => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public).verify(message, signature)
            }
            Algorithm::Es256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public).verify(message, signature)
            }
        };
        verified.is_ok()
    }

    /// The key as a JSON web key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let common = |kind: &str| json!({"use": "sig", "kty": kind, "kid": self.id, "alg": self.algorithm.name()});
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Algorithm::Es256 => {
                let mut key = common("EC");
                key["crv"] = "P-256".into();
                // Behind the byte that says "uncompressed": two coordinates of 32 bytes.
                key["x"] = text(self.public.get(1..33).unwrap_or_default()).into();
                key["y"] = text(self.public.get(33..65).unwrap_or_default()).into();
                key
            }
            Algorithm::Rs256 => {
                let mut key = common("RSA");
                let numbers = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(&PublicRsa(&self.public));
                key["n"] = text(&numbers.n).into();
                key["e"] = text(&numbers.e).into();
                key
            }
        }
    }
}

/// The two numbers of a PKCS#1 public key.
struct PublicRsa<'a>(&'a [u8]);

impl From<&PublicRsa<'_>> for ring::rsa::PublicKeyComponents<Vec<u8>> {
    fn from(key: &PublicRsa<'_>) -> Self {
        let parsed = x509_parser::public_key::RSAPublicKey::from_der(key.0)
            .map(|(_, key)| key)
            .ok();
        let number = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        ring::rsa::PublicKeyComponents {
            n: parsed.as_ref().map_or_else(Vec::new, |key| number(key.modulus)),
            e: parsed.as_ref().map_or_else(Vec::new, |key| number(key.exponent)),
        }
    }
}

impl SigningKey {
    /// The first private key of a PEM file: RSA of at least 2048 bits, or ECDSA P-256.
    ///
    /// # Errors
    /// Says what the file holds instead.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("holds no private key: {error}"))?;
        Self::from_der(&key)
    }

    fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, String> {
        let p256 = |pkcs8: &[u8]| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).map(Pair::P256)
        };
        let pair = match key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Pair::Rsa),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
                .map(Pair::Rsa)
                .or_else(|_| p256(key.secret_pkcs8_der())),
            PrivateKeyDer::Sec1(key) => {
                let inner = der(0x04, key.secret_sec1_der());
                p256(&der(
                    0x30,
                    &[vec![0x02, 1, 0], der(0x30, P256_ALGORITHM), inner].concat(),
                ))
            }
            _ => return Err("holds a private key of an unknown form".to_owned()),
        };
        let pair = pair.map_err(|error| {
            format!("holds a private key that is neither RSA of at least 2048 bits nor ECDSA P-256: {error}")
        })?;
        let public = match &pair {
            Pair::Rsa(pair) => VerifyingKey::new(Algorithm::Rs256, pair.public_key().as_ref().to_vec()),
            Pair::P256(pair) => VerifyingKey::new(Algorithm::Es256, pair.public_key().as_ref().to_vec()),
        };
        Ok(SigningKey { pair, public })
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// A signed token.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn sign(&self, claims: &Value) -> Result<String, String> {
        let header = json!({"alg": self.public.algorithm.name(), "kid": self.public.id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let failed = |_| "cannot sign the token: the system has no randomness".to_owned();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
                    .map_err(failed)?;
                signature
            }
            Pair::P256(pair) => pair
                .sign(&random, message.as_bytes())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The claims of a token, which may be forged.
///
/// # Errors
/// Says why it is no token.
pub fn unverified_claims(token: &str) -> Result<Value, String> {
    Ok(parse(token)?.claims)
}

/// The claims of a token that one of the keys has signed.
///
/// # Errors
/// Says why it is no token, or that no key fits.
pub fn verify(token: &str, keys: &[VerifyingKey]) -> Result<Value, String> {
    let parsed = parse(token)?;
    let (message, _) = token.rsplit_once('.').unwrap_or_default();
    let fits = |key: &&VerifyingKey| {
        key.algorithm.name() == parsed.algorithm
            && parsed.key_id.as_deref().is_none_or(|id| id.is_empty() || id == key.id)
    };
    if keys
        .iter()
        .filter(fits)
        .any(|key| key.verify(message.as_bytes(), &parsed.signature))
    {
        return Ok(parsed.claims);
    }
    // A key may be known under another id; trying all of them is what upstream does then.
    let same_algorithm = keys.iter().filter(|key| key.algorithm.name() == parsed.algorithm);
    if same_algorithm
        .into_iter()
        .any(|key| key.verify(message.as_bytes(), &parsed.signature))
    {
        return Ok(parsed.claims);
    }
    Err("the token's signature is not valid for any key of --service-account-key-file".to_owned())
}

struct Parsed {
    algorithm: String,
    key_id: Option<String>,
    claims: Value,
    signature: Vec<u8>,
}

fn parse(token: &str) -> Result<Parsed, String> {
    let not_a_token = |what: &str| format!("the bearer token is no signed JSON web token: {what}");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(not_a_token("it is too long"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_a_token("it has not three parts"));
    };
    let bytes = |part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| not_a_token("it is not base64url"))
    };
    let object = |part: &str| -> Result<Value, String> {
        serde_json::from_slice(&bytes(part)?).map_err(|_| not_a_token("it does not hold JSON"))
    };
    let header = object(header)?;
    let text = |field: &str| header.get(field).and_then(Value::as_str).map(str::to_owned);
    Ok(Parsed {
        algorithm: text("alg").unwrap_or_default(),
        key_id: text("kid"),
        claims: object(claims)?,
        signature: bytes(signature)?,
    })
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        // Keys are far below 64 KiB.
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SigningKey {
        let pair = rcgen::KeyPair::generate().unwrap();
        SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn signed_claims_come_back() {
        let (mine, other) = (key(), key());
        let claims = json!({"sub": "system:serviceaccount:ns:sa"});
        let token = mine.sign(&claims).unwrap();
        let both = [other.public().clone(), mine.public().clone()];
        assert_eq!(verify(&token, &both).unwrap(), claims);
        assert!(verify(&token, &both[..1]).unwrap_err().contains("signature"));
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let forged = URL_SAFE_NO_PAD.encode(json!({"sub": "admin"}).to_string());
        assert!(verify(&format!("{header}.{forged}.{signature}"), &both).is_err());
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        assert!(verify(&format!("{none}.{forged}."), &both).is_err());
    }

    #[test]
    fn public_keys_are_read_from_every_form() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let signing = SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        let certificate = chassis::tls::Authority::generate("x").unwrap().certificate().to_owned();
        let public = format!("{}{certificate}", pair.public_key_pem());
        let keys = VerifyingKey::from_pem(public.as_bytes()).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].id(), signing.public().id());
        assert_eq!(keys[0].jwk()["crv"], "P-256");
        assert_eq!(
            VerifyingKey::from_pem(pair.serialize_pem().as_bytes()).unwrap()[0].id(),
            keys[0].id()
        );
        assert!(VerifyingKey::from_pem(b"hello").is_err());
        assert!(SigningKey::from_pem(public.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_token_panics(token in "[a-zA-Z0-9_.-]{0,60}") {
            prop_assert!(verify(&token, &[key().public().clone()]).is_err());
        }
    }
}
