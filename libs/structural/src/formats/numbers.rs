//! Numbers with checksums, identifiers, colours and bytes.

use super::matches;

/// Whether a text is a UUID; of a version, if one is given.
pub(super) fn is_uuid(text: &str, version: Option<char>) -> bool {
    let (third, fourth) = match version {
        None => ("[0-9a-f]{4}".to_owned(), "[0-9a-f]{4}"),
        Some('3') => ("3[0-9a-f]{3}".to_owned(), "[0-9a-f]{4}"),
        Some(version) => (format!("{version}[0-9a-f]{{3}}"), "[89ab][0-9a-f]{3}"),
    };
    matches(
        &format!("(?i)^[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}$"),
        text,
    )
}

/// The digits of a book's number, without what divides them.
fn digits_of_book(text: &str) -> Vec<char> {
    text.chars()
        .filter(|c| !matches!(c, '-' | ' ' | '\t' | '\n' | '\r' | '\u{c}'))
        .collect()
}

pub(super) fn is_isbn10(text: &str) -> bool {
    let digits = digits_of_book(text);
    let value = |(i, c): (usize, &char)| match c {
        'X' if i == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.iter().enumerate().map(value).collect();
    values.is_some_and(|values| {
        let sum: u32 = values.iter().zip(1..).map(|(value, weight)| value * weight).sum();
        values.len() == 10 && sum.is_multiple_of(11)
    })
}

pub(super) fn is_isbn13(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits_of_book(text).iter().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let weights = [1, 3].iter().cycle();
        let sum: u32 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        values.len() == 13 && sum.is_multiple_of(10)
    })
}

pub(super) fn is_credit_card(text: &str) -> bool {
    const ISSUERS: &str = "^(4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9]{2})[0-9]{12}|3[47][0-9]{13}|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11})$";
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let weighed = |(i, digit): (usize, u32)| match i % 2 {
        0 => digit,
        _ => digit * 2 % 10 + u32::from(digit > 4),
    };
    let backwards = digits.chars().rev().filter_map(|c| c.to_digit(10));
    matches(ISSUERS, &digits) && backwards.enumerate().map(weighed).sum::<u32>().is_multiple_of(10)
}

pub(super) fn is_rgb(text: &str) -> bool {
    let part = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*";
    matches(&format!(r"^rgb\({part},{part},{part}\)$"), text)
}

/// Base64 with the usual alphabet, of at least one byte.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    !text.is_empty() && text.len().is_multiple_of(4) && text.len() - body.len() <= 2 && body.bytes().all(alphabet)
}
