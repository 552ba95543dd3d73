//! What both sides may change: the one that differs from what both had is the newer one.

use super::*;
use crate::object::Object;

const MAP: (Kind, &str, &str) = (Kind::ConfigMap, "settings", "settings-x-team-x-vc");
const SERVICE: (Kind, &str, &str) = (Kind::Service, "web", "web-x-team-x-vc");

/// Changes an object of one side, as somebody there would.
fn change(world: &World, side: Side, (kind, name, copy): (Kind, &str, &str), change: Value) {
    let (namespace, name) = match side {
        Side::Virtual => ("team", name),
        Side::Host => ("host", copy),
    };
    let object = world.side(side).get(kind, namespace, name).expect("the object");
    let mut changed = object.value();
    crate::json::merge(&mut changed, &change);
    changed["metadata"]["resourceVersion"] = json!((object.version() + 1).to_string());
    world.put(side, kind, changed);
}

/// What is written, and where.
fn written(plan: &Plan) -> Vec<(Side, Value)> {
    let patches = plan.steps.iter().filter_map(|step| match step {
        Step::Patch { side, body, .. } => Some((*side, body.clone())),
        _ => None,
    });
    patches.collect()
}

fn data_written(world: &World) -> Vec<(Side, Value)> {
    let patches = written(&world.plan(Kind::ConfigMap, "team", "settings"));
    patches
        .into_iter()
        .map(|(side, mut body)| (side, body["data"].take()))
        .collect()
}

/// A ConfigMap on both sides, at which the syncer has looked.
fn settled_map() -> World {
    let world = small_world();
    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    world.plan(Kind::Pod, "team", "web");
    world.create(&world.plan(Kind::ConfigMap, "team", "settings"), "hc1");
    assert_eq!(data_written(&world), []);
    world
}

#[test]
fn entries_follow_who_has_changed_them() {
    let (ours, theirs) = (Side::Virtual, Side::Host);
    let table = [
        (json!({}), json!({"ca": "x"}), vec![(ours, json!({"ca": "x"}))]),
        (json!({}), json!({"a": "2"}), vec![(ours, json!({"a": "2"}))]),
        (json!({}), json!({"a": null}), vec![(ours, json!({"a": null}))]),
        (json!({"a": "2"}), json!({}), vec![(theirs, json!({"a": "2"}))]),
        (
            json!({"a": null}),
            json!({"a": "3"}),
            vec![(theirs, json!({"a": null}))],
        ),
        (json!({"a": "2"}), json!({"a": "3"}), vec![(theirs, json!({"a": "2"}))]),
        (
            json!({"b": "1"}),
            json!({"c": "1"}),
            vec![(theirs, json!({"b": "1"})), (ours, json!({"c": "1"}))],
        ),
    ];
    for (virtual_, host, expected) in table {
        let world = settled_map();
        change(&world, ours, MAP, json!({"data": virtual_}));
        change(&world, theirs, MAP, json!({"data": host}));
        assert_eq!(data_written(&world), expected, "{virtual_} {host}");
    }
}

/// Nobody on the host wants what an earlier state of it says.
#[test]
fn a_host_that_was_put_back_has_no_news() {
    let world = settled_map();
    change(&world, Side::Virtual, MAP, json!({"data": {"a": "2"}}));
    change(&world, Side::Host, MAP, json!({"data": {"a": "2"}}));
    assert_eq!(data_written(&world), []);
    let now = world.host.get(Kind::ConfigMap, "host", MAP.2).expect("a copy");
    let mut before = now.value();
    before["data"]["a"] = json!("1");
    before["metadata"]["resourceVersion"] = json!("50");
    let list = vec![Object::new(before)];
    for change in world.host.of(Kind::ConfigMap).replace(list, (60, 900), |_| true) {
        affected(&world, Side::Host, Kind::ConfigMap, &change);
    }
    assert_eq!(data_written(&world), [(Side::Host, json!({"a": "2"}))]);
}

/// A Service with a node port on both sides, at which the syncer has looked.
fn settled_service() -> World {
    let world = small_world();
    let service = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v", "resourceVersion": "5"},
        "spec": {
            "type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30001}],
        },
    });
    world.put(Side::Virtual, Kind::Service, service);
    let mut copy = world.create(&world.plan(Kind::Service, "team", "web"), "h");
    assert_eq!(
        copy["spec"]["ports"][0]["nodePort"], 30001,
        "what is asked for is what the host is asked for"
    );
    copy["metadata"]["resourceVersion"] = json!("101");
    copy["spec"]["clusterIP"] = json!("10.0.0.9");
    copy["spec"]["clusterIPs"] = json!(["10.0.0.9"]);
    world.put(Side::Host, Kind::Service, copy);
    assert_eq!(world.plan(Kind::Service, "team", "web").steps, []);
    world
}

fn ports(node_port: u64) -> Value {
    json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": node_port}]}})
}

#[test]
fn a_node_port_that_is_asked_for_is_the_hosts_if_it_can_be_had() {
    let world = settled_service();
    change(&world, Side::Virtual, SERVICE, ports(30002));
    let asked = written(&world.plan(Kind::Service, "team", "web"));
    let [(Side::Host, body)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(body["spec"], ports(30002)["spec"]);
    // The host may refuse: then it keeps the one it has given, and the virtual Service takes that over again.
    let virtual_ = world
        .virtual_side
        .get(Kind::Service, "team", "web")
        .map(|service| service.value());
    let instead = |target, refusal| without_node_ports(&world, target, virtual_.as_ref(), (body, refusal));
    let refusal = "spec.ports[0].nodePort: Invalid value: 30002: provided port is already allocated";
    assert_eq!(
        instead((Side::Host, Kind::Service), "admission webhook denied the request"),
        None
    );
    assert_eq!(instead((Side::Virtual, Kind::Service), refusal), None);
    let other = instead((Side::Host, Kind::Service), refusal).expect("another try");
    assert_eq!(
        other["spec"]["ports"],
        json!([{"port": 80, "protocol": "TCP", "targetPort": 80}])
    );
    assert_eq!(
        without_node_ports(
            &world,
            (Side::Host, Kind::Service),
            virtual_.as_ref(),
            (&other, refusal)
        ),
        None,
        "no third one"
    );
    let given = written(&world.plan(Kind::Service, "team", "web"));
    assert!(matches!(&given[..], [(Side::Virtual, _)]), "{given:?}");
}

#[test]
fn what_load_balancers_fill_in_comes_up_and_what_the_owner_says_goes_down() {
    let address = |address: Value| json!({"spec": {"loadBalancerIP": address}});
    let world = settled_service();
    let look = || {
        let patches = written(&world.plan(Kind::Service, "team", "web"));
        let [(side, body)] = &patches[..] else {
            panic!("{patches:?}")
        };
        (*side, body["spec"].clone())
    };
    let filled_in = json!("192.0.2.7");
    change(&world, Side::Host, SERVICE, address(filled_in.clone()));
    assert_eq!(look(), (Side::Virtual, address(filled_in.clone())["spec"].clone()));
    change(&world, Side::Virtual, SERVICE, address(filled_in));
    assert_eq!(world.plan(Kind::Service, "team", "web").steps, []);
    change(&world, Side::Host, SERVICE, address(json!("192.0.2.8")));
    assert_eq!(look(), (Side::Virtual, address(json!("192.0.2.8"))["spec"].clone()));
    change(&world, Side::Virtual, SERVICE, address(json!("192.0.2.9")));
    assert_eq!(look(), (Side::Host, address(json!("192.0.2.9"))["spec"].clone()));
    change(&world, Side::Host, SERVICE, address(json!("192.0.2.9")));
    assert_eq!(world.plan(Kind::Service, "team", "web").steps, []);
    change(&world, Side::Virtual, SERVICE, address(Value::Null));
    assert_eq!(look(), (Side::Host, address(Value::Null)["spec"].clone()));
}
