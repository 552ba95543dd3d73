//! Values that are a number or a percentage.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The value itself, or the percentage of `total`, rounded as asked (`intstr.GetScaledValueFromIntOrPercent`). Validation
/// admits nothing else, so any other text counts as zero.
pub(crate) fn scaled(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|digits| digits.parse::<i64>().ok())
                .unwrap_or(0);
            let product = percent * i64::from(total);
            let result = if round_up {
                (product + 99).div_euclid(100)
            } else {
                product.div_euclid(100)
            };
            i32::try_from(result).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let table = [
            ("25%", 10, true, 3),
            ("25%", 10, false, 2),
            ("100%", 7, true, 7),
            ("0%", 7, true, 0),
            ("x", 5, true, 0),
        ];
        for (text, total, up, expected) in table {
            assert_eq!(
                scaled(&IntOrString::String(text.into()), total, up),
                expected,
                "{text} of {total}"
            );
        }
        assert_eq!(scaled(&IntOrString::Int(3), 10, true), 3);
    }
}
