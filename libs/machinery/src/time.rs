//! `metav1.Time` and `MicroTime`: RFC 3339 in UTC, with seconds or microseconds.

use jiff::Timestamp;

/// A time in the form of `metav1.Time`: whole seconds.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time in the form of `metav1.MicroTime`: always six digits behind the second.
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Parses RFC 3339 with any offset and any number of fractional digits.
pub fn parse(text: &str) -> Option<Timestamp> {
    // jiff also takes forms that RFC 3339 does not have, such as a missing offset's brackets or a space for the T.
    let shape = text.as_bytes();
    let dated = shape.len() >= 20 && shape[10] == b'T' && shape[4] == b'-' && shape[13] == b':';
    if dated && !text.contains('[') {
        text.parse().ok()
    } else {
        None
    }
}

/// The current time in the form of `metav1.Time`.
pub fn now() -> String {
    format(Timestamp::now())
}

/// An age as tables show it (apimachinery `duration.HumanDuration`), of a whole number of seconds.
pub fn human_duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{small_unit}")
        }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        two(days, "d", hours % 24, "h")
    } else if days < 365 * 2 {
        format!("{days}d")
    } else if days < 365 * 8 {
        two(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_in_both_precisions() {
        let time = parse("2026-01-02T03:04:05.123456789+02:00").unwrap();
        assert_eq!(format(time), "2026-01-02T01:04:05Z");
        assert_eq!(format_micro(time), "2026-01-02T01:04:05.123456Z");
        for bad in [
            "",
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages_read_as_upstreams() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(human_duration(seconds), expected, "{seconds}");
        }
    }
}
