//! Base64 as Go's `base64.StdEncoding` reads it: line breaks are skipped, errors tell the offset.

/// Decodes `text`.
///
/// # Errors
/// The offset of the first byte that does not belong.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, usize> {
    let text = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    let skip_breaks = |mut at: usize| {
        while let Some(b'\n' | b'\r') = text.get(at) {
            at += 1;
        }
        at
    };
    loop {
        let mut quantum = [0_u8; 4];
        let mut filled = 0;
        let mut padded = false;
        while filled < 4 {
            at = skip_breaks(at);
            let Some(&byte) = text.get(at) else {
                return if filled == 0 { Ok(out) } else { Err(at - filled) };
            };
            at += 1;
            if let Some(six_bits) = six_bits(byte) {
                quantum[filled] = six_bits;
                filled += 1;
                continue;
            }
            if byte != b'=' || filled < 2 {
                return Err(at - 1);
            }
            if filled == 2 {
                at = skip_breaks(at);
                match text.get(at) {
                    None => return Err(text.len()),
                    Some(b'=') => at += 1,
                    Some(_) => return Err(at - 1),
                }
            }
            padded = true;
            break;
        }
        let bits = quantum.iter().fold(0_u32, |bits, six| bits << 6 | u32::from(*six));
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[1..filled]);
        if padded {
            at = skip_breaks(at);
            return if at < text.len() { Err(at) } else { Ok(out) };
        }
    }
}

fn six_bits(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    #[test]
    fn errors_tell_the_offset() {
        for (text, expected) in [
            ("aGk=", Ok(b"hi".to_vec())),
            ("aG\nk=\n", Ok(b"hi".to_vec())),
            ("", Ok(Vec::new())),
            ("aGk", Err(0)),
            ("not base64!", Err(3)),
            ("aGk=x", Err(4)),
            ("aG=", Err(3)),
            ("aG=x", Err(2)),
            ("=", Err(0)),
        ] {
            assert_eq!(decode_base64(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode_base64(&STANDARD.encode(&bytes)), Ok(bytes));
        }
    }
}
