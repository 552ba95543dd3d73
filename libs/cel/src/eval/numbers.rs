//! Arithmetic: of numbers, of texts and lists that are put together, of points and lengths of time.

use super::{Failure, Outcome, Value};
use crate::ast::operators as op;
use crate::time;

pub(super) fn call(function: &str, args: &[Value]) -> Option<Outcome> {
    match (function, args) {
        (op::ADD, [a, b]) => add(a, b),
        (op::SUBTRACT, [a, b]) => subtract(a, b),
        (op::MULTIPLY, [Value::Int(a), Value::Int(b)]) => Some(int(a.checked_mul(*b))),
        (op::MULTIPLY, [Value::Uint(a), Value::Uint(b)]) => Some(uint(a.checked_mul(*b))),
        (op::MULTIPLY, [Value::Double(a), Value::Double(b)]) => Some(Ok(Value::Double(a * b))),
        (op::DIVIDE, [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)]) => {
            Some(Err(Failure::new("division by zero")))
        }
        (op::DIVIDE, [Value::Int(a), Value::Int(b)]) => Some(int(a.checked_div(*b))),
        (op::DIVIDE, [Value::Uint(a), Value::Uint(b)]) => Some(uint(a.checked_div(*b))),
        (op::DIVIDE, [Value::Double(a), Value::Double(b)]) => Some(Ok(Value::Double(a / b))),
        (op::MODULO, [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)]) => {
            Some(Err(Failure::new("modulus by zero")))
        }
        (op::MODULO, [Value::Int(a), Value::Int(b)]) => Some(int(a.checked_rem(*b))),
        (op::MODULO, [Value::Uint(a), Value::Uint(b)]) => Some(uint(a.checked_rem(*b))),
        (op::NEGATE, [Value::Int(a)]) => Some(int(a.checked_neg())),
        (op::NEGATE, [Value::Double(a)]) => Some(Ok(Value::Double(-a))),
        _ => None,
    }
}

fn int(result: Option<i64>) -> Outcome {
    result.map(Value::Int).ok_or_else(|| Failure::new("integer overflow"))
}

fn uint(result: Option<u64>) -> Outcome {
    result
        .map(Value::Uint)
        .ok_or_else(|| Failure::new("unsigned integer overflow"))
}

fn duration(result: Option<i64>) -> Outcome {
    result
        .map(Value::Duration)
        .ok_or_else(|| Failure::new("integer overflow"))
}

fn timestamp(nanos: i128) -> Outcome {
    if time::in_range(nanos) {
        Ok(Value::Timestamp(nanos))
    } else {
        Err(Failure::new("timestamp overflow"))
    }
}

pub(super) fn add(a: &Value, b: &Value) -> Option<Outcome> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::String(format!("{a}{b}").into())),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Value::List(a), Value::List(b)) => Ok(Value::List(a.joined(b))),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_add(*b)),
        (Value::Timestamp(at), Value::Duration(length)) | (Value::Duration(length), Value::Timestamp(at)) => {
            timestamp(at + i128::from(*length))
        }
        _ => return None,
    })
}

fn subtract(a: &Value, b: &Value) -> Option<Outcome> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_sub(*b)),
        (Value::Timestamp(at), Value::Duration(length)) => timestamp(at - i128::from(*length)),
        (Value::Timestamp(a), Value::Timestamp(b)) => duration(i64::try_from(a - b).ok()),
        _ => return None,
    })
}
