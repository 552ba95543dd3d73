//! Small checks and readers that the rules of many kinds are made of.

use super::internal;
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;

/// What upstream says about a number below zero.
pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";

/// The text at a path; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    meta::str_at(value, path).unwrap_or_default()
}

/// One error for every complaint about a value.
pub(crate) fn complaints(path: &Path, value: impl Into<Value>, found: Vec<String>) -> ErrorList {
    let value = value.into();
    found
        .into_iter()
        .map(|detail| Error::invalid(path, value.clone(), detail))
        .collect()
}

/// Complaints about a text that is absent or, by `rule`, malformed.
pub(crate) fn required(path: &Path, value: &str, rule: fn(&str) -> Vec<String>) -> ErrorList {
    if value.is_empty() {
        vec![Error::required(path, "")]
    } else {
        complaints(path, value, rule(value))
    }
}

/// A complaint about a field that is absent or empty.
pub(crate) fn present(owner: &Value, field: &str, path: &Path) -> Option<Error> {
    let empty = match owner.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    };
    empty.then(|| Error::required(&path.child(field), ""))
}

/// A complaint about a number that is below zero.
pub(crate) fn non_negative(owner: &Value, field: &str, path: &Path) -> Option<Error> {
    let number = meta::i64_at(owner, &[field])?;
    (number < 0).then(|| Error::invalid(&path.child(field), number, NEGATIVE))
}

/// A complaint about a text that is none of the known ones, which upstream lists sorted.
pub(crate) fn one_of(value: &str, known: &[&str], path: &Path) -> Option<Error> {
    (!known.contains(&value)).then(|| Error::not_supported(path, value, known))
}

/// A complaint about a text that is present and none of the known ones.
pub(crate) fn one_of_if_set(owner: &Value, field: &str, known: &[&str], path: &Path) -> Option<Error> {
    let value = meta::str_at(owner, &[field])?;
    one_of(value, known, &path.child(field))
}

/// A complaint about a value that has changed (`ValidateImmutableField`).
pub(crate) fn immutable(new: Option<&Value>, old: Option<&Value>, path: &Path) -> Option<Error> {
    let shown = || Error::invalid(path, new.cloned().unwrap_or_default(), "field is immutable");
    (!same(new, old)).then(shown)
}

/// Whether two values mean the same: absent and empty do.
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    a.filter(|v| !empty(v)) == b.filter(|v| !empty(v))
}

/// A complaint about a label selector as a whole.
pub(crate) fn invalid_selector(path: &Path, selector: &Value, detail: impl Into<String>) -> Error {
    Error::invalid(path, selector.clone(), detail).showing(internal::selector(selector))
}

/// A complaint about a number that was raised once and may not sink (`IsDecremented`).
pub(crate) fn not_decremented(new: &Value, old: &Value, field: &str, path: &Path) -> Option<Error> {
    let was = meta::i64_at(old, &[field])?;
    let is = meta::i64_at(new, &[field]);
    let sinks = is.is_none_or(|is| is < was);
    sinks.then(|| Error::invalid(&path.child(field), is.unwrap_or_default(), "cannot be decremented"))
}

/// apimachinery `IsDomainPrefixedPath`.
pub(crate) fn domain_prefixed_path(value: &str, path: &Path) -> ErrorList {
    if value.is_empty() {
        return vec![Error::required(path, "")];
    }
    let parts = value
        .split_once('/')
        .filter(|(host, rest)| !host.is_empty() && !rest.is_empty());
    let Some((host, rest)) = parts else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![Error::invalid(path, value, detail)];
    };
    let mut errors = complaints(path, host, names::dns1123_subdomain(host));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(allowed) {
        let rule = names::regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        errors.push(Error::invalid(path, rest, rule));
    }
    errors
}

/// The amounts of a list of resources, by name.
pub(crate) fn amounts<'a>(owner: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a str, Quantity)> {
    meta::map_at(owner, path)
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| Some((name.as_str(), Quantity::parse(amount.as_str()?).ok()?)))
}

/// A reference to a Secret in some namespace (`validatePVSecretReference`).
pub(crate) fn secret_reference(reference: &Value, path: &Path) -> ErrorList {
    let mut errors = required(
        &path.child("name"),
        text(reference, &["name"]),
        names::dns1123_subdomain,
    );
    errors.extend(required(
        &path.child("namespace"),
        text(reference, &["namespace"]),
        names::dns1123_label,
    ));
    errors
}

/// The name of a CSI driver (`ValidateCSIDriverName`).
pub(crate) fn csi_driver_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    if name.len() > 63 {
        errors.push(Error::too_long(path, 63));
    }
    errors.extend(complaints(path, name, names::dns1123_subdomain(&name.to_lowercase())));
    errors
}

/// The complaint about an expression that fails before it is evaluated, in upstream's words.
pub(crate) fn unplanned(program: &cel::Program, path: &Path) -> Option<Error> {
    let failure = program.failing_literal()?;
    Some(Error::internal(
        path,
        format!("program instantiation failed: {failure}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_check_has_upstreams_words() {
        let path = Path::new("spec");
        let owner = json!({"n": -1, "empty": "", "kind": "Foo"});
        for (error, expected) in [
            (present(&owner, "empty", &path), Some("spec.empty: Required value")),
            (present(&owner, "kind", &path), None),
            (
                non_negative(&owner, "n", &path),
                Some("spec.n: Invalid value: -1: must be greater than or equal to 0"),
            ),
            (
                one_of_if_set(&owner, "kind", &["A", "B"], &path),
                Some(r#"spec.kind: Unsupported value: "Foo": supported values: "A", "B""#),
            ),
            (one_of_if_set(&owner, "absent", &["A"], &path), None),
            (immutable(Some(&json!({})), None, &path), None),
            (
                immutable(Some(&json!("a")), None, &path),
                Some("spec: Invalid value: \"a\": field is immutable"),
            ),
        ] {
            assert_eq!(error.map(|e| e.to_string()).as_deref(), expected);
        }
        assert_eq!(csi_driver_name("", &path).len(), 1);
        assert_eq!(secret_reference(&json!({}), &path).len(), 2);
    }
}
