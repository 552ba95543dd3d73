//! What may be steered of a pod that waits at its scheduling gates: its node selector and its node affinity may become
//! stricter (`validateNodeSelectorMutation` and `validateNodeAffinityMutation`).

use super::super::super::shared::checks::same;
use super::super::super::shared::internal;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const AFFINITY: [&str; 3] = ["spec", "affinity", "nodeAffinity"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Checks the two fields, and gives `fixed` those of the old pod, so that they do not count as a change.
pub(super) fn take_back(fixed: &mut Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let selector = |obj| meta::at(obj, &["spec", "nodeSelector"]);
    if !same(selector(fixed), selector(old)) {
        errors.extend(validate_selector(
            selector(fixed),
            selector(old),
            &path.child("nodeSelector"),
        ));
        meta::copy(fixed, old, &["spec", "nodeSelector"]);
    }
    let (is, was) = (meta::at(fixed, &AFFINITY), meta::at(old, &AFFINITY));
    if is != was {
        errors.extend(validate_affinity(
            is,
            was,
            &path.child("affinity").child("nodeAffinity"),
        ));
        meta::copy(fixed, old, &AFFINITY);
        // An affinity that held nothing else is as good as none.
        let nothing_else = meta::map_at(fixed, &["spec", "affinity"]).is_some_and(serde_json::Map::is_empty);
        if meta::at(old, &["spec", "affinity"]).is_none() && nothing_else {
            meta::remove(fixed, &["spec", "affinity"]);
        }
    }
    errors
}

fn validate_selector(new: Option<&Value>, old: Option<&Value>, path: &Path) -> Option<Error> {
    let kept = |(name, value): (&String, &Value)| new.and_then(|new| new.get(name)) == Some(value);
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    let lost = !old?.as_object()?.iter().all(kept);
    lost.then(|| Error::invalid(path, new.cloned().unwrap_or_default(), detail))
}

fn validate_affinity(new: Option<&Value>, old: Option<&Value>, path: &Path) -> ErrorList {
    let terms = |affinity: Option<&Value>| affinity?.get(REQUIRED)?.get("nodeSelectorTerms")?.as_array().cloned();
    let (given, was) = (terms(new), terms(old).unwrap_or_default());
    let is = given.clone().unwrap_or_default();
    if was.is_empty() {
        return ErrorList::new();
    }
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if is.len() != was.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let shown = given.map_or("null".to_owned(), |given| internal::list("NodeSelectorTerm", &given));
        return vec![Error::invalid(&path, is, detail).showing(shown)];
    }
    let changed = is
        .iter()
        .zip(&was)
        .enumerate()
        .filter(|(_, (is, was))| !only_adds(is, was));
    let refuse = |(i, (is, _)): (usize, (&Value, &Value))| {
        let detail = "only additions are allowed (no mutations or deletions)";
        Error::invalid(&path.index(i), is.clone(), detail).showing(internal::show("NodeSelectorTerm", is))
    };
    changed.map(refuse).collect()
}

/// Whether a term keeps its requirements, in order, before new ones. One without any may get none, for it matches nothing.
fn only_adds(new: &Value, old: &Value) -> bool {
    const LISTS: [&str; 2] = ["matchExpressions", "matchFields"];
    let list = |term, name: &str| meta::list_at(term, &[name]);
    if LISTS.iter().all(|name| list(old, name).is_empty()) {
        return LISTS.iter().all(|name| list(new, name).is_empty());
    }
    LISTS.iter().all(|name| list(new, name).starts_with(list(old, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selection_may_only_become_stricter() {
        let pod = |selector: Value, terms: Value| {
            json!({"spec": {"nodeSelector": selector,
                "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}}})
        };
        let (a, b) = (
            json!({"key": "a", "operator": "Exists"}),
            json!({"key": "b", "operator": "Exists"}),
        );
        let old = pod(json!({"x": "1"}), json!([{"matchExpressions": [a]}]));
        let at = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
        for (new, expected) in [
            (
                pod(
                    json!({"x": "1", "y": "2"}),
                    json!([{"matchExpressions": [a, b], "matchFields": [b]}]),
                ),
                vec![],
            ),
            (
                pod(json!({"x": "2"}), json!([{"matchExpressions": [b, a]}])),
                vec!["spec.nodeSelector".to_owned(), format!("{at}[0]")],
            ),
            (pod(json!({"x": "1"}), json!([])), vec![at.clone()]),
        ] {
            let mut fixed = new.clone();
            let errors = take_back(&mut fixed, &old);
            assert_eq!(
                errors.iter().map(|e| e.field.clone()).collect::<Vec<_>>(),
                expected,
                "{new}"
            );
            assert_eq!(fixed, old);
        }
        let bare = json!({"spec": {}});
        let mut fixed = pod(json!({"x": "1"}), json!([{"matchExpressions": [a]}]));
        assert_eq!(take_back(&mut fixed, &bare), ErrorList::new());
        assert_eq!(fixed, bare);
    }
}
