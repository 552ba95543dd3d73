//! Conditions of the common form (apimachinery `pkg/apis/meta/v1/validation`, `ValidateConditions`).

use super::checks::{complaints, one_of, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

/// Checks a list of conditions.
pub(crate) fn validate(conditions: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        let kind = text(condition, &["type"]);
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        errors.extend(validate_one(condition, &path));
    }
    errors
}

fn validate_one(condition: &Value, path: &Path) -> ErrorList {
    let field = |name: &str| text(condition, &[name]);
    let kind = field("type");
    let mut errors = complaints(&path.child("type"), kind, names::qualified_name(kind));
    errors.extend(one_of(field("status"), &STATUSES, &path.child("status")));
    if let Some(generation) = meta::i64_at(condition, &["observedGeneration"])
        && generation < 0
    {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    if field("lastTransitionTime").is_empty() {
        errors.push(Error::required(&path.child("lastTransitionTime"), ""));
    }
    let reason = field("reason");
    if reason.is_empty() {
        errors.push(Error::required(&path.child("reason"), ""));
    } else {
        errors.extend(complaints(&path.child("reason"), reason, malformed_reason(reason)));
    }
    if field("message").len() > MAX_MESSAGE {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE));
    }
    errors
}

fn malformed_reason(reason: &str) -> Vec<String> {
    let bytes = reason.as_bytes();
    let starts = bytes.first().is_some_and(u8::is_ascii_alphabetic);
    let ends = bytes.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if !(starts && ends && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_,:".contains(b))) {
        return vec![names::regex_error(
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
            "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
            &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
        )];
    }
    if reason.len() > MAX_REASON {
        return vec![names::max_bytes(MAX_REASON)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_complete_and_unique() {
        let good =
            json!({"type": "Ready", "status": "True", "lastTransitionTime": "t", "reason": "A,B", "message": ""});
        let path = Path::new("c");
        assert!(validate(std::slice::from_ref(&good), &path).is_empty());
        let fields = |list: &[Value]| validate(list, &path).into_iter().map(|e| e.field).collect::<Vec<_>>();
        assert_eq!(fields(&[good.clone(), good]), ["c[1].type"]);
        assert_eq!(
            fields(&[json!({"type": "", "status": "Foo", "observedGeneration": -1, "reason": "1"})])[1..],
            [
                "c[0].type",
                "c[0].status",
                "c[0].observedGeneration",
                "c[0].lastTransitionTime",
                "c[0].reason"
            ]
        );
    }
}
