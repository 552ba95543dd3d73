//! Keys of labels in selectors of pods: a new pod's selectors get the values that its own labels have (`mutatePodAffinity` and
//! `mutateTopologySpreadConstraints` of `pkg/registry/core/pod/strategy.go`), so that they stay what they were when those change.

use machinery::meta;
use serde_json::{Map, Value, json};

const AFFINITIES: [&str; 2] = ["podAffinity", "podAntiAffinity"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Writes what the keys stand for into the selectors of a new pod.
pub(super) fn apply(pod: &mut Value) {
    let labels = meta::map_at(pod, &["metadata", "labels"]).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for affinity in AFFINITIES {
        let terms = |list: &str| format!("/affinity/{affinity}/{list}");
        for term in list_mut(spec, &terms(REQUIRED)) {
            select(term, "matchLabelKeys", "In", &labels);
            select(term, "mismatchLabelKeys", "NotIn", &labels);
        }
        for term in list_mut(spec, &terms(PREFERRED)) {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                select(term, "matchLabelKeys", "In", &labels);
                select(term, "mismatchLabelKeys", "NotIn", &labels);
            }
        }
    }
    for constraint in list_mut(spec, "/topologySpreadConstraints") {
        select(constraint, "matchLabelKeys", "In", &labels);
    }
}

fn list_mut<'a>(spec: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = spec.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// Adds a requirement for each key that the pod has a label of. Without a selector nothing is selected, whatever the keys are.
fn select(holder: &mut Value, field: &str, operator: &str, labels: &Map<String, Value>) {
    let keys = meta::list_at(holder, &[field]).iter().filter_map(Value::as_str);
    let requirement = |key: &str| Some(json!({"key": key, "operator": operator, "values": [labels.get(key)?]}));
    let requirements: Vec<Value> = keys.filter_map(requirement).collect();
    let Some(selector) = holder.get_mut("labelSelector").and_then(Value::as_object_mut) else {
        return;
    };
    if requirements.is_empty() {
        return;
    }
    match selector.get_mut("matchExpressions") {
        Some(Value::Array(all)) => all.extend(requirements),
        _ => {
            selector.insert("matchExpressions".to_owned(), requirements.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_get_the_values_of_the_pods_labels() {
        let selector = json!({"matchLabels": {"app": "web"}});
        let term = |expressions: Value| {
            let mut term = json!({
                "labelSelector": selector, "matchLabelKeys": ["hash", "absent"], "mismatchLabelKeys": ["tenant"],
            });
            if !expressions.is_null() {
                term["labelSelector"]["matchExpressions"] = expressions;
            }
            term
        };
        let pod = |expressions: Value| {
            json!({
                "metadata": {"labels": {"hash": "1", "tenant": "a"}},
                "spec": {
                    "affinity": {
                        "podAffinity": {REQUIRED: [term(expressions.clone())]},
                        "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term(expressions)}]},
                    },
                    "topologySpreadConstraints": [
                        {"labelSelector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}, "matchLabelKeys": ["hash"]},
                        {"matchLabelKeys": ["hash"]},
                    ],
                },
            })
        };
        let hash = json!({"key": "hash", "operator": "In", "values": ["1"]});
        let tenant = json!({"key": "tenant", "operator": "NotIn", "values": ["a"]});
        let mut expected = pod(json!([hash, tenant]));
        expected["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"] =
            json!([{"key": "k", "operator": "Exists"}, hash]);
        let mut applied = pod(Value::Null);
        apply(&mut applied);
        assert_eq!(applied, expected);
        for mut odd in [
            json!({}),
            json!({"spec": null}),
            json!({"spec": {"affinity": [], "topologySpreadConstraints": 1}}),
        ] {
            let before = odd.clone();
            apply(&mut odd);
            assert_eq!(odd, before);
        }
    }
}
