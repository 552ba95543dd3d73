//! Field selectors: `a=b,c!=d` (apimachinery `pkg/fields`).

/// Terms that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The terms, in the order written.
    pub terms: Vec<Term>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The dotted path of the field.
    pub path: String,
    /// The value compared with.
    pub value: String,
    /// Whether the field must equal the value, or must not.
    pub equals: bool,
}

impl Selector {
    /// Parses the text of a query parameter.
    ///
    /// # Errors
    /// Upstream's sentence about the part that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let (path, value, equals) =
                split_term(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            if path.is_empty() && value.is_empty() {
                // Upstream lets a term that says nothing select everything.
                continue;
            }
            terms.push(Term {
                path: path.to_owned(),
                value,
                equals,
            });
        }
        Ok(Selector { terms })
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether the fields match; a field that is not there compares as the empty text.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms
            .iter()
            .all(|t| (field(&t.path).unwrap_or_default() == t.value) == t.equals)
    }

    /// The value that `path` must equal, when a term says so.
    pub fn required(&self, path: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|t| t.equals && t.path == path)
            .map(|t| t.value.as_str())
    }
}

/// Splits at commas that are not escaped by a backslash.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Splits at the first operator: `!=`, `==` or `=`.
fn split_term(term: &str) -> Option<(&str, &str, bool)> {
    for (i, _) in term.char_indices() {
        let rest = &term[i..];
        for (operator, equals) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..i], value, equals));
            }
        }
    }
    None
}

/// Undoes the escapes `\\`, `\,` and `\=`.
fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            // Upstream prints the number of the character.
            ',' | '=' => {
                let number = u32::from(c);
                return Err(format!(
                    "invalid field selector: unescaped character in value: {number}"
                ));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_parse_and_match() {
        let fields = |path: &str| match path {
            "metadata.name" => Some("a"),
            "x" => Some("b,c"),
            _ => None,
        };
        for (text, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,", true),
            ("metadata.name!=a", false),
            (r"metadata.name=a,x=b\,c", true),
            ("y=", true),
            ("y!=", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(fields), expected, "{text}");
        }
        assert_eq!(
            Selector::parse("nope").unwrap_err(),
            "invalid selector: 'nope'; can't understand 'nope'"
        );
        assert!(Selector::parse(r"a=\x").is_err());
        assert!(Selector::parse("a=b=c").is_err());
        assert_eq!(Selector::parse("a=b").unwrap().required("a"), Some("b"));
    }
}
