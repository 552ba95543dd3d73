//! Functions on lists: Kubernetes' own, cel-go's `ext.Lists` and `ext.Sets`.

use super::{Failure, Outcome, Value, numbers};
use std::cmp::Ordering;

/// The longest list that a range makes.
const MAX_RANGE: i64 = 1_000_000;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    let bool = |truth| Some(Ok(Value::Bool(truth)));
    match (function, args) {
        ("lists.range", [Value::Int(end)]) if *end > MAX_RANGE => Some(Err(Failure::new("range is too long"))),
        ("lists.range", [Value::Int(end)]) => Some(Ok(Value::list((0..*end).map(Value::Int).collect()))),
        ("isSorted", [Value::List(values)]) => {
            let ordered = values.windows(2).map(|pair| Some(pair[0].compare(&pair[1])?.is_le()));
            let ordered: Option<Vec<bool>> = ordered.collect();
            Some(
                ordered
                    .map(|all| Value::Bool(all.into_iter().all(|each| each)))
                    .ok_or_else(Failure::no_such_overload),
            )
        }
        ("sum", [Value::List(values)]) => Some(sum(values)),
        ("min", [Value::List(values)]) => Some(extreme(values, Ordering::Less, function)),
        ("max", [Value::List(values)]) => Some(extreme(values, Ordering::Greater, function)),
        ("indexOf", [Value::List(values), value]) => Some(Ok(place(values.iter().position(|each| each.equals(value))))),
        ("lastIndexOf", [Value::List(values), value]) => {
            Some(Ok(place(values.iter().rposition(|each| each.equals(value)))))
        }
        ("first", [Value::List(values)]) => Some(Ok(Value::optional(values.first().cloned()))),
        ("last", [Value::List(values)]) => Some(Ok(Value::optional(values.last().cloned()))),
        ("reverse", [Value::List(values)]) => Some(Ok(Value::list(values.iter().rev().cloned().collect()))),
        ("distinct", [Value::List(values)]) => {
            let mut seen: Vec<Value> = Vec::new();
            for value in values.iter() {
                if !seen.iter().any(|each| each.equals(value)) {
                    seen.push(value.clone());
                }
            }
            Some(Ok(Value::list(seen)))
        }
        ("slice", [Value::List(values), Value::Int(start), Value::Int(end)]) => Some(slice(values, *start, *end)),
        ("flatten", [Value::List(values)]) => Some(Ok(Value::list(flatten(values, 1)))),
        ("flatten", [Value::List(_), Value::Int(depth)]) if *depth < 0 => {
            Some(Err(Failure::new("level must be non-negative")))
        }
        ("flatten", [Value::List(values), Value::Int(depth)]) => Some(Ok(Value::list(flatten(values, *depth)))),
        ("sort", [Value::List(values)]) => Some(sort(values, values)),
        ("@sortByAssociatedKeys", [Value::List(values), Value::List(keys)]) => Some(sort(values, keys)),
        ("sets.contains", [Value::List(all), Value::List(some)]) => bool(contains(all, some)),
        ("sets.equivalent", [Value::List(a), Value::List(b)]) => bool(contains(a, b) && contains(b, a)),
        ("sets.intersects", [Value::List(a), Value::List(b)]) => {
            bool(a.iter().any(|value| b.iter().any(|each| each.equals(value))))
        }
        _ => None,
    }
}

fn place(index: Option<usize>) -> Value {
    Value::Int(index.map_or(-1, |index| index as i64))
}

fn contains(all: &[Value], some: &[Value]) -> bool {
    some.iter().all(|value| all.iter().any(|each| each.equals(value)))
}

fn sum(values: &[Value]) -> Outcome {
    let Some((first, rest)) = values.split_first() else {
        return Ok(Value::Int(0));
    };
    rest.iter().try_fold(first.clone(), |sum, value| {
        numbers::add(&sum, value).unwrap_or_else(|| Err(Failure::no_such_overload()))
    })
}

fn extreme(values: &[Value], wanted: Ordering, function: &str) -> Outcome {
    let Some((first, rest)) = values.split_first() else {
        return Err(Failure::new(format!("{function} called on empty list")));
    };
    rest.iter().try_fold(first.clone(), |best, value| {
        let order = value.compare(&best).ok_or_else(Failure::no_such_overload)?;
        Ok(if order == wanted { value.clone() } else { best })
    })
}

fn slice(values: &[Value], start: i64, end: i64) -> Outcome {
    let shown = || format!("cannot slice({start}, {end})");
    if start < 0 || end < 0 {
        return Err(Failure::new(format!("{}, negative indexes not supported", shown())));
    }
    if start > end {
        return Err(Failure::new(format!(
            "{}, start index must be less than or equal to end index",
            shown()
        )));
    }
    let part = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    match part.and_then(|(start, end)| values.get(start..end)) {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => Err(Failure::new(format!("{}, list is length {}", shown(), values.len()))),
    }
}

fn flatten(values: &[Value], depth: i64) -> Vec<Value> {
    let mut flat = Vec::new();
    for value in values {
        match value {
            Value::List(inner) if depth > 0 => flat.extend(flatten(inner, depth - 1)),
            value => flat.push(value.clone()),
        }
    }
    flat
}

/// The values in the order of their keys.
fn sort(values: &[Value], keys: &[Value]) -> Outcome {
    let comparable = keys.windows(2).all(|pair| pair[0].compare(&pair[1]).is_some());
    if !comparable {
        return Err(Failure::new("list elements must have the same type"));
    }
    let mut sorted: Vec<(&Value, &Value)> = keys.iter().zip(values).collect();
    sorted.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(Value::list(
        sorted.into_iter().map(|(_, value)| value.clone()).collect(),
    ))
}
