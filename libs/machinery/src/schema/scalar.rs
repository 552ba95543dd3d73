//! How single values are decoded and what Go encodes for their zero values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::bytes::decode_base64;
use super::json::{Node, float_value};
use super::model::Scalar;
use crate::quantity::Quantity;
use crate::time;

/// Why a value is none of its type.
pub(super) enum Error {
    /// It is of another JSON type, or a number that does not fit.
    Mismatch {
        /// What was found, such as `number 1.5`.
        found: String,
        /// The Go type to name where it is not that of the field.
        wanted: Option<&'static str>,
    },
    /// It has the right JSON type and the wrong form; the whole message.
    Malformed(String),
}

impl Scalar {
    /// Whether Go holds it as a plain value or a slice, not as a struct with an encoder of its own.
    pub(super) fn is_plain(self) -> bool {
        match self {
            Scalar::String | Scalar::Bytes | Scalar::Boolean | Scalar::Int32 | Scalar::Int64 | Scalar::Double => true,
            Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime => false,
        }
    }

    /// What Go encodes for the zero value.
    pub(super) fn zero(self) -> Value {
        match self {
            Scalar::String => Value::from(""),
            Scalar::Boolean => Value::from(false),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString => Value::from(0),
            Scalar::Quantity => Value::from("0"),
            Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
        }
    }
}

/// The canonical form of a value.
pub(super) fn decode(kind: Scalar, node: Node<'_>) -> Result<Value, Error> {
    match (kind, node) {
        (Scalar::String, Node::String(text)) => Ok(Value::String(text.into_owned())),
        (Scalar::Boolean, Node::Bool(value)) => Ok(Value::Bool(value)),
        (Scalar::Bytes, Node::String(text)) => match decode_base64(&text) {
            Ok(bytes) => Ok(Value::String(STANDARD.encode(bytes))),
            Err(offset) => Err(Error::Malformed(format!("illegal base64 data at input byte {offset}"))),
        },
        (Scalar::Bytes, Node::Array(items)) => bytes(items),
        (Scalar::Int32, Node::Number(text)) => integer::<i32>(&text, None),
        (Scalar::Int64, Node::Number(text)) => integer::<i64>(&text, None),
        (Scalar::Double, Node::Number(text)) => match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(float_value(float)),
            _ => Err(mismatch(format!("number {text}"), None)),
        },
        (Scalar::IntOrString, Node::String(text)) => Ok(Value::String(text.into_owned())),
        (Scalar::IntOrString, Node::Number(text)) => integer::<i32>(&text, Some("int32")),
        (Scalar::IntOrString, node) => Err(mismatch(node.kind().to_owned(), Some("int32"))),
        (Scalar::Quantity, Node::String(text) | Node::Number(text)) => quantity(text.trim()),
        // Upstream hands the raw text of any other value to the quantity parser.
        (Scalar::Quantity, node) => quantity(&node.into_value().to_string()),
        (Scalar::Time, Node::String(text)) => timestamp(&text, "2006-01-02T15:04:05Z07:00", time::format),
        (Scalar::MicroTime, Node::String(text)) => {
            timestamp(&text, "2006-01-02T15:04:05.000000Z07:00", time::format_micro)
        }
        (Scalar::Time | Scalar::MicroTime, node) => Err(mismatch(node.kind().to_owned(), Some("string"))),
        (_, node) => Err(mismatch(node.kind().to_owned(), None)),
    }
}

/// The value as Go's reflection assigns it to the type `go_type`; integers are cut to their width, floats without a
/// fraction become integers.
///
/// # Errors
/// The message of apimachinery's converter.
pub(super) fn assign(kind: Scalar, node: Node<'_>, go_type: &str) -> Result<Value, String> {
    let integral = |text: &str| {
        // What does not fit becomes the smallest integer, as on the processors upstream is recorded on.
        let cut = |float: f64| {
            if float.abs() < 2_f64.powi(63) {
                float as i64
            } else {
                i64::MIN
            }
        };
        let float = || text.parse::<f64>().ok().filter(|f| f.fract() == 0.0).map(cut);
        text.parse::<i64>().ok().or_else(float)
    };
    let unrecognized = || Err(format!("unrecognized type: {}", kind.go_type()));
    match (kind, &node) {
        (Scalar::Int32 | Scalar::Int64, Node::Number(text)) => match integral(text) {
            Some(number) if kind == Scalar::Int32 => Ok(Value::from(number as i32)),
            Some(number) => Ok(Value::from(number)),
            None => Err(format!("cannot convert float64 to {go_type}")),
        },
        (Scalar::String, Node::Number(text)) if text.parse::<i64>().is_ok() => {
            Err(format!("cannot convert int64 to {go_type}"))
        }
        (Scalar::String, Node::String(_)) | (Scalar::Boolean, Node::Bool(_)) | (Scalar::Double, Node::Number(_)) => {
            decode(kind, node).map_err(|error| error.text(go_type))
        }
        (Scalar::Bytes, Node::String(_)) => {
            decode(kind, node).map_err(|error| format!("error decoding from json: {}", error.text(go_type)))
        }
        (Scalar::Bytes, node) => Err(format!("cannot restore slice from {}", reflect_kind(node))),
        (Scalar::String | Scalar::Boolean | Scalar::Int32 | Scalar::Int64 | Scalar::Double, _) => unrecognized(),
        _ => decode(kind, node).map_err(|error| error.text(go_type)),
    }
}

impl Error {
    /// The message where there is no struct field to name.
    fn text(self, go_type: &str) -> String {
        match self {
            Error::Mismatch { found, wanted } => {
                format!(
                    "json: cannot unmarshal {found} into Go value of type {}",
                    wanted.unwrap_or(go_type)
                )
            }
            Error::Malformed(text) => text,
        }
    }
}

/// The kind of a value as Go's reflection names it.
pub(super) fn reflect_kind(node: &Node<'_>) -> &'static str {
    match node {
        Node::Null => "invalid",
        Node::Bool(_) => "bool",
        Node::Number(text) if text.parse::<i64>().is_ok() => "int64",
        Node::Number(_) => "float64",
        Node::String(_) => "string",
        Node::Array(_) => "slice",
        Node::Object(_) => "map",
    }
}

/// Bytes may also be written one by one, as any slice.
fn bytes(items: Vec<Node<'_>>) -> Result<Value, Error> {
    let byte = |item: Node<'_>| match item {
        Node::Null => Ok(0),
        Node::Number(text) => text
            .parse::<u8>()
            .map_err(|_| mismatch(format!("number {text}"), Some("uint8"))),
        other => Err(mismatch(other.kind().to_owned(), Some("uint8"))),
    };
    let bytes = items.into_iter().map(byte).collect::<Result<Vec<u8>, _>>()?;
    Ok(Value::String(STANDARD.encode(bytes)))
}

fn mismatch(found: String, wanted: Option<&'static str>) -> Error {
    Error::Mismatch { found, wanted }
}

fn integer<T: std::str::FromStr + Into<i64>>(text: &str, wanted: Option<&'static str>) -> Result<Value, Error> {
    match text.parse::<T>() {
        Ok(number) => Ok(Value::from(number.into())),
        Err(_) => Err(mismatch(format!("number {text}"), wanted)),
    }
}

fn quantity(text: &str) -> Result<Value, Error> {
    match Quantity::parse(text) {
        Ok(quantity) => Ok(Value::String(quantity.to_string())),
        Err(error) => Err(Error::Malformed(error.to_string())),
    }
}

/// The six digits that times in microseconds must have.
const MICROSECONDS: &str = ".000000";

fn timestamp(text: &str, layout: &str, format: fn(jiff::Timestamp) -> String) -> Result<Value, Error> {
    let zone = text.get(19..).and_then(behind_microseconds);
    let exact = !layout.contains(MICROSECONDS) || zone.is_some_and(|zone| zone.starts_with(['Z', '+', '-']));
    match time::parse(text).filter(|_| exact) {
        Some(time) => Ok(Value::String(format(time))),
        None => Err(Error::Malformed(time_error(text, layout))),
    }
}

/// What follows the microseconds that a text begins with.
fn behind_microseconds(text: &str) -> Option<&str> {
    let (fraction, rest) = text.split_at_checked(MICROSECONDS.len())?;
    let digits = fraction.strip_prefix(['.', ','])?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(rest)
}

/// What Go's `time.Parse` says about a text that does not match the layout: the first part that does not.
fn time_error(text: &str, layout: &str) -> String {
    use crate::field::go_quote;
    let parts: [(&str, usize, u32, u32); 6] = [
        ("2006", 4, 0, 9999),
        ("01", 2, 1, 12),
        ("02", 2, 1, 31),
        ("15", 2, 0, 23),
        ("04", 2, 0, 59),
        ("05", 2, 0, 59),
    ];
    let separators = ["-", "-", "T", ":", ":", ""];
    let names = ["year", "month", "day", "hour", "minute", "second"];
    let whole = format!("parsing time {} as {}", go_quote(text), go_quote(layout));
    let cannot = |rest: &str, part: &str| format!("{whole}: cannot parse {} as {}", go_quote(rest), go_quote(part));
    let mut rest = text;
    for (i, (part, digits, low, high)) in parts.into_iter().enumerate() {
        let number = rest.get(..digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let Some(number) = number else {
            return cannot(rest, part);
        };
        let value: u32 = number.parse().unwrap_or_default();
        if value < low || value > high {
            return format!("parsing time {}: {} out of range", go_quote(text), names[i]);
        }
        rest = &rest[digits..];
        match rest.strip_prefix(separators[i]) {
            Some(after) => rest = after,
            None => return cannot(rest, separators[i]),
        }
    }
    if layout.contains(MICROSECONDS) {
        match behind_microseconds(rest) {
            Some(after) => rest = after,
            None => return cannot(rest, MICROSECONDS),
        }
    } else if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    match rest {
        "" => cannot(rest, "Z07:00"),
        _ if rest.starts_with('Z') => format!("parsing time {}: extra text: {}", go_quote(text), go_quote(&rest[1..])),
        _ if rest.len() < 6 => cannot(rest, "Z07:00"),
        // Every part is in range, so the day is not in its month.
        _ => format!("parsing time {}: day out of range", go_quote(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_errors_read_as_gos() {
        for (text, expected) in [
            (
                "x",
                r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
            ),
            (
                "",
                r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#,
            ),
            (
                "2026-01-02",
                r#"parsing time "2026-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
            ),
            (
                "2026-13-02T00:00:00Z",
                r#"parsing time "2026-13-02T00:00:00Z": month out of range"#,
            ),
            (
                "2026-01-02T25:00:00Z",
                r#"parsing time "2026-01-02T25:00:00Z": hour out of range"#,
            ),
            (
                "2026-01-02T03:04:05",
                r#"parsing time "2026-01-02T03:04:05" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            (
                "2026-01-02T03:04:05Zx",
                r#"parsing time "2026-01-02T03:04:05Zx": extra text: "x""#,
            ),
        ] {
            assert_eq!(time_error(text, "2006-01-02T15:04:05Z07:00"), expected);
        }
    }

    #[test]
    fn microseconds_are_exact() {
        let layout = "2006-01-02T15:04:05.000000Z07:00";
        let parse = |text: &str| timestamp(text, layout, time::format_micro);
        for text in ["2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456+01:00"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for (text, rest, part) in [
            ("2026-01-02T03:04:05.5Z", ".5Z", ".000000"),
            ("2026-01-02T03:04:05Z", "Z", ".000000"),
            ("2026-01-02T03:04:05.1234567Z", "7Z", "Z07:00"),
        ] {
            let expected = format!(r#"parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{part}""#);
            let refused = parse(text).err();
            assert!(
                matches!(&refused, Some(Error::Malformed(why)) if *why == expected),
                "{text}"
            );
        }
    }
}
