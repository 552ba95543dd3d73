//! Texts that YAML 1.1 reads as points in time (go.yaml.in/yaml/v2 `resolve.go`, with Go's `time.Parse`).

/// Whether the text is one.
pub(super) fn is_timestamp(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return false;
    }
    let year = text[..4].parse().unwrap_or_default();
    date(year, &text[5..]).is_some_and(|rest| rest.is_empty() || clock(rest).is_some())
}

/// What follows month and day of `year`.
fn date(year: u32, text: &str) -> Option<&str> {
    let (month, rest) = number(text)?;
    let (day, rest) = number(rest.strip_prefix('-')?)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

/// A time of day behind a date: with an offset behind `T`, without one behind a space.
fn clock(text: &str) -> Option<()> {
    let zoned = text.starts_with(['T', 't']);
    let rest = match text.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None => text.strip_prefix(' ')?.trim_start_matches(' '),
    };
    let (hour, rest) = number(rest)?;
    let (minute, rest) = number(rest.strip_prefix(':')?)?;
    let (second, rest) = number(rest.strip_prefix(':')?)?;
    let rest = fraction(rest);
    let ends = if zoned { is_offset(rest) } else { rest.is_empty() };
    (hour < 24 && minute < 60 && second < 60 && ends).then_some(())
}

fn fraction(text: &str) -> &str {
    match text.strip_prefix(['.', ',']) {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
            digits.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => text,
    }
}

fn is_offset(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else {
        return text == "Z";
    };
    let two = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u32>());
    let parts = offset
        .split_once(':')
        .map(|(hours, minutes)| (two(hours), two(minutes)));
    matches!(parts, Some((Some(Ok(0..=24)), Some(Ok(0..=60)))))
}

/// A number of one or two digits, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_recognised() {
        for (text, expected) in [
            ("2026-11-20", true),
            ("2026-1-2", true),
            ("2026-02-29", false),
            ("2024-02-29", true),
            ("2026-11-20T21:00:00Z", true),
            ("2026-11-20t1:2:3.5+01:00", true),
            ("2026-11-20T21:00:00", false),
            ("2026-11-20  21:00:00", true),
            ("2026-11-20 21:00:00Z", false),
            ("2026-11-20T24:00:00Z", false),
            ("2026-11", false),
            ("26-11-20", false),
            ("2026-11-20é", false),
        ] {
            assert_eq!(is_timestamp(text), expected, "{text}");
        }
    }
}
