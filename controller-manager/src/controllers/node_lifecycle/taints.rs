//! Which taints a node has because of its conditions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::condition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Conditions (with the status that counts) that keep new pods away, and the taints that say so.
const KEEPS_AWAY: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The taints the node's conditions ask for, unless it has exactly those; taints of others stay (`doNoScheduleTaintingPass` and
/// `processTaintBaseEviction`). Those of mirrored nodes drive pods away, too: on the host, these may tolerate everything.
pub(super) fn corrected(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let holds =
        |(kind, status, _): &&(&str, &str, &str)| condition(node, kind).is_some_and(|one| one.status == *status);
    let mut wanted: Vec<(&str, &str)> = KEEPS_AWAY
        .iter()
        .filter(holds)
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    if cordoned {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let repelling: Vec<&str> = wanted
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| [NOT_READY, UNREACHABLE].contains(key))
        .collect();
    wanted.extend(repelling.into_iter().map(|key| (key, "NoExecute")));

    let current = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let is_ours = |taint: &Taint| {
        let by_condition = KEEPS_AWAY.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        match taint.effect.as_str() {
            "NoSchedule" => by_condition,
            "NoExecute" => [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()),
            _ => false,
        }
    };
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !is_ours(taint) || is_wanted(taint))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let time_added = (effect == "NoExecute").then_some(Time(now));
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added,
            });
        }
    }
    (taints != current).then_some(taints)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(ready: &str, taints: Value, cordoned: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n" },
            "spec": { "taints": taints, "unschedulable": cordoned },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn taints_follow_conditions() {
        let now = Timestamp::from_second(1).unwrap();
        let own = json!([{ "key": "mine", "effect": "NoSchedule" }]);
        let gone = json!([{ "key": NOT_READY, "effect": "NoExecute" }, { "key": NOT_READY, "effect": "NoSchedule" }]);
        let new = json!([{ "key": NOT_READY, "effect": "NoSchedule" }]);
        let table = [
            (node("True", json!([]), false), None),
            (node("True", own.clone(), false), None),
            (
                node("False", own, false),
                Some(vec!["mine:NoSchedule", "not-ready:NoSchedule", "not-ready:NoExecute"]),
            ),
            (
                node("Unknown", gone.clone(), false),
                Some(vec!["unreachable:NoSchedule", "unreachable:NoExecute"]),
            ),
            (node("True", gone.clone(), false), Some(vec![])),
            (node("True", new.clone(), false), Some(vec![])),
            (
                node("False", new, false),
                Some(vec!["not-ready:NoSchedule", "not-ready:NoExecute"]),
            ),
            (node("False", gone, false), None),
            (node("True", json!([]), true), Some(vec!["unschedulable:NoSchedule"])),
        ];
        for (node, expected) in table {
            let taints = corrected(&node, now);
            let short = |taint: &Taint| {
                let key = taint.key.trim_start_matches("node.kubernetes.io/");
                format!("{key}:{}", taint.effect)
            };
            let names = taints.map(|taints| taints.iter().map(short).collect::<Vec<_>>());
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect());
            assert_eq!(names, expected, "{node:?}");
        }
    }
}
