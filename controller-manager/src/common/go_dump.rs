//! Prints a pod template exactly as `dump.ForHash` of k8s.io/apimachinery prints the Go struct, because that text is what
//! upstream hashes into `pod-template-hash`. `go_types.txt` lists the Go structs: a type's name, then its fields as Go name,
//! JSON name (`.` for an embedded struct) and Go type.
//!
//! The printed struct is the one decoded from protobuf, as upstream's controllers see it: empty lists and maps are nil. One
//! case differs: a quantity of more than 18 digits is printed as its text.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value};

struct Field {
    name: &'static str,
    json: &'static str,
    go_type: &'static str,
}

type Structs = HashMap<&'static str, Vec<Field>>;

fn structs() -> &'static Structs {
    static STRUCTS: OnceLock<Structs> = OnceLock::new();
    STRUCTS.get_or_init(|| {
        let mut structs: Structs = HashMap::new();
        let mut current = "";
        for line in include_str!("go_types.txt").lines() {
            match line.strip_prefix("  ") {
                None => {
                    current = line;
                    structs.insert(line, Vec::new());
                }
                Some(field) => {
                    let mut words = field.split(' ');
                    if let (Some(name), Some(json), Some(go_type)) = (words.next(), words.next(), words.next()) {
                        structs.entry(current).or_default().push(Field { name, json, go_type });
                    }
                }
            }
        }
        structs
    })
}

/// The text of a value of this Go type, as in `(v1.PodTemplateSpec){ObjectMeta:…}`.
pub(crate) fn dump(go_type: &'static str, value: &Value) -> String {
    let mut out = String::with_capacity(8192);
    typed(&mut out, go_type, Some(value));
    out
}

fn typed(out: &mut String, go_type: &'static str, value: Option<&Value>) {
    let _ = write!(out, "({go_type})");
    bare(out, go_type, value);
}

/// The value without its type, as it appears inside lists and maps and behind pointers.
fn bare(out: &mut String, go_type: &'static str, value: Option<&Value>) {
    let value = value.filter(|value| !value.is_null());
    if let Some(pointed) = go_type.strip_prefix('*') {
        return match value {
            Some(value) => bare(out, pointed, Some(value)),
            None => out.push_str("<nil>"),
        };
    }
    if let Some(element) = go_type.strip_prefix("[]") {
        return list(out, element, value.and_then(Value::as_array));
    }
    match go_type {
        "map[string]string" => map(out, "string", value.and_then(Value::as_object)),
        "v1.ResourceList" => map(out, "resource.Quantity", value.and_then(Value::as_object)),
        "resource.Quantity" => quantity(out, value.and_then(Value::as_str)),
        "intstr.IntOrString" => int_or_string(out, value),
        "v1.Time" => time(out, value.and_then(Value::as_str)),
        "bool" => push(out, value.and_then(Value::as_bool).unwrap_or(false)),
        "int32" | "int64" => push(out, value.and_then(Value::as_i64).unwrap_or(0)),
        name => match structs().get(name) {
            Some(fields) => {
                out.push('{');
                members(out, fields, value.and_then(Value::as_object));
                out.push('}');
            }
            None => out.push_str(value.and_then(Value::as_str).unwrap_or_default()),
        },
    }
}

fn members(out: &mut String, fields: &'static [Field], object: Option<&Map<String, Value>>) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let _ = write!(out, "{}:", field.name);
        if field.json == "." {
            let embedded = structs().get(field.go_type).map(Vec::as_slice).unwrap_or_default();
            let _ = write!(out, "({}){{", field.go_type);
            members(out, embedded, object);
            out.push('}');
        } else {
            typed(out, field.go_type, object.and_then(|object| object.get(field.json)));
        }
    }
}

fn list(out: &mut String, element: &'static str, items: Option<&Vec<Value>>) {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return out.push_str("<nil>");
    };
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        bare(out, element, Some(item));
    }
    out.push(']');
}

fn map(out: &mut String, element: &'static str, entries: Option<&Map<String, Value>>) {
    let Some(entries) = entries.filter(|entries| !entries.is_empty()) else {
        return out.push_str("<nil>");
    };
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    out.push_str("map[");
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        let separator = if index > 0 { " " } else { "" };
        let _ = write!(out, "{separator}{key}:");
        bare(out, element, Some(value));
    }
    out.push(']');
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

fn int_or_string(out: &mut String, value: Option<&Value>) {
    let (kind, number, text) = match value {
        Some(Value::String(text)) => (1, 0, text.as_str()),
        other => (0, other.and_then(Value::as_i64).unwrap_or(0), ""),
    };
    let _ = write!(
        out,
        "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"
    );
}

fn time(out: &mut String, text: Option<&str>) {
    /// Seconds from the year 1, where Go starts to count, to 1970.
    const UNIX_TO_GO: i64 = 62_135_596_800;
    const LOCAL: &str = "{name:(string) zone:([]time.zone)<nil> tx:([]time.zoneTrans)<nil> extend:(string) \
                         cacheStart:(int64)0 cacheEnd:(int64)0 cacheZone:(*time.zone)<nil>}";
    let (seconds, location) = match text.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => (time.as_second() + UNIX_TO_GO, LOCAL),
        None => (0, "<nil>"),
    };
    let _ = write!(
        out,
        "{{Time:(time.Time){{wall:(uint64)0 ext:(int64){seconds} loc:(*time.Location){location}}}}}"
    );
}

/// A quantity as `resource.ParseQuantity` keeps it; the text is remembered only where that function sees at once that it is
/// canonical.
fn quantity(out: &mut String, text: Option<&str>) {
    let text = text.unwrap_or_default();
    let number_end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let digits = number.trim_start_matches(['+', '-']).replace('.', "");
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let mantissa = digits.parse::<i64>().ok().filter(|_| digits.len() <= 18);
    let (scale, factor, format) = match suffix {
        "n" => (-9, 1, "DecimalSI"),
        "u" => (-6, 1, "DecimalSI"),
        "m" => (-3, 1, "DecimalSI"),
        "k" => (3, 1, "DecimalSI"),
        "M" => (6, 1, "DecimalSI"),
        "G" => (9, 1, "DecimalSI"),
        "T" => (12, 1, "DecimalSI"),
        "P" => (15, 1, "DecimalSI"),
        "E" => (18, 1, "DecimalSI"),
        "Ki" => (0, 1i64 << 10, "BinarySI"),
        "Mi" => (0, 1 << 20, "BinarySI"),
        "Gi" => (0, 1 << 30, "BinarySI"),
        "Ti" => (0, 1 << 40, "BinarySI"),
        "Pi" => (0, 1 << 50, "BinarySI"),
        "Ei" => (0, 1 << 60, "BinarySI"),
        exponent => match exponent
            .strip_prefix(['e', 'E'])
            .and_then(|digits| digits.parse::<i32>().ok())
        {
            Some(exponent) => (exponent, 1, "DecimalExponent"),
            None => (0, 1, if text.is_empty() { "" } else { "DecimalSI" }),
        },
    };
    let scale = scale - i32::try_from(decimals).unwrap_or(0);
    let amount = mantissa.and_then(|mantissa| mantissa.checked_mul(factor));
    let canonical = match (text, mantissa) {
        ("0", _) => true,
        (_, Some(mantissa)) if factor > 1 => mantissa & 7 != 0,
        _ => scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0'),
    };
    let sign = if number.starts_with('-') { -1 } else { 1 };
    let _ = write!(
        out,
        "{{i:(resource.int64Amount){{value:(int64){} scale:(resource.Scale){scale}}} d:(resource.infDecAmount){{Dec:(*inf.Dec)\
         <nil>}} s:(string){} Format:(resource.Format){format}}}",
        amount.unwrap_or(0) * sign,
        if canonical || amount.is_none() { text } else { "" },
    );
}
