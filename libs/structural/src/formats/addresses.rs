//! Addresses of hosts, networks, pages and people.

use super::matches;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A label of letters, digits and symbols of any script, or several before a top-level domain of letters.
pub(super) fn is_hostname(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    if text.len() > 255 || labels.iter().any(|label| label.len() > 63) {
        return false;
    }
    match labels.as_slice() {
        // A lone label has a hyphen after its first character or none.
        [alone] => {
            let mut chars = alone.chars();
            let starts = chars.next().is_some_and(|first| first != '-');
            let rest = chars.as_str();
            starts && is_name(&alone.replacen('-', "", usize::from(rest.starts_with('-'))))
        }
        [labels @ .., top] => {
            let label = |label: &&str| {
                let inner = !label.starts_with('-') && !label.ends_with('-');
                inner && !label.is_empty() && is_name(&label.replace('-', ""))
            };
            top.chars().count() >= 2 && is_of(top, |c| c.is_ascii_alphabetic(), r"\p{L}") && labels.iter().all(label)
        }
        [] => false,
    }
}

/// Whether a text has nothing but letters, digits and symbols.
fn is_name(text: &str) -> bool {
    let symbols = |c: char| c.is_ascii_alphanumeric() || "$+<=>^`|~".contains(c);
    is_of(text, symbols, r"[\p{S}\p{L}]")
}

/// Whether all characters are `plain` ones of ASCII, or others of a class.
fn is_of(text: &str, plain: impl Fn(char) -> bool, class: &str) -> bool {
    let (ascii, others): (String, String) = text.chars().partition(char::is_ascii);
    ascii.chars().all(plain) && (others.is_empty() || matches(&format!("^{class}*$"), &others))
}

/// An IPv4 address whose parts may begin with zeros, as Go once took them.
fn sloppy_ipv4(text: &str) -> Option<Ipv4Addr> {
    let part = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match part.trim_start_matches('0') {
            "" => digits.then_some(0),
            rest => rest.parse().ok().filter(|_| digits),
        }
    };
    let parts: Option<Vec<u8>> = text.split('.').map(part).collect();
    let [a, b, c, d] = parts?.try_into().ok()?;
    Some(Ipv4Addr::new(a, b, c, d))
}

/// An IPv6 address, whose last part may be written as one of IPv4.
fn sloppy_ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (before, last) = text.rsplit_once(':')?;
    format!("{before}:{}", sloppy_ipv4(last)?).parse().ok()
}

pub(super) fn is_ipv4(text: &str) -> bool {
    sloppy_ipv4(text).is_some() || text.contains('.') && sloppy_ipv6(text).is_some()
}

pub(super) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let address = sloppy_ipv4(address)
        .map(IpAddr::V4)
        .or_else(|| sloppy_ipv6(address).map(IpAddr::V6));
    let most = match address {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    digits && bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

/// 6, 8 or 20 bytes in pairs of digits, in fours between dots, or all together (Go's `net.ParseMAC`).
pub(super) fn is_mac(text: &str) -> bool {
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = |divider: char, digits: usize| -> Option<usize> {
        let parts: Vec<&str> = text.split(divider).collect();
        let fine = |part: &&str| part.len() == digits && hex(part);
        parts.iter().all(fine).then(|| parts.len() * digits / 2)
    };
    let divided = [(':', 2), ('-', 2), ('.', 4)].map(|(divider, digits)| parts(divider, digits));
    let whole = (hex(&text) && text.len().is_multiple_of(2)).then_some(text.len() / 2);
    let mut sizes = divided.into_iter().chain([whole]).flatten();
    sizes.any(|bytes| matches!(bytes, 6 | 8 | 20))
}

/// What Go's `mail.ParseAddress` takes: an address, or a name with an address in angle brackets.
pub(super) fn is_email(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    if let Some((address, _)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        // A comment may follow.
        return is_email(address);
    }
    if let Some(inner) = text.strip_suffix('>') {
        return inner
            .rsplit_once('<')
            .is_some_and(|(name, address)| is_phrase(name.trim_matches([' ', '\t'])) && is_address(address));
    }
    is_address(text)
}

fn is_atom(text: &str) -> bool {
    let own = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !text.is_empty() && text.chars().all(own)
}

fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    let fine = inner.chars().all(|c| {
        let fine = escaped || c != '"';
        escaped = c == '\\' && !escaped;
        fine && (c == '\t' || !c.is_control())
    });
    fine && !escaped
}

/// The name of a person: words, of which those with other characters are quoted.
fn is_phrase(text: &str) -> bool {
    let mut rest = text.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let end = if rest.starts_with('"') {
            let bytes = rest.as_bytes();
            (1..bytes.len())
                .find(|&i| bytes[i] == b'"' && bytes[i - 1] != b'\\')
                .map(|i| i + 1)
        } else {
            rest.find([' ', '\t', '"'])
        };
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let plain = || word.split('.').all(|part| part.is_empty() || is_atom(part));
        if !is_quoted(word) && !plain() {
            return false;
        }
        rest = after.trim_start_matches([' ', '\t']);
    }
    true
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atoms = |text: &str| text.split('.').all(is_atom);
    let literal = |text: &str| {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        inner.is_some_and(|inner| inner.trim_start_matches("IPv6:").parse::<IpAddr>().is_ok())
    };
    (atoms(local) || is_quoted(local)) && (atoms(domain) || literal(domain))
}
