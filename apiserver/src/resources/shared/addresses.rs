//! IP addresses and networks in fields (apimachinery `pkg/util/validation/ip.go`, `ValidateEndpointIP`).

use machinery::field::{Error, ErrorList, Path, go_quote};
use std::net::IpAddr;

/// Reads an address, also one whose numbers begin with zeros (`ParseIPSloppy`).
pub(crate) fn read_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| unpadded(text).parse().ok())
}

/// The text without the zeros in front of the numbers of an IPv4 address.
fn unpadded(text: &str) -> String {
    let (start, quad) = match text.rfind(':') {
        Some(colon) => text.split_at(colon + 1),
        None => ("", text),
    };
    let number = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    if !quad.contains('.') {
        return text.to_owned();
    }
    let numbers: Vec<String> = quad.split('.').map(number).collect();
    format!("{start}{}", numbers.join("."))
}

/// Whether an IPv6 address is an IPv4 one in disguise.
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// A complaint unless the text is an IP address (`IsValidIPForLegacyField`, which is strict).
pub(crate) fn ip(text: &str, path: &Path) -> Option<Error> {
    let detail = match read_ip(text) {
        None => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        Some(_) if text.parse::<IpAddr>().is_err() => "must not have leading 0s",
        Some(ip) if is_mapped(ip) => "must not be an IPv4-mapped IPv6 address",
        Some(_) => return None,
    };
    Some(Error::invalid(path, text, detail))
}

/// A complaint unless the text is an IP address in the one form it is usually written in (`IsValidIP`).
pub(crate) fn canonical_ip(text: &str, path: &Path) -> Option<Error> {
    let problem = ip(text, path);
    problem.or_else(|| not_canonical(text, &read_ip(text)?.to_string(), path))
}

fn not_canonical(text: &str, canonical: &str, path: &Path) -> Option<Error> {
    let detail = || format!("must be in canonical form ({})", go_quote(canonical));
    (text != canonical).then(|| Error::invalid(path, text, detail()))
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The address as it was written.
    pub(crate) ip: IpAddr,
    /// The number of bits.
    pub(crate) prefix: u32,
}

impl Cidr {
    /// Reads a network (`ParseCIDRSloppy`).
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (ip, length) = text.split_once('/')?;
        let ip = read_ip(ip)?;
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let prefix: u32 = length.parse().ok().filter(|_| digits)?;
        (prefix <= width(ip)).then_some(Cidr { ip, prefix })
    }

    /// The number of bits of an address of the network.
    pub(crate) fn width(&self) -> u32 {
        width(self.ip)
    }

    fn mask(&self) -> u128 {
        match self.width() - self.prefix {
            0 => u128::MAX,
            host => u128::MAX.checked_shl(host).unwrap_or(0),
        }
    }

    /// The first address.
    pub(crate) fn first(&self) -> IpAddr {
        let masked = bits(self.ip) & self.mask();
        match self.ip {
            // What was taken from 32 bits fits into them.
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(masked).unwrap_or_default().into()),
            IpAddr::V6(_) => IpAddr::V6(masked.into()),
        }
    }

    /// Whether an address lies in the network.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && (bits(ip) ^ bits(self.ip)) & self.mask() == 0
    }

    /// The usual form, with nothing behind the bits that count.
    pub(crate) fn canonical(&self) -> String {
        format!("{}/{}", self.first(), self.prefix)
    }
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// A complaint unless the text is a network (`IsValidCIDRForLegacyField`, which is strict).
pub(crate) fn cidr(text: &str, path: &Path) -> Option<Error> {
    let detail = match Cidr::read(text) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(_) if padded(text) => "must not have leading 0s in IP or prefix length",
        Some(network) if is_mapped(network.ip) => "must not have an IPv4-mapped IPv6 address",
        Some(network) if network.ip != network.first() => "must not have bits set beyond the prefix length",
        Some(_) => return None,
    };
    Some(Error::invalid(path, text, detail))
}

/// Whether numbers of a network begin with zeros.
fn padded(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(ip, length)| ip.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0')))
}

/// A complaint unless the text is an address with the length of its network, in the one form it is usually written in
/// (`IsValidInterfaceAddress`).
pub(crate) fn interface_address(text: &str, path: &Path) -> Option<Error> {
    let Some(Cidr { ip, prefix }) = Cidr::read(text) else {
        let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return Some(Error::invalid(path, text, detail));
    };
    let plain = ip.to_canonical();
    let mapped = width(ip) - width(plain);
    let prefix = if prefix >= mapped { prefix - mapped } else { prefix };
    not_canonical(text, &format!("{plain}/{prefix}"), path)
}

/// A complaint unless the text is a network in the one form it is usually written in (`IsValidCIDR`).
pub(crate) fn canonical_cidr(text: &str, path: &Path) -> Option<Error> {
    let problem = cidr(text, path);
    problem.or_else(|| not_canonical(text, &Cidr::read(text)?.canonical(), path))
}

/// What is odd about an address in a field that takes it all the same (`GetWarningsForIP`).
pub(crate) fn ip_warnings(text: &str, path: &Path) -> Vec<String> {
    let Some(ip) = read_ip(text) else {
        return Vec::new();
    };
    let shown = go_quote(text);
    let strict = text.parse::<IpAddr>().is_ok() && !text.to_ascii_lowercase().starts_with("::ffff:");
    if !strict {
        let better = go_quote(&ip.to_canonical().to_string());
        return vec![format!(
            "{path}: non-standard IP address {shown} is invalid: use {better}"
        )];
    }
    let canonical = ip.to_string();
    if ip.is_ipv6() && canonical != text {
        let better = go_quote(&canonical);
        return vec![format!(
            "{path}: IPv6 address {shown} should be in RFC 5952 canonical format ({better})"
        )];
    }
    Vec::new()
}

/// What is odd about a network in a field that takes it all the same (`GetWarningsForCIDR`).
pub(crate) fn cidr_warnings(text: &str, path: &Path) -> Vec<String> {
    let Some(network) = Cidr::read(text) else {
        return Vec::new();
    };
    let (shown, canonical) = (go_quote(text), go_quote(&network.canonical()));
    let mut warnings = Vec::new();
    if network.ip != network.first() {
        let single = go_quote(&format!("{}/{}", network.ip, network.width()));
        warnings.push(format!(
            "{path}: CIDR value {shown} is ambiguous in this context (should be {canonical} or {single}?)"
        ));
    }
    if padded(text) || is_mapped(network.ip) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {shown} will be considered invalid in a future Kubernetes release: use {canonical}"
        ));
    } else if network.ip.is_ipv6() && format!("{}/{}", network.ip, network.prefix) != text {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {shown} should be in RFC 5952 canonical format ({canonical})"
        ));
    }
    warnings
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
    fn addresses_are_strict() {
        let path = Path::new("ip");
        for (text, complaint) in [
            ("10.0.0.1", None),
            ("fd00::1", None),
            ("010.0.0.1", Some("must not have leading 0s")),
            ("::ffff:1.2.3.4", Some("must not be an IPv4-mapped IPv6 address")),
            (
                "x",
                Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ),
        ] {
            assert_eq!(ip(text, &path).map(|e| e.detail).as_deref(), complaint, "{text}");
        }
        for (text, fine) in [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("169.254.1.1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(of_another_host(text, &path).is_empty(), fine, "{text}");
        }
        let error = canonical_ip("fd00:0::1", &path).unwrap();
        assert_eq!(error.detail, "must be in canonical form (\"fd00::1\")");
    }

    #[test]
    fn networks_are_strict() {
        let path = Path::new("cidr");
        for (text, complaint) in [
            ("10.0.0.0/8", None),
            ("fd00::/64", None),
            ("0.0.0.0/0", None),
            (
                "10.0.0.0/33",
                Some("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ),
            (
                "10.0.0.0",
                Some("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ),
            ("10.0.0.0/08", Some("must not have leading 0s in IP or prefix length")),
            ("10.0.0.1/8", Some("must not have bits set beyond the prefix length")),
        ] {
            assert_eq!(cidr(text, &path).map(|e| e.detail).as_deref(), complaint, "{text}");
        }
        let network = Cidr::read("10.1.2.3/16").unwrap();
        assert_eq!(network.canonical(), "10.1.0.0/16");
        assert!(network.contains("10.1.255.1".parse().unwrap()) && !network.contains("10.2.0.1".parse().unwrap()));
        assert!(Cidr::read("::/0").unwrap().contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn odd_networks_are_warned_of() {
        let path = Path::new("c");
        assert!(cidr_warnings("10.0.0.0/8", &path).is_empty());
        assert_eq!(
            cidr_warnings("10.0.0.1/8", &path),
            [
                "c: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
            ]
        );
        assert_eq!(
            cidr_warnings("fd00:0::/64", &path),
            ["c: IPv6 CIDR value \"fd00:0::/64\" should be in RFC 5952 canonical format (\"fd00::/64\")"]
        );
    }
}
