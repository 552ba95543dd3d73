//! Durations as Go writes them on a command line.

use std::time::Duration;

/// Shortest progress interval (etcd: `minWatchProgressInterval`).
const MIN_PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The units, longer names before those that begin like them.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
];

/// Reads a duration: numbers with units, such as `1h30m`, `1.5s` or `500ms`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write numbers with units, such as 500ms, 10s, 5m or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let (unit, scale) = UNITS
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        seconds += number * scale;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads a duration where Go takes zero and anything below for "never": kine's thresholds and timeouts.
pub(super) fn parse_or_off(text: &str) -> Result<Duration, String> {
    match text.strip_prefix('-') {
        Some(positive) => parse(positive).map(|_| Duration::ZERO),
        None => parse(text),
    }
}

/// Reads the interval of progress notifications.
pub(super) fn parse_progress_interval(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        interval if interval < MIN_PROGRESS_INTERVAL => Err("the shortest interval is 100ms".into()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1h0m0.5s", 3_600_500),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "5 minutes",
            "m",
            "-1s",
            "1..2s",
            "1e400h",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse_or_off("-1s"), Ok(Duration::ZERO));
        assert!(parse_progress_interval("1ms").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-zµ. -]{0,12}") {
            let _ = parse_or_off(&text);
        }
    }
}
