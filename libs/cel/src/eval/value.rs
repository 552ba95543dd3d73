//! Values of expressions.

use super::hosts::{Authorizer, Decision};
use super::identity::List;
use crate::text::to_base64;
use crate::time;
use machinery::quantity::Quantity;
use serde_json::{Number, Value as Json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// A text.
    String(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list.
    List(List),
    /// A map.
    Map(Arc<BTreeMap<Key, Value>>),
    /// An object that the expression made: the name of its type and its fields.
    Object(Arc<(String, BTreeMap<String, Value>)>),
    /// A point in time, in nanoseconds since 1970.
    Timestamp(i128),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// A type, by its name.
    Type(Arc<str>),
    /// A value that may be absent.
    Optional(Option<Box<Value>>),
    /// An amount.
    Quantity(Quantity),
    /// An address.
    Ip(IpAddr),
    /// A block of addresses and the length of its prefix.
    Cidr(IpAddr, u8),
    /// A version.
    Semver(Arc<Semver>),
    /// The parts of a URL.
    Url(Arc<Url>),
    /// A format, by its name.
    Format(&'static str),
    /// Who may do what.
    Authorizer(Arc<Authorizer>),
    /// Whether somebody may do something.
    Decision(Arc<Decision>),
}

/// The key of a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A text.
    String(Arc<str>),
}

/// A version as semver.org describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Semver {
    /// Major, minor and patch.
    pub(super) numbers: [u64; 3],
    /// What comes after a hyphen.
    pub(super) pre: Vec<String>,
}

/// The parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    pub(super) text: String,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
}

impl Key {
    pub(super) fn value(&self) -> Value {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(value) => Value::String(value.clone()),
        }
    }

    /// The key that a value is.
    pub(super) fn of(value: &Value) -> Option<Key> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => Key::Uint(*value),
            Value::String(value) => Key::String(value.clone()),
            _ => return None,
        })
    }
}

/// The value of a map behind a key; numbers of different types are the same key if they are equal.
pub(super) fn entry<'m>(map: &'m BTreeMap<Key, Value>, key: &Value) -> Option<&'m Value> {
    if let Some(found) = Key::of(key).and_then(|key| map.get(&key)) {
        return Some(found);
    }
    let whole = match key {
        Value::Int(number) => i128::from(*number),
        Value::Uint(number) => i128::from(*number),
        Value::Double(number) if number.fract() == 0.0 => *number as i128,
        _ => return None,
    };
    let signed = i64::try_from(whole).ok().and_then(|number| map.get(&Key::Int(number)));
    signed.or_else(|| u64::try_from(whole).ok().and_then(|number| map.get(&Key::Uint(number))))
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Value {
        Value::String(text.into())
    }

    pub(super) fn list(values: Vec<Value>) -> Value {
        Value::List(values.into())
    }

    pub(super) fn optional(value: Option<Value>) -> Value {
        Value::Optional(value.map(Box::new))
    }

    /// A JSON value as it is, without a schema.
    #[must_use]
    pub fn from_json(json: &Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(number)) => Value::Uint(number),
                _ => Value::Double(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::text(text),
            Json::Array(items) => Value::list(items.iter().map(Value::from_json).collect()),
            Json::Object(fields) => {
                let entry =
                    |(name, value): (&String, &Json)| (Key::String(name.as_str().into()), Value::from_json(value));
                Value::Map(Arc::new(fields.iter().map(entry).collect()))
            }
        }
    }

    /// The JSON form, if the value has one.
    #[must_use]
    pub fn to_json(&self) -> Option<Json> {
        Some(match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(number) => Json::from(*number),
            Value::Uint(number) => Json::from(*number),
            Value::Double(number) => Json::Number(Number::from_f64(*number)?),
            Value::String(text) => Json::from(&**text),
            Value::Bytes(bytes) => Json::from(to_base64(bytes)),
            Value::List(values) => Json::Array(values.iter().map(Value::to_json).collect::<Option<_>>()?),
            Value::Map(entries) => {
                let entry = |(key, value): (&Key, &Value)| Some((key.text(), value.to_json()?));
                Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
            }
            Value::Object(object) => {
                let entry = |(name, value): (&String, &Value)| Some((name.clone(), value.to_json()?));
                Json::Object(object.1.iter().map(entry).collect::<Option<_>>()?)
            }
            Value::Timestamp(at) => Json::from(time::show_timestamp(*at)),
            Value::Duration(length) => Json::from(time::show_duration(*length)),
            Value::Optional(Some(value)) => value.to_json()?,
            Value::Optional(None) => Json::Null,
            _ => return None,
        })
    }

    /// The name of the type.
    pub(super) fn type_name(&self) -> &str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Object(object) => &object.0,
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Ip(_) => "net.IP",
            Value::Cidr(..) => "net.CIDR",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Url(_) => "kubernetes.URL",
            Value::Format(_) => "kubernetes.NamedFormat",
            Value::Authorizer(authorizer) => authorizer.type_name(),
            Value::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// Whether two values are equal; values of different types are not, but for numbers.
    pub(super) fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.equals(b),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, a)| entry(b, &key.value()).is_some_and(|b| a.equals(b)))
            }
            (Value::Object(a), Value::Object(b)) => {
                let same = |(name, a): (&String, &Value)| b.1.get(name).is_some_and(|b| a.equals(b));
                a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().all(same)
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (None, None) => true,
                _ => false,
            },
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, x), Value::Cidr(b, y)) => a == b && x == y,
            (Value::Semver(a), Value::Semver(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a.text == b.text,
            (Value::Format(a), Value::Format(b)) => a == b,
            (Value::Authorizer(a), Value::Authorizer(b)) => Arc::ptr_eq(a, b),
            (Value::Decision(a), Value::Decision(b)) => Arc::ptr_eq(a, b),
            _ => numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// Which of two values comes first, if values of their types have an order.
    pub(super) fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            _ => numbers(self, other),
        }
    }

    /// How many elements, characters or bytes the value has, as costs count them.
    pub(super) fn size(&self) -> u64 {
        let size = match self {
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(values) => values.len(),
            Value::Map(entries) => entries.len(),
            _ => 1,
        };
        size as u64
    }
}

impl Key {
    fn text(&self) -> String {
        match self {
            Key::Bool(value) => value.to_string(),
            Key::Int(value) => value.to_string(),
            Key::Uint(value) => value.to_string(),
            Key::String(value) => value.to_string(),
        }
    }
}

fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    fn whole(value: &Value) -> Option<i128> {
        match value {
            Value::Int(number) => Some((*number).into()),
            Value::Uint(number) => Some((*number).into()),
            _ => None,
        }
    }
    fn with_double(a: f64, b: &Value) -> Option<Ordering> {
        match b {
            Value::Double(b) => a.partial_cmp(b),
            // Numbers beyond 2^53 are compared as Go does: what lies out of range is larger or smaller.
            _ => a.partial_cmp(&(whole(b)? as f64)),
        }
    }
    match (a, b) {
        (Value::Double(a), b) => with_double(*a, b),
        (a, Value::Double(b)) => with_double(*b, a).map(Ordering::reverse),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}
