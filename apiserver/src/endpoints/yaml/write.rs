//! JSON becomes YAML, character for character as upstream's emitter writes it (go.yaml.in/yaml/v2 `encode.go` and
//! `emitterc.go`): keys in natural order, lists as deep as their key, long texts folded at spaces behind column 80.

use super::order::sorted;
use super::scalar::{Style, is_break, is_printable, is_simple_key, style_of};
use bytes::Bytes;
use serde_json::{Map, Number, Value};

const INDENT: usize = 2;
/// A text is folded at the first space behind this column.
const WIDTH: usize = 80;

/// YAML for a tree.
pub fn from_json(value: &Value) -> Bytes {
    let mut writer = Writer {
        whitespace: true,
        fresh: true,
        ..Writer::default()
    };
    writer.node(value, None, false);
    writer.line(None);
    writer.out.into()
}

/// Depth of a collection in columns; the document itself has none.
type Depth = Option<usize>;

#[derive(Default)]
struct Writer {
    out: String,
    column: usize,
    /// Whether the last thing written separates.
    whitespace: bool,
    /// Whether only indentation and its indicators are on this line yet.
    fresh: bool,
}

impl Writer {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// A line break of the text itself or of the layout.
    fn put_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    /// Goes to the column of `depth`, on a new line if this one is taken.
    fn line(&mut self, depth: Depth) {
        let depth = depth.unwrap_or_default();
        if !self.fresh || self.column > depth || (self.column == depth && !self.whitespace) {
            self.put_break('\n');
        }
        while self.column < depth {
            self.put(' ');
        }
        self.whitespace = true;
        self.fresh = true;
    }

    /// Writes an indicator, behind a space where it has to be `separated`; one that `indents` belongs to the indentation.
    fn indicator(&mut self, text: &str, separated: bool, indents: bool) {
        if separated && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = false;
        self.fresh &= indents;
    }

    /// Any value in a collection of `depth`; `in_mapping` when it belongs to a key.
    fn node(&mut self, value: &Value, depth: Depth, in_mapping: bool) {
        match value {
            Value::Null => self.plain("null", depth, false),
            Value::Bool(value) => self.plain(if *value { "true" } else { "false" }, depth, false),
            Value::Number(number) => self.plain(&number_text(number), depth, false),
            Value::String(text) => self.string(text, depth, false),
            Value::Array(items) if items.is_empty() => self.indicator("[]", true, false),
            Value::Object(map) if map.is_empty() => self.indicator("{}", true, false),
            Value::Array(items) => self.sequence(items, depth, in_mapping),
            Value::Object(map) => self.mapping(map, depth),
        }
    }

    fn sequence(&mut self, items: &[Value], depth: Depth, in_mapping: bool) {
        let depth = match depth {
            Some(depth) if in_mapping && !self.fresh => Some(depth),
            depth => deeper(depth),
        };
        for item in items {
            self.line(depth);
            self.indicator("-", true, true);
            self.node(item, depth, false);
        }
    }

    fn mapping(&mut self, map: &Map<String, Value>, depth: Depth) {
        let depth = deeper(depth);
        let entries = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
        for (key, value) in sorted(entries) {
            self.line(depth);
            if is_simple_key(key) {
                self.string(key, depth, true);
                self.indicator(":", false, false);
            } else {
                self.indicator("?", true, true);
                self.string(key, depth, false);
                self.line(depth);
                self.indicator(":", true, true);
            }
            self.node(value, depth, true);
        }
    }

    fn string(&mut self, text: &str, depth: Depth, key: bool) {
        match style_of(text, key) {
            Style::Plain => self.plain(text, depth, key),
            Style::SingleQuoted => self.single_quoted(text, depth, key),
            Style::DoubleQuoted => self.double_quoted(text, depth, key),
            Style::Literal => self.literal(text, depth),
        }
    }

    fn plain(&mut self, text: &str, depth: Depth, key: bool) {
        if !self.whitespace {
            self.put(' ');
        }
        let mut after_space = false;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let space = c == ' ';
            if space && !key && !after_space && self.column > WIDTH && characters.peek() != Some(&' ') {
                self.line(Some(continued(depth)));
            } else {
                self.put(c);
                // A space does not end the indentation, as upstream has it.
                self.fresh &= space;
            }
            after_space = space;
        }
        self.whitespace = false;
        self.fresh = false;
    }

    fn single_quoted(&mut self, text: &str, depth: Depth, key: bool) {
        self.indicator("'", true, false);
        let (mut after_space, mut after_break) = (false, false);
        let mut characters = text.chars().enumerate().peekable();
        while let Some((at, c)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            let inside = at > 0 && next.is_some_and(|next| next != ' ');
            if c == ' ' && !key && !after_space && self.column > WIDTH && inside {
                self.line(Some(continued(depth)));
            } else if is_break(c) {
                if !after_break && c == '\n' {
                    self.put_break('\n');
                }
                self.put_break(c);
                self.fresh = true;
            } else {
                if after_break && c != ' ' {
                    self.line(Some(continued(depth)));
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.fresh &= c == ' ';
            }
            after_space = c == ' ' || after_space && is_break(c);
            after_break = is_break(c) || after_break && c == ' ';
        }
        self.indicator("'", false, false);
    }

    fn double_quoted(&mut self, text: &str, depth: Depth, key: bool) {
        self.indicator("\"", true, false);
        // Upstream looks for the mark at the start of the text wherever it stands in it.
        let marked = text.starts_with('\u{feff}');
        let mut after_space = false;
        let mut characters = text.chars().enumerate().peekable();
        while let Some((at, c)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if marked || !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                self.escape(c);
                after_space = false;
            } else if c == ' ' {
                if !key && !after_space && self.column > WIDTH && at > 0 && next.is_some() {
                    self.line(Some(continued(depth)));
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                after_space = true;
            } else {
                self.put(c);
                after_space = false;
            }
        }
        self.indicator("\"", false, false);
    }

    fn escape(&mut self, c: char) {
        let text = match c {
            '\0' => "\\0".to_owned(),
            '\u{7}' => "\\a".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\u{b}' => "\\v".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '\r' => "\\r".to_owned(),
            '\u{1b}' => "\\e".to_owned(),
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\u{85}' => "\\N".to_owned(),
            '\u{a0}' => "\\_".to_owned(),
            '\u{2028}' => "\\L".to_owned(),
            '\u{2029}' => "\\P".to_owned(),
            c => match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            },
        };
        text.chars().for_each(|c| self.put(c));
    }

    fn literal(&mut self, text: &str, depth: Depth) {
        self.indicator("|", true, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator(&INDENT.to_string(), false, false);
        }
        let mut last = text.chars().rev();
        match (last.next().is_some_and(is_break), last.next()) {
            (false, _) => self.indicator("-", false, false),
            (true, None) => self.indicator("+", false, false),
            (true, Some(c)) if is_break(c) => self.indicator("+", false, false),
            _ => {}
        }
        self.put_break('\n');
        self.whitespace = true;
        self.fresh = true;
        let mut after_break = true;
        for c in text.chars() {
            if is_break(c) {
                self.put_break(c);
            } else {
                if after_break {
                    self.line(Some(continued(depth)));
                }
                self.put(c);
            }
            after_break = is_break(c);
            self.fresh = after_break;
        }
    }
}

/// The depth of a collection in one of `depth`.
fn deeper(depth: Depth) -> Depth {
    Some(depth.map_or(0, |depth| depth + INDENT))
}

/// The column of further lines of a scalar in a collection of `depth`.
fn continued(depth: Depth) -> usize {
    depth.unwrap_or_default() + INDENT
}

/// A number: what JSON writes without a fraction is an integer while it fits, all else is Go's shortest `%g`.
fn number_text(number: &Number) -> String {
    const WRITTEN_WITH_EXPONENT: f64 = 1e21;
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let value = number.as_f64().unwrap_or_default();
    if value.fract() == 0.0 && value.abs() < WRITTEN_WITH_EXPONENT {
        let digits = format!("{:.0}", value.abs());
        let signed = if value < 0.0 { format!("-{digits}") } else { digits };
        if signed.parse::<i64>().is_ok() || signed.parse::<u64>().is_ok() {
            return signed;
        }
    }
    shortest(value)
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 64)`.
fn shortest(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(-4..6) => format!("{value}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(value: &Value) -> String {
        String::from_utf8(from_json(value).to_vec()).unwrap()
    }

    #[test]
    fn collections_are_laid_out_as_upstreams() {
        let long = "k".repeat(129);
        let mut value = json!({
            "b": [], "a": {}, "list": ["x", ["y", "z"], {"k": 1, "l": [true]}], "map": {"n": null, "1": "1"},
        });
        value[&long] = json!(["long key"]);
        let expected = format!(
            "a: {{}}\nb: []\n? {long}\n: - long key\nlist:\n- x\n- - \"y\"\n  - z\n- k: 1\n  l:\n  - true\nmap:\n  \"1\": \"1\"\n  \"n\": null\n"
        );
        assert_eq!(written(&value), expected);
    }

    #[test]
    fn long_texts_are_folded_behind_column_80() {
        let line = "word ".repeat(16);
        let value = json!({"a": format!("{line}more words"), "b": [format!("{line}\tmore words")]});
        let line = line.trim();
        let expected = format!("a: {line}\n  more words\nb:\n- \"{line}\n  \\tmore words\"\n");
        assert_eq!(written(&value), expected);
    }

    #[test]
    fn lines_become_blocks() {
        let value = json!({"a": "x\ny", "b": "x\n", "c": "x\n\n", "d": " x\n y\n", "e": "\n"});
        assert_eq!(
            written(&value),
            "a: |-\n  x\n  y\nb: |\n  x\nc: |+\n  x\n\nd: |2\n   x\n   y\ne: |2+\n\n"
        );
    }

    #[test]
    fn numbers_are_gos() {
        for (number, expected) in [
            ("1", "1"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("1234567.5", "1.2345675e+06"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e20", "1e+20"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            let value: Value = serde_json::from_str(number).unwrap();
            assert_eq!(written(&value), format!("{expected}\n"));
        }
    }
}
