//! The formats of texts in schemas (k8s.io/kube-openapi `pkg/validation/strfmt`).

use machinery::names;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Those that are known, without their hyphens.
const KNOWN: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Those that are written as patterns.
const PATTERNS: [(&str, &str); 9] = [
    ("bsonobjectid", "^[0-9a-fA-F]{24}$"),
    (
        "uuid",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
    ),
    (
        "uuid3",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
    ),
    (
        "uuid4",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
    ),
    (
        "uuid5",
        "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$",
    ),
    ("ssn", r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"),
    ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "mac",
        "(?i)^([0-9a-f]{2}[:-]){5}([0-9a-f]{2}[:-][0-9a-f]{2}[:-])?[0-9a-f]{2}$",
    ),
    ("email", r"^([^<>@\s]+@[^<>@\s]+|.*<[^<>@\s]+@[^<>@\s]+>)$"),
];

fn normal(format: &str) -> String {
    format.replace('-', "")
}

/// Whether a schema's type has a format.
pub(super) fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => KNOWN.contains(&normal(format).as_str()),
        "integer" => ["int32", "int64"].contains(&format),
        "number" => ["float", "double"].contains(&format),
        _ => false,
    }
}

/// Whether a text is of a format; all are of one that is not known or not checked.
pub(super) fn fits(format: &str, text: &str) -> bool {
    let format = normal(format);
    if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| *name == format) {
        return cel::regex::matches(pattern, text);
    }
    match format.as_str() {
        "uri" => text.starts_with('/') || text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)),
        "hostname" => {
            let label = |label: &str| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
        }
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let most = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }),
        "byte" => {
            let body = text.trim_end_matches('=');
            let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
            text.len().is_multiple_of(4) && text.len() - body.len() <= 2 && body.bytes().all(alphabet)
        }
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" => text.len() >= 19 && text.as_bytes()[10].eq_ignore_ascii_case(&b'T') && is_time(text),
        "duration" => is_duration(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok()
}

/// Go's durations, and numbers with the names of units.
fn is_duration(text: &str) -> bool {
    const UNITS: &str = "ns|us|µs|μs|ms|s|m|h|d|w|nanos?(econds?)?|micros?(econds?)?|millis?(econds?)?|secs?(onds?)?|seconds?|mins?(utes?)?|minutes?|hours?|hrs?|days?|weeks?|wks?";
    text == "0" || cel::regex::matches(&format!(r"^[-+]?(\d*\.?\d+ *({UNITS}))+$"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_of_formats() {
        for (format, text, expected) in [
            ("date-time", "2020-01-01T00:00:00Z", true),
            ("date-time", "nope", false),
            ("date", "2020-01-01", true),
            ("date", "2020-13-01", false),
            ("email", "a@b", true),
            ("email", "x", false),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", true),
            ("ipv4", "1.2.3.4", true),
            ("ipv4", "::1", false),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/64", false),
            ("duration", "1h30m", true),
            ("duration", "22 ns", true),
            ("duration", "x", false),
            ("uri", "http://x", true),
            ("uri", "x", false),
            ("byte", "YQ==", true),
            ("byte", "x", false),
            ("unheard-of", "x", true),
        ] {
            assert_eq!(fits(format, text), expected, "{format} {text}");
        }
        assert!(is_known("string", "date-time") && is_known("integer", "int32"));
        assert!(!is_known("string", "nope") && !is_known("boolean", "int32"));
    }
}
