//! ValidatingAdmissionPolicies.

use super::super::shared::checks::{complaints, one_of_if_set, text};
use super::super::shared::status::{Metadata, Status};
use super::super::shared::{cells, conditions};
use super::policy::Expressions;
use super::{Configuration, policy};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::MetadataChecks;
use cel::kubernetes::admission::Purpose;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION: usize = 5 * 1024;
const NEITHER: &str = "validations or auditAnnotations must contain at least one item";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Validations",
            "integer",
            "Validations indicates the number of validation rules defined in this configuration",
        ),
        policy::PARAM_KIND,
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            meta::list_at(obj, &["spec", "validations"]).len().into(),
            policy::param_kind_cell(obj),
            cells::age(obj, now),
        ]
    },
};

/// `validateValidatingAdmissionPolicySpec`.
fn validate(new: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let old = old.and_then(|old| old.get("spec"));
    let (mut errors, expressions) = policy::policy(spec, old, false, &path);
    let validations = meta::list_at(spec, &["validations"]);
    let annotations = meta::list_at(spec, &["auditAnnotations"]);
    let annotations_path = path.child("auditAnnotations");
    if validations.is_empty() && annotations.is_empty() {
        errors.push(Error::required(&path.child("validations"), NEITHER));
        errors.push(Error::required(&annotations_path, NEITHER));
    }
    for (i, obj) in validations.iter().enumerate() {
        errors.extend(validation(obj, &expressions, &path.child("validations").index(i)));
    }
    if annotations.len() > MAX_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(Error::invalid(&annotations_path, annotations.to_vec(), detail));
    }
    let mut seen = BTreeSet::new();
    for (i, obj) in annotations.iter().enumerate() {
        let path = annotations_path.index(i);
        errors.extend(annotation(obj, meta::name(new), &expressions, &path));
        let key = text(obj, &["key"]);
        if !seen.insert(key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
    }
    errors
}

fn validation(validation: &Value, expressions: &Expressions, path: &Path) -> ErrorList {
    let missing = policy::expression(validation, "expression", path);
    let compiled = || {
        let path = path.child("expression");
        expressions.check(text(validation, &["expression"]), Purpose::Condition, &path)
    };
    let mut errors: ErrorList = missing.or_else(compiled).into_iter().collect();
    for field in ["messageExpression", "message"] {
        let value = text(validation, &[field]);
        let detail = match value.trim() {
            "" if !value.is_empty() => "must be non-empty if specified",
            "" => continue,
            _ if field == "messageExpression" => {
                errors.extend(expressions.check(value, Purpose::Message, &path.child(field)));
                continue;
            }
            trimmed if field == "message" && trimmed.contains(['\n', '\r']) => "must not contain line breaks",
            _ => continue,
        };
        errors.push(Error::invalid(&path.child(field), value, detail));
    }
    errors.extend(one_of_if_set(validation, "reason", &REASONS, path));
    errors
}

fn annotation(annotation: &Value, name: &str, expressions: &Expressions, path: &Path) -> ErrorList {
    let key = text(annotation, &["key"]);
    let key_path = path.child("key");
    let mut errors = if name.is_empty() {
        vec![Error::invalid(&key_path, key, "requires metadata.name be non-empty")]
    } else {
        let full = format!("{name}/{key}");
        complaints(&key_path, full.as_str(), names::qualified_name(&full))
    };
    let value = text(annotation, &["valueExpression"]);
    let value_path = path.child("valueExpression");
    if let Some(missing) = policy::expression(annotation, "valueExpression", path) {
        errors.push(missing);
    } else if value.trim().len() > MAX_ANNOTATION {
        let detail = format!("must not exceed {MAX_ANNOTATION} bytes in length");
        errors.push(Error::required(&value_path, detail));
    } else if let Some(error) = expressions.check(value.trim(), Purpose::Annotation, &value_path) {
        errors.push(Error::invalid(&value_path, value, error.detail));
    }
    errors
}

/// `ValidateValidatingAdmissionPolicyStatusUpdate`.
fn validate_status(new: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    let warnings = meta::list_at(new, &["status", "typeChecking", "expressionWarnings"]);
    for (i, warning) in warnings.iter().enumerate() {
        let path = path.child("typeChecking").child("expressionWarnings").index(i);
        for field in ["warning", "fieldRef"] {
            if text(warning, &[field]).trim().is_empty() {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
    }
    let list = meta::list_at(new, &["status", "conditions"]);
    errors.extend(conditions::validate(list, &path.child("conditions")));
    errors
}

pub(super) fn resource() -> Resource {
    let status = Status {
        metadata: Metadata::Reset,
        metadata_checks: MetadataChecks::None,
        validate: |new, _| validate_status(new),
        ..Status::plain(policy::default_policy)
    };
    super::kind(
        "ValidatingAdmissionPolicy",
        ("validatingadmissionpolicies", "validatingadmissionpolicy"),
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
        Configuration {
            default: policy::default_policy,
            validate,
            counted: "spec",
            has_status: true,
        },
        &COLUMNS,
    )
    .with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_say_what_they_look_at_and_what_they_want() {
        let constraints = json!({"resourceRules": [{"apiGroups": ["a"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["x"]}]});
        for (spec, expected) in [
            (
                json!({"matchConstraints": constraints, "validations": [{"expression": "true"}]}),
                vec![],
            ),
            (
                json!({}),
                vec![
                    "spec.matchConstraints: Required value",
                    "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                    "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                ],
            ),
            (
                json!({"matchConstraints": constraints, "validations": [{"message": "a\nb", "reason": "Foo"}],
                    "variables": [{"name": "1x", "expression": "1"}]}),
                vec![
                    "spec.variables[0].name: Invalid value: \"1x\": must be a valid CEL identifier",
                    "spec.validations[0].expression: Required value: expression is not specified",
                    "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
                    r#"spec.validations[0].reason: Unsupported value: "Foo": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
                ],
            ),
            (
                json!({"matchConstraints": constraints,
                    "auditAnnotations": [{"key": "k", "valueExpression": "'a'"}, {"key": "k"}]}),
                vec![
                    "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                    "spec.auditAnnotations[1].key: Duplicate value: \"k\"",
                ],
            ),
        ] {
            let mut obj = json!({"metadata": {"name": "p"}, "spec": spec});
            policy::default_policy(&mut obj);
            let texts: Vec<String> = validate(&obj, None).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{obj}");
        }
    }
}
