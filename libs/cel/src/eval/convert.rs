//! Conversions between types, and the parts of points and lengths of time.

use super::{Failure, Outcome, Value};
use crate::time;

/// The first number that does not fit a signed one.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const NANOS: i64 = 1_000_000_000;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    Some(match (function, args) {
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Value::Type(value.type_name().into())),
        ("int", [value]) => return int(value),
        ("uint", [value]) => return uint(value),
        ("double", [value]) => match value {
            Value::Double(_) => Ok(value.clone()),
            Value::Int(number) => Ok(Value::Double(*number as f64)),
            Value::Uint(number) => Ok(Value::Double(*number as f64)),
            Value::String(text) => text.parse().map(Value::Double).map_err(|_| malformed("double")),
            _ => return None,
        },
        ("bool", [Value::Bool(_)]) | ("bytes", [Value::Bytes(_)]) => Ok(args[0].clone()),
        ("bool", [Value::String(text)]) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(malformed("bool")),
        },
        ("bytes", [Value::String(text)]) => Ok(Value::Bytes(text.as_bytes().into())),
        ("string", [value]) => return string(value),
        ("duration", [Value::Duration(_)]) | ("timestamp", [Value::Timestamp(_)]) => Ok(args[0].clone()),
        ("duration", [Value::Int(_)]) => Err(Failure::new(
            "type conversion error from 'int' to 'google.protobuf.Duration'",
        )),
        ("duration", [Value::String(text)]) => time::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Failure::new(format!("time: invalid duration {text:?}"))),
        ("timestamp", [Value::Int(seconds)]) => point(i128::from(*seconds) * i128::from(NANOS)),
        ("timestamp", [Value::String(text)]) => time::parse_timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| malformed("timestamp")),
        (_, [Value::Timestamp(at)]) => return part(function, *at, "UTC"),
        (_, [Value::Timestamp(at), Value::String(zone)]) => return part(function, *at, zone),
        (_, [Value::Duration(length)]) => Ok(Value::Int(match function {
            "getHours" => length / (3_600 * NANOS),
            "getMinutes" => length / (60 * NANOS),
            "getSeconds" => length / NANOS,
            "getMilliseconds" => length / 1_000_000,
            _ => return None,
        })),
        _ => return None,
    })
}

fn malformed(wanted: &str) -> Failure {
    Failure::new(format!("type conversion error from 'string' to '{wanted}'"))
}

fn point(nanos: i128) -> Outcome {
    if time::in_range(nanos) {
        Ok(Value::Timestamp(nanos))
    } else {
        Err(Failure::new("timestamp overflow"))
    }
}

fn int(value: &Value) -> Option<Outcome> {
    let overflow = || Failure::new("integer overflow");
    Some(match value {
        Value::Int(_) => Ok(value.clone()),
        Value::Uint(number) => i64::try_from(*number).map(Value::Int).map_err(|_| overflow()),
        Value::Double(number) if *number > -TWO_TO_63 && *number < TWO_TO_63 => Ok(Value::Int(*number as i64)),
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| malformed("int")),
        Value::Timestamp(at) => Ok(Value::Int(at.div_euclid(i128::from(NANOS)) as i64)),
        Value::Duration(length) => Ok(Value::Int(*length)),
        _ => return None,
    })
}

fn uint(value: &Value) -> Option<Outcome> {
    let overflow = || Failure::new("unsigned integer overflow");
    Some(match value {
        Value::Uint(_) => Ok(value.clone()),
        Value::Int(number) => u64::try_from(*number).map(Value::Uint).map_err(|_| overflow()),
        Value::Double(number) if *number >= 0.0 && *number < 2.0 * TWO_TO_63 => Ok(Value::Uint(*number as u64)),
        Value::Double(_) => Err(overflow()),
        Value::String(text) => text.parse().map(Value::Uint).map_err(|_| malformed("uint")),
        _ => return None,
    })
}

fn string(value: &Value) -> Option<Outcome> {
    let text = match value {
        Value::String(_) => return Some(Ok(value.clone())),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => show_double(*number),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Some(Err(Failure::new("invalid UTF-8 in bytes, cannot convert to string"))),
        },
        Value::Timestamp(at) => time::show_timestamp(*at),
        Value::Duration(length) => time::show_duration(*length),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(address, bits) => format!("{address}/{bits}"),
        _ => return None,
    };
    Some(Ok(Value::String(text.into())))
}

/// The shortest text for a number, with an exponent where Go writes one.
pub(super) fn show_double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exponent = if number == 0.0 {
        0
    } else {
        number.abs().log10().floor() as i32
    };
    if (-4..21).contains(&exponent) {
        return number.to_string();
    }
    let shown = format!("{number:e}");
    match shown.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, size) = match exponent.strip_prefix('-') {
                Some(size) => ('-', size),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{size:0>2}")
        }
        None => shown,
    }
}

fn part(function: &str, at: i128, zone: &str) -> Option<Outcome> {
    if !function.starts_with("get") {
        return None;
    }
    let Some(at) = time::in_zone(at, zone) else {
        return Some(Err(Failure::new(format!("unknown time zone {zone}"))));
    };
    Some(Ok(Value::Int(match function {
        "getFullYear" => at.year().into(),
        "getMonth" => i64::from(at.month()) - 1,
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDate" => at.day().into(),
        "getDayOfWeek" => at.weekday().to_sunday_zero_offset().into(),
        "getHours" => at.hour().into(),
        "getMinutes" => at.minute().into(),
        "getSeconds" => at.second().into(),
        "getMilliseconds" => at.millisecond().into(),
        _ => return None,
    })))
}
