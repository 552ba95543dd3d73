//! The order of keys in a mapping (go.yaml.in/yaml/v2 `sorter.go`): numbers inside of names count as numbers, and what is
//! no letter comes before letters.

use std::cmp::Ordering;

/// Brings the entries of a mapping into order. Upstream's comparison is no total order for strange keys, so that no sort of
/// the standard library may be asked.
pub(super) fn sorted<T>(mut entries: Vec<(&str, T)>) -> Vec<(&str, T)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = entries.split_off(entries.len() / 2);
    let mut merged = Vec::with_capacity(entries.len() + right.len());
    let (mut left, mut right) = (
        sorted(entries).into_iter().peekable(),
        sorted(right).into_iter().peekable(),
    );
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let next = if natural(a, b).is_gt() {
            right.next()
        } else {
            left.next()
        };
        merged.extend(next);
    }
    merged.extend(left.chain(right));
    merged
}

/// How `a` stands to `b`.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    let (left, right) = (a[at], b[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => return left.cmp(&right),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero in the middle of a number is a digit of it; one at its start is only looked at for the length.
    let inside = (left == '0' || right == '0')
        && a[..at]
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .any(|c| *c != '0');
    let (left_value, left_digits) = number(&a[at..], inside);
    let (right_value, right_digits) = number(&b[at..], inside);
    left_value
        .cmp(&right_value)
        .then(left_digits.cmp(&right_digits))
        .then(left.cmp(&right))
}

/// The number that the characters start with, and how many digits it has.
fn number(text: &[char], inside: bool) -> (i64, usize) {
    let digits = text.iter().map_while(|c| c.to_digit(10));
    digits.fold((i64::from(inside), 0), |(value, count), digit| {
        (value.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_and_letters_come_last() {
        let keys = [
            "b", "a10", "a2", "a", "A", "a-b", "ab", "1", "10", "2", "a01", "a1", "f:x", "f", ".", "k:{}",
        ];
        let sorted = sorted(keys.map(|key| (key, ())).to_vec());
        assert_eq!(
            sorted.into_iter().map(|(key, ())| key).collect::<Vec<_>>(),
            [
                ".", "1", "2", "10", "A", "a", "a-b", "a1", "a01", "a2", "a10", "ab", "b", "f", "f:x", "k:{}"
            ]
        );
    }
}
