//! Who assigns pods to nodes.

use std::collections::BTreeSet;

use super::*;
use crate::settings::Scheduling;

/// The pod on the host, if it got there.
fn copy(scheduling: &Scheduling, spec: Value) -> Option<Value> {
    let mut world = small_world();
    world.settings.pods.scheduling = scheduling.clone();
    let mut pod = pod(json!({"spec": spec}));
    crate::json::remove(&mut pod["spec"], &["containers"]);
    pod["spec"]["containers"] = json!([{"name": "app", "image": "nginx"}]);
    pod["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    pod["spec"]["topologySpreadConstraints"] = json!([{"topologyKey": "zone", "maxSkew": 1}]);
    pod["spec"]["affinity"] = json!({"nodeAffinity": {}});
    let node = json!({"metadata": {"name": "n1", "uid": "n"}});
    world.put(Side::Host, Kind::Node, node.clone());
    world.put(Side::Virtual, Kind::Node, node);
    let placed = json!({"metadata": {"namespace": "host", "name": "h", "uid": "h"}, "spec": {"nodeName": "n1"}});
    world.put(Side::Host, Kind::Pod, placed);
    world.put(Side::Virtual, Kind::Pod, pod);
    let plan = world.plan(Kind::Pod, "team", "web");
    (!plan.steps.is_empty()).then(|| world.create(&plan, "h1")["spec"].clone())
}

#[test]
fn the_scheduler_of_a_pod_says_which_cluster_assigns_it() {
    let by_name =
        |names: &[&str]| Scheduling::ByName(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    let (own, hosts) = (by_name(&["gpu"]), by_name(&["gpu", "default-scheduler"]));
    let table = [
        (&Scheduling::Host, "default-scheduler", true),
        (&Scheduling::Host, "mine", true),
        (&Scheduling::Virtual, "default-scheduler", false),
        (&Scheduling::Virtual, "gpu", false),
        (&own, "", false),
        (&own, "default-scheduler", false),
        (&own, "mine", false),
        (&own, "gpu", true),
        (&hosts, "", true),
        (&hosts, "default-scheduler", true),
        (&hosts, "mine", false),
        (&hosts, "gpu", true),
    ];
    for (scheduling, name, on_host) in table {
        let free = copy(scheduling, json!({"schedulerName": name}));
        assert_eq!(free.is_some(), on_host, "{scheduling:?} {name}");
        let assigned = copy(scheduling, json!({"schedulerName": name, "nodeName": "n1"})).expect("it has a node");
        for spec in free.iter().chain([&assigned]) {
            for constraint in ["nodeSelector", "topologySpreadConstraints", "affinity"] {
                assert_eq!(
                    spec.get(constraint).is_some(),
                    on_host,
                    "{scheduling:?} {name} {constraint}"
                );
            }
        }
    }
}

#[test]
fn the_default_scheduler_is_that_of_the_virtual_cluster_if_it_has_one() {
    let of = |text: &str| Scheduling::of(&config::Config::parse("f", text).expect("valid"));
    let hybrid = "sync: {fromHost: {nodes: {enabled: true}}, toHost: {pods: {hybridScheduling: {enabled: true, hostSchedulers: [gpu]}}}}\n";
    let own = "controlPlane: {distro: {k8s: {scheduler: {enabled: true}}}}\n";
    let names = |scheduling| match scheduling {
        Scheduling::ByName(names) => names.into_iter().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(""), Scheduling::Host);
    assert_eq!(
        of(&format!("sync: {{fromHost: {{nodes: {{enabled: true}}}}}}\n{own}")),
        Scheduling::Virtual
    );
    assert_eq!(names(of(hybrid)), ["default-scheduler", "gpu"]);
    assert_eq!(names(of(&format!("{hybrid}{own}"))), ["gpu"]);
}
