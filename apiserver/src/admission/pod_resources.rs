//! What a whole pod requests and may use at most (`k8s.io/component-helpers/resource`, `PodRequests` and `PodLimits`).

use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// Amounts by the name of their resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a list of resources.
pub(crate) fn amounts(owner: &Value, path: &[&str]) -> Amounts {
    meta::map_at(owner, path)
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::parse(amount.as_str()?).ok()?)))
        .collect()
}

/// Adds amounts to others.
pub(crate) fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |so_far| so_far.plus(amount));
        total.insert(name.clone(), sum);
    }
}

fn raise(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let larger = total.get(name).map_or(*amount, |so_far| *so_far.max(amount));
        total.insert(name.clone(), larger);
    }
}

/// What all containers together have in `list` (`requests` or `limits`): the sum of those that run side by side, but no
/// less than what starting the pod takes. What the pod says of itself as a whole wins.
pub(crate) fn of_containers(pod: &Value, list: &str) -> Amounts {
    let mut total = Amounts::new();
    for container in meta::list_at(pod, &["spec", "containers"]) {
        add(&mut total, &amounts(container, &["resources", list]));
    }
    let (mut beside, mut starting) = (Amounts::new(), Amounts::new());
    for container in meta::list_at(pod, &["spec", "initContainers"]) {
        let mut own = amounts(container, &["resources", list]);
        if meta::str_at(container, &["restartPolicy"]) == Some("Always") {
            add(&mut total, &own);
            add(&mut beside, &own);
            own = beside.clone();
        } else {
            add(&mut own, &beside);
        }
        raise(&mut starting, &own);
    }
    raise(&mut total, &starting);
    total.extend(amounts(pod, &["spec", "resources", list]));
    total
}

/// The same with the overhead of the pod's runtime; it counts against limits only where there are any.
pub(crate) fn of_pod(pod: &Value, list: &str) -> Amounts {
    let mut total = of_containers(pod, list);
    let mut overhead = amounts(pod, &["spec", "overhead"]);
    if list == "limits" {
        overhead.retain(|name, _| total.get(name).is_some_and(|limit| limit.sign() != 0));
    }
    add(&mut total, &overhead);
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
}
