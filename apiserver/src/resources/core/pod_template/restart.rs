//! When a container starts again (`validateContainerRestartPolicy`).

use crate::resources::shared::checks::{one_of, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const ACTIONS: [&str; 2] = ["Restart", "RestartAllContainers"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;

/// The same of an init container, whose rules are only looked at beside a policy (`validateInitContainerRestartPolicy`).
pub(super) fn validate_init(container: &Value, path: &Path) -> ErrorList {
    let mut errors = validate(container, path);
    if meta::at(container, &["restartPolicy"]).is_none() {
        errors.truncate(1);
    }
    errors
}

/// Checks `restartPolicy` and `restartPolicyRules` of a container.
pub(super) fn validate(container: &Value, path: &Path) -> ErrorList {
    let rules = meta::list_at(container, &["restartPolicyRules"]);
    let (policy_path, rules_path) = (path.child("restartPolicy"), path.child("restartPolicyRules"));
    let mut errors = ErrorList::new();
    match meta::str_at(container, &["restartPolicy"]) {
        None if rules.is_empty() => return errors,
        None => {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(&policy_path, detail));
        }
        Some(policy) => errors.extend(one_of(policy, &POLICIES, &policy_path)),
    }
    if rules.len() > MAX_RULES {
        errors.push(Error::too_many(&rules_path, rules.len(), MAX_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = rules_path.index(i);
        errors.extend(one_of(text(rule, &["action"]), &ACTIONS, &path.child("action")));
        let path = path.child("exitCodes");
        let Some(codes) = rule.get("exitCodes").filter(|codes| !codes.is_null()) else {
            errors.push(Error::required(&path, "must be specified"));
            continue;
        };
        errors.extend(one_of(text(codes, &["operator"]), &OPERATORS, &path.child("operator")));
        let values = meta::list_at(codes, &["values"]).len();
        if values > MAX_CODES {
            errors.push(Error::too_many(&path.child("values"), values, MAX_CODES));
        }
    }
    errors
}
