//! One verb of a format with its flags, and what it makes of a value (fmt/print.go, fmt/format.go).

use super::{float, is_printable};
use crate::value::Value;

#[derive(Clone, Debug)]
pub(super) struct Verb {
    pub(super) letter: char,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Verb {
    pub(super) fn plain(letter: char) -> Self {
        Self {
            letter,
            plus: false,
            minus: false,
            sharp: false,
            space: false,
            zero: false,
            width: None,
            precision: None,
        }
    }

    /// Adds what it makes of a value.
    pub(super) fn write(&self, value: &Value, out: &mut String) {
        if self.letter == 'T' {
            let typed = Self {
                letter: 's',
                ..self.clone()
            };
            return typed.text(value.type_name(), out);
        }
        self.any(value, out, true);
    }

    fn any(&self, value: &Value, out: &mut String, top: bool) {
        match (value, self.letter) {
            (Value::Missing | Value::Null, 'v') if top => self.pad("<nil>", out),
            (Value::Missing | Value::Null, _) if top => out.push_str(&format!("%!{}(<nil>)", self.letter)),
            (Value::Missing | Value::Null, 'v') if self.sharp => out.push_str("interface {}(nil)"),
            (Value::Missing | Value::Null, _) => out.push_str("<nil>"),
            (Value::Bool(value), 't' | 'v') => self.pad(if *value { "true" } else { "false" }, out),
            (Value::Int(value), _) if self.integer(*value, out) => {}
            (Value::Float(value), 'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => self.float(*value, out),
            (Value::Text(text), 's' | 'v' | 'q' | 'x' | 'X') => self.text(text, out),
            (Value::List(items), _) => {
                let (open, separator, close) = match self.is_go_syntax() {
                    true => ("[]interface {}{", ", ", "}"),
                    false => ("[", " ", "]"),
                };
                out.push_str(open);
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(separator);
                    }
                    self.any(item, out, false);
                }
                out.push_str(close);
            }
            (Value::Map(fields), _) => {
                let (open, separator, close) = match self.is_go_syntax() {
                    true => ("map[string]interface {}{", ", ", "}"),
                    false => ("map[", " ", "]"),
                };
                out.push_str(open);
                for (index, (name, field)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push_str(separator);
                    }
                    self.any(&Value::text(name), out, false);
                    out.push(':');
                    self.any(field, out, false);
                }
                out.push_str(close);
            }
            (value, letter) => {
                out.push_str(&format!("%!{letter}({}=", value.type_name()));
                Self {
                    letter: 'v',
                    ..self.clone()
                }
                .any(value, out, false);
                out.push(')');
            }
        }
    }

    fn is_go_syntax(&self) -> bool {
        self.letter == 'v' && self.sharp
    }

    /// Fills up to the width.
    fn pad(&self, text: &str, out: &mut String) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = |with: char| std::iter::repeat_n(with, missing);
        if self.minus {
            out.push_str(text);
            out.extend(fill(' '));
        } else {
            out.extend(fill(if self.zero { '0' } else { ' ' }));
            out.push_str(text);
        }
    }

    /// Whether the verb is one of integers.
    fn integer(&self, value: i64, out: &mut String) -> bool {
        let magnitude = value.unsigned_abs();
        let as_char = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        let (digits, prefix) = match self.letter {
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if self.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), if self.sharp { "0" } else { "" }),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if self.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if self.sharp { "0X" } else { "" }),
            'c' => {
                self.pad(as_char.encode_utf8(&mut [0; 4]), out);
                return true;
            }
            'q' => {
                self.pad(&quoted(as_char.encode_utf8(&mut [0; 4]), '\'', self.plus), out);
                return true;
            }
            'U' => {
                let shown = if self.sharp && is_printable(as_char) {
                    format!(" '{as_char}'")
                } else {
                    String::new()
                };
                let least = self.precision.unwrap_or(4).max(4);
                let code = format!("U+{magnitude:0least$X}{shown}");
                Self {
                    zero: false,
                    ..self.clone()
                }
                .pad(&code, out);
                return true;
            }
            _ => return false,
        };
        let sign = match (value < 0, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        let digits = match (self.precision, value) {
            (Some(0), 0) => {
                Self {
                    zero: false,
                    ..self.clone()
                }
                .pad("", out);
                return true;
            }
            (Some(least), _) => format!("{digits:0>least$}"),
            (None, _) if self.zero && !self.minus => {
                let least = self.width.unwrap_or(0).saturating_sub(sign.len());
                format!("{digits:0>least$}")
            }
            _ => digits,
        };
        // An octal number that begins with a zero needs no other one.
        let prefix = if prefix == "0" && digits.starts_with('0') {
            ""
        } else {
            prefix
        };
        Self {
            zero: false,
            ..self.clone()
        }
        .pad(&format!("{sign}{prefix}{digits}"), out);
        true
    }

    fn float(&self, value: f64, out: &mut String) {
        let (format, default) = match self.letter {
            'v' => ('g', None),
            'F' => ('f', Some(6)),
            'g' | 'G' => (self.letter, None),
            letter => (letter, Some(6)),
        };
        let digits = float::format(value, format, self.precision.or(default));
        let is_number = value.is_finite();
        let sign = match value.is_sign_negative() && !value.is_nan() {
            true => "-",
            false if self.plus || (value.is_infinite() && !self.space && self.letter == 'v' && !value.is_nan()) => "+",
            false if self.space => " ",
            false => "",
        };
        if self.zero && !self.minus && is_number {
            let least = self.width.unwrap_or(0).saturating_sub(sign.len());
            out.push_str(&format!("{sign}{digits:0>least$}"));
        } else {
            Self {
                zero: false,
                ..self.clone()
            }
            .pad(&format!("{sign}{digits}"), out);
        }
    }

    fn text(&self, text: &str, out: &mut String) {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        match self.letter {
            'v' if self.sharp => self.pad(&self.quote(text), out),
            'q' => self.pad(&self.quote(&cut), out),
            'x' | 'X' => {
                let bytes = &text.as_bytes()[..self.precision.unwrap_or(text.len()).min(text.len())];
                let digit = |byte: &u8| match self.letter {
                    'x' => format!("{byte:02x}"),
                    _ => format!("{byte:02X}"),
                };
                let prefix = if self.sharp {
                    format!("0{}", self.letter)
                } else {
                    String::new()
                };
                let hex = match self.space {
                    true => bytes
                        .iter()
                        .map(|byte| prefix.clone() + &digit(byte))
                        .collect::<Vec<_>>()
                        .join(" "),
                    false if bytes.is_empty() => String::new(),
                    false => prefix + &bytes.iter().map(digit).collect::<String>(),
                };
                self.pad(&hex, out);
            }
            _ => self.pad(&cut, out),
        }
    }

    /// In quotes; with `#` in backquotes where that is possible.
    fn quote(&self, text: &str) -> String {
        let is_raw = |c: char| (c == '\t' || !c.is_control()) && !matches!(c, '`' | '\u{feff}');
        match self.sharp && self.letter == 'q' && text.chars().all(is_raw) {
            true => format!("`{text}`"),
            false => quoted(text, '"', self.plus && self.letter == 'q'),
        }
    }
}

/// strconv.Quote and its kin.
fn quoted(text: &str, quote: char, ascii: bool) -> String {
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            c if c == quote || c == '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_printable(c) && (c.is_ascii() || !ascii) => quoted.push(c),
            c if c < ' ' || c == '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push(quote);
    quoted
}
