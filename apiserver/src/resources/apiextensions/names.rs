//! The names of the kind that a definition adds (`ValidateCustomResourceDefinitionNames`).

use super::super::shared::checks::text;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::names::dns1035_label;
use serde_json::Value;

/// Checks the names that are there.
pub(super) fn validate(names: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, mixed_case) in [
        ("plural", false),
        ("singular", false),
        ("kind", true),
        ("listKind", true),
    ] {
        let name = text(names, &[field]);
        if !name.is_empty() {
            errors.extend(label(name, mixed_case, &path.child(field)));
        }
    }
    let list = |field: &str, errors: &mut ErrorList| {
        for (i, name) in meta::list_at(names, &[field]).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            errors.extend(label(name, false, &path.child(field).index(i)));
        }
    };
    list("shortNames", &mut errors);
    let (kind, list_kind) = (text(names, &["kind"]), text(names, &["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(Error::invalid(&path.child("listKind"), list_kind, detail));
    }
    list("categories", &mut errors);
    errors
}

/// A complaint about a label that is malformed, all at once.
pub(super) fn label(name: &str, mixed_case: bool, path: &Path) -> Option<Error> {
    let (found, prefix) = if mixed_case {
        let prefix = "may have mixed case, but should otherwise match: ";
        (dns1035_label(&name.to_lowercase()), prefix)
    } else {
        (dns1035_label(name), "")
    };
    let detail = || format!("{prefix}{}", found.join(","));
    (!found.is_empty()).then(|| Error::invalid(path, name, detail()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_labels_and_kinds_may_have_capitals() {
        let names = json!({"plural": "Ws", "kind": "W", "listKind": "W", "shortNames": ["ok"]});
        let errors = validate(&names, &Path::new("n"));
        let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["n.plural", "n.listKind"]);
    }
}
