//! The flow schemas and priority levels that every cluster has (kubernetes `pkg/apis/flowcontrol/bootstrap`).

use super::writer::Writer;
use crate::endpoints::api::Api;
use machinery::meta;
use machinery::status::Status;
use serde_json::{Value, json};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The name under which upstream makes them.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
/// Whether the objects follow the server's idea of them when that changes.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// The levels with queues: name, shares, what may be lent of them in percent, number of queues and size of hands.
const QUEUED: [(&str, i64, i64, i64, i64); 6] = [
    ("global-default", 20, 50, 128, 6),
    ("leader-election", 10, 0, 16, 4),
    ("node-high", 40, 25, 64, 6),
    ("system", 30, 33, 64, 6),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
];
const QUEUE_LENGTH: i64 = 50;

/// Makes what is missing.
///
/// # Errors
/// When the store cannot be read or written.
pub(super) async fn ensure(api: &Api) -> Result<(), Status> {
    let levels = Writer::new(api, GROUP, "prioritylevelconfigurations")?;
    for (name, spec) in priority_levels() {
        ensure_one(&levels, name, spec).await?;
    }
    let schemas = Writer::new(api, GROUP, "flowschemas")?;
    for (name, spec) in flow_schemas() {
        ensure_one(&schemas, name, spec).await?;
    }
    Ok(())
}

async fn ensure_one(writer: &Writer<'_>, name: &str, spec: Value) -> Result<(), Status> {
    if writer.get("", name).await?.is_some() {
        return Ok(());
    }
    let object = json!({"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec});
    writer.create_as(PRODUCER, "", &object).await
}

fn priority_levels() -> Vec<(&'static str, Value)> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = |shares: i64, lendable: i64, response: Value| {
        let limited =
            json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        json!({"type": "Limited", "limited": limited})
    };
    let mut levels = vec![
        ("exempt", exempt),
        ("catch-all", limited(5, 0, json!({"type": "Reject"}))),
    ];
    levels.extend(QUEUED.map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH});
        (
            name,
            limited(shares, lendable, json!({"type": "Queue", "queuing": queuing})),
        )
    }));
    levels
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

fn system_accounts() -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}})
}

fn resources(groups: &[&str], resources: &[&str], verbs: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn paths(paths: &[&str], verbs: &[&str]) -> Value {
    json!({"verbs": verbs, "nonResourceURLs": paths})
}

fn flow_schemas() -> Vec<(&'static str, Value)> {
    const ALL: &[&str] = &["*"];
    let everything = |subjects: Vec<Value>| json!({"subjects": subjects, "resourceRules": [resources(ALL, ALL, ALL, true)], "nonResourceRules": [paths(ALL, ALL)]});
    let everybody = || vec![group("system:unauthenticated"), group("system:authenticated")];
    let leases = |verbs: &[&str]| resources(&["coordination.k8s.io"], &["leases"], verbs, false);
    let controllers = user("system:kube-controller-manager");
    let scheduler = user("system:kube-scheduler");
    let election = json!({
        "subjects": [controllers, scheduler, system_accounts()],
        "resourceRules": [leases(&["get", "create", "update"])],
    });
    let nodes = json!({
        "subjects": [group("system:nodes")],
        "resourceRules": [resources(&[""], &["nodes", "nodes/status"], ALL, true), leases(ALL)],
    });
    let health = json!({
        "subjects": everybody(),
        "nonResourceRules": [paths(&["/healthz", "/readyz", "/livez"], &["get"])],
    });
    // Name, precedence, level, what tells flows apart, and the rule.
    [
        ("exempt", 1, "exempt", "", everything(vec![group("system:masters")])),
        ("catch-all", 10_000, "catch-all", "ByUser", everything(everybody())),
        ("probes", 2, "exempt", "", health),
        ("system-leader-election", 100, "leader-election", "ByUser", election),
        ("system-node-high", 400, "node-high", "ByUser", nodes),
        (
            "system-nodes",
            500,
            "system",
            "ByUser",
            everything(vec![group("system:nodes")]),
        ),
        (
            "kube-controller-manager",
            800,
            "workload-high",
            "ByNamespace",
            everything(vec![user("system:kube-controller-manager")]),
        ),
        (
            "kube-scheduler",
            800,
            "workload-high",
            "ByNamespace",
            everything(vec![user("system:kube-scheduler")]),
        ),
        (
            "kube-system-service-accounts",
            900,
            "workload-high",
            "ByNamespace",
            everything(vec![system_accounts()]),
        ),
        (
            "service-accounts",
            9000,
            "workload-low",
            "ByUser",
            everything(vec![group("system:serviceaccounts")]),
        ),
        (
            "global-default",
            9900,
            "global-default",
            "ByUser",
            everything(everybody()),
        ),
    ]
    .into_iter()
    .map(|(name, precedence, level, method, rule)| {
        let mut spec = json!({
            "matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": level},
            "rules": [rule],
        });
        if !method.is_empty() {
            meta::set(&mut spec, &["distinguisherMethod", "type"], method);
        }
        (name, spec)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_level() {
        let levels: Vec<&str> = priority_levels().into_iter().map(|(name, _)| name).collect();
        assert_eq!((levels.len(), flow_schemas().len()), (8, 11));
        for (name, spec) in flow_schemas() {
            let level = spec["priorityLevelConfiguration"]["name"].as_str().unwrap();
            assert!(levels.contains(&level), "{name} needs {level}");
        }
    }
}
