//! YAML bodies become JSON.

use bytes::Bytes;
use machinery::schema::decode::Decoded;
use machinery::schema::yaml::parse;

/// JSON for a YAML text, with the complaints of strict decoding: repeated keys.
///
/// # Errors
/// What is wrong with the text, in the words of upstream's parser.
pub fn to_json(body: &[u8]) -> Result<(Bytes, Vec<String>), String> {
    let Decoded { value, strict } = parse(body).map_err(|error| error.to_string())?;
    let json = serde_json::to_vec(&value).map_err(|error| format!("yaml: {error}"))?;
    Ok((json.into(), strict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json() {
        let (json, findings) = to_json(b"a: 1\nb: [x, true]\n1: {c: null}\n").unwrap();
        assert_eq!(&json[..], br#"{"1":{"c":null},"a":1,"b":["x",true]}"#);
        assert!(findings.is_empty());
        let (json, findings) = to_json(b"metadata:\n  name: x\ndata:\n  a: b\n  a: c\n").unwrap();
        assert_eq!(&json[..], br#"{"data":{"a":"c"},"metadata":{"name":"x"}}"#);
        assert_eq!(
            findings,
            ["yaml: unmarshal errors:\n  line 5: key \"a\" already set in map"]
        );
    }
}
