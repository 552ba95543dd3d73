use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::json;

use super::plan::{State, plan};
use crate::common::slices::Changes;

fn service() -> Service {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "s1", "labels": { "team": "a" } },
        "spec": { "clusterIP": "10.0.0.1", "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }] },
    }))
    .unwrap()
}

fn pod(number: usize, ready: bool, port: i32) -> Arc<Pod> {
    let name = format!("p{number}");
    let pod = json!({
        "metadata": { "name": name, "namespace": "ns", "uid": name },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": port }] }] },
        "status": {
            "phase": "Running", "podIPs": [{ "ip": format!("10.1.{}.{}", number / 250, number % 250 + 1) }],
            "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
        },
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn node(_: &str) -> Option<Arc<Node>> {
    Some(Arc::new(
        serde_json::from_value(json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "z1" } } })).unwrap(),
    ))
}

/// The slices as an API server keeps them.
#[derive(Default)]
struct World {
    slices: Vec<Arc<EndpointSlice>>,
    next: usize,
}

impl World {
    fn step(&mut self, service: &Service, pods: &[Arc<Pod>]) -> Changes {
        let state = State {
            service,
            pods,
            existing: &self.slices,
            node: &node,
            trigger: None,
        };
        let changes = plan(&state).changes;
        for slice in &changes.create {
            self.next += 1;
            let mut slice = slice.clone();
            slice.metadata.name = Some(format!("web-{}", self.next));
            slice.metadata.uid = slice.metadata.name.clone();
            self.slices.push(Arc::new(slice));
        }
        for slice in &changes.update {
            let index = self
                .slices
                .iter()
                .position(|old| old.metadata.name == slice.metadata.name)
                .unwrap();
            self.slices[index] = Arc::new(slice.clone());
        }
        for slice in &changes.delete {
            self.slices.retain(|old| old.metadata.name != slice.metadata.name);
        }
        changes
    }

    fn addresses(&self) -> Vec<String> {
        let endpoints = self.slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let mut all: Vec<String> = endpoints.flat_map(|endpoint| endpoint.addresses.clone()).collect();
        all.sort();
        all
    }
}

fn is_nothing(changes: &Changes) -> bool {
    changes.create.is_empty() && changes.update.is_empty() && changes.delete.is_empty()
}

/// What was written is not written again, however the server returns it.
pub(crate) fn rests() {
    for pods in [
        vec![],
        (0..150).map(|number| pod(number, number % 3 > 0, 8080)).collect(),
    ] {
        let mut world = World::default();
        world.step(&service(), &pods);
        for slice in &mut world.slices {
            let read: EndpointSlice = serde_json::from_value(serde_json::to_value(slice.as_ref()).unwrap()).unwrap();
            *slice = Arc::new(read);
        }
        assert!(is_nothing(&world.step(&service(), &pods)));
    }
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut world = World::default();
    let created = world.step(&service(), &[]).create;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0].metadata.generate_name.as_deref(), Some("web-"));
    let labels = created[0].metadata.labels.as_ref().unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "web");
    assert_eq!(
        labels["endpointslice.kubernetes.io/managed-by"],
        "endpointslice-controller.k8s.io"
    );
    assert_eq!(labels["team"], "a");
    assert!(is_nothing(&world.step(&service(), &[])));
    let changes = world.step(&service(), &[pod(1, true, 8080)]);
    assert_eq!(
        (changes.create.len(), changes.update.len(), changes.delete.len()),
        (0, 1, 0),
        "the empty one is reused"
    );
    assert!(is_nothing(&world.step(&service(), &[pod(1, true, 8080)])));
}

#[test]
fn conditions_follow_readiness_and_termination() {
    let mut leaving = pod(3, true, 80).as_ref().clone();
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let table = [
        (pod(1, true, 80), (true, true, false)),
        (pod(2, false, 80), (false, false, false)),
        (Arc::new(leaving), (false, true, true)),
    ];
    for (pod, (ready, serving, terminating)) in table {
        let mut world = World::default();
        world.step(&service(), &[pod]);
        let endpoint = world.slices[0].endpoints.as_ref().unwrap()[0].clone();
        let conditions = endpoint.conditions.unwrap();
        assert_eq!(
            (conditions.ready, conditions.serving, conditions.terminating),
            (Some(ready), Some(serving), Some(terminating))
        );
        assert_eq!(
            (endpoint.zone.as_deref(), endpoint.node_name.as_deref()),
            (Some("z1"), Some("n1"))
        );
    }
}

#[test]
fn a_named_port_with_two_numbers_makes_two_slices() {
    let mut world = World::default();
    world.step(&service(), &[pod(1, true, 8080), pod(2, true, 9090)]);
    assert_eq!(world.slices.len(), 2);
}

#[test]
fn one_more_pod_is_one_write() {
    let mut world = World::default();
    let pods: Vec<_> = (0..250).map(|number| pod(number, true, 80)).collect();
    world.step(&service(), &pods);
    assert_eq!(world.slices.len(), 3);
    let more: Vec<_> = (0..251).map(|number| pod(number, true, 80)).collect();
    let changes = world.step(&service(), &more);
    assert_eq!(
        (changes.create.len(), changes.update.len(), changes.delete.len()),
        (0, 1, 0)
    );
}

#[test]
fn pods_on_unknown_nodes_wait() {
    let pods = [pod(1, true, 80)];
    let service = service();
    let state = State {
        service: &service,
        pods: &pods,
        existing: &[],
        node: &|_| None,
        trigger: None,
    };
    let plan = plan(&state);
    assert_eq!(plan.waiting_for_node.as_deref(), Some("n1"));
    assert!(plan.changes.create[0].endpoints.as_ref().unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After any history, every pod is in exactly one slice, no slice is too large, and nothing is left to do.
    #[test]
    fn every_pod_is_in_exactly_one_slice(rounds in prop::collection::vec(prop::collection::btree_set(0..400usize, 0..320), 1..4)) {
        let mut world = World::default();
        for round in rounds {
            let pods: Vec<_> = round.iter().map(|number| pod(*number, number % 3 > 0, 80)).collect();
            world.step(&service(), &pods);
            let mut expected: Vec<String> = pods.iter().map(|pod| {
                pod.status.as_ref().unwrap().pod_ips.as_ref().unwrap()[0].ip.clone()
            }).collect();
            expected.sort();
            prop_assert_eq!(world.addresses(), expected);
            prop_assert!(world.slices.iter().all(|slice| slice.endpoints.as_ref().map_or(0, Vec::len) <= 100));
            prop_assert!(is_nothing(&world.step(&service(), &pods)));
        }
    }
}
