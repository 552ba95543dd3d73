//! What a scalar is taken for (go.yaml.in/yaml/v2 `resolve.go`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::YamlError;

/// The value of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

const PREFIX: &str = "tag:yaml.org,2002:";

/// The value of a text with a tag. Without one, only what is `plain` may be something else than a text.
pub(super) fn resolve(tag: Option<&str>, text: &str, plain: bool) -> Result<Scalar, YamlError> {
    let tag = tag
        .map(|tag| tag.strip_prefix(PREFIX).unwrap_or(tag))
        .unwrap_or_default();
    let found = match tag {
        "" if !plain => return Ok(Scalar::Text(text.to_owned())),
        "" => return Ok(guess(text)),
        "binary" => {
            let bytes = STANDARD.decode(text).ok();
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let invalid = || YamlError::new("!!binary value contains invalid base64 data");
            return text.map(Scalar::Text).ok_or_else(invalid);
        }
        "bool" | "int" | "float" | "null" => guess(text),
        _ => return Ok(Scalar::Text(text.to_owned())),
    };
    match (tag, found) {
        ("float", Scalar::Int(number)) => Ok(Scalar::Float(number as f64)),
        (tag, found) if found.tag() == tag => Ok(found),
        (tag, found) => Err(YamlError::new(format_args!(
            "cannot decode !!{} `{text}` as a !!{tag}",
            found.tag()
        ))),
    }
}

impl Scalar {
    fn tag(&self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "bool",
            Scalar::Int(_) | Scalar::Unsigned(_) => "int",
            Scalar::Float(_) => "float",
            Scalar::Text(_) => "str",
        }
    }
}

/// What a plain text says. What looks like a time stays a text.
fn guess(text: &str) -> Scalar {
    let word = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Scalar::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Scalar::Bool(false))
        }
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => None,
    };
    let number = || match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    };
    word.or_else(number).unwrap_or_else(|| Scalar::Text(text.to_owned()))
}

/// An integer of Go with the base in its prefix.
fn integer(text: &str) -> Option<Scalar> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (lower.get(..2), lower.strip_prefix('0')) {
        (Some("0x"), _) => (16, &lower[2..]),
        (Some("0b"), _) => (2, &lower[2..]),
        (Some("0o"), _) => (8, &lower[2..]),
        (_, Some(rest)) if !rest.is_empty() => (8, rest),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), base)
        .ok()
        .map(Scalar::Int);
    let unsigned = || {
        let number = u64::from_str_radix(digits, base).ok().filter(|_| sign.is_empty());
        number.map(Scalar::Unsigned)
    };
    signed.or_else(unsigned)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, and a number that a double can hold.
fn float(text: &str) -> Option<Scalar> {
    if !text
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(Scalar::Float(number))
}
