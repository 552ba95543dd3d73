//! Patches: how single fields of synced objects are rewritten on their way.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// Rewrites the values at a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Patch {
    /// Where. An object that has nothing there is left as it is.
    pub path: Path,
    /// How.
    pub action: Action,
}

/// How a value is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// By JavaScript expressions of `value` and `context`.
    Expression {
        /// From the side that the object comes from; empty leaves the value as it is.
        forward: String,
        /// Back again; empty keeps the value from travelling back.
        reverse: String,
    },
    /// As the name of another object.
    Reference(ObjectReference),
    /// As labels or a label selector.
    Labels,
}

/// Which object a value names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReference {
    /// Its API version.
    pub api_version: String,
    /// Where the value says another API version.
    pub api_version_path: Option<Path>,
    /// Its kind.
    pub kind: String,
    /// Where the value says another kind.
    pub kind_path: Option<Path>,
    /// Where in the value its name is; the value itself when absent.
    pub name_path: Option<Path>,
    /// Where in the value its namespace is; that of the object when absent.
    pub namespace_path: Option<Path>,
}

/// The place of fields in an object, such as `spec.rules[*].host` or `metadata.annotations["example.com/key"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Field(String),
    Item(usize),
    Every,
}

impl Path {
    /// Reads a path; the problem is a clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (segment, after) = if rest.starts_with('[') {
                bracket(rest).ok_or_else(|| {
                    format!("{text:?} has brackets around something other than *, an index or a quoted key")
                })?
            } else {
                let rest = if segments.is_empty() {
                    rest
                } else {
                    rest.strip_prefix('.').unwrap_or(rest)
                };
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let name = &rest[..end];
                if name.is_empty() || name.contains(['"', '\'', ']']) {
                    return Err(format!("{text:?} is no path such as spec.rules[*].host"));
                }
                (Segment::named(name), &rest[end..])
            };
            segments.push(segment);
            rest = after;
        }
        if segments.is_empty() || text.ends_with('.') {
            return Err(format!("{text:?} is no path such as spec.rules[*].host"));
        }
        Ok(Self(segments))
    }

    /// The JSON pointers (RFC 6901) of everything in `value` that the path leads to.
    pub fn pointers(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.0, value, String::new(), &mut found);
        found
    }
}

impl Segment {
    fn named(name: &str) -> Self {
        match name {
            "*" => Segment::Every,
            name => Segment::Field(name.to_owned()),
        }
    }
}

/// `[*]`, `[0]`, `["key"]` or `['key']`, and what comes after it.
fn bracket(text: &str) -> Option<(Segment, &str)> {
    let inner = text.strip_prefix('[')?;
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (key, after) = quoted.split_once(quote)?;
            return Some((Segment::Field(key.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (inner, after) = inner.split_once(']')?;
    let segment = match inner {
        "*" => Segment::Every,
        index => Segment::Item(index.parse().ok()?),
    };
    Some((segment, after))
}

fn collect(path: &[Segment], value: &Value, pointer: String, found: &mut Vec<String>) {
    let Some((segment, rest)) = path.split_first() else {
        found.push(pointer);
        return;
    };
    let mut descend = |token: &str, child: &Value| {
        let token = token.replace('~', "~0").replace('/', "~1");
        collect(rest, child, format!("{pointer}/{token}"), found);
    };
    match (segment, value) {
        (Segment::Field(name), Value::Object(fields)) => {
            if let Some(child) = fields.get(name) {
                descend(name, child);
            }
        }
        (Segment::Item(index), Value::Array(items)) => {
            if let Some(child) = items.get(*index) {
                descend(&index.to_string(), child);
            }
        }
        (Segment::Every, Value::Object(fields)) => fields.iter().for_each(|(name, child)| descend(name, child)),
        (Segment::Every, Value::Array(items)) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, child)| descend(&index.to_string(), child));
        }
        _ => {}
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if name.contains(['.', '[', ']']) => write!(f, "[{name:?}]")?,
                Segment::Field(name) if index > 0 => write!(f, ".{name}")?,
                Segment::Field(name) => f.write_str(name)?,
                Segment::Item(index) => write!(f, "[{index}]")?,
                Segment::Every => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<Value> for Patch {
    type Error = String;

    /// The problem is a clause.
    fn try_from(value: Value) -> Result<Self, String> {
        let written: Written = serde_json::from_value(value).map_err(|error| format!("it is no patch: {error}"))?;
        let path = Path::parse(&written.path).map_err(|problem| format!("path: {problem}"))?;
        let (forward, reverse) = (
            written.expression.unwrap_or_default(),
            written.reverse_expression.unwrap_or_default(),
        );
        let has_expression = !forward.is_empty() || !reverse.is_empty();
        let action = match (has_expression, written.reference, written.labels) {
            (true, None, None) => Action::Expression { forward, reverse },
            (false, Some(reference), None) => Action::Reference(reference.checked()?),
            (false, None, Some(_)) => Action::Labels,
            (false, None, None) => {
                return Err("it needs one of expression, reverseExpression, labels and reference".to_owned());
            }
            _ => {
                return Err(
                    "it can have only one of expression (with reverseExpression), labels and reference".to_owned(),
                );
            }
        };
        Ok(Self { path, action })
    }
}

/// The list under a key named `patches`; the problem is a clause that starts with the number of the patch.
pub(crate) fn check_list(value: &Value) -> Result<(), String> {
    let mut paths: Vec<Path> = Vec::new();
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let patch = Patch::try_from(item.clone()).map_err(|problem| format!("patch {index}: {problem}"))?;
        if let Some(other) = paths.iter().position(|path| *path == patch.path) {
            return Err(format!("patches {other} and {index} have the same path {}", patch.path));
        }
        paths.push(patch.path);
    }
    Ok(())
}

/// A patch as it stands in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    path: String,
    expression: Option<String>,
    reverse_expression: Option<String>,
    reference: Option<WrittenReference>,
    labels: Option<Empty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct WrittenReference {
    api_version: String,
    api_version_path: String,
    kind: String,
    kind_path: String,
    name_path: String,
    namespace_path: String,
}

impl WrittenReference {
    fn checked(self) -> Result<ObjectReference, String> {
        let path = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => Path::parse(text)
                .map(Some)
                .map_err(|problem| format!("reference.{name}: {problem}")),
        };
        if self.kind.is_empty() || self.api_version.is_empty() {
            return Err("reference: apiVersion and kind are needed".to_owned());
        }
        Ok(ObjectReference {
            api_version_path: path("apiVersionPath", &self.api_version_path)?,
            kind_path: path("kindPath", &self.kind_path)?,
            name_path: path("namePath", &self.name_path)?,
            namespace_path: path("namespacePath", &self.namespace_path)?,
            api_version: self.api_version,
            kind: self.kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_fields_items_and_keys() {
        let object = json!({
            "metadata": {"annotations": {"example.com/key": "a", "b": "c"}},
            "spec": {"rules": [{"host": "x"}, {}, {"host": "y"}]},
        });
        let table: [(&str, &[&str]); 7] = [
            ("spec.rules[*].host", &["/spec/rules/0/host", "/spec/rules/2/host"]),
            ("spec.rules.*.host", &["/spec/rules/0/host", "/spec/rules/2/host"]),
            ("spec.rules[2].host", &["/spec/rules/2/host"]),
            (
                "metadata.annotations[\"example.com/key\"]",
                &["/metadata/annotations/example.com~1key"],
            ),
            ("metadata.annotations['b']", &["/metadata/annotations/b"]),
            (
                "metadata.annotations[*]",
                &["/metadata/annotations/b", "/metadata/annotations/example.com~1key"],
            ),
            ("spec.none[*].host", &[]),
        ];
        for (path, expected) in table {
            let mut found = Path::parse(path).unwrap().pointers(&object);
            found.sort();
            assert_eq!(found, expected, "{path}");
            assert!(found.iter().all(|pointer| object.pointer(pointer).is_some()));
        }
        assert_eq!(
            Path::parse("a['b.c'].d[*][3].*").unwrap().to_string(),
            "a[\"b.c\"].d[*][3][*]"
        );
        for wrong in ["", ".", "a.", "a..b", ".a", "a[", "a[b]", "a['b]", "a[-1]", "a]b"] {
            assert!(Path::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn patches_say_what_is_wrong_with_them() {
        let table = [
            (json!([{"path": "a", "expression": "value"}]), None),
            (
                json!([{"path": "a", "labels": {}}, {"path": "b", "reference": {"apiVersion": "v1", "kind": "Secret"}}]),
                None,
            ),
            (json!([{"path": "a"}]), Some("patch 0: it needs one of")),
            (
                json!([{"path": "a", "expression": "v", "labels": {}}]),
                Some("patch 0: it can have only one of"),
            ),
            (json!([{"path": "a[", "labels": {}}]), Some("patch 0: path: \"a[\"")),
            (
                json!([{"path": "a", "labels": {}}, {"path": "['a']", "labels": {}}]),
                Some("patches 0 and 1 have the same path a"),
            ),
            (
                json!([{"path": "a", "reference": {"kind": "Secret"}}]),
                Some("patch 0: reference: apiVersion and kind"),
            ),
            (
                json!([{"path": "a", "expr": "v"}]),
                Some("patch 0: it is no patch: unknown field `expr`"),
            ),
            (json!([7]), Some("patch 0: it is no patch")),
        ];
        for (list, problem) in table {
            let result = check_list(&list);
            match problem {
                None => assert_eq!(result, Ok(()), "{list}"),
                Some(problem) => assert!(
                    result.as_ref().is_err_and(|error| error.starts_with(problem)),
                    "{list}: {result:?}"
                ),
            }
        }
    }
}
