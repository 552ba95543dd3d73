//! IP addresses in fields (apimachinery `pkg/util/validation/ip.go`, `ValidateEndpointIP`).

use machinery::field::{Error, ErrorList, Path};
use std::net::IpAddr;

/// A complaint unless the text is an IP address (`IsValidIP`).
pub(crate) fn ip(text: &str, path: &Path) -> Option<Error> {
    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    text.parse::<IpAddr>()
        .is_err()
        .then(|| Error::invalid(path, text, detail))
}

/// A complaint unless the text is a network (`IsValidCIDR`).
pub(crate) fn cidr(text: &str, path: &Path) -> Option<Error> {
    let fine = text.split_once('/').is_some_and(|(ip, length)| {
        let max = match ip.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|n| n <= max && n.to_string() == length)
    });
    let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    (!fine).then(|| Error::invalid(path, text, detail))
}

/// Complaints unless the text is an address that could be another host's.
pub(crate) fn of_another_host(text: &str, path: &Path) -> ErrorList {
    if let Some(error) = ip(text, path) {
        return vec![error];
    }
    special(text, path)
}

/// Complaints about addresses that mean this host or everybody; none about what is no address.
pub(crate) fn special(text: &str, path: &Path) -> ErrorList {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return ErrorList::new();
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    let unspecified = format!("may not be unspecified ({text})");
    [
        (ip.is_unspecified(), unspecified.as_str()),
        (
            ip.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            link_local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
        (
            link_local_multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ]
    .into_iter()
    .filter(|(wrong, _)| *wrong)
    .map(|(_, detail)| Error::invalid(path, text, detail))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        let path = Path::new("ip");
        for (text, fine) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("169.254.1.1", false),
            ("ff02::1", false),
            ("x", false),
        ] {
            assert_eq!(of_another_host(text, &path).is_empty(), fine, "{text}");
        }
        for (text, fine) in [
            ("10.0.0.0/8", true),
            ("fd00::/64", true),
            ("10.0.0.0/33", false),
            ("10.0.0.0/08", false),
            ("10.0.0.0", false),
        ] {
            assert_eq!(cidr(text, &path).is_none(), fine, "{text}");
        }
    }
}
