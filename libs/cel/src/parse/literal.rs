//! What the quoted literals of a grammatical text stand for.

const INVALID: &str = "invalid unicode code point";
const MALFORMED: &str = "unable to unescape string";

/// The bytes of a literal; those of a string are UTF-8.
pub(crate) fn unquote(literal: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    let normal = literal.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, quoted) = match normal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, normal.as_str()),
    };
    let margin = if quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\"")) {
        3
    } else {
        1
    };
    let inner = quoted
        .get(margin..quoted.len().saturating_sub(margin))
        .ok_or(MALFORMED)?;
    if raw {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut found = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            escaped(&mut chars, bytes, &mut found)?;
        } else {
            found.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(found)
}

fn escaped(chars: &mut std::str::Chars<'_>, bytes: bool, found: &mut Vec<u8>) -> Result<(), &'static str> {
    let kind = chars.next().ok_or(MALFORMED)?;
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => kind as u8,
        _ => 0,
    };
    if simple != 0 {
        found.push(simple);
        return Ok(());
    }
    let (digits, radix) = match kind {
        'x' | 'X' => (chars.by_ref().take(2).collect(), 16),
        'u' if !bytes => (chars.by_ref().take(4).collect(), 16),
        'U' if !bytes => (chars.by_ref().take(8).collect(), 16),
        '0'..='3' => (kind.to_string() + &chars.by_ref().take(2).collect::<String>(), 8),
        _ => return Err(MALFORMED),
    };
    let code = u32::from_str_radix(&digits, radix).map_err(|_| MALFORMED)?;
    if bytes {
        found.push(u8::try_from(code).map_err(|_| MALFORMED)?);
    } else {
        let c = char::from_u32(code).ok_or(INVALID)?;
        found.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(())
}
