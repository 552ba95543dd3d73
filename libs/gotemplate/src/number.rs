//! Numbers as they are written in templates: Go's constants, without imaginary ones.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// How many bytes at the beginning look like a number.
pub(crate) fn scan(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let mut end = usize::from(matches!(at(0), b'+' | b'-'));
    let mut base = 10;
    if at(end) == b'0' {
        base = match at(end + 1) {
            b'x' | b'X' => 16,
            b'o' | b'O' => 8,
            b'b' | b'B' => 2,
            _ => 10,
        };
        end += if base == 10 { 1 } else { 2 };
    }
    let run = |mut from: usize, base: u32| {
        while at(from) == b'_' || char::from(at(from)).is_digit(base) {
            from += 1;
        }
        from
    };
    end = run(end, base);
    if at(end) == b'.' {
        end = run(end + 1, base);
    }
    let has_exponent = match at(end) {
        b'e' | b'E' => base == 10,
        b'p' | b'P' => base == 16,
        _ => false,
    };
    if has_exponent {
        end += 1 + usize::from(matches!(at(end + 1), b'+' | b'-'));
        end = run(end, 10);
    }
    end + usize::from(at(end) == b'i')
}

/// The number; what looks like a float is one.
pub(crate) fn parse(text: &str) -> Result<Number, String> {
    let wrong = || format!("illegal number syntax: {text:?}");
    if text.ends_with('i') {
        return Err(format!("complex numbers such as {text} are not supported"));
    }
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (base, body) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    if !separates(body, base) {
        return Err(wrong());
    }
    let plain = body.replace('_', "");
    let is_hex_float = base == 16 && plain.contains(['p', 'P']);
    if is_hex_float {
        return hexadecimal(&plain)
            .map(|value| Number::Float(f64::from(sign) * value))
            .ok_or_else(wrong);
    }
    if base == 10 && plain.contains(['.', 'e', 'E']) {
        let value: f64 = plain
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(wrong)?;
        return Ok(Number::Float(f64::from(sign) * value));
    }
    // As in C, a zero in front means octal digits.
    let base = if base == 10 && plain.len() > 1 && plain.starts_with('0') {
        8
    } else {
        base
    };
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(base)) {
        return Err(wrong());
    }
    let value = i128::from_str_radix(&plain, base).map_err(|_| format!("integer overflow: {text:?}"))?;
    i64::try_from(i128::from(sign) * value)
        .map(Number::Int)
        .map_err(|_| format!("{text} overflows int"))
}

/// Whether every underscore stands between digits, or between the base and one.
fn separates(body: &str, base: u32) -> bool {
    let mut before = base != 10;
    let mut characters = body.chars().peekable();
    while let Some(c) = characters.next() {
        let is_digit = |c: &char| c.is_digit(base.max(10));
        if c == '_' && !(before && characters.peek().is_some_and(is_digit)) {
            return false;
        }
        before = is_digit(&c);
    }
    true
}

/// `MANTISSApEXPONENT` without its `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2f64.powi(shift)).filter(|value| value.is_finite())
}
