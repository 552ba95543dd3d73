//! Paths to fields of a schema (apiextensions-apiserver `ValidFieldPath`).

use machinery::field::Path;
use serde_json::Value;

const UNKNOWN: &str = "does not refer to a valid field";
const CUT_OFF: &str = "unexpected end of JSON path";

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The path in the form of errors.
    pub path: String,
    /// The names of the fields, from the top.
    pub parts: Vec<String>,
    /// The schema of the last field.
    pub schema: &'a Value,
}

/// Follows a path through a schema, as it is written; `brackets` may name fields too.
///
/// # Errors
/// Upstream's words for what is wrong with the path.
pub fn follow<'a>(path: &str, mut schema: &'a Value, brackets: bool) -> Result<Found<'a>, String> {
    let mut parts = Vec::new();
    let mut shown = Path::root();
    let mut tokens = tokens(path).into_iter();
    while let Some(token) = tokens.next() {
        let quoted = token == "[";
        let part = match token {
            "." => tokens.next().ok_or(CUT_OFF)?.to_owned(),
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(CUT_OFF)?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                unescaped(inner).map_err(|why| format!("invalid string literal: {why}"))?
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        let properties = schema
            .get("properties")
            .filter(|p| p.as_object().is_some_and(|p| !p.is_empty()));
        (schema, shown) = match (properties, schema.get("additionalProperties")) {
            (Some(properties), _) => (properties.get(&part).ok_or(UNKNOWN)?, shown.child(&part)),
            (None, Some(schema)) => (schema, shown.key(&part)),
            (None, None) => return Err(UNKNOWN.to_owned()),
        };
        if quoted {
            match tokens.next().ok_or(CUT_OFF)? {
                "]" => {}
                other => return Err(format!("expected ] but got {other}")),
            }
        }
        parts.push(part);
    }
    let path = shown.as_str().to_owned();
    Ok(Found { path, parts, schema })
}

/// The text that a literal in quotation marks stands for.
fn unescaped(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(c @ ('\'' | '\\')) => c,
            Some(c) => return Err(format!("invalid escape char \\{c}")),
            None => '\\',
        });
    }
    Ok(out)
}

/// Splits a path into dots, brackets and what is between them.
fn tokens(path: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = if rest.starts_with('\'') {
            let bytes = rest.as_bytes();
            let closing = (1..bytes.len()).find(|&i| bytes[i] == b'\'' && bytes[i - 1] != b'\\');
            closing.map_or(rest.len(), |i| i + 1)
        } else {
            rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1)
        };
        let (token, remaining) = rest.split_at(end);
        tokens.push(token);
        rest = remaining;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_fields() {
        let schema = json!({"properties": {"spec": {"properties": {"a.b": {"type": "string"},
            "map": {"additionalProperties": {"properties": {"x": {"type": "integer"}}}}}}}});
        for (path, expected) in [
            (".spec", Ok("spec")),
            (".spec['a.b']", Ok("spec.a.b")),
            (".spec.map['it\\'s'].x", Ok("spec.map[it's].x")),
            ("spec", Err("expected [ or . but got: spec")),
            (".nope", Err(UNKNOWN)),
            (".spec['a.b'].c", Err(UNKNOWN)),
            (".", Err(CUT_OFF)),
            (".spec[a]", Err("expected single quoted string but got a")),
            (".spec['a.b'", Err(CUT_OFF)),
            (".spec['a\\q']", Err("invalid string literal: invalid escape char \\q")),
        ] {
            let found = follow(path, &schema, true).map(|found| found.path);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
        }
        assert!(follow(".spec['a.b']", &schema, false).is_err());
    }
}
