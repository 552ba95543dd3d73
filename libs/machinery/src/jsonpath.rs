//! JSONPath as client-go understands it (`util/jsonpath`), as far as one expression goes: fields, indices, slices, unions,
//! wildcards, filters and recursive descent.

use crate::patch::go_value;
use serde_json::Value;
use std::cmp::Ordering;

/// An expression such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// The root of the document.
    Root,
    /// A field of an object.
    Field(String),
    /// All items of a list or all fields of an object.
    Wildcard,
    /// Items from, to and how many steps apart.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    /// The items for which something holds.
    Filter(Box<Filter>),
    /// What several paths lead to.
    Union(Vec<JsonPath>),
    /// Everything below.
    Descend,
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// The operator and what is on its right; none for mere existence.
    right: Option<(Operator, Operand)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

/// An expression cannot be read, or does not fit the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

fn fail<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error(why.into()))
}

impl JsonPath {
    /// Reads an expression, without the braces of a template.
    ///
    /// # Errors
    /// What is malformed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { rest: text.trim() };
        let steps = parser.steps()?;
        match parser.rest {
            "" => Ok(JsonPath(steps)),
            rest => fail(format!("unexpected {rest}")),
        }
    }

    /// What the expression leads to; keys that are missing lead to nothing.
    ///
    /// # Errors
    /// When a list is expected where there is none, or an index lies outside of it.
    pub fn find<'v>(&self, object: &'v Value) -> Result<Vec<&'v Value>, Error> {
        self.follow(object, object)
    }

    fn follow<'v>(&self, root: &'v Value, start: &'v Value) -> Result<Vec<&'v Value>, Error> {
        let mut found = vec![start];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                step.take(root, value, &mut next)?;
            }
            found = next;
        }
        Ok(found)
    }
}

/// What a template prints of a value: texts as they are, lists and objects as JSON.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        scalar => go_value(scalar),
    }
}

impl Step {
    fn take<'v>(&self, root: &'v Value, value: &'v Value, out: &mut Vec<&'v Value>) -> Result<(), Error> {
        match self {
            Step::Root => out.push(root),
            Step::Field(name) => out.extend(value.get(name)),
            Step::Wildcard => match value {
                Value::Array(items) => out.extend(items),
                Value::Object(fields) => out.extend(fields.values()),
                _ => {}
            },
            Step::Slice(from, to, by) => out.extend(slice(value, *from, *to, *by)?),
            Step::Filter(filter) => {
                let Value::Array(items) = value else {
                    return fail("only lists can be filtered");
                };
                for item in items {
                    if filter.holds(root, item)? {
                        out.push(item);
                    }
                }
            }
            Step::Union(paths) => {
                for path in paths {
                    out.extend(path.follow(root, value)?);
                }
            }
            Step::Descend => descend(value, out),
        }
        Ok(())
    }
}

fn descend<'v>(value: &'v Value, out: &mut Vec<&'v Value>) {
    out.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| descend(field, out)),
        _ => {}
    }
}

/// `evalArray`: negative places count from the end.
fn slice(value: &Value, from: Option<i64>, to: Option<i64>, by: Option<i64>) -> Result<Vec<&Value>, Error> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        _ => return fail("only lists have items"),
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { at + length } else { at };
    let by = by.unwrap_or(1);
    if by <= 0 {
        return fail("steps must be positive");
    }
    let (start, end) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
    // A single item has to be there; a slice is cut to what there is.
    let single = from.is_some() && to.is_some_and(|to| from == Some(to.wrapping_sub(1)) || to == 0 && from == Some(-1));
    if single && !(0..length).contains(&start) {
        return fail(format!("array index out of bounds: index {start}, length {length}"));
    }
    let end = if single { start + 1 } else { end.clamp(0, length) };
    let places = (start.max(0)..end).step_by(usize::try_from(by).unwrap_or(1));
    Ok(places.filter_map(|at| items.get(usize::try_from(at).ok()?)).collect())
}

impl Filter {
    fn holds(&self, root: &Value, item: &Value) -> Result<bool, Error> {
        let Some(left) = self.left.value(root, item)? else {
            return Ok(false);
        };
        let Some((operator, right)) = &self.right else {
            return Ok(true);
        };
        let Some(right) = right.value(root, item)? else {
            return Ok(false);
        };
        let ordering = compare(left, right)?;
        Ok(match operator {
            Operator::Equal => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        })
    }
}

impl Operand {
    fn value<'v>(&'v self, root: &'v Value, item: &'v Value) -> Result<Option<&'v Value>, Error> {
        match self {
            Operand::Literal(value) => Ok(Some(value)),
            Operand::Path(path) => match path.follow(root, item)?.as_slice() {
                [] => Ok(None),
                [one] => Ok(Some(one)),
                _ => fail("can only compare one element at a time"),
            },
        }
    }
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, Error> {
    let ordering = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => {
            match (left.as_i64(), right.as_i64()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left
                    .as_f64()
                    .zip(right.as_f64())
                    .and_then(|(left, right)| left.partial_cmp(&right)),
            }
        }
        _ => None,
    };
    ordering.ok_or_else(|| Error("incompatible types for comparison".to_owned()))
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        if self.eat("$") {
            steps.push(Step::Root);
        } else {
            self.eat("@");
        }
        loop {
            if self.eat("..") {
                steps.push(Step::Descend);
                if !self.rest.starts_with(['[', '.']) {
                    steps.push(self.field()?);
                }
            } else if self.rest.starts_with('[') {
                steps.push(self.brackets()?);
            } else if self.eat(".") {
                if !self.rest.is_empty() && !self.rest.starts_with('[') {
                    steps.push(self.field()?);
                }
            } else {
                return Ok(steps);
            }
        }
    }

    /// A name up to the next character that means something.
    fn field(&mut self) -> Result<Step, Error> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | ' ' | '(' | ')' | '=' | '!' | '<' | '>' | ',' | '|' | '{' | '}' => {
                    end = at;
                    break;
                }
                other => name.push(other),
            }
        }
        self.rest = &self.rest[end..];
        match name.as_str() {
            "" => fail("a name is missing"),
            "*" => Ok(Step::Wildcard),
            _ => Ok(Step::Field(name)),
        }
    }

    fn brackets(&mut self) -> Result<Step, Error> {
        let (inner, rest) = enclosed(self.rest)?;
        self.rest = rest;
        let inner = inner.trim();
        if let Some(condition) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
            return filter(condition).map(|filter| Step::Filter(Box::new(filter)));
        }
        let parts = split(inner, ',');
        if parts.len() > 1 {
            let path = |part: &str| element(part.trim()).map(|step| JsonPath(vec![step]));
            return parts.into_iter().map(path).collect::<Result<_, _>>().map(Step::Union);
        }
        element(inner)
    }
}

/// One thing within brackets.
fn element(text: &str) -> Result<Step, Error> {
    if let Some(name) = quoted(text) {
        return Ok(Step::Field(name));
    }
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        digits => digits
            .parse()
            .map(Some)
            .map_err(|_| Error(format!("invalid array index {text}"))),
    };
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [at] => match number(at)? {
            Some(at) => Ok(Step::Slice(Some(at), Some(at.saturating_add(1)), None)),
            None => fail("an index is missing"),
        },
        [from, to] => Ok(Step::Slice(number(from)?, number(to)?, None)),
        [from, to, by] => Ok(Step::Slice(number(from)?, number(to)?, number(by)?)),
        _ => fail(format!("invalid array index {text}")),
    }
}

fn filter(text: &str) -> Result<Filter, Error> {
    const OPERATORS: [(&str, Operator); 6] = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    for at in unquoted(text) {
        for (token, operator) in OPERATORS {
            if let Some(right) = text[at..].strip_prefix(token) {
                let (left, right) = (operand(text[..at].trim())?, operand(right.trim())?);
                return Ok(Filter {
                    left,
                    right: Some((operator, right)),
                });
            }
        }
    }
    let left = operand(text.trim())?;
    Ok(Filter { left, right: None })
}

fn operand(text: &str) -> Result<Operand, Error> {
    if let Some(text) = quoted(text) {
        return Ok(Operand::Literal(text.into()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(literal) if !text.is_empty() => Ok(Operand::Literal(literal)),
        _ => JsonPath::parse(text).map(Operand::Path),
    }
}

/// What stands between two quotes of a kind.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    Some(inner.replace("\\'", "'").replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// The places of a text that are not within quotes.
fn unquoted(text: &str) -> Vec<usize> {
    let (mut within, mut escaped) = (None, false);
    let mut places = Vec::new();
    for (at, character) in text.char_indices() {
        match (within, character) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (None, '\'' | '"') => within = Some(character),
            (Some(quote), character) if quote == character => within = None,
            (None, _) => places.push(at),
            (Some(_), _) => {}
        }
    }
    places
}

/// What stands between the bracket with which a text begins and the one that closes it, and the rest.
fn enclosed(text: &str) -> Result<(&str, &str), Error> {
    let mut depth = 0_usize;
    for at in unquoted(text) {
        match text.as_bytes().get(at) {
            Some(b'[') => depth += 1,
            Some(b']') => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return Ok((&text[1..at], &text[at + 1..]));
        }
    }
    fail("unterminated array")
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in unquoted(text) {
        if text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(path: &str) -> Result<Vec<Value>, Error> {
        let object = json!({
            "metadata": {"name": "n", "annotations": {"a.b/c": "x"}},
            "spec": {"replicas": 3, "list": [1, 2, 3, 4], "none": null},
            "status": {"conditions": [
                {"type": "Ready", "status": "True", "age": 5},
                {"type": "Other", "status": "False", "age": 7},
            ]},
        });
        let found = JsonPath::parse(path)?.find(&object)?;
        Ok(found.into_iter().cloned().collect())
    }

    #[test]
    fn paths_lead_where_they_should() {
        for (path, expected) in [
            (".spec.replicas", vec![json!(3)]),
            ("$.spec.replicas", vec![json!(3)]),
            (".spec.missing.more", vec![]),
            (".spec['replicas']", vec![json!(3)]),
            (r".metadata.annotations.a\.b/c", vec![json!("x")]),
            (".metadata.annotations['a.b/c']", vec![json!("x")]),
            (r#".status.conditions[?(@.type=="Ready")].status"#, vec![json!("True")]),
            (".status.conditions[?(@.type == 'Ready')].status", vec![json!("True")]),
            (".status.conditions[?(@.age>5)].type", vec![json!("Other")]),
            (".status.conditions[?(@.missing)].type", vec![]),
            (".status.conditions[*].age", vec![json!(5), json!(7)]),
            (".spec.list[0]", vec![json!(1)]),
            (".spec.list[-1]", vec![json!(4)]),
            (".spec.list[1:3]", vec![json!(2), json!(3)]),
            (".spec.list[::2]", vec![json!(1), json!(3)]),
            (".spec.list[0,2]", vec![json!(1), json!(3)]),
            (".spec.none", vec![json!(null)]),
            ("..age", vec![json!(5), json!(7)]),
        ] {
            assert_eq!(found(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for path in [
            ".spec.list[9]",
            ".spec.replicas[0]",
            ".status.conditions[?(@.age==\"x\")]",
            ".spec[",
            ".spec[a]",
        ] {
            assert!(found(path).is_err(), "{path}");
        }
    }

    #[test]
    fn values_are_printed_as_templates_do() {
        for (value, text) in [
            (json!("a"), "a"),
            (json!(5), "5"),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!(["a", 1]), r#"["a",1]"#),
            (json!({"a": "b"}), r#"{"a":"b"}"#),
        ] {
            assert_eq!(print(&value), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(path in r"[\$@.\[\]\?\(\)'\x22=<>a-c0-9:,*\\ é-]{0,20}") {
            let _ = found(&path);
        }
    }
}
