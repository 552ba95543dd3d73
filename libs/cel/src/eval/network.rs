//! Kubernetes' own types: amounts, addresses, URLs, versions and named formats.

use super::{Failure, Outcome, Semver, Value, url};
use crate::time;
use machinery::names;
use machinery::quantity::Quantity;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

/// The formats that `format.named` knows.
const FORMATS: [&str; 13] = [
    "byte",
    "date",
    "datetime",
    "dns1035Label",
    "dns1035LabelPrefix",
    "dns1123Label",
    "dns1123LabelPrefix",
    "dns1123Subdomain",
    "dns1123SubdomainPrefix",
    "labelValue",
    "qualifiedName",
    "uri",
    "uuid",
];

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    quantity(function, args)
        .or_else(|| address(function, args))
        .or_else(|| url::call(function, args))
        .or_else(|| semver(function, args))
        .or_else(|| format(function, args))
}

fn ordered(function: &str, order: Ordering) -> Option<Outcome> {
    Some(Ok(match function {
        "compareTo" => Value::Int(order as i64),
        "isGreaterThan" => Value::Bool(order.is_gt()),
        "isLessThan" => Value::Bool(order.is_lt()),
        _ => return None,
    }))
}

fn quantity(function: &str, args: &[Value]) -> Option<Outcome> {
    let whole = |amount: &Quantity| {
        let whole = Quantity::from_units(amount.units()) == *amount;
        whole.then(|| amount.units())
    };
    Some(match (function, args) {
        ("quantity", [Value::String(text)]) => Quantity::parse(text)
            .map(Value::Quantity)
            .map_err(|error| Failure::new(error.to_string())),
        ("isQuantity", [Value::String(text)]) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        ("sign", [Value::Quantity(amount)]) => Ok(Value::Int(amount.sign().into())),
        ("isInteger", [Value::Quantity(amount)]) => Ok(Value::Bool(whole(amount).is_some())),
        ("asInteger", [Value::Quantity(amount)]) => whole(amount)
            .map(Value::Int)
            .ok_or_else(|| Failure::new("cannot convert value to integer")),
        ("asApproximateFloat", [Value::Quantity(amount)]) => Ok(Value::Double(amount.millis() as f64 / 1_000.0)),
        ("add", [Value::Quantity(a), Value::Quantity(b)]) => Ok(Value::Quantity(a.plus(b))),
        ("add", [Value::Quantity(a), Value::Int(b)]) => Ok(Value::Quantity(a.plus(&Quantity::from_units(*b)))),
        ("sub", [Value::Quantity(a), Value::Quantity(b)]) => Ok(Value::Quantity(a.minus(b))),
        ("sub", [Value::Quantity(a), Value::Int(b)]) => Ok(Value::Quantity(a.minus(&Quantity::from_units(*b)))),
        (_, [Value::Quantity(a), Value::Quantity(b)]) => return ordered(function, a.cmp(b)),
        _ => return None,
    })
}

fn ip(text: &str) -> Result<IpAddr, Failure> {
    let wrong = |why: String| {
        Failure::new(format!(
            "IP Address {text:?} parse error during conversion from string: {why}"
        ))
    };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => Err(Failure::new(format!(
            "IPv4-mapped IPv6 address {text:?} is not allowed"
        ))),
        Ok(address) => Ok(address),
        Err(_) if text.contains('%') => Err(Failure::new(format!(
            "IP address {text:?} with zone value is not allowed"
        ))),
        Err(_) => Err(wrong(format!("ParseAddr({text:?}): unable to parse IP"))),
    }
}

fn cidr(text: &str) -> Result<(IpAddr, u8), Failure> {
    let wrong = || {
        Failure::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): no '/'"
        ))
    };
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address = ip(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    if bits > most {
        return Err(wrong());
    }
    Ok((address, bits))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => address.into(),
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
    let kept = number(address) & mask;
    match address {
        IpAddr::V4(_) => IpAddr::V4(((kept >> 96) as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(kept.into()),
    }
}

fn contains(block: (IpAddr, u8), address: IpAddr) -> bool {
    block.0.is_ipv4() == address.is_ipv4() && masked(block.0, block.1) == masked(address, block.1)
}

fn address(function: &str, args: &[Value]) -> Option<Outcome> {
    let bool = |truth| Ok(Value::Bool(truth));
    Some(match (function, args) {
        ("ip", [Value::String(text)]) => ip(text).map(Value::Ip),
        ("isIP", [Value::String(text)]) => bool(ip(text).is_ok()),
        ("ip.isCanonical", [Value::String(text)]) => ip(text).map(|ip| Value::Bool(ip.to_string() == **text)),
        ("cidr", [Value::String(text)]) => cidr(text).map(|(address, bits)| Value::Cidr(address, bits)),
        ("isCIDR", [Value::String(text)]) => bool(cidr(text).is_ok()),
        ("family", [Value::Ip(address)]) => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        ("isUnspecified", [Value::Ip(address)]) => bool(address.is_unspecified()),
        ("isLoopback", [Value::Ip(address)]) => bool(address.is_loopback()),
        ("isLinkLocalMulticast", [Value::Ip(address)]) => bool(match address {
            IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
            IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
        }),
        ("isLinkLocalUnicast", [Value::Ip(address)]) => bool(is_link_local(address)),
        ("isGlobalUnicast", [Value::Ip(address)]) => {
            let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
            bool(
                !(broadcast
                    || address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || is_link_local(address)),
            )
        }
        ("ip", [Value::Cidr(address, _)]) => Ok(Value::Ip(*address)),
        ("masked", [Value::Cidr(address, bits)]) => Ok(Value::Cidr(masked(*address, *bits), *bits)),
        ("prefixLength", [Value::Cidr(_, bits)]) => Ok(Value::Int((*bits).into())),
        ("containsIP", [Value::Cidr(block, bits), other]) => match other {
            Value::Ip(address) => bool(contains((*block, *bits), *address)),
            Value::String(text) => ip(text).map(|address| Value::Bool(contains((*block, *bits), address))),
            _ => return None,
        },
        ("containsCIDR", [Value::Cidr(block, bits), other]) => {
            let other = match other {
                Value::Cidr(address, length) => Ok((*address, *length)),
                Value::String(text) => cidr(text),
                _ => return None,
            };
            other.map(|(address, length)| Value::Bool(length >= *bits && contains((*block, *bits), address)))
        }
        _ => return None,
    })
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// A version; `loose` allows a leading `v`, missing parts and leading zeros.
fn parse_semver(text: &str, loose: bool) -> Option<Semver> {
    let text = if loose {
        text.trim().trim_start_matches('v')
    } else {
        text
    };
    let (text, build) = text
        .split_once('+')
        .map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text
        .split_once('-')
        .map_or((text, None), |(core, pre)| (core, Some(pre)));
    let mut parts: Vec<&str> = core.split('.').collect();
    if loose {
        parts.resize(parts.len().max(3), "0");
    }
    let number = |part: &&str| {
        let padded = part.len() > 1 && part.starts_with('0');
        let good = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (loose || !padded);
        good.then(|| part.parse().ok()).flatten()
    };
    let numbers: Vec<u64> = parts.iter().map(number).collect::<Option<_>>()?;
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let padded = |part: &&str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    let pre: Vec<&str> = pre.map(|pre| pre.split('.').collect()).unwrap_or_default();
    let good = pre.iter().all(|part| word(part) && !padded(part));
    if !good || build.is_some_and(|build| !build.split('.').all(|part| word(&part))) {
        return None;
    }
    Some(Semver {
        numbers: numbers.try_into().ok()?,
        pre: pre.into_iter().map(str::to_owned).collect(),
    })
}

fn compare_versions(a: &Semver, b: &Semver) -> Ordering {
    let identifiers = |a: &String, b: &String| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        _ => a.cmp(b),
    };
    let pre = || match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => {
            let different = a
                .pre
                .iter()
                .zip(&b.pre)
                .map(|(a, b)| identifiers(a, b))
                .find(|order| order.is_ne());
            different.unwrap_or_else(|| a.pre.len().cmp(&b.pre.len()))
        }
    };
    a.numbers.cmp(&b.numbers).then_with(pre)
}

fn semver(function: &str, args: &[Value]) -> Option<Outcome> {
    let (text, loose) = match args {
        [Value::String(text)] => (text, false),
        [Value::String(text), Value::Bool(loose)] => (text, *loose),
        [Value::Semver(a), Value::Semver(b)] => return ordered(function, compare_versions(a, b)),
        [Value::Semver(version)] => {
            let index = ["major", "minor", "patch"].iter().position(|name| *name == function)?;
            return Some(Ok(Value::Int(version.numbers[index] as i64)));
        }
        _ => return None,
    };
    let parsed = parse_semver(text, loose);
    match function {
        "semver" => Some(
            parsed
                .map(|version| Value::Semver(Arc::new(version)))
                .ok_or_else(|| Failure::new("No Major.Minor.Patch elements found")),
        ),
        "isSemver" => Some(Ok(Value::Bool(parsed.is_some()))),
        _ => None,
    }
}

fn format(function: &str, args: &[Value]) -> Option<Outcome> {
    let known = |name: &str| FORMATS.iter().find(|known| **known == name).copied();
    match (function, args) {
        ("format.named", [Value::String(name)]) => Some(Ok(Value::optional(known(name).map(Value::Format)))),
        ("validate", [Value::Format(name), Value::String(text)]) => {
            let complaints = complaints(name, text);
            let shown = complaints.iter().map(|complaint| Value::text(complaint)).collect();
            Some(Ok(Value::optional(
                (!complaints.is_empty()).then(|| Value::list(shown)),
            )))
        }
        (_, []) => known(function.strip_prefix("format.")?).map(|name| Ok(Value::Format(name))),
        _ => None,
    }
}

fn complaints(format: &str, text: &str) -> Vec<String> {
    let one = |good: bool, complaint: &str| if good { Vec::new() } else { vec![complaint.to_owned()] };
    match format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123LabelPrefix" => names::dns1123_label_for(text, true),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1123SubdomainPrefix" => names::dns1123_subdomain_for(text, true),
        "dns1035Label" => names::dns1035_label(text),
        "dns1035LabelPrefix" => names::dns1035_label_for(text, true),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        "uri" => one(
            url::parse(text).is_ok(),
            &format!("parse {text:?}: invalid URI for request"),
        ),
        "uuid" => {
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            let digits = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
            one(
                digits && (groups == [8, 4, 4, 4, 12] || groups == [32]),
                "does not match the UUID format",
            )
        }
        "byte" => {
            let body = text.trim_end_matches('=');
            let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
            let good = text.len().is_multiple_of(4) && text.len() - body.len() <= 2 && body.bytes().all(alphabet);
            one(good, "invalid base64")
        }
        "date" => one(
            text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            "invalid date",
        ),
        _ => one(time::parse_timestamp(text).is_some(), "invalid datetime"),
    }
}
