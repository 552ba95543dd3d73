//! Functions on texts: CEL's own, cel-go's `ext.Strings` and Kubernetes' regular expressions.

use super::{Failure, Outcome, Value};
use crate::regex;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    let text = match args {
        [Value::String(text), ..] => &**text,
        _ => return joined(function, args),
    };
    let boolean = |truth| Some(Ok(Value::Bool(truth)));
    let string = |text: &str| Some(Ok(Value::text(text)));
    match (function, &args[1..]) {
        ("contains", [Value::String(part)]) => boolean(text.contains(&**part)),
        ("startsWith", [Value::String(part)]) => boolean(text.starts_with(&**part)),
        ("endsWith", [Value::String(part)]) => boolean(text.ends_with(&**part)),
        ("matches", [Value::String(pattern)]) => Some(
            regex::compile(pattern)
                .map(|regex| Value::Bool(regex.is_match(text)))
                .map_err(Failure::new),
        ),
        ("find", [Value::String(pattern)]) => Some(illegal(pattern).map(|regex| {
            let found = regex.find(text).map_or("", |found| found.as_str());
            Value::text(found)
        })),
        ("findAll", [Value::String(pattern), limit @ ..]) => {
            let limit = match limit {
                [] => usize::MAX,
                [Value::Int(limit)] => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => return None,
            };
            Some(illegal(pattern).map(|regex| {
                let found = regex.find_iter(text).take(limit);
                Value::list(found.map(|found| Value::text(found.as_str())).collect())
            }))
        }
        ("lowerAscii", []) => string(&text.to_ascii_lowercase()),
        ("upperAscii", []) => string(&text.to_ascii_uppercase()),
        ("trim", []) => string(text.trim_matches(is_space)),
        ("strings.quote", []) => string(&quote(text)),
        ("jsonpatch.escapeKey", []) => string(&text.replace('~', "~0").replace('/', "~1")),
        ("charAt", [Value::Int(index)]) => Some(char_at(text, *index)),
        ("indexOf" | "lastIndexOf", [Value::String(part), from @ ..]) => {
            let from = match from {
                [] => None,
                [Value::Int(from)] => Some(*from),
                _ => return None,
            };
            Some(index_of(text, part, from, function == "lastIndexOf"))
        }
        ("substring", [Value::Int(start)]) => Some(substring(text, *start, None)),
        ("substring", [Value::Int(start), Value::Int(end)]) => Some(substring(text, *start, Some(*end))),
        ("replace", [Value::String(old), Value::String(new)]) => string(&text.replace(&**old, new)),
        ("replace", [Value::String(old), Value::String(new), Value::Int(limit)]) => match usize::try_from(*limit) {
            Ok(limit) => string(&text.replacen(&**old, new, limit)),
            Err(_) => string(&text.replace(&**old, new)),
        },
        ("split", [Value::String(separator)]) => Some(Ok(split(text, separator, -1))),
        ("split", [Value::String(separator), Value::Int(limit)]) => Some(Ok(split(text, separator, *limit))),
        _ => None,
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{180e}' || ('\u{200b}'..='\u{200d}').contains(&c) || c == '\u{2060}' || c == '\u{feff}'
}

fn illegal(pattern: &str) -> Result<::regex::Regex, Failure> {
    regex::compile(pattern).map_err(|error| Failure::new(format!("Illegal regex: {error}")))
}

fn joined(function: &str, args: &[Value]) -> Option<Outcome> {
    let (values, separator) = match args {
        [Value::List(values)] => (values, ""),
        [Value::List(values), Value::String(separator)] => (values, &**separator),
        _ => return None,
    };
    if function != "join" {
        return None;
    }
    let texts = values.iter().map(|value| match value {
        Value::String(text) => Ok(&**text),
        _ => Err(Failure::no_such_overload()),
    });
    Some(
        texts
            .collect::<Result<Vec<&str>, Failure>>()
            .map(|texts| Value::text(&texts.join(separator))),
    )
}

fn out_of_range(index: i64) -> Failure {
    Failure::new(format!("index out of range: {index}"))
}

fn char_at(text: &str, index: i64) -> Outcome {
    let chars: Vec<char> = text.chars().collect();
    match usize::try_from(index) {
        Ok(index) if index == chars.len() => Ok(Value::text("")),
        Ok(place) => match chars.get(place) {
            Some(c) => Ok(Value::String(c.to_string().into())),
            None => Err(out_of_range(index)),
        },
        Err(_) => Err(out_of_range(index)),
    }
}

fn substring(text: &str, start: i64, end: Option<i64>) -> Outcome {
    let chars: Vec<char> = text.chars().collect();
    let last = chars.len();
    let place = |index: i64| {
        usize::try_from(index)
            .ok()
            .filter(|index| *index <= last)
            .ok_or_else(|| out_of_range(index))
    };
    let end_at = end.map_or(Ok(last), place);
    if let Some(end) = end
        && start > end
    {
        return Err(Failure::new(format!(
            "invalid substring range. start: {start}, end: {end}"
        )));
    }
    let start = place(start)?;
    Ok(Value::String(chars[start..end_at?].iter().collect::<String>().into()))
}

fn index_of(text: &str, part: &str, from: Option<i64>, last: bool) -> Outcome {
    let text: Vec<char> = text.chars().collect();
    let part: Vec<char> = part.chars().collect();
    match from {
        Some(from) if from < 0 => return Err(out_of_range(from)),
        Some(from) if from >= text.len() as i64 && !part.is_empty() => return Ok(Value::Int(-1)),
        _ => {}
    }
    let found = |place: &usize| text[*place..].starts_with(&part);
    let ends = (text.len() + 1).saturating_sub(part.len());
    let from = from.and_then(|from| usize::try_from(from).ok());
    let place = if part.is_empty() {
        Some(from.unwrap_or(if last { text.len() } else { 0 }))
    } else if last {
        let start = from.map_or(ends, |from| (from + 1).min(ends));
        (0..start).rev().find(found)
    } else {
        (from.unwrap_or(0)..ends).find(found)
    };
    Ok(Value::Int(place.map_or(-1, |place| place as i64)))
}

/// Go's `strings.SplitN`; a negative limit is none.
fn split(text: &str, separator: &str, limit: i64) -> Value {
    let all = usize::MAX;
    let limit = usize::try_from(limit).unwrap_or(all);
    if limit == 0 {
        return Value::list(Vec::new());
    }
    let parts: Vec<Value> = if separator.is_empty() {
        let mut chars = text.chars();
        let mut parts: Vec<Value> = Vec::new();
        while parts.len() + 1 < limit {
            let Some(c) = chars.next() else { break };
            parts.push(Value::String(c.to_string().into()));
        }
        if !chars.as_str().is_empty() {
            parts.push(Value::text(chars.as_str()));
        }
        parts
    } else {
        text.splitn(limit, separator).map(Value::text).collect()
    };
    Value::list(parts)
}

/// A text in quotes, with escapes for what cannot be seen.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
