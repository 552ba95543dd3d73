//! Numbers as they are stored and served: Go writes floats that are integers without a fraction, and reads integers again.

use serde_json::{Number, Value};

/// Floats from here on have an exponent, even if they are integers.
const EXPONENT_FROM: f64 = 1e21;

/// Makes integers of floats that are integers. Validation tells the two apart: this comes after it.
pub fn as_encoded(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                *number = whole;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_encoded),
        Value::Object(fields) => fields.values_mut().for_each(as_encoded),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn whole(number: &Number) -> Option<Number> {
    if number.is_i64() {
        return None;
    }
    // What is no integer of 64 bits with a sign is a float to Go.
    let float = number.as_f64()?;
    if float.fract() != 0.0 || float.abs() >= EXPONENT_FROM {
        return None;
    }
    // Go writes as few digits as tell the float from all others, and zeros behind them.
    let digits: i128 = float.to_string().parse().ok()?;
    Number::from_i128(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_that_are_integers_become_some() {
        let mut value = json!({"a": [2.0, 2.5, -1e6, 1e300, 3], "b": "2.0"});
        as_encoded(&mut value);
        assert_eq!(value, json!({"a": [2, 2.5, -1000000, 1e300, 3], "b": "2.0"}));
    }

    #[test]
    fn no_more_digits_are_kept_than_go_writes() {
        for (number, expected) in [
            (json!(-0.0), "0"),
            (json!(9223372036854775807_u64), "9223372036854775807"),
            (json!(9223372036854775808_u64), "9223372036854776000"),
            (json!(1234567890123456789.0), "1234567890123456800"),
            (json!(9007199254740993.0), "9007199254740992"),
        ] {
            let mut value = number.clone();
            as_encoded(&mut value);
            assert_eq!(value.to_string(), expected, "{number}");
        }
    }
}
