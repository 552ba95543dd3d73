//! JSON as bytes and as trees. Generic code is compiled anew in every crate that calls it, as that crate is optimised; these
//! two are compiled once, for speed.

use serde_json::Value;

/// Parses one JSON document.
///
/// # Errors
/// It is none.
#[inline(never)]
pub fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes)
}

/// Writes a tree in its shortest form.
#[inline(never)]
pub fn write(value: &Value) -> Vec<u8> {
    // A tree has only strings as keys, and a vector takes everything: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = json!({"a": [1, -2.5, "ü\n", null, true], "b": {}});
        assert_eq!(parse(&write(&value)).ok(), Some(value));
        assert!(parse(b"{").is_err());
    }
}
