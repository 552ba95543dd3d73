//! `format`: texts with places for values (cel-go `ext/formatting.go`).

use super::{Failure, Outcome, Value, convert};
use crate::time;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    match (function, args) {
        ("format", [Value::String(template), Value::List(values)]) => {
            Some(fill(template, values).map(|text| Value::text(&text)))
        }
        _ => None,
    }
}

fn fill(template: &str, values: &[Value]) -> Result<String, Failure> {
    let mut shown = String::new();
    let mut values = values.iter().enumerate();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            shown.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            shown.push('%');
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = digits.parse::<usize>().ok();
        }
        let clause = chars.next().ok_or_else(|| wrong("unexpected end of string"))?;
        let (_, value) = values.next().ok_or_else(|| wrong("index 0 out of range"))?;
        shown.push_str(&show(clause, precision.unwrap_or(6).min(100), value)?);
    }
    Ok(shown)
}

fn wrong(why: &str) -> Failure {
    Failure::new(format!("could not parse formatting string: {why}"))
}

fn show(clause: char, precision: usize, value: &Value) -> Result<String, Failure> {
    let refused = |what: &str| {
        Err(Failure::new(format!(
            "error during formatting: {what}, was given {}",
            value.type_name()
        )))
    };
    Ok(match (clause, value) {
        ('s', value) => plain(value)?,
        ('d', Value::Int(number)) => number.to_string(),
        ('d', Value::Uint(number)) => number.to_string(),
        ('d', _) => return refused("decimal clause can only be used on integers"),
        ('f', Value::Double(number)) => format!("{number:.precision$}"),
        ('f', Value::Int(number)) => format!("{:.precision$}", *number as f64),
        ('f', Value::Uint(number)) => format!("{:.precision$}", *number as f64),
        ('f', _) => return refused("fixed-point clause can only be used on doubles"),
        ('e', Value::Double(number)) => {
            let shown = format!("{number:.precision$e}");
            let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
            let (sign, size) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
            format!("{digits}e{sign}{size:0>2}")
        }
        ('e', _) => return refused("scientific clause can only be used on doubles"),
        ('b', Value::Int(number)) if *number < 0 => format!("-{:b}", number.unsigned_abs()),
        ('b', Value::Int(number)) => format!("{number:b}"),
        ('b', Value::Uint(number)) => format!("{number:b}"),
        ('b', Value::Bool(truth)) => u8::from(*truth).to_string(),
        ('b', _) => return refused("only integers and bools can be formatted as binary"),
        ('o', Value::Int(number)) if *number < 0 => format!("-{:o}", number.unsigned_abs()),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('o', Value::Uint(number)) => format!("{number:o}"),
        ('o', _) => return refused("octal clause can only be used on integers"),
        ('x' | 'X', value) => {
            let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let shown = match value {
                Value::Int(number) if *number < 0 => format!("-{:x}", number.unsigned_abs()),
                Value::Int(number) => format!("{number:x}"),
                Value::Uint(number) => format!("{number:x}"),
                Value::String(text) => digits(text.as_bytes()),
                Value::Bytes(bytes) => digits(bytes),
                _ => return refused("only integers, byte buffers, and strings can be formatted as hex"),
            };
            if clause == 'X' { shown.to_uppercase() } else { shown }
        }
        (clause, _) => return Err(wrong(&format!("unrecognized formatting clause {clause:?}"))),
    })
}

fn plain(value: &Value) -> Result<String, Failure> {
    Ok(match value {
        Value::String(text) => text.to_string(),
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => convert::show_double(*value),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(at) => time::show_timestamp(*at),
        Value::Duration(length) => time::show_duration(*length),
        Value::Type(name) => name.to_string(),
        Value::List(values) => {
            let shown: Vec<String> = values.iter().map(plain).collect::<Result<_, _>>()?;
            format!("[{}]", shown.join(", "))
        }
        Value::Map(entries) => {
            let entry =
                |(key, value): (&super::Key, &Value)| Ok(format!("{}: {}", plain(&key.value())?, plain(value)?));
            let shown: Vec<String> = entries.iter().map(entry).collect::<Result<_, Failure>>()?;
            format!("{{{}}}", shown.join(", "))
        }
        other => {
            return Err(Failure::new(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            )));
        }
    })
}
