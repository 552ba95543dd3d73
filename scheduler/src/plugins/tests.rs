use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cache::{Cache, Snapshot};
use crate::cycle::choose;
use crate::pod::PodInfo;

fn node(name: &str, extra: Value) -> Arc<Node> {
    let get = |key: &str| extra.get(key).cloned().unwrap_or(Value::Null);
    let node = json!({
        "metadata": { "name": name, "labels": get("labels") },
        "spec": { "taints": get("taints"), "unschedulable": get("unschedulable") },
        "status": { "allocatable": extra.get("allocatable").cloned().unwrap_or(json!({ "cpu": "4", "memory": "8Gi", "pods": "110" })) },
    });
    Arc::new(serde_json::from_value(node).unwrap())
}

fn pod(name: &str, labels: Value, spec: Value) -> PodInfo {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{ "name": "c" }]);
    }
    let pod = json!({ "metadata": { "name": name, "namespace": "ns", "uid": name, "labels": labels }, "spec": spec });
    PodInfo::of(&serde_json::from_value::<Pod>(pod).unwrap())
}

fn world(nodes: Vec<Arc<Node>>, pods: Vec<PodInfo>) -> Snapshot {
    let mut cache = Cache::default();
    nodes.into_iter().for_each(|node| cache.set_node(node));
    pods.into_iter().for_each(|pod| cache.put_pod(Arc::new(pod)));
    cache.snapshot()
}

fn requests(cpu: &str) -> Value {
    json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] })
}

#[test]
fn every_filter_refuses_in_upstreams_words() {
    let zone = json!({ "zone": "a" });
    let anti = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "web" } }, "topologyKey": "zone" }
    ] } });
    let near = json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "db" } }, "topologyKey": "zone" }
    ] } });
    let spread = json!([{ "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "web" } } }]);
    let port = json!([{ "name": "c", "ports": [{ "containerPort": 80, "hostPort": 80 }] }]);
    let web = |spec: Value| pod("there", json!({ "app": "web" }), spec);
    let on = |mut spec: Value| {
        spec["nodeName"] = json!("n1");
        spec
    };
    let table = [
        (
            json!({ "unschedulable": true }),
            vec![],
            json!({}),
            "1 node(s) were unschedulable",
        ),
        (
            json!({ "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] }),
            vec![],
            json!({}),
            "1 node(s) had untolerated taint(s)",
        ),
        (
            json!({}),
            vec![],
            json!({ "nodeSelector": { "disk": "ssd" } }),
            "1 node(s) didn't match Pod's node affinity/selector",
        ),
        (json!({}), vec![], requests("5"), "1 Insufficient cpu"),
        (
            json!({ "allocatable": { "cpu": "4", "pods": "1" } }),
            vec![web(on(json!({})))],
            requests("5"),
            "1 Insufficient cpu, 1 Too many pods",
        ),
        (
            json!({}),
            vec![web(on(json!({ "containers": port })))],
            json!({ "containers": port }),
            "1 node(s) didn't have free ports for the requested pod ports",
        ),
        (
            json!({ "labels": zone }),
            vec![web(on(json!({})))],
            json!({ "affinity": anti }),
            "1 node(s) didn't match pod anti-affinity rules",
        ),
        (
            json!({ "labels": zone }),
            vec![web(on(json!({ "affinity": anti })))],
            json!({}),
            "1 node(s) didn't satisfy existing pods anti-affinity rules",
        ),
        (
            json!({ "labels": zone }),
            vec![web(on(json!({})))],
            json!({ "affinity": near }),
            "1 node(s) didn't match pod affinity rules",
        ),
        (
            json!({ "labels": zone }),
            vec![],
            json!({ "topologySpreadConstraints": spread }),
            "1 node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ];
    for (extra, pods, spec, reason) in table {
        let snapshot = world(vec![node("n1", extra)], pods);
        let new = pod("new", json!({ "app": "web" }), spec);
        assert_eq!(
            choose(&new, &snapshot),
            Err(format!("0/1 nodes are available: {reason}."))
        );
    }
    let new = pod("new", json!({}), json!({}));
    assert_eq!(
        choose(&new, &Snapshot::default()),
        Err("no nodes available to schedule pods".into())
    );
}

#[test]
fn reasons_are_counted_over_all_nodes() {
    let tainted = json!({ "taints": [{ "key": "k", "effect": "NoExecute" }] });
    let snapshot = world(
        vec![node("a", tainted.clone()), node("b", tainted), node("c", json!({}))],
        vec![],
    );
    let error = choose(&pod("p", json!({}), requests("100")), &snapshot).unwrap_err();
    assert_eq!(
        error,
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)."
    );
}

#[test]
fn the_better_node_wins() {
    let busy = |name: &str, node: &str| {
        let mut info = pod(name, json!({ "app": "web" }), requests("2"));
        info.node = node.to_owned();
        info
    };
    let labels = |value: &str| json!({ "labels": { "zone": value } });
    let prefer = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 50, "preference": { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["b"] }] } }
    ] } } });
    let apart = json!({ "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 100, "podAffinityTerm": { "labelSelector": { "matchLabels": { "app": "web" } }, "topologyKey": "zone" } }
    ] } } });
    let soft_spread = json!({ "topologySpreadConstraints": [
        { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": { "matchLabels": { "app": "web" } } }
    ] });
    let table = [
        ("least allocated", json!({}), vec![busy("x", "a")]),
        ("preferred", prefer, vec![]),
        ("apart", apart, vec![busy("x", "a")]),
        ("spread", soft_spread, vec![busy("x", "a")]),
    ];
    for (case, spec, pods) in table {
        let snapshot = world(vec![node("a", labels("a")), node("b", labels("b"))], pods);
        assert_eq!(
            choose(&pod("p", json!({ "app": "web" }), spec), &snapshot).as_deref(),
            Ok("b"),
            "{case}"
        );
    }
    let soft = json!({ "taints": [{ "key": "k", "effect": "PreferNoSchedule" }] });
    let snapshot = world(vec![node("a", soft), node("b", json!({}))], vec![]);
    assert_eq!(choose(&pod("p", json!({}), json!({})), &snapshot).as_deref(), Ok("b"));
}

#[test]
fn a_daemon_pod_goes_to_the_node_it_names_and_tolerates() {
    let taints =
        json!({ "unschedulable": true, "taints": [{ "key": "node.kubernetes.io/not-ready", "effect": "NoExecute" }] });
    let snapshot = world(vec![node("a", json!({})), node("b", taints)], vec![]);
    let spec = json!({
        "tolerations": [
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute" },
            { "key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule" },
        ],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["b"] }] }
        ] } } },
    });
    assert_eq!(choose(&pod("p", json!({}), spec), &snapshot).as_deref(), Ok("b"));
}

#[test]
fn the_first_of_its_kind_may_want_to_be_near_itself() {
    let near = json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "web" } }, "topologyKey": "zone" }
    ] } } });
    let labelled = json!({ "labels": { "zone": "a" } });
    let snapshot = world(vec![node("a", labelled), node("b", json!({}))], vec![]);
    assert_eq!(
        choose(&pod("p", json!({ "app": "web" }), near), &snapshot).as_deref(),
        Ok("a")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However pods arrive, no node ever gets more than it has, and a pod waits only when it fits nowhere.
    #[test]
    fn nodes_are_never_overfilled(sizes in prop::collection::vec(1..30i64, 1..40), capacities in prop::collection::vec(10..80i64, 1..5)) {
        let mut cache = Cache::default();
        for (index, capacity) in capacities.iter().enumerate() {
            let allocatable = json!({ "allocatable": { "cpu": format!("{capacity}"), "memory": "1Gi", "pods": "20" } });
            cache.set_node(node(&format!("n{index}"), allocatable));
        }
        for (index, size) in sizes.iter().enumerate() {
            let mut new = pod(&format!("p{index}"), json!({}), requests(&size.to_string()));
            let snapshot = cache.snapshot();
            let free = |info: &crate::cache::NodeInfo| info.allocatable.get("cpu") - info.requested.get("cpu");
            match choose(&new, &snapshot) {
                Ok(name) => {
                    new.node = name;
                    cache.put_pod(Arc::new(new));
                }
                Err(_) => prop_assert!(snapshot.nodes.iter().all(|info| free(info) < size * 1000 || info.pods.len() >= 20)),
            }
        }
        for info in &cache.snapshot().nodes {
            prop_assert!(info.requested.get("cpu") <= info.allocatable.get("cpu"));
        }
    }
}
