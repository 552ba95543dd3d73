//! Zones: the names server blocks and plugins are responsible for.

use crate::corefile::{Error, Token};
use hickory_proto::rr::Name;
use std::net::IpAddr;

/// The zone of `names` that holds `name`, the longest one first, as CoreDNS' `plugin.Zones.Matches`.
pub(crate) fn matching<'a>(zones: &'a [Name], name: &Name) -> Option<&'a Name> {
    zones
        .iter()
        .filter(|zone| zone.zone_of(name))
        .max_by_key(|zone| zone.num_labels())
}

/// A zone of the Corefile: a name, or a network for reverse zones. A network that ends within a label covers several.
pub(crate) fn parse(token: &Token) -> Result<Vec<Name>, Error> {
    parse_text(&token.text).ok_or_else(|| token.error(format!("{:?} is not a zone", token.text)))
}

/// The zones of several words.
pub(crate) fn parse_all(tokens: &[Token]) -> Result<Vec<Name>, Error> {
    let mut zones = Vec::new();
    for token in tokens {
        zones.extend(parse(token)?);
    }
    Ok(zones)
}

fn parse_text(text: &str) -> Option<Vec<Name>> {
    if let Some((address, length)) = text.split_once('/') {
        return reverse_zones(address.parse().ok()?, length.parse().ok()?);
    }
    let mut name = Name::from_ascii(text).ok()?.to_lowercase();
    name.set_fqdn(true);
    (!text.is_empty()).then(|| vec![name])
}

/// The reverse zones of a network, as CoreDNS' `plugin/pkg/cidr`.
fn reverse_zones(address: IpAddr, length: u8) -> Option<Vec<Name>> {
    let (digits, bits_per_digit, radix, suffix) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), 8, 10, ["in-addr", "arpa"]),
        IpAddr::V6(address) => {
            let nibbles = address
                .octets()
                .iter()
                .flat_map(|octet| [octet >> 4, octet & 0xf])
                .collect();
            (nibbles, 4, 16, ["ip6", "arpa"])
        }
    };
    if usize::from(length) > digits.len() * bits_per_digit {
        return None;
    }
    let whole = usize::from(length) / bits_per_digit;
    let partial = usize::from(length) % bits_per_digit;
    let name = |digits: &[u8]| {
        let shown = digits.iter().rev().map(|digit| {
            if radix == 10 {
                digit.to_string()
            } else {
                format!("{digit:x}")
            }
        });
        let mut name = Name::from_labels(shown.map(String::into_bytes).chain(suffix.map(|label| label.into()))).ok()?;
        name.set_fqdn(true);
        Some(name)
    };
    if partial == 0 {
        return Some(vec![name(&digits[..whole])?]);
    }
    let count = 1u16 << (bits_per_digit - partial);
    let first = u16::from(digits[whole]) & !(count - 1);
    (first..first + count)
        .map(|digit| {
            let mut prefix = digits[..whole].to_vec();
            prefix.push(digit as u8);
            name(&prefix)
        })
        .collect()
}

/// Which names a plugin hands on when it has nothing for them: none, all, or those of some zones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fallthrough(Vec<Name>);

impl Fallthrough {
    /// `fallthrough [ZONES...]`.
    pub(crate) fn parse(args: &[Token]) -> Result<Self, Error> {
        match args {
            [] => Ok(Fallthrough(vec![Name::root()])),
            zones => parse_all(zones).map(Fallthrough),
        }
    }

    /// Hands on the names of more zones.
    pub(crate) fn extend(&mut self, zones: &[Name]) {
        self.0.extend_from_slice(zones);
    }

    /// Whether `name` is handed on.
    pub(crate) fn applies(&self, name: &Name) -> bool {
        matching(&self.0, name).is_some()
    }
}

/// A server block's address: zones and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) zones: Vec<Name>,
    pub(crate) port: Option<u16>,
}

/// `[dns://]ZONE[:PORT]`, as CoreDNS' `core/dnsserver/address.go`.
pub(crate) fn parse_key(token: &Token) -> Result<Key, Error> {
    let wrong = |why: &str| token.error(format!("the address {:?} {why}", token.text));
    let rest = match token.text.split_once("://") {
        None => token.text.as_str(),
        Some(("dns", rest)) => rest,
        Some((scheme, _)) => return Err(wrong(&format!("asks for {scheme}; only dns is served"))),
    };
    let (zone, port) = match rest.rsplit_once(':') {
        Some((zone, digits)) if !zone.contains(':') => {
            let port = digits
                .parse()
                .map_err(|_| wrong("has no port number after the colon"))?;
            (zone, Some(port))
        }
        _ => (rest, None),
    };
    let zone = if zone.is_empty() { "." } else { zone };
    let zones = parse_text(zone).ok_or_else(|| wrong("is not a zone with an optional port, such as .:53"))?;
    Ok(Key { zones, port })
}

/// The address a reverse name stands for, as CoreDNS' `ExtractAddressFromReverse`. Case does not matter.
pub(crate) fn address_of_reverse(name: &Name) -> Option<IpAddr> {
    let labels: Vec<String> = name
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_lowercase())
        .collect();
    let (digits, suffix) = labels.split_at(labels.len().checked_sub(2)?);
    match (suffix[0].as_str(), suffix[1].as_str(), digits.len()) {
        ("in-addr", "arpa", 4) => {
            let text = digits.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
            text.parse().ok().map(IpAddr::V4)
        }
        ("ip6", "arpa", 32) if digits.iter().all(|digit| digit.len() == 1) => {
            let nibbles: String = digits.iter().rev().map(String::as_str).collect();
            let groups: Vec<&str> = (0..32)
                .step_by(4)
                .filter_map(|start| nibbles.get(start..start + 4))
                .collect();
            groups.join(":").parse().ok().map(IpAddr::V6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<Vec<String>> {
        parse_text(text).map(|zones| zones.iter().map(Name::to_string).collect())
    }

    #[test]
    fn zones_are_names_or_networks() {
        for (text, expected) in [
            (".", Some(vec!["."])),
            ("Cluster.Local", Some(vec!["cluster.local."])),
            ("10.0.0.0/8", Some(vec!["10.in-addr.arpa."])),
            ("10.1.2.0/24", Some(vec!["2.1.10.in-addr.arpa."])),
            (
                "10.1.2.0/23",
                Some(vec!["2.1.10.in-addr.arpa.", "3.1.10.in-addr.arpa."]),
            ),
            ("0.0.0.0/0", Some(vec!["in-addr.arpa."])),
            ("fd00::/8", Some(vec!["d.f.ip6.arpa."])),
            ("10.0.0.0/33", None),
            ("", None),
            ("a..b", None),
        ] {
            let expected = expected.map(|zones| zones.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn the_longest_zone_matches() {
        let zones = parse_text("local")
            .unwrap()
            .into_iter()
            .chain(parse_text("cluster.local").unwrap());
        let zones: Vec<Name> = zones.collect();
        let name = |text: &str| Name::from_ascii(text).unwrap();
        assert_eq!(
            matching(&zones, &name("a.Cluster.LOCAL.")),
            Some(&name("cluster.local."))
        );
        assert_eq!(matching(&zones, &name("xcluster.local.")), Some(&name("local.")));
        assert_eq!(matching(&zones, &name("example.org.")), None);
    }

    #[test]
    fn reverse_names_are_addresses() {
        for (name, expected) in [
            ("4.3.2.1.in-addr.arpa.", Some("1.2.3.4")),
            ("4.3.2.1.IN-ADDR.ARPA.", Some("1.2.3.4")),
            ("3.2.1.in-addr.arpa.", None),
            ("400.3.2.1.in-addr.arpa.", None),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                Some("fd00::1"),
            ),
            ("arpa.", None),
            ("example.org.", None),
        ] {
            let address = address_of_reverse(&Name::from_ascii(name).unwrap());
            assert_eq!(address, expected.map(|text| text.parse().unwrap()), "{name}");
        }
    }
}
