//! A JSON reader that keeps what a [`Value`] forgets: the order of keys, repeated keys and how numbers are spelled.
//! Its syntax errors are those of Go's encoding/json, which clients see word by word.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Number, Value};

/// Nesting beyond this is refused; it bounds the stack.
const MAX_DEPTH: usize = 500;

/// A JSON value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is spelled.
    Number(Cow<'a, str>),
    /// A string, without escapes.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Node<'a>>),
    /// An object in written order, repeated keys included.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// What is wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError(String);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads one JSON text.
///
/// # Errors
/// Says what Go's scanner says about the first bad byte.
pub fn parse(text: &[u8]) -> Result<Node<'_>, SyntaxError> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value("looking for beginning of value", 0)?;
    match parser.next_token() {
        None => Ok(node),
        Some(byte) => Err(invalid(byte, "after top-level value")),
    }
}

impl Node<'_> {
    /// The word Go's error messages use for this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "bool",
            Node::Number(_) => "number",
            Node::String(_) => "string",
            Node::Array(_) => "array",
            Node::Object(_) => "object",
        }
    }

    /// The plain value; the last of repeated keys wins.
    pub fn into_value(self) -> Value {
        self.with_numbers(number)
    }

    /// The value with floats that stay floats, even if they are integers, as Go decodes what has no type.
    pub fn into_exact_value(self) -> Value {
        self.with_numbers(exact_number)
    }

    fn with_numbers(self, read: fn(&str) -> Value) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(b),
            Node::Number(text) => read(&text),
            Node::String(text) => Value::String(text.into_owned()),
            Node::Array(items) => Value::Array(items.into_iter().map(|item| item.with_numbers(read)).collect()),
            Node::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(key, node)| (key.into_owned(), node.with_numbers(read)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

impl<'a> From<&'a Value> for Node<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Node::Null,
            Value::Bool(b) => Node::Bool(*b),
            Value::Number(n) => Node::Number(Cow::Owned(number_text(n))),
            Value::String(s) => Node::String(Cow::Borrowed(s)),
            Value::Array(items) => Node::Array(items.iter().map(Node::from).collect()),
            Value::Object(map) => Node::Object(
                map.iter()
                    .map(|(k, v)| (Cow::Borrowed(k.as_str()), Node::from(v)))
                    .collect(),
            ),
        }
    }
}

/// Integers stay integers; other numbers become what Go would print for them.
fn number(text: &str) -> Value {
    if let Ok(integer) = text.parse::<i64>() {
        return Value::from(integer);
    }
    let float = text.parse::<f64>().unwrap_or_default();
    float_value(float)
}

/// Integers stay integers, and other numbers floats.
fn exact_number(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(integer) => Value::from(integer),
        Err(_) => Value::from(text.parse::<f64>().unwrap_or_default()),
    }
}

/// Whether Go can hold a number that is not of a certain type.
pub(super) fn fits_untyped(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A number as Go's encoder writes it.
fn number_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float_text(float),
        None => number.to_string(),
    }
}

/// A float as Go's encoder writes it: in full unless it is very small or very large.
fn float_text(float: f64) -> String {
    let size = float.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// Writes JSON text with floats as Go's encoder writes them.
///
/// # Errors
/// Those of the writer.
pub fn write(out: impl std::io::Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, GoFormatter))
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        writer.write_all(float_text(value).as_bytes())
    }
}

/// A float as Go encodes it: without a fraction when it has none.
pub(crate) fn float_value(float: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let negative_zero = float == 0.0 && float.is_sign_negative();
    if float.fract() == 0.0 && float.abs() <= EXACT && !negative_zero {
        return Value::from(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

fn end() -> SyntaxError {
    SyntaxError("unexpected end of JSON input".to_owned())
}

fn invalid(byte: u8, context: &str) -> SyntaxError {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = crate::field::go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    SyntaxError(format!("invalid character {shown} {context}"))
}

impl<'a> Parser<'a> {
    /// The next byte that is not white space, without taking it.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn value(&mut self, context: &str, depth: usize) -> Result<Node<'a>, SyntaxError> {
        let byte = self.next_token().ok_or_else(end)?;
        match byte {
            b'{' | b'[' if depth >= MAX_DEPTH => Err(SyntaxError(format!(
                "invalid character '{}' exceeded max depth",
                char::from(byte)
            ))),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Node::String(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true", Node::Bool(true)),
            b'f' => self.literal("false", Node::Bool(false)),
            b'n' => self.literal("null", Node::Null),
            _ => Err(invalid(byte, context)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>, SyntaxError> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(fields));
        }
        loop {
            match self.next_token().ok_or_else(end)? {
                b'"' => {}
                byte => return Err(invalid(byte, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            match self.next_token().ok_or_else(end)? {
                b':' => self.at += 1,
                byte => return Err(invalid(byte, "after object key")),
            }
            let value = self.value("looking for beginning of value", depth + 1)?;
            fields.push((key, value));
            match self.next_token().ok_or_else(end)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(Node::Object(fields));
                }
                byte => return Err(invalid(byte, "after object key:value pair")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node<'a>, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value("looking for beginning of value", depth + 1)?);
            match self.next_token().ok_or_else(end)? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Node::Array(items));
                }
                byte => return Err(invalid(byte, "after array element")),
            }
        }
    }

    fn literal(&mut self, word: &'static str, node: Node<'a>) -> Result<Node<'a>, SyntaxError> {
        for expected in word.bytes() {
            let byte = *self.text.get(self.at).ok_or_else(end)?;
            if byte != expected {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(invalid(byte, &context));
            }
            self.at += 1;
        }
        Ok(node)
    }

    fn number(&mut self) -> Result<Node<'a>, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]);
        Ok(Node::Number(text))
    }

    /// One digit or more.
    fn digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        match self.peek() {
            None => return Err(end()),
            Some(byte) if !byte.is_ascii_digit() => return Err(invalid(byte, context)),
            Some(_) => {}
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek().ok_or_else(end)? {
                b'"' => {
                    let plain = String::from_utf8_lossy(&self.text[start..self.at]);
                    self.at += 1;
                    return Ok(plain);
                }
                b'\\' => break,
                byte if byte < 0x20 => return Err(invalid(byte, "in string literal")),
                _ => self.at += 1,
            }
        }
        let mut out = self.text[start..self.at].to_vec();
        loop {
            match self.peek().ok_or_else(end)? {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(String::from_utf8_lossy(&out).into_owned()));
                }
                b'\\' => {
                    self.at += 1;
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte if byte < 0x20 => return Err(invalid(byte, "in string literal")),
                byte => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let byte = self.peek().ok_or_else(end)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode_escape()?,
            _ => return Err(invalid(byte, "in string escape code")),
        })
    }

    /// `\u` with four hexadecimal digits, or a surrogate pair of them; what is no character becomes U+FFFD as in Go.
    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex4()?;
        let is_high = (0xd800..0xdc00).contains(&first);
        if is_high && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.peek().ok_or_else(end)?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| invalid(byte, "in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn errors_read_as_gos() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a":1"#, "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            (
                "{a:1}",
                "invalid character 'a' looking for beginning of object key string",
            ),
            (
                r#"{"a":1,}"#,
                "invalid character '}' looking for beginning of object key string",
            ),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("1 2", "invalid character '2' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (
                r#""\u12g4""#,
                "invalid character 'g' in \\u hexadecimal character escape",
            ),
            ("'a'", r"invalid character '\'' looking for beginning of value"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(
            parse("[".repeat(100_000).as_bytes()).unwrap_err().to_string(),
            "invalid character '[' exceeded max depth"
        );
    }

    #[test]
    fn values_read_as_gos() {
        for (text, expected) in [
            (
                r#" {"a" : [1, -2.5, 1e3, 1.0, 12345678901] } "#,
                json!({"a": [1, -2.5, 1000, 1, 12345678901_i64]}),
            ),
            (r#""\u00e9\ud83d\ude00\ud83d\n\/""#, json!("é😀\u{fffd}\n/")),
            (r#"{"a":1,"a":2}"#, json!({"a": 2})),
            ("18446744073709551616", json!(18446744073709551616.0_f64)),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().into_value(), expected, "{text}");
        }
        assert_eq!(parse(b"\"a\xffb\"").unwrap().into_value(), json!("a\u{fffd}b"));
    }

    #[test]
    fn floats_are_written_as_gos() {
        for (text, expected) in [
            ("1000.0", "1000"),
            ("-0", "0"),
            ("-0.0", "-0"),
            ("1e3", "1000"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.25e-10", "1.25e-10"),
            ("18446744073709551616", "18446744073709552000"),
            ("12345678901234567890", "12345678901234567000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            let value = parse(text.as_bytes()).unwrap().into_value();
            let mut written = Vec::new();
            write(&mut written, &value).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), expected, "{text}");
            assert_eq!(Node::from(&value), Node::Number(expected.into()), "{text}");
        }
    }

    proptest! {
        /// Whoever reads what is stored and writes it back must not change it.
        #[test]
        fn floats_are_read_as_they_were_written(float: f64) {
            prop_assume!(float.is_finite());
            let text = float_text(float);
            prop_assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), float.to_bits());
        }

        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9a-e.\\u tfn-]{0,24}"#) {
            let ours = parse(text.as_bytes());
            let theirs = serde_json::from_str::<Value>(&text);
            // serde_json refuses lone surrogates and huge exponents, which Go takes.
            if theirs.is_ok() {
                prop_assert!(ours.is_ok());
            }
        }
    }
}
