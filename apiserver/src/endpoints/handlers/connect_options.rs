//! The options of connections as objects, for admission: `PodExecOptions` and its like are read from the query
//! (apimachinery `runtime.parameterCodec`, kubernetes `pkg/apis/core/v1` conversions of `url.Values`).

use crate::filters::request_info::query_pairs;
use machinery::gvk::GroupVersionKind;
use serde_json::{Value, json};

/// What a parameter becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Present means true, except for `false` and `0`.
    Flag,
    Text,
    Texts,
    Numbers,
    /// The path behind the subresource, whatever the query says.
    Path,
}

use Field::{Flag, Numbers, Path, Text, Texts};

const STREAMS: [(&str, Field); 5] = [
    ("stdin", Flag),
    ("stdout", Flag),
    ("stderr", Flag),
    ("tty", Flag),
    ("container", Text),
];

fn fields(kind: &str) -> Vec<(&'static str, Field)> {
    match kind {
        "PodExecOptions" => STREAMS.into_iter().chain([("command", Texts)]).collect(),
        "PodAttachOptions" => STREAMS.to_vec(),
        "PodPortForwardOptions" => vec![("ports", Numbers)],
        _ => vec![("path", Path)],
    }
}

/// The options of a kind that a query holds; what is empty is left out. `path` is what follows the subresource.
///
/// # Errors
/// Why a parameter cannot be read.
pub(super) fn read(kind: &GroupVersionKind, query: &str, path: &str) -> Result<Value, String> {
    let mut options = json!({"kind": kind.kind, "apiVersion": kind.api_version()});
    for (name, field) in fields(&kind.kind) {
        let mut given = query_pairs(query)
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value);
        let value = match field {
            Flag => given
                .next()
                .map(|text| text.to_ascii_lowercase())
                .is_some_and(|text| text != "false" && text != "0")
                .then_some(Value::Bool(true)),
            Text => given.next().filter(|text| !text.is_empty()).map(Value::String),
            // Upstream encodes commands also when there are none.
            Texts => {
                Some(given.collect::<Vec<_>>()).map(|texts| if texts.is_empty() { Value::Null } else { json!(texts) })
            }
            Numbers => {
                let texts = given.collect::<Vec<_>>();
                let each = texts.iter().flat_map(|text| text.split(','));
                let numbers = each.map(number).collect::<Result<Vec<u16>, _>>()?;
                (!numbers.is_empty()).then(|| json!(numbers))
            }
            Path => (!path.is_empty()).then(|| json!(path)),
        };
        if let Some(value) = value {
            options[name] = value;
        }
    }
    Ok(options)
}

/// A port (apimachinery `Convert_Slice_string_To_Slice_int32`).
fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let problem = if digits { "value out of range" } else { "invalid syntax" };
        let text = machinery::field::go_quote(text);
        format!("cannot convert to []int32: strconv.ParseUint: parsing {text}: {problem}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_become_objects() {
        for (kind, query, path, expected) in [
            (
                "PodExecOptions",
                "command=sh&command=-c&stdin=true&tty=0&stdout=&container=c",
                "",
                json!({"stdin": true, "stdout": true, "container": "c", "command": ["sh", "-c"]}),
            ),
            ("PodExecOptions", "stderr=False", "", json!({"command": null})),
            ("PodAttachOptions", "command=x&tty=1", "", json!({"tty": true})),
            (
                "PodPortForwardOptions",
                "ports=80&ports=443,8080",
                "",
                json!({"ports": [80, 443, 8080]}),
            ),
            ("PodPortForwardOptions", "", "", json!({})),
            ("ServiceProxyOptions", "path=x&a=b", "/y/", json!({"path": "/y/"})),
            ("NodeProxyOptions", "", "", json!({})),
        ] {
            let mut expected = expected;
            expected["kind"] = kind.into();
            expected["apiVersion"] = "v1".into();
            let found = read(&GroupVersionKind::new("", "v1", kind), query, path);
            assert_eq!(found.unwrap(), expected, "{kind} {query}");
        }
        let kind = GroupVersionKind::new("", "v1", "PodPortForwardOptions");
        for (query, expected) in [
            (
                "ports=x",
                "cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "ports=65536",
                "cannot convert to []int32: strconv.ParseUint: parsing \"65536\": value out of range",
            ),
        ] {
            assert_eq!(read(&kind, query, "").unwrap_err(), expected);
        }
    }
}
