//! Where every virtual namespace has one of the host to itself.

use super::*;
use crate::resources::tests::mapped::mapped_world;

fn world(to_host: &[Kind]) -> World {
    let mut settings = settings();
    settings.to_host.extend(to_host);
    settings.from_host.insert(Kind::GatewayClass, Selector::default());
    let world = mapped_world(settings);
    put(&world, Kind::GatewayClass, "", "fake", json!({}));
    world
}

/// A Service with its copy.
fn service(world: &World, namespace: &str, name: &str) {
    put(world, Kind::Service, namespace, name, json!({"ports": [{"port": 80}]}));
    let plan = world.plan(Kind::Service, namespace, name);
    world.create(&plan, &format!("h-{namespace}-{name}"));
}

#[test]
fn listeners_let_routes_of_the_virtual_clusters_namespaces_in() {
    for (from, selected) in [("All", true), ("Selector", true), ("Same", false)] {
        let world = world(&[Kind::Gateway]);
        gateway(&world, json!({"from": from}));
        let host = copy(&world, Kind::Gateway, "web", "edge");
        let key = &host["metadata"];
        assert_eq!((&key["namespace"], &key["name"]), (&json!("h-web"), &json!("edge")));
        let expected = match selected {
            true => json!({"from": "Selector", "selector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["h-team", "h-web", "host"]},
            ]}}),
            false => json!({"from": "Same"}),
        };
        let namespaces = &host["spec"]["listeners"][0]["allowedRoutes"]["namespaces"];
        assert_eq!(namespaces, &expected, "{from}");
    }
}

#[test]
fn routes_name_what_lies_in_other_namespaces_of_the_host() {
    let world = world(&[Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant]);
    gateway(&world, json!({"from": "All"}));
    copy(&world, Kind::Gateway, "web", "edge");
    service(&world, "team", "near");
    service(&world, "web", "far");
    let route = |backend: Value| json!({"parentRefs": [{"name": "edge", "namespace": "web"}], "rules": [{"backendRefs": [backend]}]});
    put(
        &world,
        Kind::HttpRoute,
        "team",
        "shop",
        route(json!({"name": "near", "port": 80})),
    );
    let host = copy(&world, Kind::HttpRoute, "team", "shop");
    assert_eq!(host["metadata"]["namespace"], "h-team");
    let parent = &host["spec"]["parentRefs"][0];
    assert_eq!(
        (&parent["name"], &parent["namespace"]),
        (&json!("edge"), &json!("h-web"))
    );
    assert_eq!(
        host["spec"]["rules"][0]["backendRefs"][0],
        json!({"name": "near", "port": 80})
    );

    let far = route(json!({"name": "far", "namespace": "web", "port": 80}));
    put(&world, Kind::HttpRoute, "team", "wide", far);
    let plan = world.plan(Kind::HttpRoute, "team", "wide");
    assert!(
        plan.steps.is_empty() && notes(&plan)[0].starts_with("RefNotPermitted"),
        "{plan:?}"
    );
    let from =
        |namespace: &str| json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace});
    let grant = json!({"from": [from("team"), from("other")], "to": [{"group": "", "kind": "Service"}]});
    put(&world, Kind::ReferenceGrant, "web", "open", grant);
    let host = copy(&world, Kind::ReferenceGrant, "web", "open");
    assert_eq!(host["metadata"]["namespace"], "h-web");
    assert_eq!(
        host["spec"]["from"],
        json!([from("h-team"), from("host")]),
        "the other one has none to itself"
    );
    let host = copy(&world, Kind::HttpRoute, "team", "wide");
    let backend = &host["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(backend, &json!({"name": "far", "namespace": "h-web", "port": 80}));
}

#[test]
fn what_lies_in_a_namespace_without_its_own_is_named_with_it() {
    let world = world(&[Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant]);
    gateway(&world, json!({"from": "All"}));
    copy(&world, Kind::Gateway, "web", "edge");
    service(&world, "other", "shop");
    let from = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "team"});
    let grant = json!({"from": [from], "to": [{"group": "", "kind": "Service"}]});
    put(&world, Kind::ReferenceGrant, "other", "open", grant);
    let backend = json!({"name": "shop", "namespace": "other", "port": 80});
    let spec = json!({"parentRefs": [{"name": "edge", "namespace": "web"}], "rules": [{"backendRefs": [backend]}]});
    put(&world, Kind::HttpRoute, "team", "shop", spec);
    let backend = &copy(&world, Kind::HttpRoute, "team", "shop")["spec"]["rules"][0]["backendRefs"][0];
    let expected = json!({"name": "shop-x-other-x-vc", "namespace": "host", "port": 80});
    assert_eq!(backend, &expected);
}
