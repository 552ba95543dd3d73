//! What a plain scalar would be taken for by a reader (go.yaml.in/yaml/v2 `resolve.go`): what is not taken for a string
//! has to be quoted.

use super::timestamp::is_timestamp;

/// Words with a meaning of their own.
const WORDS: [&str; 39] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N",
    "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF",
    "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// Whether a reader takes the unquoted text for a string.
pub(super) fn is_string(text: &str) -> bool {
    if WORDS.contains(&text) {
        return false;
    }
    match text.as_bytes().first() {
        Some(b'.') => !is_float_with_separators(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            !(is_timestamp(text) || is_integer(&plain) || is_float(&plain) || is_sexagesimal(text))
        }
        _ => true,
    }
}

/// An integer of Go with the base in its prefix that fits in 64 bits.
fn is_integer(text: &str) -> bool {
    let (signed, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (lower.get(..2), lower.strip_prefix('0')) {
        (Some("0x"), _) => (16, &lower[2..]),
        (Some("0b"), _) => (2, &lower[2..]),
        (Some("0o"), _) => (8, &lower[2..]),
        (_, Some(rest)) if !rest.is_empty() => (8, rest),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    match u64::from_str_radix(digits, base) {
        Ok(_) if !signed => true,
        Ok(value) if text.starts_with('-') => value <= i64::MIN.unsigned_abs(),
        Ok(value) => i64::try_from(value).is_ok(),
        Err(_) => false,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, and a number that a double can hold.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let shaped = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    shaped && text.parse().is_ok_and(f64::is_finite)
}

/// A float that starts with a point; underscores may stand between its digits.
fn is_float_with_separators(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let separated = |(at, byte): (usize, &u8)| *byte != b'_' || digit(at.checked_sub(1)) && digit(Some(at + 1));
    bytes.iter().enumerate().all(separated) && is_float(&text.replace('_', ""))
}

/// `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`: readers of YAML 1.1 take it for a number of base 60.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let separated = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let (places, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut places = places.split(':');
    let leading = places
        .next()
        .is_some_and(|first| first.starts_with(|c: char| c.is_ascii_digit()) && separated(first));
    let mut count = 0;
    let rest = places.all(|place| {
        count += 1;
        match place.as_bytes() {
            [b'0'..=b'9'] => true,
            [b'0'..=b'5', ones] => ones.is_ascii_digit(),
            _ => false,
        }
    });
    leading && rest && count > 0 && separated(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_string() {
        for text in [
            "",
            "~",
            "Null",
            "y",
            "OFF",
            "1",
            "-1",
            "+1",
            "0x1F",
            "017",
            "0o17",
            "0b1",
            "1_000",
            "18446744073709551615",
            "1.5",
            "1.",
            ".5",
            ".5_0",
            "-.5e3",
            "1e3",
            ".inf",
            "2026-11-20",
            "1:30",
            "12:30:45.6",
            "-1:5",
            "+18446744073709551615",
            "-9223372036854775809",
        ] {
            assert!(!is_string(text), "{text}");
        }
        for text in [
            "a", "yEs", "1a", "0x", "09", "1e999", "-", "+", ".", "..", "._5", ".5_", "1:60", "1:", "10.0.0.1",
            "1.2.3", "v1", "<<", "=",
        ] {
            assert_eq!(is_string(text), text != "09", "{text}");
        }
    }
}
