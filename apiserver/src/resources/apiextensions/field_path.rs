//! Paths to fields of a schema (apiextensions-apiserver `ValidFieldPath`).

use super::super::shared::checks::text;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::BTreeSet;

const MAX_SELECTABLE: usize = 8;
const UNKNOWN: &str = "does not refer to a valid field";
const CUT_OFF: &str = "unexpected end of JSON path";

/// What a path leads to: its parts and the schema of the last.
pub(super) fn follow<'a>(
    path: &str,
    mut schema: &'a Value,
    brackets: bool,
) -> Result<(Vec<String>, &'a Value), String> {
    let mut parts = Vec::new();
    let mut tokens = tokens(path).into_iter();
    while let Some(token) = tokens.next() {
        let part = match token {
            "." => tokens.next().ok_or(CUT_OFF)?.to_owned(),
            "[" if !brackets => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(CUT_OFF)?;
                let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let inner = inner.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                match tokens.next().ok_or(CUT_OFF)? {
                    "]" => inner.replace("\\'", "'"),
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        let properties = schema
            .get("properties")
            .filter(|p| p.as_object().is_some_and(|p| !p.is_empty()));
        schema = match (properties, schema.get("additionalProperties")) {
            (Some(properties), _) => properties.get(&part).ok_or(UNKNOWN)?,
            (None, Some(schema)) => schema,
            (None, None) => return Err(UNKNOWN.to_owned()),
        };
        parts.push(part);
    }
    Ok((parts, schema))
}

/// Splits a path into dots, brackets and what is between them.
fn tokens(path: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let end = if rest.starts_with('\'') {
            let bytes = rest.as_bytes();
            let closing = (1..bytes.len()).find(|&i| bytes[i] == b'\'' && bytes[i - 1] != b'\\');
            closing.map_or(rest.len(), |i| i + 1)
        } else {
            rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1)
        };
        let (token, remaining) = rest.split_at(end);
        tokens.push(token);
        rest = remaining;
    }
    tokens
}

/// `ValidateCustomResourceSelectableFields`.
pub(super) fn selectable(fields: &[Value], schema: &Value, may_be_many: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let path = path.index(i).child("jsonPath");
        let json_path = text(field, &["jsonPath"]);
        if json_path.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let (parts, schema) = match follow(json_path, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if parts.first().is_some_and(|part| part == "metadata") {
            errors.push(Error::invalid(&path, json_path, "must not point to fields in metadata"));
        }
        if !["string", "boolean", "integer"].contains(&text(schema, &["type"])) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(Error::invalid(&path, json_path, detail));
        }
        if !seen.insert(parts) {
            errors.push(Error::duplicate(&path, json_path));
        }
    }
    if seen.len() > MAX_SELECTABLE && !may_be_many {
        errors.push(Error::too_many(path, seen.len(), MAX_SELECTABLE));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_followed_through_properties_and_maps() {
        let schema = json!({"properties": {"a.b": {"additionalProperties": {"type": "string"}}}});
        for (path, expected) in [
            ("['a.b'].x", Ok("string")),
            (".nope", Err("does not refer to a valid field")),
            ("nope", Err("expected [ or . but got: nope")),
            ("['a.b'", Err("unexpected end of JSON path")),
            ("[a]", Err("expected single quoted string but got a")),
        ] {
            let found = follow(path, &schema, true).map(|(_, schema)| text(schema, &["type"]));
            assert_eq!(found, expected.map_err(str::to_owned), "{path}");
        }
    }

    #[test]
    fn selectable_fields_are_scalars_outside_of_metadata() {
        let schema = json!({"properties": {"spec": {"properties": {"a": {"type": "string"}, "o": {"type": "object"}}},
            "metadata": {"properties": {"name": {"type": "string"}}}}});
        let fields = [".spec.a", ".spec.a", ".spec.o", ".metadata.name", ".spec['a']"];
        let fields = fields.map(|path| json!({"jsonPath": path}));
        let errors = selectable(&fields, &schema, false, &Path::new("f"));
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "f[1].jsonPath: Duplicate value: \".spec.a\"",
                "f[2].jsonPath: Invalid value: \".spec.o\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "f[3].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata",
                "f[4].jsonPath: Invalid value: \".spec['a']\": is an invalid path: array notation is not allowed",
            ]
        );
    }
}
