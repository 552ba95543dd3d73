//! `IntOrString`: a number or a percentage (apimachinery `pkg/util/intstr`).

use serde_json::Value;

/// The number that an IntOrString means for `total`: integers as they are, `"25%"` of the total, rounded up or down.
/// `None` when the value is neither.
pub fn scaled(value: &Value, total: i64, round_up: bool) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => {
            let percent: i64 = percent(s)?;
            let exact = percent.checked_mul(total)?;
            Some(if round_up {
                exact.div_euclid(100) + i64::from(exact.rem_euclid(100) != 0)
            } else {
                exact.div_euclid(100)
            })
        }
        _ => None,
    }
}

/// The number in `"25%"`.
pub fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn percentages_round_as_told() {
        for (value, total, up, expected) in [
            (json!(3), 10, true, Some(3)),
            (json!("25%"), 10, true, Some(3)),
            (json!("25%"), 10, false, Some(2)),
            (json!("100%"), 7, false, Some(7)),
            (json!("x%"), 7, false, None),
            (json!("5"), 7, false, None),
            (json!(true), 7, false, None),
            (json!("9223372036854775807%"), 7, false, None),
        ] {
            assert_eq!(scaled(&value, total, up), expected, "{value} of {total}");
        }
    }
}
