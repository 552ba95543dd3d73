//! What a webhook or a policy looks at: rules, selectors and conditions.

use super::super::core::pod_template::validate_label_selector;
use super::super::shared::checks::{complaints, one_of, one_of_if_set, required, text};
use super::policy::complaint;
use cel::kubernetes::admission::{Compiler, Options, Purpose};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];
const MAX_CONDITIONS: usize = 64;

/// Every item of a list, to be changed.
pub(super) fn each<'a>(owner: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = owner.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// What is looked at when nothing is said.
pub(super) fn default_selection(owner: &mut Value) {
    meta::set_default(owner, &["matchPolicy"], "Equivalent");
    for selector in SELECTORS {
        meta::set_default(owner, &[selector], json!({}));
    }
}

/// Rules look at both scopes unless they say otherwise.
pub(super) fn default_rules(owner: &mut Value, field: &str) {
    for rule in each(owner, field) {
        meta::set_default(rule, &["scope"], "*");
    }
}

/// `SetDefaults_MatchResources`.
pub(super) fn default_match_resources(owner: &mut Value, field: &str) {
    if let Some(resources) = owner.get_mut(field).filter(|r| r.is_object()) {
        default_selection(resources);
        default_rules(resources, "resourceRules");
        default_rules(resources, "excludeResourceRules");
    }
}

/// `validateRuleWithOperations`.
pub(super) fn rule(rule: &Value, path: &Path) -> ErrorList {
    let operations = meta::list_at(rule, &["operations"]);
    let mut errors = alone(operations, "operations", &path.child("operations"));
    for (i, operation) in texts(operations).enumerate() {
        errors.extend(one_of(operation, &OPERATIONS, &path.child("operations").index(i)));
    }
    errors.extend(alone(
        meta::list_at(rule, &["apiGroups"]),
        "API groups",
        &path.child("apiGroups"),
    ));
    let versions = meta::list_at(rule, &["apiVersions"]);
    errors.extend(alone(versions, "API versions", &path.child("apiVersions")));
    for (i, version) in texts(versions).enumerate() {
        if version.is_empty() {
            errors.push(Error::required(&path.child("apiVersions").index(i), ""));
        }
    }
    errors.extend(resources(meta::list_at(rule, &["resources"]), &path.child("resources")));
    errors.extend(one_of_if_set(rule, "scope", &SCOPES, path));
    errors
}

fn texts(list: &[Value]) -> impl Iterator<Item = &str> {
    list.iter().map(|v| v.as_str().unwrap_or_default())
}

/// A list that is not empty and in which the wildcard stands alone.
fn alone(list: &[Value], what: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if list.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if list.len() > 1 && texts(list).any(|text| text == "*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.push(Error::invalid(path, list.to_vec(), detail));
    }
    errors
}

/// `validateResources`.
fn resources(list: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if list.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut whole_resources, mut whole_subresources) = (BTreeSet::new(), BTreeSet::new());
    let mut plain = false;
    for (i, name) in texts(list).enumerate() {
        let path = path.index(i);
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let Some((resource, subresource)) = name.split_once('/') else {
            plain = name != "*";
            continue;
        };
        for (covered, wildcard) in [
            (whole_resources.contains(resource), format!("{resource}/*")),
            (whole_subresources.contains(subresource), format!("*/{subresource}")),
        ] {
            if covered {
                let detail = format!("if '{wildcard}' is present, must not specify {name}");
                errors.push(Error::invalid(&path, name, detail));
            }
        }
        if subresource == "*" {
            whole_resources.insert(resource);
        }
        if resource == "*" {
            whole_subresources.insert(subresource);
        }
    }
    if list.len() > 1 && texts(list).any(|name| name == "*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(Error::invalid(path, list.to_vec(), detail));
    }
    if plain && texts(list).any(|name| name == "*") {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, list.to_vec(), detail));
    }
    errors
}

/// `validateMatchResources`; the policies of mutation do not see every operation.
pub(super) fn match_resources(resources: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = text(resources, &["matchPolicy"]);
    errors.extend(one_of(policy, &MATCH_POLICIES, &path.child("matchPolicy")));
    errors.extend(selectors(resources, path));
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in meta::list_at(resources, &[field]).iter().enumerate() {
            errors.extend(named_rule(rule, &path.child(field).index(i)));
        }
    }
    errors
}

/// The selectors of namespaces and of objects.
pub(super) fn selectors(owner: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in SELECTORS {
        if let Some(selector) = owner.get(field) {
            errors.extend(validate_label_selector(selector, &path.child(field)));
        }
    }
    errors
}

fn named_rule(obj: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, name) in texts(meta::list_at(obj, &["resourceNames"])).enumerate() {
        let path = path.child("resourceNames").index(i);
        errors.extend(complaints(&path, name, names::path_segment(name, false)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(rule(obj, path));
    errors
}

/// `validateMatchConditions`; the conditions of policies with parameters may look at these.
pub(super) fn conditions(list: &[Value], params: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if list.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(path, list.len(), MAX_CONDITIONS));
    }
    let mut seen = BTreeSet::new();
    for (i, condition) in list.iter().enumerate() {
        let path = path.index(i);
        let expression = text(condition, &["expression"]).trim();
        let expression_path = path.child("expression");
        if expression.is_empty() {
            errors.push(Error::required(&expression_path, ""));
        } else {
            let options = Options {
                params,
                authorizer: true,
                patches: false,
            };
            let compiled = Compiler::new().compile(expression, Purpose::Condition, options);
            errors.extend(complaint(compiled, expression, &expression_path));
        }
        let name = text(condition, &["name"]);
        errors.extend(required(&path.child("name"), name, names::qualified_name));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_operations_groups_versions_and_resources() {
        let good = |resources: Value| json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources});
        for (obj, expected) in [
            (good(json!(["pods", "pods/status"])), vec![]),
            (
                json!({}),
                vec![
                    "r.operations: Required value",
                    "r.apiGroups: Required value",
                    "r.apiVersions: Required value",
                    "r.resources: Required value",
                ],
            ),
            (
                good(json!(["*", "pods"])),
                vec![
                    r#"r.resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
                ],
            ),
            (
                good(json!(["pods/*", "pods/log", ""])),
                vec![
                    "r.resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
                    "r.resources[2]: Required value",
                ],
            ),
            (
                json!({"operations": ["CREATE", "*", "GET"], "apiGroups": ["*"], "apiVersions": ["*"],
                    "resources": ["*/*"], "scope": "x"}),
                vec![
                    r#"r.operations: Invalid value: ["CREATE","*","GET"]: if '*' is present, must not specify other operations"#,
                    r#"r.operations[2]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
                    r#"r.scope: Unsupported value: "x": supported values: "*", "Cluster", "Namespaced""#,
                ],
            ),
        ] {
            let texts: Vec<String> = rule(&obj, &Path::new("r")).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{obj}");
        }
    }

    #[test]
    fn conditions_are_compiled() {
        for (expression, params, expected) in [
            ("request.name == 'x'", false, None),
            ("params.a == 1", true, None),
            (
                " params.a == 1",
                false,
                Some("undeclared reference to 'params' (in container '')\n | params.a == 1\n | ^"),
            ),
            ("1", false, Some("must evaluate to bool but got int")),
            (
                "request.nope",
                false,
                Some("undefined field 'nope'\n | request.nope\n | .......^"),
            ),
        ] {
            let list = [json!({"name": "a", "expression": expression})];
            let found = conditions(&list, params, &Path::new("m"));
            assert_eq!(found.is_empty(), expected.is_none(), "{expression}");
            for (error, expected) in found.iter().zip(expected) {
                assert!(error.to_string().ends_with(expected), "{error}");
            }
        }
    }

    #[test]
    fn conditions_have_different_names() {
        let one = json!({"name": "a", "expression": "true"});
        let list = [one.clone(), one, json!({})];
        let texts: Vec<String> = conditions(&list, false, &Path::new("m"))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                "m[1].name: Duplicate value: \"a\"",
                "m[2].expression: Required value",
                "m[2].name: Required value",
            ]
        );
    }
}
