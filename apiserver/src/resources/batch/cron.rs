//! The grammar of cron schedules, in the words of the library that upstream parses them with (`robfig/cron`).

use machinery::field::go_quote;

/// The bounds of a field and the names that its numbers have.
struct Field {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const fn numbers(min: u64, max: u64) -> Field {
    Field { min, max, names: &[] }
}

/// Minute, hour, day of the month, month and day of the week. Names begin at the lower bound.
const FIELDS: [Field; 5] = [
    numbers(0, 59),
    numbers(0, 23),
    numbers(1, 31),
    Field {
        min: 1,
        max: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        min: 0,
        max: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];
const DESCRIPTORS: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// Checks a schedule.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let zone = ["TZ=", "CRON_TZ="]
        .iter()
        .find_map(|prefix| schedule.strip_prefix(prefix));
    let schedule = match zone {
        None => schedule,
        Some(rest) => {
            let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            if !is_zone(zone) {
                return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            rest.trim()
        }
    };
    if schedule.starts_with('@') {
        return check_descriptor(schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let found = format!("found {}: [{}]", fields.len(), fields.join(" "));
        return Err(format!("expected exactly {} fields, {found}", FIELDS.len()));
    }
    fields
        .iter()
        .zip(&FIELDS)
        .flat_map(|(text, field)| text.split(',').map(move |range| (range, field)))
        .filter(|(range, _)| !range.is_empty())
        .try_for_each(|(range, field)| check_range(range, field))
}

/// Whether there is a time zone of this name. Without a database of time zones any may exist.
pub(super) fn is_zone(name: &str) -> bool {
    matches!(name, "" | "UTC" | "Local")
        || jiff::tz::db().is_definitively_empty()
        || jiff::tz::TimeZone::get(name).is_ok_and(|zone| zone.iana_name() == Some(name))
}

fn check_descriptor(schedule: &str) -> Result<(), String> {
    if DESCRIPTORS.contains(&schedule) {
        return Ok(());
    }
    match schedule.strip_prefix("@every ") {
        None => Err(format!("unrecognized descriptor: {schedule}")),
        Some(duration) => check_duration(duration).map_err(|why| format!("failed to parse duration {schedule}: {why}")),
    }
}

/// What Go's `time.ParseDuration` takes.
fn check_duration(text: &str) -> Result<(), String> {
    const UNITS: [&str; 8] = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];
    let invalid = || Err(format!("time: invalid duration {}", go_quote(text)));
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return invalid();
    }
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    while !rest.is_empty() {
        let end = rest.find(|c| !in_number(c)).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return invalid();
        }
        let end = tail.find(in_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", go_quote(text)));
        }
        if !UNITS.contains(&unit) {
            return Err(format!(
                "time: unknown unit {} in duration {}",
                go_quote(unit),
                go_quote(text)
            ));
        }
        rest = tail;
    }
    Ok(())
}

/// `number | name | * | ?`, `-` another, `/` a step.
fn check_range(text: &str, field: &Field) -> Result<(), String> {
    let (range, steps): (&str, Vec<&str>) = {
        let mut parts = text.split('/');
        (parts.next().unwrap_or_default(), parts.collect())
    };
    let bounds: Vec<&str> = range.split('-').collect();
    let (start, mut end) = match bounds[..] {
        ["*" | "?", ..] => (field.min, field.max),
        [only] => {
            let number = number_or_name(only, field)?;
            (number, number)
        }
        [low, high] => (number_or_name(low, field)?, number_or_name(high, field)?),
        _ => {
            number_or_name(bounds.first().copied().unwrap_or_default(), field)?;
            return Err(format!("too many hyphens: {text}"));
        }
    };
    let step = match steps[..] {
        [] => 1,
        [step] => {
            let step = number(step)?;
            if bounds.len() == 1 {
                end = field.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let (min, max) = (field.min, field.max);
    match () {
        () if start < min => Err(format!("beginning of range ({start}) below minimum ({min}): {text}")),
        () if end > max => Err(format!("end of range ({end}) above maximum ({max}): {text}")),
        () if start > end => Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        )),
        () if step == 0 => Err(format!("step of range should be a positive number: {text}")),
        () => Ok(()),
    }
}

fn number_or_name(text: &str, field: &Field) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match (field.min..).zip(field.names).find(|(_, name)| **name == lower) {
        Some((number, _)) => Ok(number),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let why = if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        "invalid syntax"
    } else {
        "value out of range"
    };
    let quoted = go_quote(text);
    let parsed = text
        .parse::<i64>()
        .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: {why}"))?;
    u64::try_from(parsed).map_err(|_| format!("negative number ({parsed}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules_are_checked_in_the_librarys_words() {
        for (schedule, expected) in [
            ("*/5 * * * *", ""),
            ("0 0 1 JAN-dec mon,?", ""),
            ("@hourly", ""),
            ("@every 1h30m", ""),
            ("5/15 0-6 * * *", ""),
            ("not a cron", "expected exactly 5 fields, found 3: [not a cron]"),
            ("61 * * * *", "end of range (61) above maximum (59): 61"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            (
                "x * * * *",
                "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                "@every 5x",
                "failed to parse duration @every 5x: time: unknown unit \"x\" in duration \"5x\"",
            ),
            (
                "@every 5",
                "failed to parse duration @every 5: time: missing unit in duration \"5\"",
            ),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            ("TZ=UTC * * * * *", ""),
            (
                "TZ=Mars/X * * * * *",
                "provided bad location Mars/X: unknown time zone Mars/X",
            ),
        ] {
            assert_eq!(check(schedule).err().unwrap_or_default(), expected, "{schedule}");
        }
    }

    proptest! {
        #[test]
        fn no_schedule_panics(schedule in "(TZ=|@every |@)?[-*/?0-9a-z, .=]{0,30}") {
            let _ = check(&schedule);
        }
    }
}
