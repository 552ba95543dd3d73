//! The rules that lists, names and configurations of devices share (`pkg/apis/resource/validation`).

use super::super::shared::checks::{complaints, csi_driver_name, text, unplanned};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const MAX_SELECTORS: usize = 32;
/// The most that deciding about one device may cost, by the estimate.
const MAX_COST: u64 = 1_000_000;
const MAX_EXPRESSION: usize = 10 * 1024;
const MAX_PARAMETERS: usize = 10 * 1024;
const MAX_CONFIGS: usize = 32;
const MAX_POOL_NAME: usize = 253;
const MAX_IDENTIFIER: usize = 32;
const MAX_CONDITIONS: usize = 4;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// A check of one item of a list.
pub(super) type Item<'a> = &'a dyn Fn(&Value, &Path) -> ErrorList;

/// Checks every item of a list that is not too long (`validateSlice`).
pub(super) fn list(items: &[Value], max: Option<usize>, path: &Path, item: Item<'_>) -> ErrorList {
    if let Some(max) = max.filter(|max| items.len() > *max) {
        return vec![Error::too_many(path, items.len(), max)];
    }
    let all = items.iter().enumerate();
    all.flat_map(|(i, value)| item(value, &path.index(i))).collect()
}

/// The same for a list whose items differ in `key` (`validateSet`).
pub(super) fn set(
    items: &[Value],
    max: Option<usize>,
    path: &Path,
    item: Item<'_>,
    key: &dyn Fn(&Value) -> String,
) -> ErrorList {
    set_showing(items, max, path, item, key, None)
}

/// The same where the key of a repeated item is shown as `shown` has it, not as text.
pub(super) fn set_showing(
    items: &[Value],
    max: Option<usize>,
    path: &Path,
    item: Item<'_>,
    key: &dyn Fn(&Value) -> String,
    shown: Option<&dyn Fn(&Value) -> String>,
) -> ErrorList {
    let mut errors = list(items, max, path, item);
    if max.is_some_and(|max| items.len() > max) {
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (i, value) in items.iter().enumerate() {
        let key = key(value);
        if !seen.insert(key.clone()) {
            let error = Error::duplicate(&path.index(i), key);
            errors.push(match shown {
                Some(shown) => error.showing(shown(value)),
                None => error,
            });
        }
    }
    errors
}

/// The name of an item.
pub(super) fn name(item: &Value) -> String {
    text(item, &["name"]).to_owned()
}

/// A DNS label, required or not by its own rule.
pub(super) fn label(value: &str, path: &Path) -> ErrorList {
    complaints(path, value, names::dns1123_label(value))
}

/// `validatePoolName`.
pub(super) fn pool_name(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if name.len() > MAX_POOL_NAME {
        errors.push(Error::too_long(path, MAX_POOL_NAME));
    }
    for part in name.split('/') {
        errors.extend(complaints(path, part, names::dns1123_subdomain(part)));
    }
    errors
}

/// A name of an attribute or capacity with an optional domain (`validateQualifiedName`).
pub(super) fn qualified_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => errors.extend(identifier(id, path)),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(Error::invalid(path, "", "the domain must not be empty"));
            } else {
                errors.extend(csi_driver_name(domain, path));
            }
            if id.is_empty() {
                errors.push(Error::invalid(path, "", "the name must not be empty"));
            } else {
                errors.extend(identifier(id, path));
            }
        }
        _ => errors.push(Error::invalid(path, name, "must not contain more than one slash")),
    }
    errors
}

/// The same with a domain (`validateFullyQualifiedName`).
pub(super) fn fully_qualified_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = qualified_name(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, detail));
    }
    errors
}

fn identifier(id: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if id.len() > MAX_IDENTIFIER {
        errors.push(Error::too_long(path, MAX_IDENTIFIER));
    }
    let good = |(i, b): (usize, u8)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit());
    if id.is_empty() || !id.bytes().enumerate().all(good) {
        let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                    alphanumeric characters or '_'";
        let detail = names::regex_error(rule, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]);
        errors.push(Error::invalid(path, id, detail));
    }
    errors
}

/// The selectors of devices, whose expressions must not cost too much (`validateCELSelector`).
pub(super) fn selectors(owner: &Value, path: &Path) -> ErrorList {
    let items = meta::list_at(owner, &["selectors"]);
    list(
        items,
        Some(MAX_SELECTORS),
        &path.child("selectors"),
        &|selector, path| {
            let Some(selector) = selector.get("cel") else {
                return vec![Error::required(&path.child("cel"), "")];
            };
            let expression = text(selector, &["expression"]);
            let path = path.child("cel").child("expression");
            if expression.len() > MAX_EXPRESSION {
                return vec![Error::too_long(&path, MAX_EXPRESSION)];
            }
            match cel::kubernetes::device::compile_selector(expression) {
                Err(detail) => vec![Error::invalid(&path, expression, detail)],
                Ok(program) if program.failing_literal().is_some() => unplanned(&program, &path).into_iter().collect(),
                Ok(program) if program.cost().is_some_and(|cost| cost.max > MAX_COST) => {
                    vec![Error::forbidden(&path, "too complex, exceeds cost limit")]
                }
                Ok(_) => ErrorList::new(),
            }
        },
    )
}

/// The configurations of a class or claim; `item` checks what is particular to the owner.
pub(super) fn configurations(owner: &Value, factor: usize, path: &Path, item: Item<'_>) -> ErrorList {
    let items = meta::list_at(owner, &["config"]);
    list(
        items,
        Some(factor * MAX_CONFIGS),
        &path.child("config"),
        &|config, path| {
            let mut errors = item(config, path);
            let path = path.child("opaque");
            match config.get("opaque") {
                None => errors.push(Error::required(&path, "")),
                Some(opaque) => {
                    errors.extend(csi_driver_name(text(opaque, &["driver"]), &path.child("driver")));
                    errors.extend(raw_object(
                        opaque.get("parameters"),
                        MAX_PARAMETERS,
                        &path.child("parameters"),
                    ));
                }
            }
            errors
        },
    )
}

/// JSON that somebody else understands: an object of limited size (`validateRawExtension`).
pub(super) fn raw_object(value: Option<&Value>, max: usize, path: &Path) -> ErrorList {
    match value {
        None | Some(Value::Null) => vec![Error::required(path, "")],
        Some(value) if value.to_string().len() > max => vec![Error::too_long(path, max)],
        Some(Value::Object(_)) => ErrorList::new(),
        Some(_) => vec![Error::invalid(path, "<value omitted>", "must be a valid JSON object")],
    }
}

/// `validateDeviceTaint`.
pub(super) fn taint(taint: &Value, path: &Path) -> ErrorList {
    let field = |name: &str| text(taint, &[name]);
    let mut errors = complaints(&path.child("key"), field("key"), names::qualified_name(field("key")));
    errors.extend(complaints(
        &path.child("value"),
        field("value"),
        names::label_value(field("value")),
    ));
    match field("effect") {
        "" => errors.push(Error::required(&path.child("effect"), "")),
        known if EFFECTS.contains(&known) => {}
        other => errors.push(Error::not_supported(&path.child("effect"), other, &EFFECTS)),
    }
    errors
}

/// `validateDeviceToleration`.
pub(super) fn toleration(toleration: &Value, path: &Path) -> ErrorList {
    const OPERATORS: [&str; 2] = ["Equal", "Exists"];
    let field = |name: &str| text(toleration, &[name]);
    let (key, value) = (field("key"), field("value"));
    let mut errors = ErrorList::new();
    if !key.is_empty() {
        errors.extend(complaints(&path.child("key"), key, names::qualified_name(key)));
    }
    match field("operator") {
        "Exists" if !value.is_empty() => {
            let detail = "must be empty for operator `Exists`";
            errors.push(Error::invalid(&path.child("value"), value, detail));
        }
        "Exists" => {}
        "Equal" => errors.extend(complaints(&path.child("value"), value, names::label_value(value))),
        "" => errors.push(Error::required(&path.child("operator"), "")),
        other => errors.push(Error::not_supported(&path.child("operator"), other, &OPERATORS)),
    }
    match field("effect") {
        "" => {}
        known if EFFECTS.contains(&known) => {}
        other => errors.push(Error::not_supported(&path.child("effect"), other, &EFFECTS)),
    }
    errors
}

/// The conditions that binding a device waits for, and those that make it fail.
pub(super) fn binding_conditions(owner: &Value, path: &Path) -> ErrorList {
    const LISTS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    let items = |field: &str| meta::list_at(owner, &[field]);
    let mut errors = ErrorList::new();
    for field in LISTS {
        errors.extend(set(
            items(field),
            Some(MAX_CONDITIONS),
            &path.child(field),
            &|condition, path| {
                let condition = condition.as_str().unwrap_or_default();
                complaints(path, condition, names::qualified_name(condition))
            },
            &|condition| condition.as_str().unwrap_or_default().to_owned(),
        ));
    }
    for (field, other) in [(LISTS[0], LISTS[1]), (LISTS[1], LISTS[0])] {
        if items(field).is_empty() && !items(other).is_empty() {
            let detail = format!("{field} are required to use {other}");
            let shown = owner.get(field).cloned().unwrap_or_default();
            errors.push(Error::invalid(&path.child(field), shown, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_domains_and_identifiers() {
        let path = Path::new("n");
        for (name, fine) in [
            ("model", true),
            ("example.com/model", true),
            ("1x", false),
            ("/x", false),
            ("example.com/", false),
            ("a/b/c", false),
        ] {
            assert_eq!(qualified_name(name, &path).is_empty(), fine, "{name}");
        }
        assert_eq!(fully_qualified_name("model", &path).len(), 1);
        assert!(pool_name("a/b.c", &path).is_empty());
    }

    #[test]
    fn tolerations_and_taints() {
        let path = Path::new("t");
        assert!(taint(&json!({"key": "a", "effect": "NoExecute"}), &path).is_empty());
        assert_eq!(taint(&json!({}), &path).len(), 3);
        assert_eq!(toleration(&json!({"operator": "Exists", "value": "x"}), &path).len(), 1);
    }
}
