//! The functions by their names.

use super::value::entry;
use super::{Failure, Key, Outcome, Value, convert, lists, network, numbers, strings, template};
use crate::ast::operators as op;
use std::cmp::Ordering;
use std::sync::Arc;

/// Calls a function; what it is called on is its first argument.
pub(super) fn call(function: &str, args: &[Value]) -> Outcome {
    let found = operator(function, args)
        .or_else(|| numbers::call(function, args))
        .or_else(|| optional(function, args))
        .or_else(|| convert::call(function, args))
        .or_else(|| strings::call(function, args))
        .or_else(|| lists::call(function, args))
        .or_else(|| network::call(function, args))
        .or_else(|| template::call(function, args))
        .or_else(|| authorization(function, args));
    found.unwrap_or_else(|| Err(Failure::no_such_overload()))
}

/// What a call costs (`CostEstimator.CallCost`).
pub(super) fn cost(function: &str, args: &[Value]) -> u64 {
    let size = |i: usize| args.get(i).map_or(1, Value::size);
    let tenth = |size: u64| size.div_ceil(10);
    match function {
        "check" => 350_000,
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "ip" | "quantity"
        | "isQuantity" | "semver" | "isSemver" => tenth(size(0)),
        "replace" | "split" | "ip.isCanonical" => size(0).div_ceil(5),
        "matches" | "find" | "findAll" => tenth(size(0) + 1).saturating_mul(size(1).div_ceil(4)),
        "contains" => tenth(size(0)).saturating_mul(tenth(size(1))),
        "startsWith" | "endsWith" => tenth(size(1)),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "join" | "sets.contains"
        | "sets.equivalent" | "sets.intersects" | "distinct" | "sort" | "flatten" | "reverse" => size(0),
        op::IN => size(1),
        op::ADD if matches!(args.first(), Some(Value::String(_) | Value::Bytes(_))) => tenth(size(0) + size(1)),
        op::EQUALS | op::NOT_EQUALS => tenth(size(0).min(size(1))).max(1),
        _ => 1,
    }
}

fn operator(function: &str, args: &[Value]) -> Option<Outcome> {
    let compared = |fits: fn(Ordering) -> bool| match args {
        [Value::Double(a), b] | [b, Value::Double(a)]
            if a.is_nan() && matches!(b, Value::Int(_) | Value::Uint(_) | Value::Double(_)) =>
        {
            Err(Failure::new("NaN values cannot be ordered"))
        }
        [a, b] => a
            .compare(b)
            .map(|found| Value::Bool(fits(found)))
            .ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    };
    Some(match (function, args) {
        (op::EQUALS, [a, b]) => Ok(Value::Bool(a.equals(b))),
        (op::NOT_EQUALS, [a, b]) => Ok(Value::Bool(!a.equals(b))),
        (op::LESS, _) => compared(Ordering::is_lt),
        (op::LESS_EQUALS, _) => compared(Ordering::is_le),
        (op::GREATER, _) => compared(Ordering::is_gt),
        (op::GREATER_EQUALS, _) => compared(Ordering::is_ge),
        (op::NOT, [Value::Bool(truth)]) => Ok(Value::Bool(!truth)),
        (op::IN, [value, Value::List(values)]) => Ok(Value::Bool(values.iter().any(|each| each.equals(value)))),
        (op::IN, [key, Value::Map(entries)]) => Ok(Value::Bool(entry(entries, key).is_some())),
        (op::INDEX, [collection, index]) => at(collection, index),
        (op::OPTIONAL_INDEX, [collection, index]) => match collection {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => Ok(Value::optional(at(inner, index).ok())),
            _ => Ok(Value::optional(at(collection, index).ok())),
        },
        (op::INSERT, [Value::Map(entries), key, value]) => insert(entries, [(key.clone(), value.clone())]),
        (op::INSERT, [Value::Map(entries), Value::Map(more)]) => {
            insert(entries, more.iter().map(|(key, value)| (key.value(), value.clone())))
        }
        ("size", [Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_)]) => {
            Ok(Value::Int(args[0].size().try_into().unwrap_or(i64::MAX)))
        }
        _ => return None,
    })
}

fn insert(
    entries: &Arc<std::collections::BTreeMap<Key, Value>>,
    more: impl IntoIterator<Item = (Value, Value)>,
) -> Outcome {
    let mut entries = (**entries).clone();
    for (key, value) in more {
        let key = Key::of(&key).ok_or_else(|| Failure::new("unsupported key type"))?;
        if entries.insert(key.clone(), value).is_some() {
            return Err(Failure::new(format!(
                "insert failed: key {} already exists",
                shown(&key.value())
            )));
        }
    }
    Ok(Value::Map(Arc::new(entries)))
}

fn at(collection: &Value, index: &Value) -> Outcome {
    match collection {
        Value::List(values) => {
            let index = match index {
                Value::Int(index) => *index,
                Value::Uint(index) => i64::try_from(*index).unwrap_or(i64::MAX),
                Value::Double(index) if index.fract() == 0.0 => *index as i64,
                _ => {
                    return Err(Failure::new(format!(
                        "unsupported index type '{}' in list",
                        index.type_name()
                    )));
                }
            };
            let found = usize::try_from(index).ok().and_then(|index| values.get(index));
            found
                .cloned()
                .ok_or_else(|| Failure::new(format!("index out of bounds: {index}")))
        }
        Value::Map(entries) => entry(entries, index)
            .cloned()
            .ok_or_else(|| Failure::no_such_key(shown(index))),
        Value::Optional(inner) => match inner {
            Some(inner) => Ok(Value::optional(at(inner, index).ok())),
            None => Ok(Value::Optional(None)),
        },
        _ => Err(Failure::no_such_key(shown(index))),
    }
}

/// A key in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        other => other.type_name().to_owned(),
    }
}

fn optional(function: &str, args: &[Value]) -> Option<Outcome> {
    let unwrapped = |values: &[Value]| {
        let mut found = Vec::new();
        for value in values {
            match value {
                Value::Optional(inner) => found.extend(inner.as_deref().cloned()),
                _ => return Err(Failure::new(format!("value {} is not optional", shown(value)))),
            }
        }
        Ok(Value::list(found))
    };
    Some(match (function, args) {
        ("optional.of", [value]) => Ok(Value::optional(Some(value.clone()))),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Ok(Value::optional((!is_zero(value)).then(|| value.clone()))),
        ("optional.unwrap" | "unwrapOpt", [Value::List(values)]) => unwrapped(values),
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(inner)]) => match inner {
            Some(value) => Ok((**value).clone()),
            None => Err(Failure::new("optional.none() dereference")),
        },
        _ => return None,
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Uint(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(values) => values.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Object(object) => object.1.is_empty(),
        Value::Duration(length) => *length == 0,
        _ => false,
    }
}

fn authorization(function: &str, args: &[Value]) -> Option<Outcome> {
    match (function, args) {
        (_, [Value::Authorizer(authorizer), rest @ ..]) => authorizer.call(function, rest).map(Ok),
        ("allowed", [Value::Decision(decision)]) => Some(Ok(Value::Bool(decision.allowed))),
        ("reason", [Value::Decision(decision)]) => Some(Ok(Value::text(&decision.reason))),
        ("errored", [Value::Decision(decision)]) => Some(Ok(Value::Bool(!decision.error.is_empty()))),
        ("error", [Value::Decision(decision)]) => Some(Ok(Value::text(&decision.error))),
        _ => None,
    }
}
