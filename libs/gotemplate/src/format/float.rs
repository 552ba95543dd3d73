//! Floats in Go's formats (strconv.FormatFloat).

/// The absolute value in the format `e`, `f` or `g`, or one of them in capitals, with the fewest digits that tell it from
/// others unless a precision is given.
pub(super) fn format(value: f64, format: char, precision: Option<usize>) -> String {
    let value = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return "Inf".to_owned();
    }
    let text = match format.to_ascii_lowercase() {
        'e' => exponential(&scientific(value, precision)),
        'f' => match precision {
            Some(precision) => format!("{value:.precision$}"),
            None => format!("{value}"),
        },
        _ => general(value, precision),
    };
    match format.is_ascii_uppercase() {
        true => text.to_ascii_uppercase(),
        false => text,
    }
}

/// Digits with a point, and the power of ten that they are multiplied by.
fn scientific(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.precision$e}"),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or_default())
}

/// Exponents have at least two digits.
fn exponential((digits, exponent): &(String, i32)) -> String {
    let sign = if *exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// With an exponent only where that is shorter.
fn general(value: f64, precision: Option<usize>) -> String {
    // So many digits, not so many after the point.
    let significant = precision.map(|precision| precision.max(1));
    let (digits, exponent) = scientific(value, significant.map(|count| count - 1));
    let kept = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits.as_str(),
    };
    let count = kept.len() - usize::from(kept.contains('.'));
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let threshold = match significant.and_then(|significant| i32::try_from(significant).ok()) {
        // How it is for the shortest digits.
        None => 6,
        Some(significant) if significant > count && count > exponent => count,
        Some(significant) => significant,
    };
    if exponent < -4 || exponent >= threshold {
        return exponential(&(kept.to_owned(), exponent));
    }
    let places = usize::try_from((count - 1 - exponent).max(0)).unwrap_or_default();
    match precision {
        None => format!("{value}"),
        Some(_) => {
            // What is left of the rounded digits, as a plain number.
            let rounded: f64 = format!("{kept}e{exponent}").parse().unwrap_or(value);
            format!("{rounded:.places$}")
        }
    }
}
