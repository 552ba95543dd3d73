//! Whether an issued certificate still serves.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chassis::tls::Profile;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::X509Certificate;

/// Certificates are renewed when less than this is left (vCluster `pkg/certs`).
const RENEW_BEFORE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Whether the PEM certificate covers every name of `profile` and is not about to expire. What is no certificate does not
/// serve.
pub(crate) fn serves(pem: &str, profile: &Profile, now: SystemTime) -> bool {
    let Ok((_, section)) = parse_x509_pem(pem.as_bytes()) else {
        return false;
    };
    let Ok(certificate) = section.parse_x509() else {
        return false;
    };
    let due = now + RENEW_BEFORE;
    let due = due.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let lasts = u64::try_from(certificate.validity().not_after.timestamp()).is_ok_and(|end| end > due);
    lasts && profile.names.iter().all(|name| covers(&certificate, name))
}

fn covers(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let address = name.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    });
    names.value.general_names.iter().any(|known| match (known, &address) {
        (GeneralName::IPAddress(known), Some(address)) => *known == address.as_slice(),
        (GeneralName::DNSName(known), None) => *known == name,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::tls::Authority;

    #[test]
    fn a_certificate_serves_for_its_names_until_it_is_due() {
        let day = |days: u64| SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60);
        let profile = |names: &[&str]| Profile::server("server", names.iter().copied());
        let names = ["localhost", "*.example", "127.0.0.1", "fd00::1"];
        let pem = Authority::generate("ca").unwrap().issue(&profile(&names)).unwrap();
        let table: [(&[&str], u64, bool); 8] = [
            (&names, 0, true),
            (&[], 0, true),
            (&["fd00:0::1"], 274, true),
            (&names, 276, false),
            (&names, 400, false),
            (&["localhost", "10.0.0.1"], 0, false),
            (&["127.0.0.1", "other"], 0, false),
            (&["fd00::2"], 0, false),
        ];
        for (wanted, days, expected) in table {
            assert_eq!(
                serves(&pem.certificate, &profile(wanted), day(days)),
                expected,
                "{wanted:?} in {days} days"
            );
        }
        for broken in [
            "",
            "text",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(!serves(broken, &profile(&[]), day(0)), "{broken:?}");
        }
    }
}
