//! YAML bodies: read as upstream reads them (sigs.k8s.io/yaml), by way of JSON, with its texts for what is wrong.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Type;
use super::decode::{self, DecodeError, Decoded};

/// Repeated keys beyond this many are not looked up one by one.
const MAX_REPEATED: usize = 20;

/// More open brackets than this are refused. The scanner looks at all of them for every token, so that a text of nothing but
/// brackets would take it hours; upstream's own limit is 10000.
const MAX_OPEN: usize = 1000;

/// What is wrong with a YAML text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError(String);

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for YamlError {}

/// Refuses texts that are nested deeper than any object, before they are given to a YAML parser. Brackets in texts count, too:
/// what is in quotes is not known before.
///
/// # Errors
/// When there are too many open brackets.
pub fn check_nesting(text: &[u8]) -> Result<(), YamlError> {
    let mut open = 0_usize;
    for byte in text {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => continue,
        }
        if open > MAX_OPEN {
            return Err(YamlError(format!("yaml: exceeded max depth of {MAX_OPEN}")));
        }
    }
    Ok(())
}

/// Reads the first document of a YAML text. Repeated keys are reported, and the last one wins.
///
/// # Errors
/// When the text is no YAML.
pub fn parse(text: &[u8]) -> Result<Decoded, YamlError> {
    check_nesting(text)?;
    let repeated = Repeated::default();
    let value = read(text, &repeated).map_err(|error| syntax_error(&error))?;
    let count = repeated.seen.get().min(MAX_REPEATED);
    // The reader tells a place only with an error, so each repeated key is read again to fail at it.
    let lines: Vec<String> = (0..count).filter_map(|index| find_repeated(text, index)).collect();
    let strict = if lines.is_empty() {
        Vec::new()
    } else {
        vec![format!("yaml: unmarshal errors:\n{}", lines.join("\n"))]
    };
    Ok(Decoded { value, strict })
}

/// Decodes a YAML text into an object of type `ty`.
///
/// # Errors
/// When the text is no YAML or a field has the wrong type.
pub fn decode(text: &[u8], ty: &Type) -> Result<Decoded, DecodeError> {
    let parsed = parse(text).map_err(|error| DecodeError::Type(error.to_string()))?;
    let decoded = decode::decode_value(&parsed.value, ty)?;
    let strict = parsed.strict.into_iter().chain(decoded.strict).collect();
    Ok(Decoded {
        value: decoded.value,
        strict,
    })
}

fn read(text: &[u8], repeated: &Repeated) -> Result<Value, serde_yaml::Error> {
    match serde_yaml::Deserializer::from_slice(text).next() {
        None => Ok(Value::Null),
        Some(document) => Tree { repeated }.deserialize(document),
    }
}

/// The message of upstream's YAML parser: a line only where it is not the first, counted as that parser counts.
fn syntax_error(error: &serde_yaml::Error) -> YamlError {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or(&text);
    let problem = problem.split(" at position ").next().unwrap_or(problem);
    let index = error.location().map_or(0, |location| location.line().saturating_sub(1));
    // Grammar errors are reported one line further up than those of the scanner.
    let is_grammar = [
        "did not find expected node content",
        "did not find expected key",
        "did not find expected '-'",
    ]
    .iter()
    .any(|start| problem.starts_with(start))
        || problem.starts_with("did not find expected ',' or");
    YamlError(match (index, is_grammar) {
        (0, _) => format!("yaml: {problem}"),
        (index, true) => format!("yaml: line {index}: {problem}"),
        (index, false) => format!("yaml: line {}: {problem}", index + 1),
    })
}

/// Upstream's line about the repeated key with this number.
fn find_repeated(text: &[u8], index: usize) -> Option<String> {
    let repeated = Repeated {
        fail_at: Some(index),
        ..Repeated::default()
    };
    let error = read(text, &repeated).err()?;
    let line = error.location()?.line();
    let key = repeated.key.take();
    Some(format!(
        "  line {line}: key {} already set in map",
        crate::field::go_quote(&key)
    ))
}

/// What is known about repeated keys while reading.
#[derive(Default)]
struct Repeated {
    seen: Cell<usize>,
    /// The number of the one to fail at.
    fail_at: Option<usize>,
    /// The key that failed.
    key: Cell<String>,
}

/// Reads any value.
#[derive(Clone, Copy)]
struct Tree<'r> {
    repeated: &'r Repeated,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("json: unsupported value: {value}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = access.next_key_seed(Key {
            repeated: self.repeated,
            seen: &mut seen,
        })? {
            fields.insert(key, access.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

/// Reads a key, which becomes text if it is a number or a boolean, and notices when it is repeated.
struct Key<'s, 'r> {
    repeated: &'r Repeated,
    seen: &'s mut BTreeSet<String>,
}

impl Key<'_, '_> {
    /// Fails where the reader still knows the place.
    fn take<E: serde::de::Error>(self, key: String) -> Result<String, E> {
        if !self.seen.insert(key.clone()) {
            let index = self.repeated.seen.replace(self.repeated.seen.get() + 1);
            if self.repeated.fail_at == Some(index) {
                self.repeated.key.set(key);
                return Err(E::custom("repeated key"));
            }
        }
        Ok(key)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar as map key")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<String, E> {
        self.take(value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<String, E> {
        self.take(value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<String, E> {
        self.take(value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<String, E> {
        self.take(value.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        self.take(value.to_owned())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<String, E> {
        self.take("null".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::by_gvk;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_as_its_json() {
        for (text, expected) in [
            (
                "a: b\nc: [1, 2.5, true, null]\n",
                json!({"a": "b", "c": [1, 2.5, true, null]}),
            ),
            ("1: x\ntrue: y\n", json!({"1": "x", "true": "y"})),
            ("a: &x {b: c}\nd: *x\n", json!({"a": {"b": "c"}, "d": {"b": "c"}})),
            ("a: 1\n---\nb: 2\n", json!({"a": 1})),
            ("", json!(null)),
            (r#"{"json": "too"}"#, json!({"json": "too"})),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().value, expected, "{text}");
        }
    }

    #[test]
    fn errors_read_as_upstreams() {
        for (text, expected) in [
            ("a: b: c: [", "yaml: mapping values are not allowed in this context"),
            ("a: [", "yaml: line 1: did not find expected node content"),
            (
                "a: 1\nb: c: d\n",
                "yaml: line 2: mapping values are not allowed in this context",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_told_with_their_lines() {
        let config_map = by_gvk("", "v1", "ConfigMap").unwrap();
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: d\ndata:\n  a: b\n  a: c\n  a: d\nfoo: 1\n";
        let decoded = decode(text.as_bytes(), config_map).unwrap();
        assert_eq!(decoded.value["data"], json!({"a": "d"}));
        let expected = [
            "yaml: unmarshal errors:\n  line 7: key \"a\" already set in map\n  line 8: key \"a\" already set in map",
            "unknown field \"foo\"",
        ];
        assert_eq!(decoded.strict, expected);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-c:\\[\\]{}\\-&*!|>'\"#, \n0-9]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
