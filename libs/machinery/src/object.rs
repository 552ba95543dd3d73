//! Objects as they are kept and served: raw JSON with a small parsed index.

use crate::gvk::GroupVersionKind;
use crate::meta;
use crate::schema::{Text, json};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;
use std::sync::Arc;

/// An object in the bytes it is served in, with what selectors need to know about it. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Stored {
    /// JSON including `metadata.resourceVersion`.
    pub bytes: Bytes,
    /// The revision that wrote it: its resourceVersion.
    pub revision: u64,
    /// The parsed part.
    pub index: Arc<Index>,
}

/// What selectors, preconditions and keys need of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.labels`, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The values of the kind's selectable fields, in the order in which the kind declares them.
    pub fields: Box<[(Text, Box<str>)]>,
}

/// The function that reads a selectable field.
pub type FieldReader = fn(&Value) -> String;

/// The fields besides `metadata.name` and `metadata.namespace` that selectors may use.
#[derive(Clone)]
pub enum Selectable {
    /// Those of a built-in kind: a dotted path each, with the function that reads it.
    Builtin(&'static [(&'static str, FieldReader)]),
    /// Those of a kind that is defined at run time.
    Custom(Arc<[CustomField]>),
}

/// A selectable field of a kind that is defined at run time.
pub struct CustomField {
    /// The dotted path.
    pub path: Text,
    /// Reads it.
    pub read: Box<dyn Fn(&Value) -> String + Send + Sync>,
}

impl Selectable {
    /// No fields.
    pub const NONE: Selectable = Selectable::Builtin(&[]);

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Selectable::Builtin(fields) => fields.is_empty(),
            Selectable::Custom(fields) => fields.is_empty(),
        }
    }

    /// Whether there is a field of this path.
    pub fn contains(&self, path: &str) -> bool {
        match self {
            Selectable::Builtin(fields) => fields.iter().any(|(known, _)| *known == path),
            Selectable::Custom(fields) => fields.iter().any(|field| *field.path == *path),
        }
    }

    fn read(&self, object: &Value) -> Box<[(Text, Box<str>)]> {
        match self {
            Selectable::Builtin(fields) => {
                let read = |(path, read): &(&'static str, FieldReader)| (Text::Static(path), read(object).into());
                fields.iter().map(read).collect()
            }
            Selectable::Custom(fields) => {
                let read = |field: &CustomField| (field.path.clone(), (field.read)(object).into());
                fields.iter().map(read).collect()
            }
        }
    }
}

impl From<&'static [(&'static str, FieldReader)]> for Selectable {
    fn from(fields: &'static [(&'static str, FieldReader)]) -> Self {
        Selectable::Builtin(fields)
    }
}

impl std::fmt::Debug for Selectable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Selectable::Builtin(fields) => f.debug_list().entries(fields.iter().map(|(path, _)| path)).finish(),
            Selectable::Custom(fields) => f.debug_list().entries(fields.iter().map(|field| &field.path)).finish(),
        }
    }
}

impl Index {
    /// Reads the index of an object.
    pub fn of(object: &Value, selectable: &Selectable) -> Self {
        let text = |field: &str| meta::str_at(object, &["metadata", field]).unwrap_or_default().into();
        let labels = match object.pointer("/metadata/labels") {
            Some(Value::Object(map)) => {
                let mut pairs: Vec<(Box<str>, Box<str>)> = map
                    .iter()
                    .filter_map(|(k, v)| Some((k.as_str().into(), v.as_str()?.into())))
                    .collect();
                pairs.sort();
                pairs.into_boxed_slice()
            }
            _ => Box::default(),
        };
        Index {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            labels,
            fields: selectable.read(object),
        }
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .binary_search_by(|(k, _)| k.as_ref().cmp(key))
            .ok()
            .map(|i| self.labels[i].1.as_ref())
    }

    /// A selectable field's value; `None` when the kind has no such field.
    pub fn field(&self, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(p, _)| **p == *path).map(|(_, v)| v.as_ref()),
        }
    }
}

impl Stored {
    /// The object as a tree.
    ///
    /// # Errors
    /// When the bytes are not JSON, which means that the store is damaged.
    pub fn decode(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }

    /// The same object under another revision, as the event of a deletion carries it.
    #[must_use]
    pub fn at_revision(&self, revision: u64) -> Self {
        let old = format!("\"resourceVersion\":\"{}\"", self.revision);
        let at = metadata_start(&self.bytes).filter(|at| self.bytes[*at..].starts_with(old.as_bytes()));
        let bytes = match at {
            Some(at) => {
                let new = format!("\"resourceVersion\":\"{revision}\"");
                [&self.bytes[..at], new.as_bytes(), &self.bytes[at + old.len()..]]
                    .concat()
                    .into()
            }
            None => self.bytes.clone(),
        };
        Stored {
            bytes,
            revision,
            index: self.index.clone(),
        }
    }
}

/// The fields that come first in a stored object, in order: with kind and version in front, an item of a list, which has
/// neither, is a cut of the stored bytes.
const LEADING: [&str; 3] = ["kind", "apiVersion", "metadata"];

/// An object as JSON, type first.
pub fn to_bytes(obj: &Value) -> Bytes {
    let mut out = BytesMut::with_capacity(512).writer();
    // Writing a tree to memory cannot fail: its keys are strings and the buffer grows.
    let Value::Object(fields) = obj else {
        json::write(&mut out, obj).unwrap_or_default();
        return out.into_inner().freeze();
    };
    let leading = LEADING.iter().filter_map(|name| Some((*name, fields.get(*name)?)));
    let others = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v))
        .filter(|(k, _)| !LEADING.contains(k));
    let mut separator = b'{';
    for (name, value) in leading.chain(others) {
        out.get_mut().put_u8(separator);
        serde_json::to_writer(&mut out, name).unwrap_or_default();
        out.get_mut().put_u8(b':');
        json::write(&mut out, value).unwrap_or_default();
        separator = b',';
    }
    let mut out = out.into_inner();
    if separator == b'{' {
        out.put_u8(b'{');
    }
    out.put_u8(b'}');
    out.freeze()
}

/// The bytes with which every stored value of a resource begins.
pub fn type_prefix(kind: &GroupVersionKind) -> String {
    format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",",
        kind.kind,
        kind.api_version()
    )
}

/// Puts `metadata.resourceVersion` into the JSON of a stored object, which does not contain one, without parsing all of
/// it. `None` when the text is no JSON object with a `metadata` object in it.
pub fn with_resource_version(stored: &[u8], revision: u64) -> Option<Bytes> {
    let at = metadata_start(stored)?;
    let empty = stored[at..].iter().find(|b| !b.is_ascii_whitespace())? == &b'}';
    let insert = format!("\"resourceVersion\":\"{revision}\"{}", if empty { "" } else { "," });
    let mut out = BytesMut::with_capacity(stored.len() + insert.len());
    out.extend_from_slice(&stored[..at]);
    out.extend_from_slice(insert.as_bytes());
    out.extend_from_slice(&stored[at..]);
    Some(out.freeze())
}

/// The offset just behind the `{` of the top-level `metadata` field.
fn metadata_start(json: &[u8]) -> Option<usize> {
    let (mut depth, mut i) = (0usize, 0usize);
    let mut key_at_top: Option<(usize, usize)> = None;
    while i < json.len() {
        match json[i] {
            b'"' => {
                let start = i + 1;
                i = string_end(json, start)?;
                key_at_top = (depth == 1).then_some((start, i));
            }
            b':' if depth == 1 => {
                let is_metadata = key_at_top.take().is_some_and(|(a, b)| &json[a..b] == b"metadata");
                if is_metadata {
                    let open = i + 1 + json[i + 1..].iter().position(|b| !b.is_ascii_whitespace())?;
                    return (json[open] == b'{').then_some(open + 1);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        i += 1;
    }
    None
}

/// The offset of the closing quote of a string that starts at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut i = start;
    while i < json.len() {
        match json[i] {
            b'\\' => i += 2,
            b'"' => return Some(i),
            _ => i += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resource_version_is_spliced_into_the_top_level_metadata() {
        for (stored, expected) in [
            (
                r#"{"metadata":{"name":"a"}}"#,
                r#"{"metadata":{"resourceVersion":"7","name":"a"}}"#,
            ),
            (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"7"}}"#),
            (
                r#"{"data":{"metadata":{"x":"\"}{"}},"kind":"metadata", "metadata" : {"name":"a"}}"#,
                r#"{"data":{"metadata":{"x":"\"}{"}},"kind":"metadata", "metadata" : {"resourceVersion":"7","name":"a"}}"#,
            ),
        ] {
            let got = with_resource_version(stored.as_bytes(), 7).unwrap();
            assert_eq!(std::str::from_utf8(&got).unwrap(), expected);
        }
        for damaged in [
            "",
            "{",
            "[]",
            r#"{"metadata":1}"#,
            r#"{"metadata"#,
            "}}}",
            r#"{"metadata":"#,
        ] {
            assert_eq!(with_resource_version(damaged.as_bytes(), 7), None, "{damaged}");
        }
    }

    #[test]
    fn a_deletion_shows_the_last_state_under_its_own_revision() {
        let bytes = with_resource_version(br#"{"data":{"resourceVersion":"7"},"metadata":{"name":"p"}}"#, 7).unwrap();
        let deleted = Stored {
            bytes,
            revision: 7,
            index: Arc::default(),
        }
        .at_revision(12);
        assert_eq!(deleted.revision, 12);
        let expected = br#"{"data":{"resourceVersion":"7"},"metadata":{"resourceVersion":"12","name":"p"}}"#;
        assert_eq!(&deleted.bytes[..], expected);
    }

    #[test]
    fn types_come_first() {
        let obj = json!({"apiVersion": "v1", "data": {"a": "b"}, "kind": "ConfigMap", "metadata": {"name": "x"}});
        let text = to_bytes(&obj);
        assert_eq!(
            &text[..],
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":"b"}}"#
        );
        assert!(text.starts_with(type_prefix(&GroupVersionKind::new("", "v1", "ConfigMap")).as_bytes()));
        assert_eq!(&to_bytes(&json!({}))[..], b"{}");
        assert_eq!(&to_bytes(&json!([1]))[..], b"[1]");
    }

    #[test]
    fn index_reads_what_selectors_need() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"b": "2", "a": "1"}},
            "spec": {"nodeName": "x"}});
        let node_name: FieldReader = |o| {
            crate::meta::str_at(o, &["spec", "nodeName"])
                .unwrap_or_default()
                .to_owned()
        };
        let fields: Arc<[CustomField]> = Arc::new([CustomField {
            path: Text::from("spec.nodeName"),
            read: Box::new(node_name),
        }]);
        let index = Index::of(&pod, &Selectable::Custom(fields));
        assert_eq!(index.label("a"), Some("1"));
        assert_eq!(index.label("c"), None);
        assert_eq!(index.field("spec.nodeName"), Some("x"));
        assert_eq!(index.field("metadata.namespace"), Some("n"));
        assert_eq!(index.field("spec.other"), None);
    }
}
