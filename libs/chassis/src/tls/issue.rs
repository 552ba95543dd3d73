//! A certificate authority, and the certificates it issues (ECDSA P-256).

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of other machines may be behind.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// A certificate that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The certificate or the key of the authority cannot be used.
    #[error("the certificate authority cannot be used: {0}; both must be PEM, and the key PKCS#8")]
    Authority(rcgen::Error),
    /// A name is not allowed in a certificate.
    #[error("{name:?} cannot be a DNS name of a certificate")]
    Name {
        /// The name.
        name: String,
    },
    /// Signing failed.
    #[error("cannot issue a certificate for {name:?}: {source}")]
    Sign {
        /// The common name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// A private key in PEM. It does not show in debug output.
#[derive(Clone)]
pub struct SecretPem(String);

impl SecretPem {
    /// The PEM text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPem(…)")
    }
}

/// A certificate and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS#8.
    pub key: SecretPem,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usages {
    /// TLS servers.
    Server,
    /// TLS clients.
    Client,
    /// Both, as kubelets and etcd peers need.
    ServerAndClient,
}

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The common name: a Kubernetes user name for clients.
    pub common_name: String,
    /// The organizations: Kubernetes groups for clients.
    pub organizations: Vec<String>,
    /// DNS names and IP addresses of a server.
    pub names: Vec<String>,
    /// What it is for.
    pub usages: Usages,
    /// How long it is valid.
    pub validity: Duration,
}

impl Profile {
    /// A server certificate for DNS names and IP addresses, valid for a year.
    pub fn server<N: Into<String>>(common_name: impl Into<String>, names: impl IntoIterator<Item = N>) -> Self {
        Profile {
            common_name: common_name.into(),
            organizations: Vec::new(),
            names: names.into_iter().map(Into::into).collect(),
            usages: Usages::Server,
            validity: 365 * DAY,
        }
    }

    /// A client certificate for a Kubernetes user and its groups, valid for a year.
    pub fn client<G: Into<String>>(user: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Profile {
            common_name: user.into(),
            organizations: groups.into_iter().map(Into::into).collect(),
            names: Vec::new(),
            usages: Usages::Client,
            validity: 365 * DAY,
        }
    }

    fn parameters(&self) -> Result<CertificateParams, IssueError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(&self.common_name, &self.organizations);
        parameters.subject_alt_names = self
            .names
            .iter()
            .map(|name| alternative_name(name))
            .collect::<Result<_, _>>()?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        parameters.extended_key_usages = match self.usages {
            Usages::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usages::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usages::ServerAndClient => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        parameters.use_authority_key_identifier_extension = true;
        set_validity(&mut parameters, self.validity);
        Ok(parameters)
    }
}

fn subject(common_name: &str, organizations: &[String]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for organization in organizations {
        name.push(DnType::OrganizationName, organization.as_str());
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn alternative_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    name.try_into()
        .map(SanType::DnsName)
        .map_err(|_| IssueError::Name { name: name.to_owned() })
}

fn set_validity(parameters: &mut CertificateParams, validity: Duration) {
    let now = SystemTime::now();
    parameters.not_before = (now - BACKDATE).into();
    parameters.not_after = (now + validity).into();
}

/// A certificate authority.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new self-signed authority, valid for ten years.
    pub fn generate(common_name: &str) -> Result<Self, IssueError> {
        let failed = |source| IssueError::Sign {
            name: common_name.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(common_name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        set_validity(&mut parameters, 3650 * DAY);
        let certificate = parameters.self_signed(&key).map_err(failed)?.pem();
        Ok(Authority {
            certificate,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// An authority from its PEM certificate and PKCS#8 key.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(key).map_err(IssueError::Authority)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(IssueError::Authority)?;
        Ok(Authority {
            certificate: certificate.to_owned(),
            issuer,
        })
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's key, PEM.
    pub fn key(&self) -> SecretPem {
        SecretPem(self.issuer.key().serialize_pem())
    }

    /// A certificate with a new key.
    pub fn issue(&self, profile: &Profile) -> Result<Pem, IssueError> {
        let failed = |source| IssueError::Sign {
            name: profile.common_name.clone(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = profile.parameters()?.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Pem {
            certificate: certificate.pem(),
            key: SecretPem(key.serialize_pem()),
        })
    }
}

impl Profile {
    /// A certificate that signs itself, for servers without an authority.
    pub fn self_signed(&self) -> Result<Pem, IssueError> {
        let failed = |source| IssueError::Sign {
            name: self.common_name.clone(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = self.parameters()?.self_signed(&key).map_err(failed)?;
        Ok(Pem {
            certificate: certificate.pem(),
            key: SecretPem(key.serialize_pem()),
        })
    }
}
