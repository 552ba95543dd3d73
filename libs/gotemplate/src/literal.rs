//! Strings and characters in quotes, with Go's escapes (strconv.Unquote).

/// The string between double quotes.
pub(crate) fn text(body: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, length) = next(rest, '"')?;
        match piece {
            Piece::Byte(byte) => bytes.push(byte),
            Piece::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[length..];
    }
    String::from_utf8(bytes).map_err(|_| format!("\"{body}\" is not UTF-8"))
}

/// The character between single quotes.
pub(crate) fn character(body: &str) -> Result<u32, String> {
    let malformed = || format!("malformed character constant: '{body}'");
    if body.is_empty() {
        return Err(malformed());
    }
    match next(body, '\'')? {
        (piece, length) if length == body.len() => Ok(match piece {
            Piece::Byte(byte) => byte.into(),
            Piece::Char(c) => c.into(),
        }),
        _ => Err(malformed()),
    }
}

enum Piece {
    Byte(u8),
    Char(char),
}

/// The first character of a text that is not empty, and its length in bytes.
fn next(rest: &str, quote: char) -> Result<(Piece, usize), String> {
    let mut characters = rest.chars();
    let first = characters.next().unwrap_or_default();
    if first != '\\' {
        return Ok((Piece::Char(first), first.len_utf8()));
    }
    let wrong = || format!("invalid syntax: \\ in {rest:?}");
    let escape = characters.next().ok_or_else(wrong)?;
    let digits = |from: usize, count: usize, base: u32| {
        let digits = rest.get(from..from + count).ok_or_else(wrong)?;
        let are_digits = digits.chars().all(|c| c.is_digit(base));
        let number = u32::from_str_radix(digits, base).ok().filter(|_| are_digits);
        number.ok_or_else(wrong)
    };
    let byte = |byte: u8| Ok((Piece::Byte(byte), 2));
    match escape {
        'a' => byte(7),
        'b' => byte(8),
        'f' => byte(12),
        'n' => byte(b'\n'),
        'r' => byte(b'\r'),
        't' => byte(b'\t'),
        'v' => byte(11),
        '\\' => byte(b'\\'),
        c if c == quote => Ok((Piece::Char(c), 2)),
        'x' => Ok((Piece::Byte(digits(2, 2, 16)?.to_le_bytes()[0]), 4)),
        '0'..='7' => match u8::try_from(digits(1, 3, 8)?) {
            Ok(byte) => Ok((Piece::Byte(byte), 4)),
            Err(_) => Err(wrong()),
        },
        'u' | 'U' => {
            let count = if escape == 'u' { 4 } else { 8 };
            let c = char::from_u32(digits(2, count, 16)?).ok_or_else(wrong)?;
            Ok((Piece::Char(c), 2 + count))
        }
        _ => Err(wrong()),
    }
}
