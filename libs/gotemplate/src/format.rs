//! Prints values as Go's fmt does.

mod float;
mod verbs;

use crate::value::Value;
use verbs::Verb;

/// What an action prints.
pub(crate) fn printed(value: &Value) -> String {
    match value {
        Value::Missing | Value::Null => "<no value>".to_owned(),
        Value::Text(text) => text.to_string(),
        other => print(std::slice::from_ref(other)),
    }
}

/// fmt.Sprint: a space stands between two operands of which none is a string.
pub(crate) fn print(values: &[Value]) -> String {
    let mut text = String::new();
    let mut after_text = true;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if index > 0 && !is_text && !after_text {
            text.push(' ');
        }
        Verb::plain('v').write(value, &mut text);
        after_text = is_text;
    }
    text
}

/// fmt.Sprintln.
pub(crate) fn println(values: &[Value]) -> String {
    let words: Vec<String> = values
        .iter()
        .map(|value| {
            let mut text = String::new();
            Verb::plain('v').write(value, &mut text);
            text
        })
        .collect();
    words.join(" ") + "\n"
}

/// fmt.Sprintf.
pub(crate) fn printf(pattern: &str, values: &[Value]) -> String {
    let mut printer = Printer {
        values,
        next: 0,
        reordered: false,
        out: String::new(),
    };
    let mut rest = pattern;
    while let Some(index) = rest.find('%') {
        printer.out.push_str(&rest[..index]);
        rest = printer.directive(&rest[index + 1..]);
    }
    printer.out.push_str(rest);
    printer.surplus();
    printer.out
}

/// Whether Go prints a character as it is (unicode.IsPrint).
pub(crate) fn is_printable(c: char) -> bool {
    c == ' '
        || (!c.is_whitespace() && !c.is_control() && (c.is_alphanumeric() || !c.escape_debug().eq(c.escape_unicode())))
}

struct Printer<'a> {
    values: &'a [Value],
    next: usize,
    reordered: bool,
    out: String,
}

/// No width or precision is larger.
const WIDEST: usize = 1_000_000;

/// The number at the beginning and what follows it.
fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok().filter(|number| *number <= WIDEST), rest)
}

impl<'a> Printer<'a> {
    /// Prints what stands after a percent sign; returns what follows it.
    fn directive<'t>(&mut self, text: &'t str) -> &'t str {
        let mut verb = Verb::plain('v');
        let mut rest = text;
        while let Some(flag) = rest.chars().next().filter(|c| "+-# 0".contains(*c)) {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
            rest = &rest[1..];
        }
        let mut good_index = true;
        let mut after_index = false;
        self.reordered = false;
        rest = self.argument_index(rest, &mut good_index, &mut after_index);
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            match self.count() {
                Some(width) => {
                    verb.minus |= width < 0;
                    verb.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            let (width, after) = number(rest);
            good_index &= !(after_index && width.is_some());
            verb.width = width;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            good_index &= !after_index;
            rest = self.argument_index(after, &mut good_index, &mut after_index);
            if let Some(after) = rest.strip_prefix('*') {
                rest = after;
                match self.count() {
                    Some(precision) => verb.precision = usize::try_from(precision).ok(),
                    None => self.out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                let (precision, after) = number(rest);
                verb.precision = Some(precision.unwrap_or(0));
                rest = after;
            }
        }
        if !after_index {
            rest = self.argument_index(rest, &mut good_index, &mut after_index);
        }
        let Some(letter) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        let after = &rest[letter.len_utf8()..];
        verb.letter = letter;
        // With this verb it asks for the names of fields, which no value here has.
        verb.plus &= letter != 'v';
        if letter == '%' {
            self.out.push('%');
        } else if !good_index {
            self.out.push_str(&format!("%!{letter}(BADINDEX)"));
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            verb.write(value, &mut self.out);
        } else {
            self.out.push_str(&format!("%!{letter}(MISSING)"));
        }
        after
    }

    /// Reads `[n]`, which says which argument is next.
    fn argument_index<'t>(&mut self, text: &'t str, good: &mut bool, found: &mut bool) -> &'t str {
        let Some(body) = text.strip_prefix('[') else {
            return text;
        };
        self.reordered = true;
        let Some((inside, after)) = body.split_once(']') else {
            *good = false;
            return body;
        };
        match inside.parse::<usize>() {
            Ok(index) if (1..=self.values.len()).contains(&index) => {
                self.next = index - 1;
                *found = true;
            }
            _ => *good = false,
        }
        after
    }

    /// The argument that is a width or precision.
    fn count(&mut self) -> Option<i64> {
        let value = self.values.get(self.next);
        self.next += usize::from(value.is_some());
        match value {
            Some(Value::Int(count)) if count.unsigned_abs() <= WIDEST as u64 => Some(*count),
            _ => None,
        }
    }

    /// Says what was not printed.
    fn surplus(&mut self) {
        let left = self.values.get(self.next..).unwrap_or_default();
        if self.reordered || left.is_empty() {
            return;
        }
        let left: Vec<String> = left
            .iter()
            .map(|value| match value.is_nothing() {
                true => "<nil>".to_owned(),
                false => format!("{}={}", value.type_name(), print(std::slice::from_ref(value))),
            })
            .collect();
        self.out.push_str(&format!("%!(EXTRA {})", left.join(", ")));
    }
}
