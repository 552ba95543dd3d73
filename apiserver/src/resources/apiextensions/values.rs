//! Whether values fit a schema (k8s.io/kube-openapi `pkg/validation/validate`, with the field errors that
//! apiextensions-apiserver makes of its complaints).

use super::super::shared::checks::text;
use super::formats;
use super::internal::fields;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

/// A value that is checked: where it is, and its name in messages.
#[derive(Clone)]
pub(super) struct Place {
    /// Where the whole value is, of which this is a part: complaints about schemas as a whole go there.
    root: Path,
    path: Path,
    name: String,
}

impl Place {
    /// The whole value.
    pub(super) fn root(path: &Path) -> Place {
        Place {
            root: path.clone(),
            path: path.clone(),
            name: String::new(),
        }
    }

    fn child(&self, name: &str) -> Place {
        let named = if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.name)
        };
        Place {
            root: self.root.clone(),
            path: self.path.child(name),
            name: named,
        }
    }

    fn index(&self, index: usize) -> Place {
        // An item of the whole value has a dot before its index, as upstream puts the path together.
        let path = match self.name.as_str() {
            "" => self.path.child(&format!("[{index}]")),
            _ => self.path.index(index),
        };
        Place {
            root: self.root.clone(),
            path,
            name: format!("{}[{index}]", self.name),
        }
    }

    fn invalid(&self, value: impl Into<Value>, what: &str) -> Error {
        Error::invalid(&self.path, value, format!("{} in body {what}", self.name))
    }

    fn wrong_type(&self, shown: &str, wanted: &str, value: &str) -> Error {
        let detail = format!("{} in body must be of type {wanted}: {value:?}", self.name);
        Error::type_invalid(&self.path, shown, detail)
    }

    fn general(&self, what: String) -> Error {
        Error::invalid(&self.root, "", what)
    }
}

fn is_true(schema: &Value, field: &str) -> bool {
    meta::bool_at(schema, &[field]) == Some(true)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// All that keeps a value from fitting.
pub(super) fn check(value: &Value, schema: &Value, place: &Place, errors: &mut ErrorList) {
    if value.is_null() && is_true(schema, "nullable") {
        return;
    }
    let (actual, wanted) = (kind_of(value), text(schema, &["type"]));
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match wanted {
        // Upstream's form of the schema says nothing about values that are numbers or texts.
        "" => true,
        "number" => ["integer", "number"].contains(&actual),
        "integer" => actual == "integer" || actual == "number" && whole,
        wanted => wanted == actual,
    };
    if !fits {
        errors.push(place.wrong_type(actual, wanted, actual));
    }
    junctors(value, schema, place, errors);
    match value {
        Value::String(text) => string(text, schema, place, errors),
        Value::Number(_) if ["", "integer", "number"].contains(&wanted) => number(value, schema, place, errors),
        Value::Array(items) => list(items, schema, place, errors),
        _ => {}
    }
    known(value, schema, place, errors);
    if value.is_object() {
        object(value, schema, place, errors);
    }
}

/// `allOf`, `anyOf`, `oneOf` and `not`; of alternatives that all fail, the first says why.
fn junctors(value: &Value, schema: &Value, place: &Place, errors: &mut ErrorList) {
    let each = |field: &str| -> Vec<ErrorList> {
        let alternatives = meta::list_at(schema, &[field]).iter();
        let failures = alternatives.map(|alternative| {
            let mut failures = ErrorList::new();
            check(value, alternative, place, &mut failures);
            failures
        });
        failures.collect()
    };
    let name = &place.name;
    let any = each("anyOf");
    if !any.is_empty() && !any.iter().any(Vec::is_empty) {
        errors.push(place.general(format!("\"{name}\" must validate at least one schema (anyOf)")));
        errors.extend(any.into_iter().next().unwrap_or_default());
    }
    let one = each("oneOf");
    let valid = one.iter().filter(|failures| failures.is_empty()).count();
    if !one.is_empty() && valid != 1 {
        let found = if valid == 0 {
            "Found none valid".to_owned()
        } else {
            format!("Found {valid} valid alternatives")
        };
        errors.push(place.general(format!(
            "\"{name}\" must validate one and only one schema (oneOf). {found}"
        )));
        if valid == 0 {
            errors.extend(one.into_iter().next().unwrap_or_default());
        }
    }
    let all = each("allOf");
    let valid = all.iter().filter(|failures| failures.is_empty()).count();
    if valid != all.len() {
        let none = if valid == 0 { ". None validated" } else { "" };
        errors.extend(all.into_iter().flatten());
        errors.push(place.general(format!("\"{name}\" must validate all the schemas (allOf){none}")));
    }
    if let Some(not) = schema.get("not") {
        let mut failures = ErrorList::new();
        check(value, not, place, &mut failures);
        if failures.is_empty() {
            errors.push(place.general(format!("\"{name}\" must not validate the schema (not)")));
        }
    }
}

fn known(value: &Value, schema: &Value, place: &Place, errors: &mut ErrorList) {
    let known = meta::list_at(schema, &["enum"]);
    if known.is_empty() || known.contains(value) {
        return;
    }
    let shown: Vec<String> = known
        .iter()
        .map(|known| known.as_str().map_or_else(|| known.to_string(), str::to_owned))
        .collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    errors.push(Error::not_supported(&place.path, value.clone(), &shown));
}

fn size(schema: &Value, field: &str) -> Option<usize> {
    meta::i64_at(schema, &[field]).map(|size| usize::try_from(size).unwrap_or_default())
}

fn string(value: &str, schema: &Value, place: &Place, errors: &mut ErrorList) {
    let length = value.chars().count();
    if let Some(max) = size(schema, "maxLength").filter(|max| length > *max) {
        errors.push(Error::too_long(&place.path, max));
    }
    if let Some(min) = size(schema, "minLength").filter(|min| length < *min) {
        errors.push(place.invalid(value, &format!("should be at least {min} chars long")));
    }
    let pattern = text(schema, &["pattern"]);
    if !pattern.is_empty() && !cel::regex::matches(pattern, value) {
        errors.push(place.invalid(value, &format!("should match '{pattern}'")));
    }
    let format = text(schema, &["format"]);
    if ["", "string"].contains(&text(schema, &["type"])) && !formats::fits(format, value) {
        errors.push(place.wrong_type(value, format, value));
    }
}

fn number(value: &Value, schema: &Value, place: &Place, errors: &mut ErrorList) {
    let Some(found) = value.as_f64() else {
        return;
    };
    if text(schema, &["type"]) == "integer" {
        let format = text(schema, &["format"]);
        let small = i32::MIN.into()..=i32::MAX.into();
        let why = match format {
            "int32" if !small.contains(&found) => "with format int32",
            _ if found.fract() != 0.0 => "(default format)",
            _ => "",
        };
        if !why.is_empty() {
            let what = format!("Checked value must be of type integer {why} in {}", place.name);
            errors.push(place.general(what));
        }
    }
    let bound = |field: &str| schema.get(field).filter(|bound| bound.is_number());
    for (field, exclusive, above) in [
        ("maximum", "exclusiveMaximum", true),
        ("minimum", "exclusiveMinimum", false),
    ] {
        let Some(limit) = bound(field) else { continue };
        let exclusive = is_true(schema, exclusive);
        let Some(at) = limit.as_f64() else { continue };
        let wrong = if above { found > at } else { found < at } || exclusive && found == at;
        if wrong {
            let side = if above { "less" } else { "greater" };
            let or_equal = if exclusive { "" } else { " or equal to" };
            errors.push(place.invalid(value.clone(), &format!("should be {side} than{or_equal} {limit}")));
        }
    }
    if let Some(factor) = bound("multipleOf")
        && let Some(by) = factor.as_f64().filter(|by| *by > 0.0)
        && (found / by).fract() != 0.0
    {
        errors.push(place.invalid(value.clone(), &format!("should be a multiple of {factor}")));
    }
}

fn list(items: &[Value], schema: &Value, place: &Place, errors: &mut ErrorList) {
    let none = Value::Null;
    let of = schema.get("items").unwrap_or(&none);
    for (i, item) in items.iter().enumerate() {
        check(item, of, &place.index(i), errors);
    }
    if let Some(min) = size(schema, "minItems").filter(|min| items.len() < *min) {
        errors.push(place.invalid(items.len(), &format!("should have at least {min} items")));
    }
    if let Some(max) = size(schema, "maxItems").filter(|max| items.len() > *max) {
        errors.push(Error::too_many(&place.path, items.len(), max));
    }
}

fn object(value: &Value, schema: &Value, place: &Place, errors: &mut ErrorList) {
    let count = fields(Some(value)).count();
    if let Some(min) = size(schema, "minProperties").filter(|min| count < *min) {
        errors.push(place.invalid(count, &format!("should have at least {min} properties")));
    }
    if let Some(max) = size(schema, "maxProperties").filter(|max| count > *max) {
        errors.push(Error::too_many(&place.path, count, max));
    }
    for name in meta::list_at(schema, &["required"]).iter().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            errors.push(Error::required(&place.path.child(name), ""));
        }
    }
    for (name, value) in fields(Some(value)) {
        let property = meta::at(schema, &["properties", name]);
        if let Some(schema) = property.or(schema.get("additionalProperties")) {
            check(value, schema, &place.child(name), errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_fit_their_schema() {
        for (value, schema, expected) in [
            (json!("ab"), json!({"type": "string", "pattern": "^a"}), vec![]),
            (
                json!("b"),
                json!({"type": "string", "pattern": "^a", "minLength": 2}),
                vec![
                    "v: Invalid value: \"b\":  in body should be at least 2 chars long",
                    "v: Invalid value: \"b\":  in body should match '^a'",
                ],
            ),
            (
                json!(12),
                json!({"type": "integer", "maximum": 10, "multipleOf": 5}),
                vec![
                    "v: Invalid value: 12:  in body should be less than or equal to 10",
                    "v: Invalid value: 12:  in body should be a multiple of 5",
                ],
            ),
            (
                json!(0),
                json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
                vec!["v: Invalid value: 0:  in body should be greater than 0"],
            ),
            (
                json!({"a": [1]}),
                json!({"type": "object", "properties": {"a": {"type": "array", "minItems": 2, "items": {"type": "string"}}},
                    "required": ["b"]}),
                vec![
                    "v.b: Required value",
                    "v.a[0]: Invalid value: \"integer\": a[0] in body must be of type string: \"integer\"",
                    "v.a: Invalid value: 1: a in body should have at least 2 items",
                ],
            ),
            (
                json!("x"),
                json!({"type": "string", "anyOf": [{"enum": ["a"]}, {"pattern": "^b"}]}),
                vec![
                    "v: Invalid value: \"\": \"\" must validate at least one schema (anyOf)",
                    "v: Unsupported value: \"x\": supported values: \"a\"",
                ],
            ),
            (
                json!(1.5),
                json!({"type": "integer"}),
                vec![
                    "v: Invalid value: \"number\":  in body must be of type integer: \"number\"",
                    "v: Invalid value: \"\": Checked value must be of type integer (default format) in ",
                ],
            ),
            (
                json!("x"),
                json!({"type": "string", "format": "date-time"}),
                vec!["v: Invalid value: \"x\":  in body must be of type date-time: \"x\""],
            ),
            (json!(true), json!({"x-kubernetes-int-or-string": true}), vec![]),
        ] {
            let mut errors = ErrorList::new();
            check(&value, &schema, &Place::root(&Path::new("v")), &mut errors);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{value}");
        }
    }
}
