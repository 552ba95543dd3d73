//! `pods/resize`: what containers and the pod ask for may change, and the policies that say how (kubernetes
//! `pkg/registry/core/pod/strategy.go` and `ValidatePodResize`).

use super::{MIRROR, default, keep_all_but, qos, validate};
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const LISTS: [&str; 2] = ["containers", "initContainers"];
const PARTS: [&str; 2] = ["requests", "limits"];
/// What a path without a name is printed as.
const NOWHERE: &str = "[]";

/// The hooks of the subresource.
pub(super) struct Resize;

impl Strategy for Resize {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        let same_length = |list: &&str| containers(new, list).len() == containers(old, list).len();
        if LISTS.iter().all(same_length) {
            let mut wanted = old.clone();
            meta::remove(&mut wanted, &["spec", "resources"]);
            meta::copy(&mut wanted, new, &["spec", "resources"]);
            for list in LISTS {
                if !containers(old, list).is_empty() {
                    meta::set(
                        &mut wanted,
                        &["spec", list],
                        resized(containers(new, list), containers(old, list)),
                    );
                }
            }
            meta::copy(new, &wanted, &["spec"]);
        }
        keep_all_but(new, old, &[&["spec"]]);
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        if meta::str_at(old, &["metadata", "annotations", MIRROR]).is_some() {
            return vec![Error::forbidden(&Path::new(NOWHERE), "static pods cannot be resized")];
        }
        if meta::str_at(old, &["spec", "os", "name"]) == Some("windows") {
            return vec![Error::forbidden(&Path::new(NOWHERE), "windows pods cannot be resized")];
        }
        let mut errors = validate(new);
        errors.extend(changes(new, old));
        errors
    }
}

fn containers<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    meta::list_at(pod, &["spec", list])
}

/// The old containers with what may change; the new ones when they are others, which is an error.
fn resized(new: &[Value], old: &[Value]) -> Vec<Value> {
    let name = |container| meta::str_at(container, &["name"]);
    if new.iter().map(name).ne(old.iter().map(name)) {
        return new.to_vec();
    }
    let pairs = old.iter().zip(new);
    let resized = pairs.map(|(old, new)| {
        let mut container = old.clone();
        for field in ["resources", "resizePolicy"] {
            meta::copy(&mut container, new, &[field]);
        }
        container
    });
    resized.collect()
}

fn changes(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if qos::class(new) != qos::class(old) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        // The class that the status still says.
        let class = meta::str_at(new, &["status", "qosClass"]).unwrap_or_default();
        errors.push(Error::invalid(&path, class, detail));
    }
    if !node_can_resize(old) {
        errors.push(Error::forbidden(
            &path,
            "Pod running on node without support for resize",
        ));
    }
    errors.extend(of_the_pod(new, old));
    if !meta::list_at(old, &["status", "nodeAllocatableResourceClaimStatuses"]).is_empty() {
        let detail = "pods with node allocatable resource claims cannot be resized";
        errors.push(Error::forbidden(&path, detail));
    }
    let order = order(new, old);
    if !order.is_empty() {
        errors.extend(order);
        return errors;
    }
    for list in ["initContainers", "containers"] {
        let pairs = containers(new, list).iter().zip(containers(old, list));
        for (i, (now, before)) in pairs.enumerate() {
            let path = path.child(list).index(i).child("resources");
            errors.extend(removed(now, before, &path, "resource"));
        }
    }
    errors.extend(immutable(new, old));
    errors
}

/// Whether the node says what running containers have, as those do that can resize.
fn node_can_resize(pod: &Value) -> bool {
    let given = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    let mut statuses = meta::list_at(pod, &["status", "containerStatuses"]).iter();
    let running = statuses.find(|status| given(meta::at(status, &["state", "running"])));
    running.is_none_or(|status| given(status.get("resources")))
}

/// What the pod as a whole asks for.
fn of_the_pod(new: &Value, old: &Value) -> ErrorList {
    let (now, before) = (
        new.get("spec").unwrap_or(&Value::Null),
        old.get("spec").unwrap_or(&Value::Null),
    );
    let is_set = |spec: &Value| {
        PARTS
            .iter()
            .any(|part| amounts(spec, part).is_some_and(|map| !map.is_empty()))
    };
    let path = Path::new("spec").child("resources");
    let mut errors = ErrorList::new();
    if !is_set(now) && !is_set(before) {
        return errors;
    }
    let given = |spec: &Value| spec.get("resources").is_some_and(|resources| !resources.is_null());
    if given(before) && !given(now) {
        return vec![Error::forbidden(&path, "pod-level resources cannot be removed")];
    }
    if given(before) {
        errors.extend(removed(now, before, &path, "pod-level resource"));
    }
    if without_amounts(now).get("resources") != without_amounts(before).get("resources") {
        let detail = "only cpu and memory resources are mutable at pod-level";
        errors.push(Error::forbidden(&Path::new("spec"), detail));
    }
    errors
}

fn amounts<'a>(holder: &'a Value, part: &str) -> Option<&'a serde_json::Map<String, Value>> {
    meta::map_at(holder, &["resources", part])
}

/// What was asked for may change, but not go.
fn removed(now: &Value, before: &Value, path: &Path, what: &str) -> ErrorList {
    let gone = |part: &&str| {
        let kept = |name: &String| amounts(now, part).is_some_and(|map| map.contains_key(name));
        !amounts(before, part)
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .all(kept)
    };
    let parts = PARTS.into_iter().filter(gone);
    parts
        .map(|part| Error::forbidden(&path.child(part), format!("{what} {part} cannot be removed")))
        .collect()
}

/// The containers have to be the same.
fn order(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    for list in LISTS {
        let path = Path::new("spec").child(list);
        let (now, before) = (containers(new, list), containers(old, list));
        if now.len() != before.len() {
            let detail = format!("{list} may not be added or removed on resize");
            errors.push(Error::forbidden(&path, detail));
            continue;
        }
        for (i, (now, before)) in now.iter().zip(before).enumerate() {
            if now.get("name") != before.get("name") {
                let detail = format!("{list} may not be renamed or reordered on resize");
                errors.push(Error::forbidden(&path.index(i).child("name"), detail));
            }
        }
    }
    errors
}

/// Whatever differs besides CPU and memory of containers.
fn immutable(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    for (now, before) in containers(new, "containers").iter().zip(containers(old, "containers")) {
        if without_amounts(now) != without_amounts(before) {
            errors.push(Error::forbidden(&path, "only cpu and memory resources are mutable"));
        }
    }
    let pairs = containers(new, "initContainers")
        .iter()
        .zip(containers(old, "initContainers"));
    for (i, (now, before)) in pairs.enumerate().filter(|(_, (now, before))| now != before) {
        let path = path.child("initContainers").index(i);
        if without_amounts(now) != without_amounts(before) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(Error::forbidden(&path, detail));
        }
        if meta::str_at(now, &["restartPolicy"]) == Some("Always") {
            continue;
        }
        let restarts = |policy: &&Value| policy["restartPolicy"] == "RestartContainer";
        for _ in meta::list_at(now, &["resizePolicy"]).iter().filter(restarts) {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            errors.push(Error::forbidden(&path, detail));
        }
    }
    errors
}

/// A container or a spec without what a resize may change.
fn without_amounts(holder: &Value) -> Value {
    let mut holder = holder.clone();
    for part in PARTS {
        let amounts = holder.pointer_mut(&format!("/resources/{part}"));
        if let Some(amounts) = amounts.and_then(Value::as_object_mut) {
            amounts.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
            if amounts.is_empty() {
                meta::remove(&mut holder, &["resources", part]);
            }
        }
    }
    if meta::map_at(&holder, &["resources"]).is_some_and(serde_json::Map::is_empty) {
        meta::remove(&mut holder, &["resources"]);
    }
    holder
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(change: impl Fn(&mut Value)) -> Vec<String> {
        let all = json!({"cpu": "1", "memory": "1Gi"});
        let old = json!({"spec": {
            "containers": [{"name": "c", "resources": {"requests": all, "limits": all}}],
            "initContainers": [{"name": "i", "resources": {"requests": all, "limits": all}}],
        }});
        let mut new = old.clone();
        change(&mut new);
        changes(&new, &old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn amounts_change_and_nothing_else_does() {
        let set = |pod: &mut Value, list: &str, amounts: Value| {
            let resources = json!({"requests": amounts, "limits": amounts});
            pod["spec"][list][0]["resources"] = resources;
        };
        let none: [&str; 0] = [];
        assert_eq!(complaints(|_| {}), none);
        assert_eq!(
            complaints(|pod| set(pod, "containers", json!({"cpu": "2", "memory": "1Gi"}))),
            none
        );
        assert_eq!(
            complaints(|pod| set(pod, "initContainers", json!({"cpu": "2", "memory": "1Gi"}))),
            none
        );
        assert_eq!(
            complaints(|pod| set(pod, "containers", json!({"cpu": "2"}))),
            [
                "spec: Invalid value: \"\": Pod QOS Class may not change as a result of resizing",
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ]
        );
        assert_eq!(
            complaints(|pod| pod["spec"]["containers"][0]["image"] = json!("x")),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
        assert_eq!(
            complaints(|pod| pod["spec"]["containers"] = json!([])),
            ["spec.containers: Forbidden: containers may not be added or removed on resize"]
        );
    }
}
