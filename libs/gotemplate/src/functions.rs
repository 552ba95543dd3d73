//! The functions that every template has (text/template/funcs.go).

use crate::format;
use crate::value::{Basic, Value};

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal $most:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function {
            $($variant,)*
        }

        impl Function {
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How many arguments it takes, at least and at most.
            pub(crate) fn arity(self) -> (usize, usize) {
                match self {
                    $(Self::$variant => ($least, $most),)*
                }
            }
        }
    };
}

const ANY: usize = usize::MAX;

functions! {
    And "and" 1 ANY;
    Call "call" 1 ANY;
    Eq "eq" 1 ANY;
    Ge "ge" 2 2;
    Gt "gt" 2 2;
    Html "html" 0 ANY;
    Index "index" 1 ANY;
    Js "js" 0 ANY;
    Le "le" 2 2;
    Len "len" 1 1;
    Lt "lt" 2 2;
    Ne "ne" 2 2;
    Not "not" 1 1;
    Or "or" 1 ANY;
    Print "print" 0 ANY;
    Printf "printf" 1 ANY;
    Println "println" 0 ANY;
    Slice "slice" 1 ANY;
    UrlQuery "urlquery" 0 ANY;
}

/// Calls a function with as many arguments as it takes. `and` and `or` are control structures rather than functions.
pub(crate) fn call(function: Function, arguments: &[Value]) -> Result<Value, String> {
    let (first, rest) = arguments.split_first().unwrap_or((&Value::Missing, &[]));
    let second = rest.first().unwrap_or(&Value::Missing);
    Ok(match function {
        Function::And | Function::Or => first.clone(),
        Function::Call => return Err(format!("non-function of type {}", first.type_name())),
        Function::Eq => Value::Bool(equal(first, rest)?),
        Function::Ne => Value::Bool(!equal(first, rest)?),
        Function::Lt => Value::Bool(less(first, second)?),
        Function::Le => Value::Bool(less_or_equal(first, second)?),
        Function::Gt => Value::Bool(!less_or_equal(first, second)?),
        Function::Ge => Value::Bool(!less(first, second)?),
        Function::Html => Value::text(&html(&shown(arguments))),
        Function::Js => Value::text(&js(&shown(arguments))),
        Function::UrlQuery => Value::text(&url_query(&shown(arguments))),
        Function::Index => index(first, rest)?,
        Function::Slice => slice(first, rest)?,
        Function::Len => Value::Int(length(first)?),
        Function::Not => Value::Bool(!first.is_true()),
        Function::Print => Value::text(&format::print(arguments)),
        Function::Println => Value::text(&format::println(arguments)),
        Function::Printf => match first {
            Value::Text(pattern) => Value::text(&format::printf(pattern, rest)),
            other => {
                return Err(format!(
                    "wrong type for value; expected string; got {}",
                    other.type_name()
                ));
            }
        },
    })
}

/// The arguments of what escapes: nothing is shown as an action shows it.
fn shown(arguments: &[Value]) -> String {
    let shown: Vec<Value> = arguments
        .iter()
        .map(|value| match value.is_nothing() {
            true => Value::text(&format::printed(value)),
            false => value.clone(),
        })
        .collect();
    format::print(&shown)
}

fn incompatible(left: &Value, right: &Value) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        left.type_name(),
        right.type_name()
    )
}

/// Whether the first one is equal to any of the others.
fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        let is_equal = match (first, other) {
            (left, right) if left.is_nothing() || right.is_nothing() => left.is_nothing() && right.is_nothing(),
            (left, right) if left.basic() != right.basic() => return Err(incompatible(left, right)),
            (Value::List(_) | Value::Map(_), right) => {
                return Err(format!("non-comparable type {}", right.type_name()));
            }
            (left, right) => left == right,
        };
        if is_equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left < right),
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Text(left), Value::Text(right)) => Ok(left < right),
        (left, right)
            if left.basic() != right.basic() && left.basic() != Basic::None && right.basic() != Basic::None =>
        {
            Err(incompatible(left, right))
        }
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn less_or_equal(left: &Value, right: &Value) -> Result<bool, String> {
    Ok(less(left, right)? || equal(left, std::slice::from_ref(right))?)
}

fn length(value: &Value) -> Result<i64, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(fields) => fields.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    i64::try_from(length).map_err(|_| "it is too long".to_owned())
}

/// A place in a list or text of some length.
fn place(value: &Value, length: usize) -> Result<usize, String> {
    match value {
        Value::Int(index) => usize::try_from(*index)
            .ok()
            .filter(|index| *index <= length)
            .ok_or_else(|| format!("index out of range: {index}")),
        Value::Missing | Value::Null => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(start: &Value, path: &[Value]) -> Result<Value, String> {
    if start.is_nothing() {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = start.clone();
    for step in path {
        let out_of_range = |at: usize| format!("index out of range: {at}");
        item = match &item {
            Value::List(items) => {
                let at = place(step, items.len())?;
                items.get(at).cloned().ok_or_else(|| out_of_range(at))?
            }
            Value::Text(text) => {
                let at = place(step, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(|| out_of_range(at))?;
                Value::Int((*byte).into())
            }
            Value::Map(fields) => match step {
                Value::Text(name) => fields.get(&**name).cloned().unwrap_or(Value::Null),
                Value::Missing | Value::Null => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            Value::Missing | Value::Null => return Err("index of nil pointer".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice(item: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match item {
        Value::Text(_) if bounds.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Missing | Value::Null => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let mut places = [0, length, length];
    for (at, bound) in places.iter_mut().zip(bounds) {
        *at = place(bound, length)?;
    }
    let [from, to, limit] = places;
    if from > to || to > limit {
        return Err(format!("invalid slice index: {from} > {to} or {to} > {limit}"));
    }
    match item {
        Value::Text(text) => match text.get(from..to) {
            Some(part) => Ok(Value::text(part)),
            None => Err("the slice cuts a character in two".to_owned()),
        },
        Value::List(items) => Ok(Value::List(items[from..to].into())),
        other => Ok(other.clone()),
    }
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || format::is_printable(c) => escaped.push(c),
            c => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    escaped
}

fn url_query(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
