//! Points in time and lengths of time as Go and CEL write and read them. Both are kept in nanoseconds.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

const SECOND: i128 = 1_000_000_000;
/// The first and the last point in time, in seconds: the years 1 to 9999.
const FIRST: i128 = -62_135_596_800;
const LAST: i128 = 253_402_300_799;
/// The units of Go's durations, in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
];

/// Whether a point in time can be told.
pub(crate) fn in_range(nanos: i128) -> bool {
    (FIRST * SECOND..(LAST + 1) * SECOND).contains(&nanos)
}

/// Go's `time.ParseDuration`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, unit) = rest.split_at(number);
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return None;
        }
        let end = unit
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(unit.len());
        let (name, after) = unit.split_at(end);
        let (_, scale) = UNITS.iter().find(|(known, _)| *known == name)?;
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse::<i64>().ok()?.into()
        };
        let mut sum = whole * scale;
        let mut digit = *scale;
        for c in part.bytes() {
            digit /= 10;
            sum += i128::from(c - b'0') * digit;
        }
        total += sum;
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return None;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A length of time as seconds, as protobuf's JSON writes it and `string()` returns it.
pub(crate) fn show_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let all = nanos.unsigned_abs();
    let (seconds, part) = (all / 1_000_000_000, all % 1_000_000_000);
    format!("{sign}{seconds}{}s", fraction(part))
}

fn fraction(nanos: u64) -> String {
    if nanos == 0 {
        return String::new();
    }
    format!(".{nanos:09}").trim_end_matches('0').to_owned()
}

/// RFC 3339, as Go reads it.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20 && bytes[10] == b'T' && bytes[4] == b'-' && bytes[13] == b':';
    if !shaped || !text.ends_with(|c: char| c == 'Z' || c.is_ascii_digit()) {
        return None;
    }
    let nanos = text.parse::<Timestamp>().ok()?.as_nanosecond();
    in_range(nanos).then_some(nanos)
}

/// RFC 3339 with as many digits as needed.
pub(crate) fn show_timestamp(nanos: i128) -> String {
    let part = nanos.rem_euclid(SECOND);
    let shown = Timestamp::from_nanosecond(nanos - part)
        .map(|at| at.to_string())
        .unwrap_or_default();
    let part = fraction(u64::try_from(part).unwrap_or_default());
    format!("{}{part}Z", shown.trim_end_matches('Z'))
}

/// A point in time as the clocks of a zone show it: a name, or hours and minutes ahead of UTC.
pub(crate) fn in_zone(nanos: i128, zone: &str) -> Option<Zoned> {
    let at = Timestamp::from_nanosecond(nanos).ok()?;
    if zone.is_empty() || zone == "UTC" {
        return Some(at.to_zoned(TimeZone::UTC));
    }
    if let Some((hours, minutes)) = zone.split_once(':') {
        let negative = hours.starts_with('-');
        let hours: i32 = hours.trim_start_matches(['+', '-']).parse().ok()?;
        let minutes: i32 = minutes.parse().ok()?;
        let seconds = hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?;
        let offset = jiff::tz::Offset::from_seconds(if negative { -seconds } else { seconds }).ok()?;
        return Some(at.to_zoned(TimeZone::fixed(offset)));
    }
    Some(at.to_zoned(TimeZone::get(zone).ok()?))
}
