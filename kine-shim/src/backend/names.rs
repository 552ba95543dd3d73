//! How keys are written in column `name`.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Name of the row that belongs to kine itself.
pub const COMPACT_ROW: &[u8] = b"compact_rev_key";
/// Name under which the key `compact_rev_key` is stored, since kine needs that name for itself.
const COMPACT_KEY: &[u8] = b"compact_rev_key_apiserver";

/// A stored name: text where that is possible, so that people can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// Stored as TEXT.
    Text(&'a [u8]),
    /// Stored as BLOB.
    Blob(&'a [u8]),
}

/// The stored form of a key.
pub fn encode(key: &[u8]) -> Name<'_> {
    match key {
        COMPACT_ROW => Name::Text(COMPACT_KEY),
        // The one text that is taken already, so the key of that name becomes a BLOB.
        COMPACT_KEY => Name::Blob(key),
        _ if std::str::from_utf8(key).is_ok() => Name::Text(key),
        _ => Name::Blob(key),
    }
}

/// The key a stored name stands for, `None` for kine's own row.
pub fn decode(name: Name<'_>) -> Option<&[u8]> {
    match name {
        Name::Text(COMPACT_ROW) => None,
        Name::Text(COMPACT_KEY) => Some(COMPACT_ROW),
        Name::Text(key) | Name::Blob(key) => Some(key),
    }
}

/// What the names of keys begin with that a column of text cannot hold.
const RAW: &str = "raw-";

/// The stored form of a key where column `name` holds text only, of which `fits` says whether the column can hold it. Any
/// other key goes to a column of bytes, and its name is a digest, since kine wants names to be there and different.
pub fn encode_text(key: &[u8], fits: impl Fn(&str) -> bool) -> (Cow<'_, str>, Option<&[u8]>) {
    let text = match encode(key) {
        Name::Text(text) => std::str::from_utf8(text).ok(),
        Name::Blob(_) => None,
    };
    match text.filter(|text| !text.contains('\0') && !text.starts_with(RAW) && fits(text)) {
        Some(text) => (Cow::Borrowed(text), None),
        None => {
            let digest = Sha256::digest(key);
            let hex = digest.iter().map(|byte| format!("{byte:02x}"));
            (
                Cow::Owned(RAW.chars().map(String::from).chain(hex).collect()),
                Some(key),
            )
        }
    }
}

/// The key that a name and the column of bytes stand for, `None` for kine's own row.
pub fn decode_text<'a>(name: &'a str, raw: Option<&'a [u8]>) -> Option<&'a [u8]> {
    match raw {
        Some(key) => Some(key),
        None => decode(Name::Text(name.as_bytes())),
    }
}

/// Takes apart a value of the API server's compaction key as kine packs it: the version, a bar, the value. Before kine
/// knew values it stored the version alone.
pub fn unpack(value: &[u8]) -> (i64, Cow<'_, [u8]>) {
    let number = |digits: &[u8]| {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1)
    };
    match value.iter().position(|byte| *byte == b'|') {
        Some(bar) => (number(&value[..bar]), Cow::Borrowed(&value[bar + 1..])),
        None => (number(value), Cow::Borrowed(b"0")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_people_read_stay_text() {
        assert_eq!(encode(b"/registry/pods/a"), Name::Text(b"/registry/pods/a"));
        assert_eq!(encode(b"\xff"), Name::Blob(b"\xff"));
    }

    #[test]
    fn the_compaction_key_does_not_collide_with_kines_own_row() {
        assert_eq!(decode(Name::Text(COMPACT_ROW)), None);
        assert_eq!(encode(COMPACT_ROW), Name::Text(COMPACT_KEY));
        assert_eq!(encode(COMPACT_KEY), Name::Blob(COMPACT_KEY));
        assert_eq!(decode_text("compact_rev_key", None), None);
        assert_eq!(encode_text(COMPACT_ROW, |_| true).0, "compact_rev_key_apiserver");
        assert_eq!(encode_text(COMPACT_KEY, |_| true).1, Some(COMPACT_KEY));
    }

    #[test]
    fn packed_values_come_apart() {
        assert_eq!(unpack(b"7|1234"), (7, Cow::Borrowed(&b"1234"[..])));
        assert_eq!(unpack(b"7|a|b"), (7, Cow::Borrowed(&b"a|b"[..])));
        assert_eq!(unpack(b"7"), (7, Cow::Borrowed(&b"0"[..])));
    }

    proptest! {
        #[test]
        fn every_key_survives(key in proptest::collection::vec(any::<u8>(), 1..40)) {
            prop_assert_eq!(decode(encode(&key)), Some(key.as_slice()));
            let (name, raw) = encode_text(&key, |text| text.is_ascii() && text.len() < 20);
            prop_assert!(!name.contains('\0') && name.is_ascii());
            prop_assert_eq!(decode_text(&name, raw), Some(key.as_slice()));
        }
    }
}
