//! What both kinds of webhook configurations check.

use super::super::shared::cells;
use super::super::shared::checks::{complaints, one_of_if_set, text};
use super::super::shared::webhooks;
use super::matching;
use crate::registry::columns::{Column, Columns};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// The versions of AdmissionReview that the server speaks.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const REINVOCATION: [&str; 2] = ["IfNeeded", "Never"];
const DEFAULT_TIMEOUT: i64 = 10;
const MAX_TIMEOUT: i64 = 30;

pub(super) static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Webhooks",
            "integer",
            "Webhooks indicates the number of webhooks registered in this configuration",
        ),
        cells::AGE,
    ],
    cells: |obj, now| vec![cells::name(obj), hooks(obj).len().into(), cells::age(obj, now)],
};

fn hooks(obj: &Value) -> &[Value] {
    meta::list_at(obj, &["webhooks"])
}

/// What a webhook does unless it says otherwise.
pub(super) fn default(obj: &mut Value) {
    for hook in matching::each(obj, "webhooks") {
        meta::set_default(hook, &["failurePolicy"], "Fail");
        matching::default_selection(hook);
        meta::set_default(hook, &["timeoutSeconds"], DEFAULT_TIMEOUT);
        matching::default_rules(hook, "rules");
        if let Some(client) = hook.get_mut("clientConfig") {
            webhooks::default_client(client);
        }
    }
}

/// `validateValidatingWebhookConfiguration`, `validateMutatingWebhookConfiguration`: what was allowed before stays so.
pub(super) fn validate(new: &Value, old: Option<&Value>) -> ErrorList {
    let old = old.map(hooks);
    let all_old = |rule: fn(&Value) -> bool| old.is_none_or(|hooks| hooks.iter().all(rule));
    let allowed_side_effects: &[&str] = if all_old(has_no_side_effects) {
        &NO_SIDE_EFFECTS
    } else {
        &SIDE_EFFECTS
    };
    let strict = Strictness {
        side_effects: allowed_side_effects,
        known_version: all_old(|hook| versions(hook).is_empty() || speaks_known_version(hook)),
        conditions: old.is_none_or(|old| conditions_differ(hooks(new), old)),
        selectors: all_old(|hook| matching::selectors(hook, &Path::root()).is_empty()),
    };
    let unique = old.is_none_or(|hooks| {
        let mut seen = BTreeSet::new();
        hooks.iter().all(|hook| seen.insert(text(hook, &["name"])))
    });
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, hook) in hooks(new).iter().enumerate() {
        let path = Path::new("webhooks").index(i);
        errors.extend(one(hook, &strict, &path));
        errors.extend(review_versions(hook, strict.known_version, &path));
        let name = text(hook, &["name"]);
        if unique && !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

/// What is asked of webhooks, less when the old ones did not comply either.
struct Strictness<'a> {
    side_effects: &'a [&'a str],
    known_version: bool,
    conditions: bool,
    selectors: bool,
}

fn has_no_side_effects(hook: &Value) -> bool {
    NO_SIDE_EFFECTS.contains(&text(hook, &["sideEffects"]))
}

fn versions(hook: &Value) -> &[Value] {
    meta::list_at(hook, &["admissionReviewVersions"])
}

fn speaks_known_version(hook: &Value) -> bool {
    let mut versions = versions(hook).iter().filter_map(Value::as_str);
    versions.any(|version| REVIEW_VERSIONS.contains(&version))
}

fn conditions_differ(new: &[Value], old: &[Value]) -> bool {
    let conditions = |hook| meta::list_at(hook, &["matchConditions"]);
    new.len() != old.len() || new.iter().zip(old).any(|(new, old)| conditions(new) != conditions(old))
}

fn one(hook: &Value, strict: &Strictness<'_>, path: &Path) -> ErrorList {
    let mut errors = full_name(text(hook, &["name"]), &path.child("name"));
    for (i, rule) in meta::list_at(hook, &["rules"]).iter().enumerate() {
        errors.extend(matching::rule(rule, &path.child("rules").index(i)));
    }
    errors.extend(one_of_if_set(hook, "failurePolicy", &matching::FAILURE_POLICIES, path));
    errors.extend(one_of_if_set(hook, "matchPolicy", &matching::MATCH_POLICIES, path));
    if hook.get("sideEffects").is_some_and(|effects| !effects.is_null()) {
        errors.extend(one_of_if_set(hook, "sideEffects", strict.side_effects, path));
    } else {
        let detail = format!("must specify one of {}", strict.side_effects.join(", "));
        errors.push(Error::required(&path.child("sideEffects"), detail));
    }
    if let Some(timeout) = meta::i64_at(hook, &["timeoutSeconds"])
        && !(1..=MAX_TIMEOUT).contains(&timeout)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(Error::invalid(&path.child("timeoutSeconds"), timeout, detail));
    }
    if strict.selectors {
        errors.extend(matching::selectors(hook, path));
    }
    errors.extend(one_of_if_set(hook, "reinvocationPolicy", &REINVOCATION, path));
    let client = hook.get("clientConfig").unwrap_or(&Value::Null);
    errors.extend(webhooks::validate_client(client, &path.child("clientConfig")));
    if strict.conditions {
        let conditions = meta::list_at(hook, &["matchConditions"]);
        errors.extend(matching::conditions(conditions, false, &path.child("matchConditions")));
    }
    errors
}

/// `IsFullyQualifiedName`.
fn full_name(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let found = names::dns1123_subdomain(name);
    if !found.is_empty() {
        return vec![Error::invalid(path, name, found.join(","))];
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        return vec![Error::invalid(path, name, detail)];
    }
    ErrorList::new()
}

fn review_versions(hook: &Value, known: bool, path: &Path) -> ErrorList {
    let path = path.child("admissionReviewVersions");
    let list = versions(hook);
    if list.is_empty() {
        let detail = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        return vec![Error::required(&path, detail)];
    }
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, version) in list.iter().filter_map(Value::as_str).enumerate() {
        if seen.insert(version) {
            errors.extend(complaints(&path.index(i), version, names::dns1035_label(version)));
        } else {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
        }
    }
    if known && !speaks_known_version(hook) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(&path, list.to_vec(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn configuration(change: Value) -> Value {
        let mut hook = json!({"name": "w.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"name": "b", "namespace": "a"}},
            "rules": [{"apiGroups": ["x"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["y"]}]});
        for (field, value) in change.as_object().unwrap() {
            hook[field] = value.clone();
        }
        let mut obj = json!({"webhooks": [hook]});
        default(&mut obj);
        obj
    }

    #[test]
    fn webhooks_are_checked_and_completed() {
        let obj = configuration(json!({}));
        let hook = &obj["webhooks"][0];
        assert_eq!(hook["clientConfig"]["service"]["port"], 443);
        assert_eq!(hook["rules"][0]["scope"], "*");
        assert_eq!(
            (&hook["timeoutSeconds"], &hook["objectSelector"]),
            (&json!(10), &json!({}))
        );
        for (change, expected) in [
            (json!({}), vec![]),
            (
                json!({"name": "bad"}),
                vec![
                    "webhooks[0].name: Invalid value: \"bad\": should be a domain with at least three segments separated by dots",
                ],
            ),
            (
                json!({"sideEffects": "Some"}),
                vec![r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#],
            ),
            (
                json!({"admissionReviewVersions": ["v9", "v9"], "timeoutSeconds": 31}),
                vec![
                    "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                    "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v9\": duplicate version",
                    r#"webhooks[0].admissionReviewVersions: Invalid value: ["v9","v9"]: must include at least one of v1, v1beta1"#,
                ],
            ),
        ] {
            let obj = configuration(change);
            let texts: Vec<String> = validate(&obj, None).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{obj}");
            assert!(
                expected.is_empty() || validate(&obj, Some(&obj)).len() <= expected.len(),
                "what was there may stay"
            );
        }
    }
}
