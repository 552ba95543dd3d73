//! Replicas of Services in the other cluster.

use serde_json::{Value, json};

use super::*;
use crate::foreign;
use crate::settings::Replica;

fn replica(from: (&str, &str), to: (&str, &str)) -> Replica {
    Replica {
        from: ObjectKey::new(from.0, from.1),
        to: ObjectKey::new(to.0, to.1),
    }
}

fn service(namespace: &str, name: &str, version: u64, spec: Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": name, "resourceVersion": version.to_string()}, "spec": spec,
    })
}

fn world_with_replicas() -> World {
    let mut world = world();
    world.settings.replicas.from_host = vec![replica(("src", "db"), ("team", "database"))];
    world.settings.replicas.to_host = vec![replica(("team", "web"), ("host", "shop"))];
    world
}

fn planned(world: &World, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
    summary(&world.plan(kind, namespace, name))
}

#[test]
fn a_service_of_the_host_has_a_replica_that_leads_to_it() {
    let world = world_with_replicas();
    let port = json!({"name": "sql", "port": 5432, "protocol": "TCP", "targetPort": 1, "nodePort": 30000});
    let spec = json!({"type": "NodePort", "clusterIP": "10.0.0.9", "ports": [port]});
    let affected = world.put_foreign(Kind::Service, service("src", "db", 1, spec));
    let items = [Kind::Service, Kind::Endpoints].map(|kind| Reference::new(kind, "team", "database"));
    assert_eq!(affected, items);
    let made = world.create(&world.plan(Kind::Service, "team", "database"), "n");
    assert_eq!(made["kind"], "Namespace");
    assert_eq!(
        world.plan(Kind::Endpoints, "team", "database").steps,
        [],
        "first the Service"
    );
    let made = world.create(&world.plan(Kind::Service, "team", "database"), "v1");
    assert_eq!(
        made["spec"],
        json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432, "protocol": "TCP", "targetPort": 1}]})
    );
    assert_eq!(made["metadata"]["labels"], json!({keys::CONTROLLED_BY: "vcluster"}));
    let made = world.create(&world.plan(Kind::Endpoints, "team", "database"), "v2");
    let ports = json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]);
    assert_eq!(
        made["subsets"],
        json!([{"addresses": [{"ip": "10.0.0.9"}], "ports": ports}])
    );
    for kind in [Kind::Service, Kind::Endpoints] {
        assert_eq!(planned(&world, kind, "team", "database"), Vec::<String>::new());
    }
    assert!(world.host.of(Kind::Service).is_empty(), "it is not synced back");

    // It goes with the Service of the host, once the host is known.
    world
        .foreign
        .caches
        .of(Kind::Service)
        .remove(&ObjectKey::new("src", "db"), "");
    assert_eq!(planned(&world, Kind::Service, "team", "database"), Vec::<String>::new());
    foreign::scopes(&world.settings)
        .iter()
        .for_each(|scope| world.foreign.complete(scope));
    assert_eq!(
        planned(&world, Kind::Service, "team", "database"),
        ["delete virtual Service team/database v1"]
    );
    assert_eq!(
        planned(&world, Kind::Endpoints, "team", "database"),
        ["delete virtual Endpoints team/database v2"]
    );
}

#[test]
fn a_headless_service_of_the_host_is_followed_to_its_endpoints() {
    let world = world_with_replicas();
    namespace(&world, "team");
    let spec = json!({"clusterIP": "None", "ports": [{"port": 80}]});
    world.put_foreign(Kind::Service, service("src", "db", 1, spec));
    world.create(&world.plan(Kind::Service, "team", "database"), "v1");
    let endpoints = |version: u64, subsets: Value| {
        let mut endpoints = service("src", "db", version, json!({}));
        endpoints["subsets"] = subsets;
        world.put_foreign(Kind::Endpoints, endpoints)
    };
    let address =
        json!({"ip": "10.1.0.1", "hostname": "a", "nodeName": "n", "targetRef": {"kind": "Pod", "name": "p"}});
    assert_eq!(
        endpoints(1, json!([{"addresses": [address], "ports": [{"port": 80}]}])).len(),
        2
    );
    let made = world.create(&world.plan(Kind::Endpoints, "team", "database"), "v2");
    let expected = json!([{"addresses": [{"ip": "10.1.0.1", "hostname": "a"}], "ports": [{"port": 80}]}]);
    assert_eq!(made["subsets"], expected);
    endpoints(2, Value::Null);
    assert_eq!(
        planned(&world, Kind::Endpoints, "team", "database"),
        ["patch virtual Endpoints team/database {\"metadata\":{},\"subsets\":[]}"]
    );
}

#[test]
fn what_carries_the_label_and_is_nobodys_replica_goes() {
    let world = world_with_replicas();
    let labelled = |name: &str, labels: Value| {
        let mut object = service("team", name, 3, json!({"clusterIP": "10.0.0.8"}));
        object["metadata"]["labels"] = labels;
        world.put(Side::Virtual, Kind::Service, object);
    };
    labelled("stale", json!({keys::CONTROLLED_BY: "vcluster"}));
    assert_eq!(
        planned(&world, Kind::Service, "team", "stale"),
        ["delete virtual Service team/stale stale"]
    );
    // The replica of a virtual cluster within this one is a Service like any other here.
    labelled(
        "nested",
        json!({keys::CONTROLLED_BY: "vcluster", keys::MARKER: "inner"}),
    );
    assert_eq!(
        planned(&world, Kind::Service, "team", "nested"),
        ["create host Service host/nested-x-team-x-vc"]
    );
    // So is one that somebody made where a replica should be.
    world.put_foreign(Kind::Service, service("src", "db", 1, json!({"clusterIP": "10.0.0.9"})));
    labelled("database", json!({}));
    assert_eq!(
        planned(&world, Kind::Service, "team", "database"),
        ["create host Service host/database-x-team-x-vc"]
    );
    assert_eq!(
        planned(&world, Kind::Endpoints, "team", "database"),
        Vec::<String>::new()
    );
}

#[test]
fn a_virtual_service_has_a_replica_on_the_host() {
    let world = world_with_replicas();
    let spec = |port: u64| json!({"clusterIP": "10.0.0.7", "selector": {"app": "web"}, "ports": [{"port": port, "nodePort": 30001}]});
    let affected = world.put(Side::Virtual, Kind::Service, service("team", "web", 1, spec(80)));
    let item = Reference::new(Kind::Service, "", "shop");
    assert!(affected.contains(&item), "{affected:?}");
    let made = world.create(&world.plan(Kind::Service, "", "shop"), "h1");
    assert_eq!(
        made["metadata"],
        json!({
            "name": "shop", "namespace": "host", "uid": "h1", "resourceVersion": "100",
            "labels": {keys::CONTROLLED_BY: "vcluster", keys::MARKER: "vc"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "vc", "uid": "cp", "controller": false}],
        })
    );
    let selector = json!({"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team"});
    assert_eq!(made["spec"], json!({"ports": [{"port": 80}], "selector": selector}));
    assert_eq!(planned(&world, Kind::Service, "", "shop"), Vec::<String>::new());

    world.put(Side::Virtual, Kind::Service, service("team", "web", 2, spec(81)));
    assert_eq!(
        planned(&world, Kind::Service, "", "shop"),
        ["patch host Service host/shop {\"metadata\":{},\"spec\":{\"ports\":[{\"port\":81}]}}"]
    );
    world.put(
        Side::Virtual,
        Kind::Service,
        service("team", "web", 3, json!({"clusterIP": "None"})),
    );
    assert_eq!(
        planned(&world, Kind::Service, "", "shop"),
        ["delete host Service host/shop h1"]
    );
    world.take(Side::Virtual, Kind::Service, "team", "web");
    let affected = world.put(Side::Host, Kind::Service, {
        let mut changed = made.clone();
        changed["metadata"]["resourceVersion"] = json!("101");
        changed
    });
    assert_eq!(affected, [item]);
    assert_eq!(
        planned(&world, Kind::Service, "", "shop"),
        ["delete host Service host/shop h1"]
    );
}
