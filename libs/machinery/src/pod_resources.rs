//! What a whole pod requests and may use at most (`k8s.io/component-helpers/resource`, `PodRequests` and `PodLimits`).

use crate::meta;
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a pod may state as a whole, besides huge pages.
const OF_WHOLE_PODS: [&str; 2] = ["cpu", "memory"];
const HUGE_PAGES: &str = "hugepages-";

/// Amounts by the name of their resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a list of resources.
pub fn amounts(owner: &Value, path: &[&str]) -> Amounts {
    meta::map_at(owner, path)
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?)))
        .collect()
}

/// Adds amounts to others.
pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |so_far| so_far.plus(amount));
        total.insert(name.clone(), sum);
    }
}

/// Raises amounts to what is the least, where they are below it.
fn raise(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if total.get(name).is_none_or(|so_far| amount > so_far) {
            total.insert(name.clone(), *amount);
        }
    }
}

/// Whether a pod states anything as a whole (`IsPodLevelResourcesSet`).
pub fn states_its_own(pod: &Value) -> bool {
    ["requests", "limits"]
        .iter()
        .any(|list| !of_whole(pod, list).is_empty())
}

fn of_whole(pod: &Value, list: &str) -> Amounts {
    let mut stated = amounts(pod, &["spec", "resources", list]);
    stated.retain(|name, _| OF_WHOLE_PODS.contains(&name.as_str()) || name.starts_with(HUGE_PAGES));
    stated
}

/// What all containers together have in `list` (`requests` or `limits`): the sum of those that run side by side, but no
/// less than what starting the pod takes. What the pod says of itself as a whole wins.
pub fn of_containers(pod: &Value, list: &str) -> Amounts {
    aggregate(pod, list, |container, _| amounts(container, &["resources", list]))
}

/// The same by what containers have got where that is more, and with the overhead of the pod's runtime, which counts against
/// limits only where there are any.
pub fn of_pod(pod: &Value, list: &str) -> Amounts {
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let pending = conditions
        .iter()
        .find(|condition| condition["type"] == "PodResizePending");
    let infeasible = pending.is_some_and(|condition| condition["reason"] == "Infeasible");
    let mut total = aggregate(pod, list, |container, statuses| {
        let wanted = amounts(container, &["resources", list]);
        let status = meta::list_at(pod, &["status", statuses])
            .iter()
            .find(|status| status["name"] == container["name"] && status["resources"].is_object());
        let Some(status) = status else { return wanted };
        let mut effective = if infeasible { Amounts::new() } else { wanted };
        raise(&mut effective, &amounts(status, &["resources", list]));
        if list == "requests" {
            raise(&mut effective, &amounts(status, &["allocatedResources"]));
        }
        effective
    });
    let mut overhead = amounts(pod, &["spec", "overhead"]);
    if list == "limits" {
        overhead.retain(|name, _| total.get(name).is_some_and(|limit| limit.sign() != 0));
    }
    add(&mut total, &overhead);
    total
}

/// The amounts of a pod, of whose containers `each` tells, also by the statuses among which theirs is.
fn aggregate(pod: &Value, list: &str, each: impl Fn(&Value, &str) -> Amounts) -> Amounts {
    let mut total = Amounts::new();
    for container in meta::list_at(pod, &["spec", "containers"]) {
        add(&mut total, &each(container, "containerStatuses"));
    }
    let (mut beside, mut starting) = (Amounts::new(), Amounts::new());
    for container in meta::list_at(pod, &["spec", "initContainers"]) {
        if meta::str_at(container, &["restartPolicy"]) == Some("Always") {
            let own = each(container, "initContainerStatuses");
            add(&mut total, &own);
            add(&mut beside, &own);
            raise(&mut starting, &beside);
        } else {
            let mut own = amounts(container, &["resources", list]);
            add(&mut own, &beside);
            raise(&mut starting, &own);
        }
    }
    raise(&mut total, &starting);
    total.extend(of_whole(pod, list));
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sidecars_run_beside_and_others_before() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}});
        let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}});
        let pod = |init: Value| {
            json!({"spec": {"containers": [container("1"), container("500m")], "initContainers": init,
                "overhead": {"cpu": "100m", "memory": "1Mi"}}})
        };
        for (init, requests) in [
            (json!([]), "1500m"),
            (json!([container("3")]), "3"),
            (json!([sidecar, container("3")]), "4"),
            (json!([container("2"), sidecar]), "2500m"),
        ] {
            let amounts = of_containers(&pod(init), "requests");
            assert_eq!(amounts["cpu"].to_string(), requests);
        }
        let plain = pod(json!([]));
        assert_eq!(of_pod(&plain, "requests")["memory"].to_string(), "1Mi");
        assert!(!of_pod(&plain, "limits").contains_key("memory"));
        assert_eq!(of_pod(&plain, "limits")["cpu"].to_string(), "1600m");
    }
    #[test]
    fn what_containers_have_got_counts_where_it_is_more() {
        let pod = |reason: &str| {
            json!({
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}]},
                "status": {
                    "conditions": [{"type": "PodResizePending", "reason": reason}],
                    "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "1500m"},
                        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}}],
                },
            })
        };
        for (reason, list, expected) in [
            ("Deferred", "requests", "2"),
            ("Infeasible", "requests", "1500m"),
            ("Deferred", "limits", "3"),
            ("Infeasible", "limits", "3"),
        ] {
            assert_eq!(
                of_pod(&pod(reason), list)["cpu"].to_string(),
                expected,
                "{reason} {list}"
            );
        }
        assert_eq!(of_containers(&pod("Deferred"), "limits")["cpu"].to_string(), "2");
    }

    #[test]
    fn what_a_pod_states_as_a_whole_wins() {
        let pod = json!({"spec": {"resources": {"requests": {"cpu": "5", "example.com/gpu": "1"}},
            "containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
        assert!(states_its_own(&pod));
        let total = of_pod(&pod, "requests");
        assert_eq!(
            (total["cpu"].to_string(), total["memory"].to_string()),
            ("5".to_owned(), "1Gi".to_owned())
        );
        assert!(!total.contains_key("example.com/gpu"));
        assert!(!states_its_own(
            &json!({"spec": {"resources": {"limits": {"example.com/gpu": "1"}}}})
        ));
    }
}
