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
    let float = number.as_f64().filter(|_| number.is_f64())?;
    if float.fract() != 0.0 || float.abs() >= EXPONENT_FROM || float == 0.0 && float.is_sign_negative() {
        return None;
    }
    // Every float of this size is an integer of 128 bits.
    Number::from_i128(float as i128)
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
}
