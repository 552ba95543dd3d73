//! YAML bodies: read as upstream reads them (sigs.k8s.io/yaml on go.yaml.in/yaml/v2), by way of JSON, with its texts for what
//! is wrong.

mod nodes;
mod pitfalls;
mod scalar;
mod value;

use std::fmt;

use super::Type;
use super::decode::{self, DecodeError, Decoded};

/// More open brackets than this are refused. The scanner looks at all of them for every token, so that a text of nothing but
/// brackets would take it hours; upstream's own limit is 10000.
const MAX_OPEN: usize = 1000;

/// Nesting beyond this is refused, too; it bounds the stack.
const MAX_DEPTH: usize = 200;

/// What upstream says before the lines of repeated keys.
const REPEATED: &str = "yaml: unmarshal errors:\n";

/// What is wrong with a YAML text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError(String);

impl YamlError {
    fn new(why: impl fmt::Display) -> Self {
        YamlError(format!("yaml: {why}"))
    }

    /// With the line on which it is, counted from 0; the first is left out, as upstream does.
    fn at(line: u64, why: impl fmt::Display) -> Self {
        match line {
            0 => Self::new(why),
            _ => Self::new(format_args!("line {line}: {why}")),
        }
    }

    fn too_deep(limit: usize) -> Self {
        Self::new(format_args!("exceeded max depth of {limit}"))
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for YamlError {}

/// Refuses texts that are nested deeper than any object, before they are given to a YAML parser. Brackets in texts count, too:
/// what is in quotes is not known before.
fn check_nesting(text: &[u8]) -> Result<(), YamlError> {
    let mut open = 0_usize;
    for byte in text {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => continue,
        }
        if open > MAX_OPEN {
            return Err(YamlError::too_deep(MAX_OPEN));
        }
    }
    Ok(())
}

/// Reads the first document of a YAML text. Repeated keys are reported as one finding, and the last one wins.
///
/// # Errors
/// When the text is no YAML.
pub fn parse(text: &[u8]) -> Result<Decoded, YamlError> {
    check_nesting(text)?;
    let text = std::str::from_utf8(text).map_err(|_| YamlError::new("invalid leading UTF-8 octet"))?;
    let document = nodes::Document::read(text, pitfalls::check(text)?)?;
    let (value, lines) = value::of(&document)?;
    let strict = if lines.is_empty() {
        Vec::new()
    } else {
        let lines: Vec<String> = lines.into_iter().map(|line| format!("  {line}")).collect();
        vec![format!("{REPEATED}{}", lines.join("\n"))]
    };
    Ok(Decoded { value, strict })
}

/// A finding as warnings: of repeated keys, every line is one (k8s.io/apiserver `parseYAMLWarnings`).
pub fn warnings(finding: &str) -> Vec<&str> {
    match finding.strip_prefix(REPEATED) {
        Some(lines) => lines.split('\n').map(str::trim).collect(),
        None => vec![finding],
    }
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
            ("1: x\ntrue: y\n", json!({"1": "x", "true": true})),
            (
                "n: no\n'y': [yes, \"on\", Off, ~, '~']\n",
                json!({"false": false, "y": [true, "on", false, null, "~"]}),
            ),
            (
                "a: 0x1F\nb: 017\nc: 1_000\nd: 08\ne: 1e3\nf: .5\ng: 2020-01-01\nh: 1:30\ni: 18446744073709551615\n",
                json!({"a": 31, "b": 15, "c": 1000, "d": 8, "e": 1000, "f": 0.5, "g": "2020-01-01", "h": "1:30",
                    "i": 18_446_744_073_709_551_615_u64}),
            ),
            (
                "a: !!str 5\nb: !!int \"5\"\nc: !x 5\nd: !!binary YWJj\n",
                json!({"a": "5", "b": 5, "c": "5", "d": "abc"}),
            ),
            (
                "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [{b: 4}, *x]}\n",
                json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 4, "c": 2}}),
            ),
            ("a: 1\n...\n[", json!({"a": 1})),
            ("a: {b: 1}\na: {c: 2}\n", json!({"a": {"c": 2}})),
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
            ("a:\n  b: 1\n c: 2\n", "yaml: line 2: did not find expected key"),
            ("a: *b\n", "yaml: unknown anchor 'b' referenced"),
            ("a: &x [*x]\n", "yaml: anchor 'x' value contains itself"),
            (
                "a: {{ .Values.x }}\n",
                r#"yaml: invalid map key: map[interface {}]interface {}{".Values.x":interface {}(nil)}"#,
            ),
            ("a: !!int x\n", "yaml: cannot decode !!str `x` as a !!int"),
            (
                "<<: 1\n",
                "yaml: map merge requires map or sequence of maps as the value",
            ),
            ("a: .nan\n", "json: unsupported value: NaN"),
            ("a: \u{1}", "yaml: control characters are not allowed"),
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

    #[test]
    fn repeated_keys_are_warned_of_one_by_one() {
        let text = "a:\n  x: 1\na:\n  z: {b: 1, b: 2}\n1: c\n1: d\n";
        let decoded = parse(text.as_bytes()).unwrap();
        assert_eq!(decoded.value, json!({"a": {"z": {"b": 2}}, "1": "d"}));
        assert_eq!(
            warnings(&decoded.strict[0]),
            [
                "line 4: key \"b\" already set in map",
                "line 4: key \"a\" already set in map",
                "line 6: key 1 already set in map"
            ]
        );
        assert_eq!(warnings("unknown field \"a\""), ["unknown field \"a\""]);
    }

    #[test]
    fn expansion_and_depth_are_bounded() {
        let mut chain = String::from("a0: &a0 [x]\n");
        for i in 1..2000 {
            chain += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
        }
        assert!(parse(chain.as_bytes()).is_err());
        let nested = "- ".repeat(5000);
        assert!(parse(nested.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-c:\\[\\]{}\\-&*!|>'\"#%<~?@`.\\\\ux, \t\r\n0-9é\u{2028}\u{85}]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
