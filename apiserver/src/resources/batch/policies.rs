//! When a job fails early, succeeds early, and replaces its pods (`validatePodFailurePolicy`, `validateSuccessPolicy`,
//! `validatePodReplacementPolicy`).

use super::super::shared::checks::{complaints, non_negative, one_of, text};
use super::super::shared::internal;
use super::indexes;
use machinery::field::{Error, ErrorList, ErrorType, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const CONDITION_STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REPLACEMENTS: [&str; 2] = ["Failed", "TerminatingOrFailed"];
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;
const MAX_INDEXES: usize = 64 * 1024;

/// Checks the policies in the spec of a job.
pub(super) fn validate(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(policy) = meta::at(spec, &["podFailurePolicy"]) {
        errors.extend(validate_failure(
            spec,
            policy,
            &path.child("podFailurePolicy").child("rules"),
        ));
    }
    if let Some(policy) = meta::at(spec, &["successPolicy"]) {
        let path = path.child("successPolicy");
        if text(spec, &["completionMode"]) == "Indexed" {
            errors.extend(validate_success(spec, policy, &path.child("rules")));
        } else {
            let shown = internal::show("SuccessPolicy", policy);
            let detail = "requires indexed completion mode";
            errors.push(Error::invalid(&path, policy.clone(), detail).showing(shown));
        }
    }
    if let Some(policy) = meta::str_at(spec, &["podReplacementPolicy"]) {
        let known = if spec.get("podFailurePolicy").is_some() {
            &REPLACEMENTS[..1]
        } else {
            &REPLACEMENTS
        };
        errors.extend(one_of(policy, known, &path.child("podReplacementPolicy")));
    }
    errors
}

/// A text that is required, and then one of the known.
fn choice(value: &str, known: &[&str], path: &Path) -> Option<Error> {
    let quoted: Vec<String> = known.iter().map(|known| format!("\"{known}\"")).collect();
    match value {
        "" => Some(Error::required(path, format!("valid values: [{}]", quoted.join(" ")))),
        value => one_of(value, known, path),
    }
}

fn too_many(list: &[Value], max: usize, path: &Path) -> Option<Error> {
    (list.len() > max).then(|| Error::too_many(path, list.len(), max))
}

fn validate_failure(spec: &Value, policy: &Value, path: &Path) -> ErrorList {
    let rules = meta::list_at(policy, &["rules"]);
    let mut errors: ErrorList = too_many(rules, MAX_RULES, path).into_iter().collect();
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action_path = path.child("action");
        match text(rule, &["action"]) {
            "FailIndex" if spec.get("backoffLimitPerIndex").is_none() => {
                let detail = "requires the backoffLimitPerIndex to be set";
                errors.push(Error::invalid(&action_path, "FailIndex", detail));
            }
            action => errors.extend(choice(action, &ACTIONS, &action_path)),
        }
        let codes = rule.get("onExitCodes").filter(|codes| !codes.is_null());
        if let Some(codes) = codes {
            errors.extend(validate_codes(spec, codes, &path.child("onExitCodes")));
        }
        let conditions = meta::list_at(rule, &["onPodConditions"]);
        errors.extend(validate_conditions(conditions, &path.child("onPodConditions")));
        let detail = match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(Error::new(ErrorType::Invalid, &path, None, detail));
    }
    errors
}

fn validate_conditions(conditions: &[Value], path: &Path) -> ErrorList {
    let mut errors: ErrorList = too_many(conditions, MAX_RULES, path).into_iter().collect();
    for (i, pattern) in conditions.iter().enumerate() {
        let (kind, path) = (text(pattern, &["type"]), path.index(i));
        errors.extend(complaints(&path.child("type"), kind, names::qualified_name(kind)));
        errors.extend(choice(
            text(pattern, &["status"]),
            &CONDITION_STATUSES,
            &path.child("status"),
        ));
    }
    errors
}

fn validate_codes(spec: &Value, codes: &Value, path: &Path) -> ErrorList {
    let operator = text(codes, &["operator"]);
    let mut errors: ErrorList = choice(operator, &OPERATORS, &path.child("operator"))
        .into_iter()
        .collect();
    if let Some(name) = meta::str_at(codes, &["containerName"]) {
        let known = ["containers", "initContainers"]
            .iter()
            .flat_map(|list| meta::list_at(spec, &["template", "spec", list]))
            .any(|container| text(container, &["name"]) == name);
        if !known {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(Error::invalid(&path.child("containerName"), name, detail));
        }
    }
    let (path, values) = (path.child("values"), meta::list_at(codes, &["values"]));
    let whole = |detail: &str| {
        let shown = codes.get("values").cloned().unwrap_or_default();
        Error::invalid(&path, shown, detail)
    };
    if values.is_empty() {
        errors.push(whole("at least one value is required"));
    }
    errors.extend(too_many(values, MAX_CODES, &path));
    let mut seen = BTreeSet::new();
    let codes: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    for (i, code) in codes.iter().enumerate() {
        if operator == "In" && *code == 0 {
            errors.push(Error::invalid(&path.index(i), 0, "must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(Error::duplicate(&path.index(i), *code));
        }
    }
    if !codes.is_sorted() {
        errors.push(whole("must be ordered"));
    }
    errors
}

fn validate_success(spec: &Value, policy: &Value, path: &Path) -> ErrorList {
    let rules = meta::list_at(policy, &["rules"]);
    let mut errors = ErrorList::new();
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(path, detail));
    }
    errors.extend(too_many(rules, MAX_RULES, path));
    let completions = meta::i64_at(spec, &["completions"]).unwrap_or_default();
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let list = meta::str_at(rule, &["succeededIndexes"]);
        let count = meta::i64_at(rule, &["succeededCount"]);
        if list.is_none() && count.is_none() {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(Error::required(&path, detail));
        }
        let mut total = 0;
        if let Some(list) = list {
            let path = path.child("succeededIndexes");
            if list.len() > MAX_INDEXES {
                errors.push(Error::too_long(&path, MAX_INDEXES));
            }
            match indexes::count(list, completions) {
                Ok(indexes) => total = indexes,
                Err(why) => {
                    let detail = format!("error parsing succeededIndexes: {why}");
                    errors.push(Error::invalid(&path, list, detail));
                }
            }
        }
        let Some(count) = count else { continue };
        errors.extend(non_negative(rule, "succeededCount", &path));
        for (limit, what) in [
            (Some(completions), "the number of specified completions"),
            (
                list.map(|_| total),
                "the number of indexes in the specified succeededIndexes field",
            ),
        ] {
            if let Some(limit) = limit.filter(|limit| count > *limit) {
                let detail = format!("must be less than or equal to {limit} ({what})");
                errors.push(Error::invalid(&path.child("succeededCount"), count, detail));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_complete_and_ordered() {
        let spec = |more: Value| {
            let mut spec = json!({"completionMode": "Indexed", "completions": 3,
                "template": {"spec": {"containers": [{"name": "c"}]}}});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let errors = validate(&spec, &Path::new("spec"));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let failure = |rule: Value| spec(json!({"podFailurePolicy": {"rules": [rule]}}));
        let codes =
            |values: Value| failure(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": values}}));
        assert_eq!(
            failure(json!({"action": "Ignore"})),
            [
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"
            ]
        );
        assert_eq!(
            codes(json!([2, 1])),
            ["spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered"]
        );
        assert_eq!(codes(json!([1, 2])), Vec::<String>::new());
        assert_eq!(
            spec(json!({"successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}})),
            [
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)"
            ]
        );
        assert_eq!(
            spec(json!({"podFailurePolicy": {}, "podReplacementPolicy": "TerminatingOrFailed"})),
            ["spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\""]
        );
    }
}
