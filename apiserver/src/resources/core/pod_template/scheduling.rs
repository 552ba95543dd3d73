//! Where a pod may run and when: tolerations, spreading and scheduling gates.

use super::{complaints, validate_label_selector};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
const INCLUSION_POLICIES: [&str; 2] = ["Honor", "Ignore"];

/// `ValidateTolerations`.
pub(in super::super::super) fn validate_tolerations(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, toleration) in meta::list_at(spec, &["tolerations"]).iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| meta::str_at(toleration, &[field]).unwrap_or_default();
        if !text("key").is_empty() {
            let key = text("key");
            errors.extend(complaints(&path.child("key"), key, names::qualified_name(key)));
        }
        let operator = path.child("operator");
        if text("key").is_empty() && text("operator") != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(&operator, text("operator"), detail));
        }
        if meta::at(toleration, &["tolerationSeconds"]).is_some() && text("effect") != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(&path.child("effect"), text("effect"), detail));
        }
        match text("operator") {
            "" | "Equal" => {
                let complaints = names::label_value(text("value"));
                if !complaints.is_empty() {
                    errors.push(Error::invalid(&operator, text("value"), complaints.join(";")));
                }
            }
            "Exists" => {
                if !text("value").is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.push(Error::invalid(&operator, text("value"), detail));
                }
            }
            // Comparisons wait for a feature that is off.
            comparison @ ("Gt" | "Lt") => {
                errors.push(Error::not_supported(
                    &operator,
                    comparison,
                    &["Equal", "Exists", "Lt", "Gt"],
                ));
            }
            other => errors.push(Error::not_supported(&operator, other, &["Equal", "Exists"])),
        }
        if !text("effect").is_empty() && !EFFECTS.contains(&text("effect")) {
            errors.push(Error::not_supported(&path.child("effect"), text("effect"), &EFFECTS));
        }
    }
    errors
}

/// `validateTopologySpreadConstraints`.
pub(super) fn validate_spread(spec: &Value, path: &Path) -> ErrorList {
    let constraints = meta::list_at(spec, &["topologySpreadConstraints"]);
    let mut errors = ErrorList::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let path = path.index(i);
        let text = |field: &str| meta::str_at(constraint, &[field]).unwrap_or_default();
        let skew = meta::i64_at(constraint, &["maxSkew"]).unwrap_or_default();
        if skew <= 0 {
            errors.push(Error::invalid(
                &path.child("maxSkew"),
                skew,
                "must be greater than zero",
            ));
        }
        let key = text("topologyKey");
        if key.is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = text("whenUnsatisfiable");
        if !ACTIONS.contains(&action) {
            errors.push(Error::not_supported(&path.child("whenUnsatisfiable"), action, &ACTIONS));
        }
        let same = |other: &Value| {
            ["topologyKey", "whenUnsatisfiable"]
                .iter()
                .all(|f| other.get(*f) == constraint.get(*f))
        };
        if constraints[i + 1..].iter().any(same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(Error::duplicate(&path, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = meta::i64_at(constraint, &["minDomains"]) {
            let path = path.child("minDomains");
            if domains <= 0 {
                errors.push(Error::invalid(&path, domains, "must be greater than zero"));
            }
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(Error::invalid(&path, domains, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(policy) = meta::str_at(constraint, &[field])
                && !INCLUSION_POLICIES.contains(&policy)
            {
                errors.push(Error::not_supported(&path.child(field), policy, &INCLUSION_POLICIES));
            }
        }
        errors.extend(super::affinity::validate_label_keys(constraint, &path));
        if let Some(selector) = meta::at(constraint, &["labelSelector"]) {
            errors.extend(validate_label_selector(selector, &path.child("labelSelector")));
        }
    }
    errors
}

/// `validateSchedulingGates`.
pub(super) fn validate_gates(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, gate) in meta::list_at(spec, &["schedulingGates"]).iter().enumerate() {
        let name = meta::str_at(gate, &["name"]).unwrap_or_default();
        errors.extend(complaints(&path.index(i), name, names::qualified_name(name)));
        errors.extend(super::unique(name, &mut seen, &path.index(i)));
    }
    errors
}
