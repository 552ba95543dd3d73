//! ValidatingAdmissionPolicyBindings.

use super::super::shared::checks::one_of;
use super::{Configuration, policy};
use crate::registry::resource::Resource;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

fn validate(new: &Value, _old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let mut errors = policy::binding(spec, false, &path);
    let list = meta::list_at(spec, &["validationActions"]);
    errors.extend(actions(list, &path.child("validationActions")));
    errors
}

/// `validateValidationActions`.
fn actions(list: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, action) in list.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(one_of(action, &ACTIONS, &path.index(i)));
        if !seen.insert(action) {
            errors.push(Error::duplicate(&path.index(i), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(Error::invalid(path, list.to_vec(), detail));
    }
    if seen.is_empty() {
        errors.push(Error::required(path, "at least one validation action is required"));
    }
    errors
}

pub(super) fn resource() -> Resource {
    super::kind(
        "ValidatingAdmissionPolicyBinding",
        ("validatingadmissionpolicybindings", "validatingadmissionpolicybinding"),
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
        Configuration {
            default: policy::default_binding,
            validate,
            counted: "spec",
            has_status: false,
        },
        &policy::BINDING_COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bindings_name_a_policy_and_what_to_do() {
        for (spec, expected) in [
            (json!({"policyName": "p", "validationActions": ["Audit"]}), vec![]),
            (
                json!({}),
                vec![
                    "spec.policyName: Required value",
                    "spec.validationActions: Required value: at least one validation action is required",
                ],
            ),
            (
                json!({"policyName": "p", "validationActions": ["Deny", "Warn", "Warn"]}),
                vec![
                    "spec.validationActions[2]: Duplicate value: \"Warn\"",
                    r#"spec.validationActions: Invalid value: ["Deny","Warn","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"#,
                ],
            ),
        ] {
            let found = validate(&json!({"spec": spec}), None);
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{spec}");
        }
    }
}
