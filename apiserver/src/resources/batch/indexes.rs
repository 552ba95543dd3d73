//! Lists of indexes of a job's pods, such as `0,2-5` (`validateIndexesFormat`).

use machinery::field::go_quote;

/// A run of indexes, both ends included.
type Interval = (i64, i64);

/// How many indexes a list has; they must ascend and be below `completions`.
///
/// # Errors
/// What is wrong with the list, in upstream's words.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0;
    for text in list.split(',').filter(|_| !list.is_empty()) {
        let (first, end) = interval(text, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(not_increasing(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two lists share, going by the intervals that can be read.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |list: &str| -> Vec<Interval> {
        list.split(',')
            .filter_map(|text| interval(text, completions).ok())
            .collect()
    };
    let (one, other) = (read(one), read(other));
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 {
            i += 1;
        } else {
            j += 1;
        }
    }
    None
}

fn interval(text: &str, completions: i64) -> Result<Interval, String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            go_quote(text)
        ));
    }
    let read = |part: &str| match part.parse::<i64>() {
        Err(_) => Err(format!(
            "cannot convert string to integer for index: {}",
            go_quote(part)
        )),
        Ok(index) if index >= completions => Err(format!("too large index: {}", go_quote(part))),
        Ok(index) => Ok(index),
    };
    let first = read(parts[0])?;
    let Some(end) = parts.get(1) else {
        return Ok((first, first));
    };
    match read(end)? {
        end if first >= end => Err(not_increasing(first, end)),
        end => Ok((first, end)),
    }
}

fn not_increasing(previous: i64, current: i64) -> String {
    format!("non-increasing order, previous: {previous}, current: {current}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ascend_and_fit() {
        for (list, expected) in [
            ("", Ok(0)),
            ("0,2-4", Ok(4)),
            ("3,1", Err("non-increasing order, previous: 3, current: 1")),
            ("2-1", Err("non-increasing order, previous: 2, current: 1")),
            ("9", Err("too large index: \"9\"")),
            ("a", Err("cannot convert string to integer for index: \"a\"")),
            (
                "0-1-2",
                Err(
                    "the fragment \"0-1-2\" violates the requirement that an index interval can have at most two parts separated by '-'",
                ),
            ),
        ] {
            assert_eq!(count(list, 5), expected.map_err(str::to_owned), "{list}");
        }
        assert_eq!(overlap("0-1,3", "2-4", 5), Some(3));
        assert_eq!(overlap("0-1", "2-4", 5), None);
        assert_eq!(overlap("x,2", "2", 5), Some(2));
    }
}
