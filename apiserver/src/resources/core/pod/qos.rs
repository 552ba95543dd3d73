//! The quality-of-service class (upstream `pkg/apis/core/helper/qos`).

use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// The resources that decide.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` when every container limits both resources and requests as much, `BestEffort` when nothing is asked
/// for, else `Burstable`.
pub(super) fn class(pod: &Value) -> &'static str {
    let spec = |list: &'static str| meta::list_at(pod, &["spec", list]);
    if let Some(resources) =
        meta::at(pod, &["spec", "resources"]).filter(|r| r.as_object().is_some_and(|m| !m.is_empty()))
    {
        return of_all(std::iter::once(resources));
    }
    let containers = spec("containers").iter().chain(spec("initContainers"));
    of_all(containers.map(|c| meta::at(c, &["resources"]).unwrap_or(&Value::Null)))
}

fn of_all<'a>(all: impl Iterator<Item = &'a Value>) -> &'static str {
    let mut sums: [BTreeMap<&str, Quantity>; 2] = Default::default();
    let mut guaranteed = true;
    for resources in all {
        let positive = |list: &str, name: &str| {
            let quantity = Quantity::parse(meta::str_at(resources, &[list, name])?).ok()?;
            (quantity.sign() > 0).then_some(quantity)
        };
        for (sum, list) in sums.iter_mut().zip(["requests", "limits"]) {
            for name in RESOURCES {
                if let Some(quantity) = positive(list, name) {
                    let total = sum.get(name).map_or(quantity, |so_far| so_far.plus(&quantity));
                    sum.insert(name, total);
                }
            }
        }
        guaranteed &= RESOURCES.iter().all(|name| positive("limits", name).is_some());
    }
    let [requests, limits] = sums;
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (resources, expected) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"ephemeral-storage": "1Gi"}}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": both, "requests": both}), "Guaranteed"),
            (
                json!({"limits": both, "requests": {"cpu": "1", "memory": "1024Mi"}}),
                "Guaranteed",
            ),
            (
                json!({"limits": both, "requests": {"cpu": "1", "memory": "1Mi"}}),
                "Burstable",
            ),
            (json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}), "Burstable"),
        ] {
            let pod = json!({"spec": {"containers": [{"resources": resources}]}});
            assert_eq!(class(&pod), expected, "{resources}");
        }
    }
}
