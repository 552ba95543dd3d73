use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::node;
use super::plan::{State, Why, plan, status};
use crate::common::status::{as_returned, is_same};

fn set(strategy: Value, pod_spec: Value) -> DaemonSet {
    let mut pod_spec = pod_spec;
    pod_spec["containers"] = json!([{ "name": "c", "image": "v1" }]);
    serde_json::from_value(json!({
        "metadata": { "name": "agent", "namespace": "ns", "uid": "d1", "generation": 2, "annotations": { "deprecated.daemonset.template.generation": "2" } },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "updateStrategy": strategy,
            "template": { "metadata": { "labels": { "app": "agent" } }, "spec": pod_spec },
        },
    }))
    .unwrap()
}

fn rolling(unavailable: i32, surge: i32) -> Value {
    json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } })
}

fn node(name: &str, extra: Value) -> Arc<Node> {
    let get = |key: &str| extra.get(key).cloned().unwrap_or(Value::Null);
    let node = json!({
        "metadata": { "name": name, "labels": get("labels") },
        "spec": { "taints": get("taints"), "unschedulable": get("unschedulable") },
    });
    Arc::new(serde_json::from_value(node).unwrap())
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

struct World {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
    hash: String,
    next: usize,
    low: usize,
}

impl World {
    fn new(set: DaemonSet, nodes: Vec<Arc<Node>>) -> Self {
        Self {
            set,
            nodes,
            pods: Vec::new(),
            hash: "h1".into(),
            next: 0,
            low: usize::MAX,
        }
    }

    fn state(&self) -> State<'_> {
        State {
            set: &self.set,
            nodes: &self.nodes,
            pods: &self.pods,
            hash: &self.hash,
            now: now(),
        }
    }

    fn step(&mut self) -> bool {
        let plan = plan(&self.state());
        let acted = !plan.create.is_empty() || !plan.delete.is_empty();
        for (pod, _) in plan.delete {
            self.pods.retain(|other| other.metadata.uid != pod.metadata.uid);
        }
        for name in plan.create {
            self.next += 1;
            let mut pod = node::new_pod(&self.set, &name, &self.hash);
            pod.metadata.name = Some(format!("agent-{}", self.next));
            pod.metadata.uid = pod.metadata.name.clone();
            self.pods.push(Arc::new(pod));
        }
        acted
    }

    fn make_ready(&mut self) {
        for pod in &mut self.pods {
            let mut ready = pod.as_ref().clone();
            ready.spec.as_mut().unwrap().node_name = Some(node::target(pod));
            ready.status = serde_json::from_value(json!({
                "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z" }],
            }))
            .unwrap();
            *pod = Arc::new(ready);
        }
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let acted = self.step();
            let available = self
                .pods
                .iter()
                .filter(|pod| crate::common::pods::is_ready(pod))
                .count();
            self.low = self.low.min(available);
            self.make_ready();
            if !acted {
                return;
            }
        }
        panic!("never settles");
    }
}

/// What was written is not written again, however the server returns it.
pub(crate) fn rests() {
    for nodes in [vec![], vec![node("a", json!({})), node("b", json!({}))]] {
        let mut world = World::new(set(rolling(1, 0), json!({})), nodes);
        world.settle();
        let settled = status(&world.state(), None);
        for returned in as_returned(&settled) {
            world.set.status = Some(returned);
            let again = status(&world.state(), None);
            assert!(is_same(world.set.status.as_ref(), &again), "{again:?}");
            assert!(!world.step());
        }
    }
}

#[test]
fn which_nodes_fit() {
    let taint = |key: &str, effect: &str| json!({ "taints": [{ "key": key, "effect": effect }] });
    let table = [
        (json!({}), json!({}), (true, true)),
        (json!({}), json!({ "unschedulable": true }), (true, true)),
        (
            json!({}),
            taint("node.kubernetes.io/not-ready", "NoExecute"),
            (true, true),
        ),
        (json!({}), taint("special", "NoSchedule"), (false, true)),
        (json!({}), taint("special", "NoExecute"), (false, false)),
        (json!({}), taint("special", "PreferNoSchedule"), (true, true)),
        (
            json!({ "tolerations": [{ "operator": "Exists" }] }),
            taint("special", "NoExecute"),
            (true, true),
        ),
        (json!({ "nodeSelector": { "disk": "ssd" } }), json!({}), (false, false)),
        (
            json!({ "nodeSelector": { "disk": "ssd" } }),
            json!({ "labels": { "disk": "ssd" } }),
            (true, true),
        ),
        (json!({ "nodeName": "other" }), json!({}), (false, false)),
    ];
    for (spec, extra, expected) in table {
        assert_eq!(
            node::should_run(&set(rolling(1, 0), spec.clone()), &node("n", extra.clone())),
            expected,
            "{spec} {extra}"
        );
    }
}

#[test]
fn the_pod_of_a_node_is_pinned_to_it() {
    let pod = node::new_pod(&set(rolling(1, 0), json!({ "hostNetwork": true })), "n7", "h1");
    assert_eq!(node::target(&pod), "n7");
    let labels = pod.metadata.labels.as_ref().unwrap();
    assert_eq!(
        (
            labels["controller-revision-hash"].as_str(),
            labels["pod-template-generation"].as_str()
        ),
        ("h1", "2")
    );
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("agent-"));
    assert_eq!(pod.spec.as_ref().unwrap().tolerations.as_ref().unwrap().len(), 7);
}

#[test]
fn nodes_come_and_go() {
    let mut world = World::new(
        set(rolling(1, 0), json!({})),
        vec![node("a", json!({})), node("b", json!({}))],
    );
    world.settle();
    assert_eq!(world.pods.len(), 2);
    let current = status(&world.state(), None);
    assert_eq!(
        (
            current.desired_number_scheduled,
            current.number_ready,
            current.updated_number_scheduled
        ),
        (2, 2, Some(2))
    );
    world.nodes.push(node("c", json!({})));
    world.nodes[0] = node("a", json!({ "taints": [{ "key": "out", "effect": "NoExecute" }] }));
    world.settle();
    let mut on: Vec<_> = world.pods.iter().map(|pod| node::target(pod)).collect();
    on.sort();
    assert_eq!(on, ["b", "c"]);
}

#[test]
fn failed_pods_and_doubles_go() {
    let mut world = World::new(set(rolling(1, 0), json!({})), vec![node("a", json!({}))]);
    world.settle();
    let mut failed = world.pods[0].as_ref().clone();
    failed.status.as_mut().unwrap().phase = Some("Failed".into());
    world.pods[0] = Arc::new(failed);
    let plan = plan(&world.state());
    assert_eq!(
        plan.delete.iter().map(|(_, why)| *why).collect::<Vec<_>>(),
        [Why::Failed]
    );
}

#[test]
fn on_delete_leaves_old_pods_alone() {
    let mut world = World::new(
        set(json!({ "type": "OnDelete" }), json!({})),
        vec![node("a", json!({}))],
    );
    world.settle();
    world.hash = "h2".into();
    assert!(!world.step());
    assert_eq!(status(&world.state(), None).updated_number_scheduled, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// An update replaces every pod and never makes more of them unavailable than allowed.
    #[test]
    fn updates_respect_their_limits(count in 1..12usize, unavailable in 0..5i32, surge in 0..5i32) {
        let nodes = (0..count).map(|index| node(&format!("n{index}"), json!({}))).collect();
        let mut world = World::new(set(rolling(unavailable, surge), json!({})), nodes);
        world.settle();
        world.hash = "h2".into();
        world.low = usize::MAX;
        world.settle();
        prop_assert_eq!(world.pods.len(), count);
        prop_assert_eq!(status(&world.state(), None).updated_number_scheduled, i32::try_from(count).ok());
        let allowed = if surge > 0 { 0 } else { usize::try_from(unavailable.max(1)).unwrap() };
        prop_assert!(world.low + allowed >= count, "{} of {} available", world.low, count);
    }
}
