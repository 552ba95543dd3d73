//! What the copies of virtual objects are called on the host: joined name parts that fit a DNS label.

use sha2::{Digest, Sha256};

/// Longest name, label key or label value that is used as it is, in bytes.
pub const MAX_LENGTH: usize = 63;
/// Bytes of the joined parts that survive in front of the digest.
pub const KEPT: usize = 52;
/// Hex digits of the digest in a shortened name.
const DIGITS: usize = 10;

/// Joins parts with `-`; a result of more than 63 bytes is cut and ends in a digest of the whole.
pub fn safe_concat(parts: &[&str]) -> String {
    let joined = parts.join("-");
    if joined.len() <= MAX_LENGTH {
        return joined;
    }
    let digest = hex_digest(joined.as_bytes());
    let cut = (0..=KEPT)
        .rev()
        .find(|index| joined.is_char_boundary(*index))
        .unwrap_or(0);
    format!("{}-{}", &joined[..cut], &digest[..DIGITS]).replace(".-", "-")
}

/// A name of 14 characters: `v` and the first 13 base-36 digits of the digest of the joined parts.
pub fn short_digest(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("-").as_bytes());
    let encoded = base36(&digest);
    format!("v{}", encoded.get(..13).unwrap_or(&encoded))
}

/// The SHA-256 of some bytes as lower-case hex.
pub fn hex_digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Big-endian base 36 with one `0` per leading zero byte.
fn base36(bytes: &[u8]) -> String {
    const DIGIT: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 36) as u8;
            carry /= 36;
        }
        while carry > 0 {
            digits.push((carry % 36) as u8);
            carry /= 36;
        }
    }
    std::iter::repeat_n('0', zeros)
        .chain(digits.iter().rev().map(|digit| char::from(DIGIT[*digit as usize])))
        .collect()
}
