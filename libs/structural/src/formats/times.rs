//! Dates, times and lengths of time.

/// Units and the beginnings of their names.
const UNITS: [(&[&str], &str); 8] = [
    (&["ns"], "nano"),
    (&["us", "µs"], "micro"),
    (&["ms"], "milli"),
    (&["s"], "sec"),
    (&["m"], "min"),
    (&["h", "hr"], "hour"),
    (&["d"], "day"),
    (&["w", "wk"], "week"),
];

pub(super) fn is_date(text: &str) -> bool {
    let digits = |(i, byte): (usize, u8)| {
        if i == 4 || i == 7 {
            byte == b'-'
        } else {
            byte.is_ascii_digit()
        }
    };
    text.len() == 10 && text.bytes().enumerate().all(digits) && text.parse::<jiff::civil::Date>().is_ok()
}

pub(super) fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    is_date(date) && super::matches(pattern, time)
}

/// Go's durations, and any text with numbers and the names of units.
pub(super) fn is_duration(text: &str) -> bool {
    cel::is_duration(text) || has_units(text)
}

fn has_units(text: &str) -> bool {
    let is_unit = |c: char| c.is_ascii_alphabetic() || c == 'µ';
    let mut found = false;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let from = &rest[start..];
        let digits = from.len() - from.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = from.split_at(digits);
        let named = after.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        let length = named.len() - named.trim_start_matches(is_unit).len();
        let (unit, after) = named.split_at(length);
        if length > 0 {
            if number.parse::<i64>().is_err() {
                return false;
            }
            let unit = unit.to_lowercase();
            let of = |(exact, beginning): &(&[&str], &str)| exact.contains(&&*unit) || unit.starts_with(beginning);
            found |= UNITS.iter().any(of);
        }
        rest = after;
    }
    found
}
