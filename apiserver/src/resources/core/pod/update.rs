//! What an update may change in a pod (`ValidatePodUpdate`).

use super::super::super::shared::pod_defaults::items;
use super::super::super::shared::{diff, internal};
use super::super::pod_template;
use super::gated;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

const DEADLINE: [&str; 2] = ["spec", "activeDeadlineSeconds"];

/// Checks a change of the pod itself.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    for list in ["containers", "initContainers"] {
        let count = |obj: &Value| meta::list_at(obj, &["spec", list]).len();
        if count(new) != count(old) {
            errors.push(Error::forbidden(
                &path.child(list),
                "pod updates may not add or remove containers",
            ));
            return errors;
        }
        errors.extend(validate_images(meta::list_at(new, &["spec", list]), &path.child(list)));
    }
    let deadline = validate_deadline(new, old, &path.child("activeDeadlineSeconds"));
    let ends = deadline.as_ref().is_some_and(|_| meta::at(new, &DEADLINE).is_some());
    errors.extend(deadline);
    if ends {
        return errors;
    }
    errors.extend(validate_tolerations(new, old, &path.child("tolerations")));
    errors.extend(validate_gates(new, old, &path.child("schedulingGates")));

    let mut fixed = new.clone();
    for list in ["containers", "initContainers"] {
        let images: Vec<Value> = meta::list_at(old, &["spec", list])
            .iter()
            .map(|c| c["image"].clone())
            .collect();
        for (container, image) in items(&mut fixed, &["spec", list]).zip(images) {
            meta::set(container, &["image"], image);
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        meta::copy(&mut fixed, old, &["spec", field]);
    }
    if meta::i64_at(old, &["spec", "terminationGracePeriodSeconds"]).is_some_and(|s| s < 0)
        && meta::i64_at(new, &["spec", "terminationGracePeriodSeconds"]) == Some(1)
    {
        meta::copy(&mut fixed, old, &["spec", "terminationGracePeriodSeconds"]);
    }
    if is_gated(old) {
        errors.extend(gated::take_back(&mut fixed, old));
    }
    let spec = |obj: &Value| meta::at(obj, &["spec"]).cloned().unwrap_or_default();
    if spec(&fixed) != spec(old) {
        let shown = |obj| internal::pretty("PodSpec", &spec(obj));
        let changes = diff::unified(&shown(old), &shown(&fixed));
        errors.push(Error::forbidden(&path, format!("{FIXED}\n{changes}")));
    }
    errors
}

fn is_gated(pod: &Value) -> bool {
    !meta::list_at(pod, &["spec", "schedulingGates"]).is_empty()
}

/// Images stay there (`ValidateContainerUpdates`).
fn validate_images(containers: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i).child("image");
        let image = meta::str_at(container, &["image"]).unwrap_or_default();
        if image.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            errors.push(Error::invalid(&path, image, detail));
        }
    }
    errors
}

/// The deadline may be set and shortened.
fn validate_deadline(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let deadline = |obj: &Value| meta::i64_at(obj, &DEADLINE);
    let max = i64::from(i32::MAX);
    match (deadline(old), deadline(new)) {
        (_, Some(now)) if !(0..=max).contains(&now) => Some(Error::invalid(path, now, names::inclusive_range(0, max))),
        (Some(before), Some(now)) if now > before => {
            let detail = "must be less than or equal to previous value";
            Some(Error::invalid(path, now, detail))
        }
        (Some(_), None) => {
            let detail = "must not update from a positive integer to nil value";
            Some(Error::invalid(path, Value::Null, detail))
        }
        _ => None,
    }
}

/// Tolerations may be added (`validateOnlyAddedTolerations`).
fn validate_tolerations(new: &Value, old: &Value, path: &Path) -> ErrorList {
    let list = |obj| meta::list_at(obj, &["spec", "tolerations"]);
    let same = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"]
            .iter()
            .all(|f| a.get(*f) == b.get(*f))
    };
    let lost = list(old)
        .iter()
        .any(|before| !list(new).iter().any(|now| same(before, now)));
    if lost {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return vec![Error::forbidden(path, detail)];
    }
    // Upstream has checked them with the rest of the spec already, and says everything twice.
    pod_template::validate_tolerations(meta::at(new, &["spec"]).unwrap_or(&Value::Null), path)
}

/// Scheduling gates may only go away.
fn validate_gates(new: &Value, old: &Value, path: &Path) -> ErrorList {
    let before = meta::list_at(old, &["spec", "schedulingGates"]);
    let added = |gate: &&Value| !before.iter().any(|b| b.get("name") == gate.get("name"));
    let gates = meta::list_at(new, &["spec", "schedulingGates"]).iter().enumerate();
    gates
        .filter(|(_, gate)| added(gate))
        .map(|(i, gate)| {
            let name = meta::str_at(gate, &["name"]).unwrap_or_default();
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            Error::forbidden(&path.index(i).child("name"), detail)
        })
        .collect()
}

/// Checks `pods/ephemeralcontainers`: existing ones may not change or go.
pub(super) fn validate_ephemeral(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec").child("ephemeralContainers");
    let list = |obj| meta::list_at(obj, &["spec", "ephemeralContainers"]);
    let name = |c: &Value| meta::str_at(c, &["name"]).unwrap_or_default().to_owned();
    let shown = |container: &Value| internal::pretty("EphemeralContainer", container);
    let mut errors = ErrorList::new();
    for before in list(old) {
        match list(new).iter().find(|now| name(now) == name(before)) {
            None => {
                let detail = format!("existing ephemeral containers {:?} may not be removed\n", name(before));
                errors.push(Error::forbidden(&path, detail));
            }
            Some(now) if now != before => {
                let changes = diff::unified(&shown(before), &shown(now));
                let detail = format!(
                    "existing ephemeral containers {:?} may not be changed\n{changes}",
                    name(before)
                );
                errors.push(Error::forbidden(&path, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(change: impl Fn(&mut Value)) -> Vec<String> {
        let old = json!({"spec": {"nodeName": "n", "containers": [{"name": "c", "image": "a:1"}],
            "tolerations": [{"key": "k", "operator": "Exists"}]}});
        let mut new = old.clone();
        change(&mut new);
        validate(&new, &old).iter().map(|e| e.field.clone()).collect()
    }

    #[test]
    fn only_a_few_fields_may_change() {
        assert_eq!(check(|_| {}), Vec::<String>::new());
        assert_eq!(
            check(|p| p["spec"]["containers"][0]["image"] = json!("b")),
            Vec::<String>::new()
        );
        assert_eq!(
            check(|p| p["spec"]["activeDeadlineSeconds"] = json!(5)),
            Vec::<String>::new()
        );
        assert_eq!(
            check(|p| p["spec"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}, {"operator": "Exists"}])),
            Vec::<String>::new()
        );
        assert_eq!(check(|p| p["spec"]["tolerations"] = json!([])), ["spec.tolerations"]);
        assert_eq!(check(|p| p["spec"]["nodeName"] = json!("m")), ["spec"]);
        assert_eq!(check(|p| p["spec"]["containers"] = json!([])), ["spec.containers"]);
        assert_eq!(
            check(|p| p["spec"]["schedulingGates"] = json!([{"name": "g"}])),
            ["spec.schedulingGates[0].name"]
        );
    }
}
