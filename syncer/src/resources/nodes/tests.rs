//! Virtual nodes of both origins, and what the host has for them.

use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::addresses::node_of_host;
use super::others;
use crate::clusters::Change;
use crate::engine::plan::Step;
use crate::kinds::{Kind, Side};
use crate::object::Object;
use crate::settings::Settings;
use crate::testing::{settings, summary, world_of};
use crate::world::World;

fn with(change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = settings();
    settings.nodes.by_hostname = true;
    change(&mut settings);
    world_of(settings)
}

/// A world that shows the host's nodes, whether or not they run pods.
fn showing(change: impl FnOnce(&mut Settings)) -> World {
    with(|settings| {
        settings.nodes.from_host = true;
        settings.nodes.selector = Some(Selector::default());
        change(settings);
    })
}

fn host_pod(world: &World, node: &str, ready: &str) {
    world.put(
        Side::Host,
        Kind::Pod,
        json!({
            "metadata": {"namespace": "host", "name": "web", "uid": ready},
            "spec": {"nodeName": node},
            "status": {"conditions": [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": "True"}]},
        }),
    );
}

fn host_node(version: &str, more: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": "n-1", "uid": "h", "resourceVersion": version,
                     "labels": {"zone": "a"}, "annotations": {"team": "x"}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "ExternalIP", "address": "198.51.100.1"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["i"]}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10255}},
        },
    });
    crate::json::merge(&mut node, &more);
    node
}

/// Shows a host node that has not been seen before.
fn shown(world: &World, more: Value) -> Value {
    let items = world.put(Side::Host, Kind::Node, host_node("5", more));
    assert_eq!(items.len(), 1);
    world.create(&world.plan(Kind::Node, "", "n-1"), "v")
}

fn plan(world: &World) -> Vec<String> {
    summary(&world.plan(Kind::Node, "", "n-1"))
}

/// Changes the virtual node as somebody else would.
fn change_virtual(world: &World, change: Value) {
    let known = world.virtual_side.get(Kind::Node, "", "n-1").expect("a node");
    let mut node = known.value();
    crate::json::merge(&mut node, &change);
    node["metadata"]["resourceVersion"] = json!((known.version() + 1).to_string());
    world.put(Side::Virtual, Kind::Node, node);
}

/// Carries out the patches of virtual and host nodes in a plan.
fn settle(world: &World) {
    for step in world.plan(Kind::Node, "", "n-1").steps {
        let Step::Patch {
            side,
            kind: Kind::Node,
            body,
            ..
        } = step
        else {
            continue;
        };
        let known = world.side(side).get(Kind::Node, "", "n-1").expect("a node");
        let mut node = known.value();
        crate::json::merge(&mut node, &body);
        node["metadata"]["resourceVersion"] = json!((known.version() + 1).to_string());
        world.put(side, Kind::Node, node);
    }
}

#[test]
fn a_made_up_node_follows_its_pods() {
    let world = with(|_| ());
    host_pod(&world, "n-1", "True");
    let node = world.create(&world.plan(Kind::Node, "", "n-1"), "v");
    assert_eq!(node["metadata"]["labels"]["vcluster.loft.sh/fake-node"], "true");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "fake-n-1");
    assert_eq!(
        node["status"]["addresses"],
        json!([{"type": "Hostname", "address": "n-1.nodes.vcluster.com"}, {"type": "VirtualKubelet", "address": "10.9.9.9"}])
    );
    assert!(plan(&world).is_empty());
    change_virtual(
        &world,
        json!({"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}, {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}),
    );
    let steps = plan(&world);
    assert!(
        steps.len() == 1
            && steps[0].contains(r#"{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"}]}"#),
        "{steps:?}"
    );
    settle(&world);

    host_pod(&world, "n-1", "False");
    let steps = plan(&world);
    assert!(steps[0].contains(r#""status":"Unknown","type":"Ready""#), "{steps:?}");
    world.take(Side::Host, Kind::Pod, "host", "web");
    assert_eq!(plan(&world), ["delete virtual Node n-1 v"]);
}

#[test]
fn a_node_that_a_tenant_made_is_left_alone() {
    let world = with(|settings| settings.nodes.by_ip = true);
    host_pod(&world, "n-1", "True");
    world.put(
        Side::Virtual,
        Kind::Node,
        json!({"metadata": {"name": "n-1", "uid": "t"}}),
    );
    assert!(plan(&world).is_empty());
}

#[test]
fn a_node_has_no_service_where_none_are_synced() {
    let world = with(|settings| {
        settings.nodes.by_ip = true;
        settings.to_host.remove(&Kind::Service);
    });
    host_pod(&world, "n-1", "True");
    assert_eq!(plan(&world), ["create virtual Node n-1"]);
}

#[test]
fn every_node_has_a_service_while_it_is_there() {
    let world = with(|settings| settings.nodes.by_ip = true);
    host_pod(&world, "n-1", "True");
    let plan_with_service = world.plan(Kind::Node, "", "n-1");
    assert_eq!(
        summary(&plan_with_service),
        ["create virtual Node n-1", "create host Service host/vc-node-n-1"]
    );
    let Some(Step::Create { object: service, .. }) = plan_with_service.steps.last() else {
        panic!("no Service");
    };
    assert_eq!(
        service["spec"],
        json!({
            "ports": [{"name": "kubelet", "port": 10250, "targetPort": 10250, "protocol": "TCP"}],
            "selector": {"app": "vcluster", "release": "vc"},
        })
    );
    assert_eq!(service["metadata"]["ownerReferences"][0]["name"], "vc");
    world.create(&plan_with_service, "u");
    assert!(plan(&world).is_empty(), "nothing is done until the address is known");

    let mut service = service.clone();
    service["spec"]["clusterIP"] = json!("10.0.0.77");
    service["metadata"]["uid"] = json!("u");
    service["metadata"]["resourceVersion"] = json!("101");
    let items = world.put(Side::Host, Kind::Service, service);
    assert_eq!(items.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Node n-1"]);
    let steps = plan(&world);
    assert!(
        steps.len() == 1 && steps[0].contains(r#"{"address":"10.0.0.77","type":"InternalIP"}"#),
        "{steps:?}"
    );
    for host in ["10.0.0.77", "n-1.nodes.vcluster.com", "n-1.vc.host.nodes.vcluster.com"] {
        assert_eq!(node_of_host(&world, host).as_deref(), Some("n-1"), "{host}");
    }
    for host in [
        "10.0.0.78",
        "n-2.nodes.vcluster.com",
        "n-1.evil.host.nodes.vcluster.com",
        "",
        "nodes.vcluster.com",
    ] {
        assert_eq!(node_of_host(&world, host), None, "{host}");
    }
    world.take(Side::Host, Kind::Pod, "host", "web");
    assert_eq!(
        plan(&world),
        ["delete virtual Node n-1 v", "delete host Service host/vc-node-n-1 u"]
            .map(|step| step.replace("n-1 v", "n-1 u"))
    );
    world.take(Side::Virtual, Kind::Node, "", "n-1");
    assert_eq!(plan(&world), ["delete host Service host/vc-node-n-1 u"]);
}

#[test]
fn without_a_selector_the_service_of_a_node_gets_endpoints() {
    let world = with(|settings| settings.nodes.by_ip = true);
    let service = json!({
        "metadata": {"namespace": "host", "name": "vc", "uid": "cp", "resourceVersion": "2"}, "spec": {"clusterIP": "10.0.0.1"},
    });
    world.control_plane.of(Kind::Service).apply(Object::new(service));
    let endpoints = json!({
        "metadata": {"namespace": "host", "name": "vc", "uid": "cp", "resourceVersion": "2"},
        "subsets": [{"addresses": [{"ip": "192.0.2.9", "nodeName": "x"}], "ports": [{"name": "https", "port": 8443}]}],
    });
    world.control_plane.of(Kind::Endpoints).apply(Object::new(endpoints));
    host_pod(&world, "n-1", "True");
    let plan = world.plan(Kind::Node, "", "n-1");
    let Some(Step::Create {
        object,
        kind: Kind::Endpoints,
        ..
    }) = plan.steps.last()
    else {
        panic!("{:?}", summary(&plan));
    };
    assert_eq!(
        object["subsets"],
        json!([{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"name": "kubelet", "port": 10250, "protocol": "TCP"}]}])
    );
}

#[test]
fn a_node_shows_that_of_the_host() {
    let world = showing(|settings| {
        settings.nodes.clear_images = true;
        settings.nodes.own_node = "n-1".into();
    });
    let node = shown(&world, json!({}));
    assert_eq!(
        node["metadata"]["labels"],
        json!({"zone": "a", "vcluster.loft.sh/managed-by": "vc"})
    );
    let annotations = &node["metadata"]["annotations"];
    assert_eq!(annotations["team"], "x");
    assert_eq!(annotations["vcluster.loft.sh/managed-annotations"], "team");
    assert_eq!(
        annotations["cluster-autoscaler.kubernetes.io/scale-down-disabled"],
        "true"
    );
    assert_eq!(
        node["status"]["addresses"],
        json!([
            {"type": "Hostname", "address": "n-1.nodes.vcluster.com"},
            {"type": "ExternalIP", "address": "198.51.100.1"},
            {"type": "VirtualKubelet", "address": "10.9.9.9"},
        ])
    );
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    assert!(node["status"].get("images").is_none());
    assert!(plan(&world).is_empty());

    let heartbeat =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "later"}]}});
    world.put(Side::Host, Kind::Node, host_node("6", heartbeat));
    assert!(plan(&world).is_empty(), "nothing has changed");
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    world.put(Side::Host, Kind::Node, host_node("7", lost));
    assert_eq!(
        plan(&world),
        [
            r#"patch virtual Node n-1 status{"metadata":{},"status":{"conditions":[{"status":"Unknown","type":"Ready"}]}}"#
        ]
    );
    world.take(Side::Host, Kind::Node, "", "n-1");
    assert_eq!(plan(&world), ["delete virtual Node n-1 v"]);
}

#[test]
fn without_a_selector_nodes_are_shown_that_run_pods() {
    let world = showing(|settings| settings.nodes.selector = None);
    world.put(Side::Host, Kind::Node, host_node("5", json!({})));
    assert!(plan(&world).is_empty());
    host_pod(&world, "n-1", "True");
    assert_eq!(plan(&world), ["create virtual Node n-1"]);
    host_pod(&world, "unknown", "True");
    assert!(
        world.plan(Kind::Node, "", "unknown").steps.is_empty(),
        "the host has no such node"
    );
}

#[test]
fn what_was_added_to_a_node_stays_and_what_is_the_hosts_comes_back() {
    let world = showing(|_| ());
    shown(
        &world,
        json!({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}),
    );
    let mine = json!({
        "metadata": {"labels": {"mine": "1", "zone": "b"}, "annotations": {"team": null, "own": "1"}},
        "spec": {"unschedulable": true, "taints": [{"key": "own", "effect": "NoExecute"}]},
    });
    change_virtual(&world, mine);
    settle(&world);
    let node = world.virtual_side.get(Kind::Node, "", "n-1").expect("a node").value();
    assert_eq!(
        node["metadata"]["labels"],
        json!({"mine": "1", "zone": "a", "vcluster.loft.sh/managed-by": "vc"})
    );
    assert_eq!(
        (
            &node["metadata"]["annotations"]["team"],
            &node["metadata"]["annotations"]["own"]
        ),
        (&json!("x"), &json!("1"))
    );
    assert_eq!(node["spec"]["unschedulable"], false);
    assert_eq!(
        node["spec"]["taints"],
        json!([{"key": "gpu", "effect": "NoSchedule"}, {"key": "own", "effect": "NoExecute"}])
    );
    // The host's taint and label go; what was added here does not.
    let less = json!({"metadata": {"labels": {"zone": null, "rack": "7"}}});
    world.put(Side::Host, Kind::Node, host_node("9", less));
    settle(&world);
    let node = world.virtual_side.get(Kind::Node, "", "n-1").expect("a node").value();
    assert_eq!(
        node["metadata"]["labels"],
        json!({"mine": "1", "rack": "7", "vcluster.loft.sh/managed-by": "vc"})
    );
    assert_eq!(node["spec"]["taints"], json!([{"key": "own", "effect": "NoExecute"}]));
    assert!(plan(&world).is_empty());
}

#[test]
fn taints_that_all_pods_tolerate_are_hidden() {
    for (toleration, shown_taints) in [
        (json!({"operator": "Exists"}), 0),
        (json!({"key": "team", "operator": "Exists", "effect": "NoSchedule"}), 1),
        (json!({"key": "team", "value": "a"}), 1),
        (json!({"key": "team", "value": "b"}), 2),
        (json!({"key": "team", "operator": "Exists", "effect": "NoExecute"}), 2),
    ] {
        let world = showing(|settings| settings.pods.tolerations = vec![toleration.clone()]);
        let taints = json!([{"key": "team", "value": "a", "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"},
                            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]);
        let node = shown(&world, json!({"spec": {"taints": taints}}));
        assert_eq!(
            crate::json::items(&node, &["spec", "taints"]).len(),
            shown_taints,
            "{toleration}"
        );
        assert!(plan(&world).is_empty());
    }
}

#[test]
fn another_host_node_of_the_same_name_makes_another_virtual_node() {
    let world = showing(|_| ());
    shown(&world, json!({}));
    world.put(
        Side::Host,
        Kind::Node,
        host_node("9", json!({"spec": {"podCIDR": "10.9.0.0/24"}})),
    );
    assert_eq!(plan(&world), ["delete virtual Node n-1 v"]);
}

#[test]
fn changes_go_to_the_host_when_that_is_wanted() {
    let world = showing(|settings| settings.nodes.sync_back = true);
    shown(
        &world,
        json!({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}),
    );
    assert!(plan(&world).is_empty());
    let mine = json!({
        "metadata": {"labels": {"mine": "1", "zone": null}},
        "spec": {"unschedulable": true, "taints": [{"key": "own", "effect": "NoExecute"}]},
    });
    change_virtual(&world, mine);
    assert_eq!(
        plan(&world),
        [
            r#"patch host Node n-1 {"metadata":{"labels":{"mine":"1","zone":null},"resourceVersion":"5"},"spec":{"taints":[{"effect":"NoExecute","key":"own"}],"unschedulable":true}}"#
        ]
    );
    settle(&world);
    settle(&world);
    assert!(plan(&world).is_empty(), "both are the same: {:?}", plan(&world));
    let host = world.host.get(Kind::Node, "", "n-1").expect("a node").value();
    assert_eq!(host["metadata"]["labels"], json!({"mine": "1"}));

    // What the host changes at the same time is the host's.
    let mut newer = host.clone();
    newer["metadata"]["labels"]["mine"] = json!("host");
    newer["metadata"]["resourceVersion"] = json!("20");
    world.put(Side::Host, Kind::Node, newer);
    change_virtual(&world, json!({"metadata": {"labels": {"mine": "2"}}}));
    settle(&world);
    let node = world.virtual_side.get(Kind::Node, "", "n-1").expect("a node").value();
    assert_eq!(node["metadata"]["labels"]["mine"], "host");
    assert!(plan(&world).is_empty());
}

fn other_pod(name: &str, node: &str, phase: &str) -> Change {
    let mut pod = json!({
        "metadata": {"namespace": "other", "name": name, "uid": name, "resourceVersion": "1"},
        "spec": {
            "nodeName": node, "overhead": {"cpu": "10m"},
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "50m", "memory": "2Gi"}}},
            ],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}, {"name": "b"}],
        },
        "status": {"phase": phase},
    });
    others::trim(&mut pod);
    Change::new(None, Some(std::sync::Arc::new(Object::new(pod))))
}

#[test]
fn a_scheduler_here_does_not_count_on_what_others_have() {
    let world = showing(|settings| settings.nodes.scheduled_here = true);
    let change = other_pod("a", "n-1", "Running");
    assert_eq!(world.other_pods.observe(&change), ["n-1"]);
    assert!(world.other_pods.observe(&other_pod("b", "n-1", "Succeeded")).is_empty());
    let node = shown(&world, json!({}));
    // 500m and the sidecar's 100m and the overhead; the init container needs more memory than the others.
    assert_eq!(
        node["status"]["allocatable"],
        json!({"cpu": "3390m", "memory": "6Gi", "pods": "109"})
    );
    assert_eq!(node["status"]["capacity"]["cpu"], "4");
    change_virtual(&world, json!({"status": {"capacity": {"example.com/gpu": "1"}}}));
    assert!(plan(&world).is_empty(), "what was added for the scheduler stays");
    let gone = Change::new(change.new, None);
    assert_eq!(world.other_pods.observe(&gone), ["n-1"]);
    let steps = plan(&world);
    assert!(
        steps[0].contains(r#""allocatable":{"cpu":"4","memory":"8Gi","pods":"110"}"#),
        "{steps:?}"
    );
}
