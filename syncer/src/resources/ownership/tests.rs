use serde_json::json;

use super::*;
use crate::kinds::{Kind, Side};
use crate::testing::world;

#[test]
fn only_what_the_virtual_server_knows_comes_up() {
    let world = world();
    let status = json!({
        "phase": "Running", "qosClass": "Burstable", "fromTheFuture": {"a": 1}, "observedGeneration": 2, "hostIPs": [{"ip": "h"}],
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2, "newer": true}, {"type": "Other"}],
        "containerStatuses": [
            {"name": "a", "ready": true, "resources": {}, "stopSignal": "SIGTERM", "newer": 1},
            {"name": "b", "lastState": {}},
        ],
        "initContainerStatuses": [],
    });
    let now = json!({
        "phase": "Running", "observedGeneration": 2, "hostIPs": [{"ip": "h"}],
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}, {"type": "Other"}],
        "containerStatuses": [{"name": "a", "ready": true, "resources": {}}, {"name": "b", "lastState": {}}],
        "initContainerStatuses": [],
    });
    assert_eq!(shown_status(&world, Kind::Pod, Some(&status)), now);
    world.versions.learn(Side::Virtual, 32);
    let then = json!({
        "phase": "Running", "hostIPs": [{"ip": "h"}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}],
        "containerStatuses": [{"name": "a", "ready": true}, {"name": "b", "lastState": {}}],
        "initContainerStatuses": [],
    });
    assert_eq!(shown_status(&world, Kind::Pod, Some(&status)), then);
    assert_eq!(
        shown_status(&world, Kind::Service, Some(&json!({"loadBalancer": {}, "x": 1}))),
        json!({"loadBalancer": {}})
    );
    assert_eq!(shown_status(&world, Kind::Service, None), json!({}));
}

/// Lists keep their lengths, and maps within a status are looked into: a newer host may say more in both.
#[test]
fn what_newer_hosts_say_of_nodes_and_drivers_stays_there() {
    let world = world();
    let node = json!({
        "capacity": {"cpu": "1"}, "conditions": [], "features": {"a": true}, "later": 1,
        "nodeInfo": {"osImage": "Linux", "swap": {"capacity": 1}, "later": 1}, "images": [{"names": ["i"]}],
    });
    let known = json!({
        "capacity": {"cpu": "1"}, "conditions": [], "features": {"a": true},
        "nodeInfo": {"osImage": "Linux", "swap": {"capacity": 1}}, "images": [{"names": ["i"]}],
    });
    assert_eq!(shown_status(&world, Kind::Node, Some(&node)), known);
    let drivers =
        json!({"drivers": [{"name": "a", "nodeID": "n", "topologyKeys": [], "later": 1}, {"later": 2}], "later": 3});
    let shown_drivers = json!({"drivers": [{"name": "a", "nodeID": "n", "topologyKeys": []}, {}]});
    assert_eq!(shown(&world, Kind::CsiNode, &drivers), shown_drivers);
    world.versions.learn(Side::Virtual, 32);
    let then = json!({
        "capacity": {"cpu": "1"}, "conditions": [], "nodeInfo": {"osImage": "Linux"}, "images": [{"names": ["i"]}],
    });
    assert_eq!(shown_status(&world, Kind::Node, Some(&node)), then);
}

#[test]
fn old_hosts_get_no_fields_that_they_do_not_know() {
    let world = world();
    let pod = json!({
        "hostUsers": false, "resources": {"limits": {"cpu": "1"}},
        "containers": [{"name": "a", "resizePolicy": []}, {"name": "b", "resizePolicy": [], "image": "i"}],
        "initContainers": [{"name": "c", "restartPolicy": "Always"}],
        "volumes": [{"name": "v", "image": {"reference": "r"}}],
    });
    let mut spec = pod.clone();
    assert_eq!(fit(&world, Kind::Pod, &mut spec), []);
    assert_eq!(spec, pod);
    world.versions.learn(Side::Host, 30);
    let notes = fit(&world, Kind::Pod, &mut spec);
    assert_eq!(
        spec,
        json!({
            "containers": [{"name": "a"}, {"name": "b", "image": "i"}],
            "initContainers": [{"name": "c", "restartPolicy": "Always"}], "volumes": [{"name": "v"}],
        })
    );
    let told: Vec<(&str, &str)> = notes.iter().map(|note| (note.reason, note.text.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                "SyncError",
                "Error syncing to host cluster: the host runs Kubernetes 1.30, which does not know spec.hostUsers: it takes 1.33"
            ),
            (
                "SyncWarning",
                "the host runs Kubernetes 1.30, which does not know spec.resources: it takes 1.34; the field is left out"
            ),
            (
                "SyncError",
                "Error syncing to host cluster: the host runs Kubernetes 1.30, which does not know spec.volumes[].image: it takes 1.35"
            ),
        ]
    );
}
