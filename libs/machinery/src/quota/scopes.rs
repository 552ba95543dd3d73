//! Which objects a quota is about (`podMatchesScopeFunc`, `pvcMatchesScopeFunc`).

use super::usage::Kind;
use crate::meta;
use serde_json::{Value, json};

/// Whether an object is within all scopes of a quota.
pub(super) fn match_all(quota: &Value, object: &Value, kind: &Kind) -> bool {
    let scopes = meta::list_at(quota, &["spec", "scopes"]).iter().map(|scope| {
        let name = scope.as_str().unwrap_or_default();
        json!({"scopeName": name, "operator": "Exists"})
    });
    let selectors = meta::list_at(quota, &["spec", "scopeSelector", "matchExpressions"]);
    scopes.chain(selectors.iter().cloned()).all(|requirement| match kind {
        Kind::Pods => matches_pod(&requirement, object),
        Kind::Claims => matches_claim(&requirement, object),
        Kind::Services | Kind::DeviceClaims(_) | Kind::Objects(_) => false,
    })
}

/// Whether a pod is to end by itself after a time (`IsTerminating`).
pub fn is_terminating(pod: &Value) -> bool {
    meta::i64_at(pod, &["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

fn matches_pod(requirement: &Value, pod: &Value) -> bool {
    let best_effort = meta::str_at(pod, &["status", "qosClass"]) == Some("BestEffort");
    let terminating = is_terminating(pod);
    match meta::str_at(requirement, &["scopeName"]).unwrap_or_default() {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => matches_name(requirement, meta::str_at(pod, &["spec", "priorityClassName"])),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn matches_claim(requirement: &Value, claim: &Value) -> bool {
    let class = [
        meta::str_at(claim, &["spec", "volumeAttributesClassName"]),
        meta::str_at(claim, &["status", "currentVolumeAttributesClassName"]),
        meta::str_at(
            claim,
            &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
        ),
    ];
    let mut names = class.into_iter().flatten().filter(|name| !name.is_empty()).peekable();
    meta::str_at(requirement, &["scopeName"]) == Some("VolumeAttributesClass")
        && (names.peek().is_none() && matches_name(requirement, None)
            || names.any(|name| matches_name(requirement, Some(name))))
}

/// Whether the name of a class fits a requirement on it, as a label would.
fn matches_name(requirement: &Value, name: Option<&str>) -> bool {
    let name = name.filter(|name| !name.is_empty());
    let listed = name.is_some_and(|name| meta::list_at(requirement, &["values"]).iter().any(|v| v == name));
    match meta::str_at(requirement, &["operator"]).unwrap_or_default() {
        "Exists" => name.is_some(),
        "DoesNotExist" => name.is_none(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let term = |term: &Value| {
        meta::at(term, &["namespaceSelector"]).is_some() || !meta::list_at(term, &["namespaces"]).is_empty()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list = |field: &str| meta::list_at(pod, &["spec", "affinity", kind, field]).iter();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(term)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| meta::at(weighted, &["podAffinityTerm"]).is_some_and(term))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_choose_pods() {
        let pod = json!({"spec": {"priorityClassName": "high", "activeDeadlineSeconds": 5}, "status": {"qosClass": "Burstable"}});
        for (scope, operator, values, expected) in [
            ("Terminating", "Exists", json!([]), true),
            ("NotTerminating", "Exists", json!([]), false),
            ("BestEffort", "Exists", json!([]), false),
            ("NotBestEffort", "Exists", json!([]), true),
            ("PriorityClass", "Exists", json!([]), true),
            ("PriorityClass", "In", json!(["low"]), false),
            ("PriorityClass", "NotIn", json!(["low"]), true),
            ("CrossNamespacePodAffinity", "Exists", json!([]), false),
        ] {
            let requirement = json!({"scopeName": scope, "operator": operator, "values": values});
            assert_eq!(matches_pod(&requirement, &pod), expected, "{scope} {operator}");
        }
    }

    #[test]
    fn claims_are_chosen_by_any_class_that_they_have_to_do_with() {
        let claim = json!({"spec": {"volumeAttributesClassName": "gold"},
            "status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "silver"}}});
        for (claim, operator, values, expected) in [
            (&claim, "In", json!(["silver"]), true),
            (&claim, "In", json!(["bronze"]), false),
            (&claim, "NotIn", json!(["gold"]), true),
            (&claim, "Exists", json!([]), true),
            (&json!({}), "Exists", json!([]), false),
            (&json!({}), "DoesNotExist", json!([]), true),
            (&json!({}), "NotIn", json!(["gold"]), true),
        ] {
            let requirement = json!({"scopeName": "VolumeAttributesClass", "operator": operator, "values": values});
            assert_eq!(matches_claim(&requirement, claim), expected, "{operator} {values}");
        }
    }
}
