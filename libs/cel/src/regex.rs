//! Go's regular expressions: read as Go's `regexp/syntax` reads them, with its complaints, and written for the engine here.

use std::iter::Peekable;
use std::str::CharIndices;

/// No repetition may be larger.
const MAX_REPEAT: u32 = 1_000;
/// No groups may be nested deeper.
const MAX_DEPTH: usize = 1_000;

/// Compiles a pattern.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<::regex::Regex, String> {
    let translated = translate(pattern)?;
    ::regex::Regex::new(&translated).map_err(|error| format!("error parsing regexp: expression too large: {error}"))
}

/// A pattern that was compiled, for trying it on several texts.
#[derive(Debug, Clone)]
pub struct Pattern(::regex::Regex);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Go's words for what is wrong with it.
    pub fn new(pattern: &str) -> Result<Pattern, String> {
        compile(pattern).map(Pattern)
    }

    /// Whether the pattern is found in a text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// What Go says about a pattern that it does not take.
#[must_use]
pub fn complaint(pattern: &str) -> Option<String> {
    translate(pattern).err()
}

/// Whether a pattern that Go takes is found in a text; one that it does not take is found nowhere.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    compile(pattern).is_ok_and(|regex| regex.is_match(text))
}

fn wrong(code: &str, part: &str) -> String {
    format!("error parsing regexp: {code}: `{part}`")
}

/// The pattern for an engine whose classes are those of Unicode where Go's are those of ASCII.
fn translate(pattern: &str) -> Result<String, String> {
    let mut reader = Reader {
        pattern,
        chars: pattern.char_indices().peekable(),
        out: String::with_capacity(pattern.len()),
    };
    reader.all()?;
    Ok(reader.out)
}

struct Reader<'p> {
    pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
}

impl<'p> Reader<'p> {
    /// Where the next character is.
    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at)
    }

    fn rest(&mut self) -> &'p str {
        let at = self.at();
        &self.pattern[at..]
    }

    fn skip(&mut self, bytes: usize) {
        let end = self.at() + bytes;
        while self.at() < end {
            self.chars.next();
        }
    }

    fn all(&mut self) -> Result<(), String> {
        let mut depth = 0;
        // Whether there is something to repeat, and where the repetition before began.
        let (mut repeatable, mut repeated): (bool, Option<usize>) = (false, None);
        while let Some((at, c)) = self.chars.peek().copied() {
            match c {
                '(' => {
                    let lookahead = self.rest().starts_with("(?");
                    let opens = if lookahead { self.group()? } else { self.plain('(') };
                    depth += usize::from(opens);
                    if depth > MAX_DEPTH {
                        return Err(wrong("expression nests too deeply", self.pattern));
                    }
                    (repeatable, repeated) = (false, None);
                }
                ')' => {
                    if depth == 0 {
                        return Err(wrong("unexpected )", self.pattern));
                    }
                    depth -= 1;
                    self.plain(')');
                    (repeatable, repeated) = (true, None);
                }
                '|' => {
                    self.plain('|');
                    (repeatable, repeated) = (false, None);
                }
                '*' | '+' | '?' => {
                    self.plain(c);
                    repeated = self.after_repeat(at, repeatable, repeated)?;
                }
                '{' => match self.counts() {
                    Some((length, valid)) => {
                        let part = &self.pattern[at..at + length];
                        if !valid {
                            return Err(wrong("invalid repeat count", part));
                        }
                        self.skip(length);
                        self.out.push_str(part);
                        repeated = self.after_repeat(at, repeatable, repeated)?;
                    }
                    None => {
                        self.skip(1);
                        self.out.push_str("\\{");
                        (repeatable, repeated) = (true, None);
                    }
                },
                '[' => {
                    self.class()?;
                    (repeatable, repeated) = (true, None);
                }
                '\\' => {
                    self.escape()?;
                    (repeatable, repeated) = (true, None);
                }
                '}' | ']' => {
                    self.skip(1);
                    self.out.push('\\');
                    self.out.push(c);
                    (repeatable, repeated) = (true, None);
                }
                _ => {
                    self.plain(c);
                    (repeatable, repeated) = (true, None);
                }
            }
        }
        if depth > 0 {
            return Err(wrong("missing closing )", self.pattern));
        }
        Ok(())
    }

    fn plain(&mut self, c: char) -> bool {
        self.skip(c.len_utf8());
        self.out.push(c);
        true
    }

    /// Checks the repetition that was just read; a `?` makes it lazy.
    fn after_repeat(&mut self, at: usize, repeatable: bool, repeated: Option<usize>) -> Result<Option<usize>, String> {
        let end = self.at();
        if !repeatable {
            return Err(wrong("missing argument to repetition operator", &self.pattern[at..end]));
        }
        if self.rest().starts_with('?') {
            self.plain('?');
        }
        let end = self.at();
        match repeated {
            Some(start) => Err(wrong("invalid nested repetition operator", &self.pattern[start..end])),
            None => Ok(Some(at)),
        }
    }

    /// The length of `{n}`, `{n,}` or `{n,m}` and whether its numbers are allowed; none if it is something else.
    fn counts(&mut self) -> Option<(usize, bool)> {
        let (inner, _) = self.rest().strip_prefix('{')?.split_once('}')?;
        let (low, high) = inner
            .split_once(',')
            .map_or((inner, None), |(low, high)| (low, Some(high)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let padded = |text: &str| text.len() > 1 && text.starts_with('0');
        if !digits(low) || padded(low) || high.is_some_and(|high| !high.is_empty() && (!digits(high) || padded(high))) {
            return None;
        }
        let small = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_REPEAT);
        let valid = match (small(low), high) {
            (Some(low), Some(high)) if !high.is_empty() => small(high).is_some_and(|high| low <= high),
            (low, _) => low.is_some(),
        };
        Some((inner.len() + 2, valid))
    }

    /// `(?flags)`, `(?flags:`, `(?P<name>` and `(?<name>`; whether a group was opened.
    fn group(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        if let Some(prefix) = ["(?P<", "(?<"].into_iter().find(|prefix| rest.starts_with(prefix)) {
            let Some((name, _)) = rest[prefix.len()..].split_once('>') else {
                return Err(wrong("invalid named capture", rest));
            };
            let whole = &rest[..prefix.len() + name.len() + 1];
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(wrong("invalid named capture", whole));
            }
            // The name does not matter to whether something matches.
            self.skip(whole.len());
            self.out.push('(');
            return Ok(true);
        }
        let mut negative = false;
        let mut any = false;
        for (i, c) in rest.char_indices().skip(2) {
            match c {
                'i' | 'm' | 's' | 'U' => any = true,
                '-' if !negative => {
                    negative = true;
                    any = false;
                }
                ':' | ')' if !negative || any => {
                    let part = &rest[..=i];
                    self.skip(part.len());
                    self.out.push_str(part);
                    return Ok(c == ':');
                }
                _ => return Err(wrong("invalid or unsupported Perl syntax", &rest[..i + c.len_utf8()])),
            }
        }
        Err(wrong("invalid or unsupported Perl syntax", rest))
    }

    /// An escape sequence outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let Some(c) = rest.chars().nth(1) else {
            return Err(wrong("trailing backslash at end of expression", ""));
        };
        let translated = match c {
            'A' | 'z' => format!("\\{c}"),
            'b' => "(?-u:\\b)".to_owned(),
            'B' => "(?-u:\\B)".to_owned(),
            'C' => return Err(wrong("invalid escape sequence", "\\C")),
            'Q' => {
                let quoted = &rest[2..];
                let (literal, length) = match quoted.split_once("\\E") {
                    Some((literal, _)) => (literal, literal.len() + 4),
                    None => (quoted, rest.len()),
                };
                self.skip(length);
                self.out.push_str(&::regex::escape(literal));
                return Ok(());
            }
            _ => {
                let (set, length) = self.perl_or_unicode()?.map_or_else(|| self.one(), Ok)?;
                self.skip(length);
                self.out.push_str(&set);
                return Ok(());
            }
        };
        self.skip(1 + c.len_utf8());
        self.out.push_str(&translated);
        Ok(())
    }

    /// `\d`, `\pL` and their kind: the set and the length of what was read.
    fn perl_or_unicode(&mut self) -> Result<Option<(String, usize)>, String> {
        let rest = self.rest();
        let set = match rest.chars().nth(1) {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => "[\\t\\n\\f\\r ]",
            Some('S') => "[^\\t\\n\\f\\r ]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('p' | 'P') => {
                let length = match rest.chars().nth(2) {
                    Some('{') => match rest.find('}') {
                        Some(end) => end + 1,
                        None => return Err(wrong("invalid character class range", rest)),
                    },
                    Some(c) => 2 + c.len_utf8(),
                    None => return Err(wrong("invalid character class range", rest)),
                };
                let class = &rest[..length];
                if ::regex::Regex::new(class).is_err() {
                    return Err(wrong("invalid character class range", class));
                }
                return Ok(Some((class.to_owned(), length)));
            }
            _ => return Ok(None),
        };
        Ok(Some((set.to_owned(), 2)))
    }

    /// An escape that stands for one character.
    fn one(&mut self) -> Result<(String, usize), String> {
        let rest = self.rest();
        let mut chars = rest.chars();
        chars.next();
        let Some(c) = chars.next() else {
            return Err(wrong("trailing backslash at end of expression", ""));
        };
        let code = |text: &str| u32::from_str_radix(text, 16).ok().and_then(char::from_u32);
        let whole = |length: usize| rest.get(..length).unwrap_or(rest);
        let (value, length) = match c {
            'a' => (Some('\u{7}'), 2),
            'f' => (Some('\u{c}'), 2),
            't' => (Some('\t'), 2),
            'n' => (Some('\n'), 2),
            'r' => (Some('\r'), 2),
            'v' => (Some('\u{b}'), 2),
            'x' => match rest[2..].strip_prefix('{') {
                Some(inner) => {
                    let digits = inner.split('}').next().unwrap_or_default();
                    let closed = inner.len() > digits.len();
                    (code(digits).filter(|_| closed), digits.len() + 4)
                }
                None => (rest.get(2..4).and_then(code), 4),
            },
            '0' => {
                let digits: String = rest[1..]
                    .chars()
                    .take(3)
                    .take_while(|c| ('0'..='7').contains(c))
                    .collect();
                let value = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32);
                (value, 1 + digits.len())
            }
            '1'..='7' if rest[2..].starts_with(|c| ('0'..='7').contains(&c)) => {
                let digits: String = rest[1..]
                    .chars()
                    .take(3)
                    .take_while(|c| ('0'..='7').contains(c))
                    .collect();
                let value = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32);
                (value, 1 + digits.len())
            }
            c if c.is_ascii_punctuation() => (Some(c), 2),
            c => (None, 1 + c.len_utf8()),
        };
        match value {
            Some(value) => Ok((::regex::escape(&value.to_string()), length)),
            None => Err(wrong("invalid escape sequence", whole(length).trim_end_matches('}'))),
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at();
        let class = &self.pattern[start..];
        self.plain('[');
        if self.rest().starts_with('^') {
            self.plain('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else {
                return Err(wrong("missing closing ]", class));
            };
            if c == ']' && !first {
                self.plain(']');
                return Ok(());
            }
            first = false;
            if rest.starts_with("[:")
                && let Some((inner, _)) = rest[2..].split_once(":]")
            {
                let name = inner.strip_prefix('^').unwrap_or(inner);
                let known = [
                    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                    "upper", "word", "xdigit",
                ];
                let part = &rest[..inner.len() + 4];
                if !known.contains(&name) {
                    return Err(wrong("invalid character class range", part));
                }
                self.skip(part.len());
                self.out.push_str(part);
                continue;
            }
            if c == '\\'
                && let Some((set, length)) = self.perl_or_unicode()?
            {
                self.skip(length);
                self.out.push_str(&set);
                continue;
            }
            self.range(class)?;
        }
    }

    /// A character or a range of characters in a class.
    fn range(&mut self, class: &str) -> Result<(), String> {
        let start = self.at();
        let low = self.member(class)?;
        let rest = self.rest();
        let mut high = low;
        if rest.starts_with('-') && !rest.starts_with("-]") && rest.len() > 1 {
            self.skip(1);
            high = self.member(class)?;
        }
        if high < low {
            let end = self.at();
            return Err(wrong("invalid character class range", &self.pattern[start..end]));
        }
        self.out.push_str(&format!("\\x{{{:X}}}", u32::from(low)));
        if high != low {
            self.out.push_str(&format!("-\\x{{{:X}}}", u32::from(high)));
        }
        Ok(())
    }

    fn member(&mut self, class: &str) -> Result<char, String> {
        let rest = self.rest();
        match rest.chars().next() {
            None => Err(wrong("missing closing ]", class)),
            Some('\\') => {
                let (escaped, length) = self.one()?;
                self.skip(length);
                Ok(escaped.chars().next_back().unwrap_or('\\'))
            }
            Some(c) => {
                self.skip(c.len_utf8());
                Ok(c)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_patterns_are_refused_in_gos_words() {
        for (pattern, expected) in [
            ("^[a-z]+$", None),
            ("(?i)a(?:b|c)*?\\d{2,3}\\pL[[:alpha:]\\]-]", None),
            ("a{,2}{x}", None),
            ("[", Some("missing closing ]: `[`")),
            ("a[b", Some("missing closing ]: `[b`")),
            ("(a", Some("missing closing ): `(a`")),
            ("a)", Some("unexpected ): `a)`")),
            ("*a", Some("missing argument to repetition operator: `*`")),
            ("a**", Some("invalid nested repetition operator: `**`")),
            ("a{2}{3}", Some("invalid nested repetition operator: `{2}{3}`")),
            ("a{1001}", Some("invalid repeat count: `{1001}`")),
            ("a{3,2}", Some("invalid repeat count: `{3,2}`")),
            ("(?=a)", Some("invalid or unsupported Perl syntax: `(?=`")),
            ("(?<=a)", Some("invalid named capture: `(?<=a)`")),
            ("(?i", Some("invalid or unsupported Perl syntax: `(?i`")),
            ("[a-\\d]", Some("invalid escape sequence: `\\d`")),
            ("a+?+", Some("invalid nested repetition operator: `+?+`")),
            ("(?P<n", Some("invalid named capture: `(?P<n`")),
            ("[z-a]", Some("invalid character class range: `z-a`")),
            ("\\8", Some("invalid escape sequence: `\\8`")),
            ("a\\", Some("trailing backslash at end of expression: ``")),
            ("\\p{Nope}", Some("invalid character class range: `\\p{Nope}`")),
        ] {
            let expected = expected.map(|expected| format!("error parsing regexp: {expected}"));
            assert_eq!(complaint(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, matches) in [
            ("^\\d+$", "12", true),
            ("^\\d+$", "١٢", false),
            ("^\\w$", "é", false),
            ("^.$", "é", true),
            ("^[^a]$", "é", true),
            ("^[\\]a-c.]+$", "b.]", true),
            ("(?P<x>a)(?P<y>b)", "ab", true),
            ("\\bfoo\\b", "a foo b", true),
            ("^\\Qa.b\\E$", "a.b", true),
            ("^[[:upper:]\\x41-\\x42]$", "B", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern} {text}");
        }
    }
}
