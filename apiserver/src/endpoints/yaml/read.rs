//! YAML bodies become JSON.

use bytes::Bytes;
use machinery::schema::yaml::check_nesting;
use serde_json::{Map, Value};

/// Nesting beyond this is refused; it bounds the stack.
const MAX_DEPTH: usize = 200;

/// JSON for a YAML text, with the complaints of strict decoding: repeated keys.
///
/// # Errors
/// What is wrong with the text, in the style of upstream's parser.
pub fn to_json(body: &[u8]) -> Result<(Bytes, Vec<String>), String> {
    check_nesting(body).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(body).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    let documents = text.split("\n---").next().unwrap_or_default();
    let value: serde_yaml::Value = match serde_yaml::from_str(documents) {
        Ok(value) => value,
        Err(error) => return repeated_or_malformed(documents, &error),
    };
    let value = convert(value, 0)?;
    let json = serde_json::to_vec(&value).map_err(|error| format!("yaml: {error}"))?;
    Ok((json.into(), Vec::new()))
}

/// A repeated key is an error of the parser but only a finding of upstream's.
fn repeated_or_malformed(text: &str, error: &serde_yaml::Error) -> Result<(Bytes, Vec<String>), String> {
    let message = error.to_string();
    let Some(key) = message.split("duplicate entry with key ").nth(1) else {
        return Err(complaint(&message));
    };
    let key = key.split(" at line").next().unwrap_or(key).trim_matches('"').to_owned();
    let (kept, line) = without_first(text, &key).ok_or_else(|| complaint(&message))?;
    let (json, mut findings) = to_json(kept.as_bytes())?;
    findings.insert(
        0,
        format!(
            "yaml: unmarshal errors:\n  line {line}: key {} already set in map",
            machinery::field::go_quote(&key)
        ),
    );
    Ok((json, findings))
}

/// The text without the first line that sets `key` and is set again at the same depth, and the number of the line that
/// sets it again, counted as upstream does.
fn without_first(text: &str, key: &str) -> Option<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let depth = |line: &str| {
        let trimmed = line.trim_start();
        (trimmed.split(':').next()?.trim_matches(['"', '\'']) == key).then(|| line.len() - trimmed.len())
    };
    let (first, second) = lines.iter().enumerate().find_map(|(i, line)| {
        let at = depth(line)?;
        let again = lines
            .iter()
            .enumerate()
            .skip(i + 1)
            .take_while(|(_, l)| l.len() - l.trim_start().len() >= at);
        again
            .into_iter()
            .find(|(_, l)| depth(l) == Some(at))
            .map(|(j, _)| (i, j))
    })?;
    let kept: Vec<&str> = lines
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != first)
        .map(|(_, l)| *l)
        .collect();
    Some((kept.join("\n"), second + 1))
}

/// Upstream's words for the most common mistakes; anything else in the parser's own words.
fn complaint(message: &str) -> String {
    let (what, place) = message.split_once(" at line ").map_or((message, None), |(what, rest)| {
        (
            what,
            rest.split_whitespace()
                .next()
                .and_then(|line| line.parse::<usize>().ok()),
        )
    });
    let what = what.strip_prefix("while parsing a flow node, ").unwrap_or(what);
    // Upstream counts lines from 0 in errors of its parser and from 1 in errors of its scanner, and does not name line 0.
    let line = place.map_or(0, |line| {
        if what.starts_with("did not find") {
            line - 1
        } else {
            line
        }
    });
    if line == 0 || place == Some(1) {
        format!("yaml: {what}")
    } else {
        format!("yaml: line {line}: {what}")
    }
}

fn convert(value: serde_yaml::Value, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err("yaml: exceeded max depth".to_owned());
    }
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(b) => Value::Bool(b),
        serde_yaml::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => n.into(),
            (_, Some(n), _) => n.into(),
            (_, _, n) => n.into(),
        },
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(
            items
                .into_iter()
                .map(|item| convert(item, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        serde_yaml::Value::Mapping(mapping) => {
            let mut map = Map::new();
            for (key, value) in mapping {
                map.insert(key_text(key)?, convert(value, depth + 1)?);
            }
            Value::Object(map)
        }
        serde_yaml::Value::Tagged(tagged) => convert(tagged.value, depth + 1)?,
    })
}

/// Keys that are no strings become their text, as JSON has only strings.
fn key_text(key: serde_yaml::Value) -> Result<String, String> {
    match key {
        serde_yaml::Value::String(text) => Ok(text),
        serde_yaml::Value::Bool(b) => Ok(b.to_string()),
        serde_yaml::Value::Number(n) => Ok(n.to_string()),
        serde_yaml::Value::Null => Ok("null".to_owned()),
        other => Err(format!("yaml: unsupported map key of type {}", kind_name(&other))),
    }
}

fn kind_name(value: &serde_yaml::Value) -> &'static str {
    match value {
        serde_yaml::Value::Sequence(_) => "sequence",
        serde_yaml::Value::Mapping(_) => "map",
        _ => "tagged value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json() {
        let (json, findings) = to_json(b"a: 1\nb: [x, true]\n1: {c: null}\n").unwrap();
        assert_eq!(&json[..], br#"{"1":{"c":null},"a":1,"b":["x",true]}"#);
        assert!(findings.is_empty());
    }

    #[test]
    fn repeated_keys_are_findings() {
        let (json, findings) = to_json(b"metadata:\n  name: x\ndata:\n  a: b\n  a: c\n").unwrap();
        assert_eq!(&json[..], br#"{"data":{"a":"c"},"metadata":{"name":"x"}}"#);
        assert_eq!(
            findings,
            ["yaml: unmarshal errors:\n  line 5: key \"a\" already set in map"]
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            to_json(b"a: b: c: [").unwrap_err(),
            "yaml: mapping values are not allowed in this context"
        );
        assert_eq!(
            to_json(b"a: [").unwrap_err(),
            "yaml: line 1: did not find expected node content"
        );
    }
}
