//! MutatingAdmissionPolicies.

use super::super::shared::cells;
use super::super::shared::checks::{one_of, text};
use super::policy::Expressions;
use super::{Configuration, policy};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use cel::kubernetes::admission::Purpose;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const REINVOCATION: [&str; 2] = ["IfNeeded", "Never"];
/// The types of patches, each with the field that holds it.
const PATCHES: [(&str, &str, Purpose); 2] = [
    ("ApplyConfiguration", "applyConfiguration", Purpose::Apply),
    ("JSONPatch", "jsonPatch", Purpose::JsonPatch),
];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Mutations",
            "integer",
            "Mutation indicates the number of mutations rules defined in this configuration",
        ),
        policy::PARAM_KIND,
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            meta::list_at(obj, &["spec", "mutations"]).len().into(),
            policy::param_kind_cell(obj),
            cells::age(obj, now),
        ]
    },
};

/// `validateMutatingAdmissionPolicySpec`.
fn validate(new: &Value, old: Option<&Value>) -> ErrorList {
    let path = Path::new("spec");
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let old = old.and_then(|old| old.get("spec"));
    let (mut errors, expressions) = policy::policy(spec, old, true, &path);
    let mutations = meta::list_at(spec, &["mutations"]);
    if mutations.is_empty() {
        let detail = "mutations must contain at least one item";
        errors.push(Error::required(&path.child("mutations"), detail));
    }
    for (i, obj) in mutations.iter().enumerate() {
        errors.extend(mutation(obj, &expressions, &path.child("mutations").index(i)));
    }
    let reinvocation = path.child("reinvocationPolicy");
    match text(spec, &["reinvocationPolicy"]) {
        "" => errors.push(Error::required(&reinvocation, "")),
        policy => errors.extend(one_of(policy, &REINVOCATION, &reinvocation)),
    }
    errors
}

fn mutation(mutation: &Value, expressions: &Expressions, path: &Path) -> ErrorList {
    let kind = text(mutation, &["patchType"]);
    let type_path = path.child("patchType");
    if kind.is_empty() {
        return vec![Error::required(&type_path, "")];
    }
    let types = PATCHES.map(|(kind, ..)| kind);
    let mut errors: ErrorList = one_of(kind, &types, &type_path).into_iter().collect();
    if !errors.is_empty() {
        return errors;
    }
    for wanted in [true, false] {
        for (_, field, purpose) in PATCHES.iter().filter(|(other, ..)| (*other == kind) == wanted) {
            let path = path.child(field);
            match (mutation.get(field), wanted) {
                (None, true) => {
                    let detail = format!("must be specified when patchType is {kind}");
                    errors.push(Error::required(&path, detail));
                }
                (Some(patch), true) => {
                    let path = path.child("expression");
                    errors.extend(match text(patch, &["expression"]).trim() {
                        "" => Some(Error::required(&path, "")),
                        expression => expressions.check_patch(expression, *purpose, &path),
                    });
                }
                (Some(_), false) => {
                    let detail = format!("must not be specified when patchType is {kind}");
                    errors.push(Error::invalid(&path, format!("{{{field}}}"), detail));
                }
                (None, false) => {}
            }
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    super::kind(
        "MutatingAdmissionPolicy",
        ("mutatingadmissionpolicies", "mutatingadmissionpolicy"),
        "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
        Configuration {
            default: policy::default_policy,
            validate,
            counted: "spec",
            has_status: false,
        },
        &COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mutations_hold_what_their_type_says() {
        for (obj, expected) in [
            (
                json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}}),
                vec![],
            ),
            (json!({}), vec!["m.patchType: Required value"]),
            (
                json!({"patchType": "JSONPatch", "applyConfiguration": {}}),
                vec![
                    "m.jsonPatch: Required value: must be specified when patchType is JSONPatch",
                    "m.applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
                ],
            ),
            (
                json!({"patchType": "ApplyConfiguration", "applyConfiguration": {}}),
                vec!["m.applyConfiguration.expression: Required value"],
            ),
        ] {
            let found = mutation(&obj, &Expressions::plain(), &Path::new("m"));
            let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{obj}");
        }
    }

    #[test]
    fn nothing_can_be_changed_in_what_is_deleted() {
        let mut obj = json!({"spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["a"],
            "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["x"]}]}}});
        policy::default_policy(&mut obj);
        let texts: Vec<String> = validate(&obj, None).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
                "spec.mutations: Required value: mutations must contain at least one item",
                "spec.reinvocationPolicy: Required value",
            ]
        );
    }
}
