//! The selectors that access reviews ask about: which are refused, and which no authorizer could heed
//! (kubernetes `pkg/apis/authorization/validation` and `pkg/registry/authorization/util/helpers.go`).

use machinery::field::{Error, ErrorList, Path};
use machinery::selector::{field, label};
use machinery::{meta, names};
use serde_json::Value;

/// The fields of ResourceAttributes that hold selectors, in the order in which they are checked.
const FIELDS: [(&str, Kind); 2] = [("fieldSelector", Kind::Field), ("labelSelector", Kind::Label)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Field,
    Label,
}

/// What is wrong with the selectors of a resource; unknown operators are left to newer servers.
pub(super) fn problems(resource: &Value) -> ErrorList {
    let path = Path::new("spec").child("resourceAttributes");
    let mut errors = ErrorList::new();
    for (name, kind) in FIELDS {
        let Some(selector) = resource.get(name).filter(|selector| !selector.is_null()) else {
            continue;
        };
        let path = path.child(name);
        let raw = meta::str_at(selector, &["rawSelector"]).unwrap_or_default();
        let requirements = meta::list_at(selector, &["requirements"]);
        if !raw.is_empty() && !requirements.is_empty() {
            let detail = "may not specified at the same time as requirements";
            errors.push(Error::invalid(&path.child("rawSelector"), raw, detail));
        }
        let list = path.child("requirements");
        if raw.is_empty() && requirements.is_empty() {
            let detail = format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(Error::required(&list, detail));
        }
        for (i, requirement) in requirements.iter().enumerate() {
            errors.extend(requirement_problems(kind, requirement, &list.index(i)));
        }
    }
    errors
}

/// `ValidateFieldSelectorRequirement` and `ValidateLabelSelectorRequirement`.
fn requirement_problems(kind: Kind, requirement: &Value, path: &Path) -> ErrorList {
    let (key, operator, values) = parts(requirement);
    let mut errors = ErrorList::new();
    if kind == Kind::Field && key.is_empty() {
        errors.push(Error::required(&path.child("key"), "must be specified"));
    }
    let list = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&list, detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&list, detail));
        }
        _ => {}
    }
    if kind == Kind::Label {
        let invalid = |path: Path, value: &str, found: Vec<String>| {
            let each = found.into_iter().map(move |why| Error::invalid(&path, value, why));
            each.collect::<ErrorList>()
        };
        errors.extend(invalid(path.child("key"), key, names::qualified_name(key)));
        for (i, value) in values.iter().enumerate() {
            errors.extend(invalid(list.index(i), value, names::label_value(value)));
        }
    }
    errors
}

/// What the answer says about selectors that cannot be read (`BuildEvaluationError`).
pub(super) fn evaluation_error(resource: &Value) -> Option<String> {
    let said = FIELDS.into_iter().filter_map(|(name, kind)| {
        let partially = match Reading::of(kind, resource.get(name)?) {
            Reading::Whole => return None,
            Reading::Part => "partially ",
            Reading::Nothing => "",
        };
        Some(format!(
            "spec.resourceAttributes.{name} {partially}ignored due to parse error"
        ))
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// How much of a selector can be read.
enum Reading {
    Whole,
    Part,
    Nothing,
}

impl Reading {
    fn of(kind: Kind, selector: &Value) -> Self {
        let requirements = meta::list_at(selector, &["requirements"]);
        if requirements.is_empty() {
            let raw = meta::str_at(selector, &["rawSelector"]).unwrap_or_default();
            let readable = match kind {
                Kind::Field => field::Selector::parse(raw).is_ok(),
                Kind::Label => label::Selector::parse(raw).is_ok(),
            };
            return if readable { Reading::Whole } else { Reading::Nothing };
        }
        match requirements.iter().filter(|one| is_readable(kind, one)).count() {
            0 => Reading::Nothing,
            read if read < requirements.len() => Reading::Part,
            _ => Reading::Whole,
        }
    }
}

fn is_readable(kind: Kind, requirement: &Value) -> bool {
    let (_, operator, values) = parts(requirement);
    match (kind, operator) {
        (Kind::Field, "In" | "NotIn") => values.len() == 1,
        // What is malformed besides has been refused before.
        (Kind::Label, "In" | "NotIn" | "Exists" | "DoesNotExist") => true,
        _ => false,
    }
}

fn parts(requirement: &Value) -> (&str, &str, Vec<&str>) {
    let text = |name: &str| meta::str_at(requirement, &[name]).unwrap_or_default();
    let values = meta::list_at(requirement, &["values"]).iter();
    let values = values.map(|value| value.as_str().unwrap_or_default()).collect();
    (text("key"), text("operator"), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requirements_are_checked_one_by_one() {
        let texts = |resource: Value| problems(&resource).iter().map(ToString::to_string).collect::<Vec<_>>();
        let field = "spec.resourceAttributes.fieldSelector";
        let label = "spec.resourceAttributes.labelSelector";
        assert_eq!(
            texts(json!({"fieldSelector": {"rawSelector": "a=b", "requirements": [{"operator": "In"}]}})),
            [
                format!(
                    "{field}.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements"
                ),
                format!("{field}.requirements[0].key: Required value: must be specified"),
                format!(
                    "{field}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
                ),
            ]
        );
        assert_eq!(
            texts(json!({"labelSelector": {"requirements": [{"key": "k", "operator": "Exists", "values": ["v"]}]}})),
            [format!(
                "{label}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )]
        );
        assert_eq!(
            texts(json!({"labelSelector": {}})),
            [format!(
                "{label}.requirements: Required value: when {label} is specified, requirements or rawSelector is required"
            )]
        );
        assert_eq!(
            texts(json!({"labelSelector": {"requirements": [{"key": "a b", "operator": "Odd"}]}})).len(),
            1
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let odd = json!({"key": "k", "operator": "Odd"});
        let good = json!({"key": "k", "operator": "In", "values": ["v"]});
        for (resource, expected) in [
            (json!({}), None),
            (json!({"fieldSelector": {"requirements": [good]}}), None),
            (json!({"fieldSelector": {"rawSelector": "a=b"}}), None),
            (
                json!({"fieldSelector": {"requirements": [good, odd]}, "labelSelector": {"requirements": [odd]}}),
                Some(
                    "spec.resourceAttributes.fieldSelector partially ignored due to parse error; \
                     spec.resourceAttributes.labelSelector ignored due to parse error",
                ),
            ),
            (
                json!({"fieldSelector": {"requirements": [{"key": "k", "operator": "Exists"}]}}),
                Some("spec.resourceAttributes.fieldSelector ignored due to parse error"),
            ),
            (
                json!({"labelSelector": {"rawSelector": "a in ("}}),
                Some("spec.resourceAttributes.labelSelector ignored due to parse error"),
            ),
        ] {
            assert_eq!(evaluation_error(&resource).as_deref(), expected, "{resource}");
        }
    }
}
