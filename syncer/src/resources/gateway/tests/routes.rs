//! HTTPRoutes and TLSRoutes: who may attach, and what may be named.

use super::*;

fn route(world: &World, spec: Value) -> Plan {
    put(world, Kind::HttpRoute, "team", "shop", spec);
    world.plan(Kind::HttpRoute, "team", "shop")
}

fn parent(more: Value) -> Value {
    let mut parent = json!({"name": "edge", "namespace": "web"});
    json::merge(&mut parent, &more);
    json!({"parentRefs": [parent]})
}

/// A Gateway with this listener, and whether a route may attach to it.
#[test]
fn listeners_say_which_routes_attach() {
    let all = || json!({"namespaces": {"from": "All"}});
    for (kind, listener, reference, expected) in [
        (Kind::HttpRoute, json!({"allowedRoutes": all()}), json!({}), true),
        (Kind::HttpRoute, json!({}), json!({}), false),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "Same"}}}),
            json!({}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "None"}}}),
            json!({}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}}),
            json!({}),
            true,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}}}),
            json!({}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "Selector"}}}),
            json!({}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": all()}),
            json!({"sectionName": "web", "port": 80}),
            true,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": all()}),
            json!({"sectionName": "tls"}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": all()}),
            json!({"port": 81}),
            false,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": all(), "protocol": "TLS"}),
            json!({}),
            false,
        ),
        (
            Kind::TlsRoute,
            json!({"allowedRoutes": all(), "protocol": "TLS"}),
            json!({}),
            true,
        ),
        (
            Kind::TlsRoute,
            json!({"allowedRoutes": all(), "protocol": "HTTPS"}),
            json!({}),
            false,
        ),
        (
            Kind::TlsRoute,
            json!({"protocol": "TCP", "allowedRoutes": {"namespaces": {"from": "All"}, "kinds": [{"kind": "TLSRoute"}]}}),
            json!({}),
            true,
        ),
        (
            Kind::HttpRoute,
            json!({"allowedRoutes": {"namespaces": {"from": "All"}, "kinds": [{"kind": "TLSRoute"}]}}),
            json!({}),
            false,
        ),
    ] {
        let world = world(&[Kind::Gateway, Kind::HttpRoute, Kind::TlsRoute]);
        namespace(&world, "team", json!({"team": "a"}));
        synced(&world, Kind::Gateway, "web", "edge");
        let mut whole = json!({"name": "web", "port": 80, "protocol": "HTTP"});
        json::merge(&mut whole, &listener);
        put(&world, Kind::Gateway, "web", "edge", json!({"listeners": [whole]}));
        put(&world, kind, "team", "shop", parent(reference.clone()));
        let plan = world.plan(kind, "team", "shop");
        let denied = plan.notes.iter().any(|note| note.reason == "RefNotPermitted");
        assert_eq!(
            (plan.steps.len() == 1, denied),
            (expected, !expected),
            "{listener} {reference}: {plan:?}"
        );
    }
}

#[test]
fn routes_wait_for_what_they_name_and_their_status_comes_back() {
    let world = world(&[Kind::Gateway, Kind::HttpRoute]);
    let spec = || {
        let mut spec = parent(json!({}));
        spec["rules"] = json!([{
            "backendRefs": [{"name": "api", "port": 80, "filters": [
                {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "log"}}},
            ]}],
        }]);
        spec
    };
    let plan = route(&world, spec());
    assert_eq!(
        notes(&plan),
        [
            "RefNotPermitted: Gateway API reference not permitted: authorize parentRefs[0]: HTTPRoute in namespace \"team\" is \
             not permitted to attach to missing Gateway \"edge\" in namespace \"web\""
        ]
    );
    let item = Reference::new(Kind::HttpRoute, "team", "shop");
    assert!(gateway(&world, json!({"from": "All"})).contains(&item));
    // The Gateway exists and is on its way; of the Services, nothing is known.
    let plan = world.plan(Kind::HttpRoute, "team", "shop");
    assert_eq!((plan.steps.len(), plan.waits.len(), plan.notes.len()), (0, 3, 1));
    assert!(
        plan.notes[0]
            .text
            .contains("translate rules[0]: translate backendRefs[0]: referenced Service \"api\"")
    );
    synced(&world, Kind::Gateway, "web", "edge");
    gateway(&world, json!({"from": "All"}));
    synced(&world, Kind::Service, "team", "api");
    synced(&world, Kind::Service, "team", "log");
    let host = copy(&world, Kind::HttpRoute, "team", "shop");
    assert_eq!(host["metadata"]["name"], "shop-x-team-x-vc");
    assert_eq!(
        host["spec"]["parentRefs"],
        json!([{"name": "edge-x-web-x-vc", "namespace": "host"}])
    );
    let backend = &host["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(backend["name"], "api-x-team-x-vc");
    assert_eq!(
        backend["filters"][0]["requestMirror"]["backendRef"],
        json!({"name": "log-x-team-x-vc"})
    );

    let told =
        json!({"parents": [{"controllerName": "c", "parentRef": {"name": "edge-x-web-x-vc", "sectionName": "web"}}]});
    later(&world, Kind::HttpRoute, host.clone(), json!({"status": told}));
    assert_eq!(
        summary(&world.plan(Kind::HttpRoute, "team", "shop")),
        [concat!(
            r#"patch virtual HTTPRoute team/shop status{"metadata":{},"status":{"parents":[{"controllerName":"c","#,
            r#""parentRef":{"name":"edge","namespace":"web","sectionName":"web"}}]}}"#
        )]
    );
    let strange = json!({"parents": [{"parentRef": {"name": "strange"}}]});
    later(&world, Kind::HttpRoute, host, json!({"status": strange}));
    let plan = world.plan(Kind::HttpRoute, "team", "shop");
    assert_eq!(
        notes(&plan),
        [
            "SyncError: Error syncing: translate status: translate parents[0].parentRef: could not translate host Gateway \
             \"strange\" to virtual"
        ]
    );
    // Who may not attach any more has no copy.
    assert!(gateway(&world, json!({"from": "Same"})).contains(&item));
    let plan = world.plan(Kind::HttpRoute, "team", "shop");
    assert_eq!(summary(&plan), ["delete host HTTPRoute host/shop-x-team-x-vc h1"]);
    assert!(
        plan.notes[0]
            .text
            .ends_with("is not permitted by Gateway \"edge\" in namespace \"web\" allowedRoutes")
    );
}

#[test]
fn other_namespaces_have_to_grant_what_is_named_there() {
    let grants: [(&str, &str, Value, bool); 6] = [
        ("HTTPRoute", "team", json!({"group": "", "kind": "Service"}), true),
        (
            "HTTPRoute",
            "team",
            json!({"group": "", "kind": "Service", "name": "api"}),
            true,
        ),
        (
            "HTTPRoute",
            "team",
            json!({"group": "", "kind": "Service", "name": "other"}),
            false,
        ),
        ("HTTPRoute", "team", json!({"group": "", "kind": "Secret"}), false),
        ("HTTPRoute", "web", json!({"group": "", "kind": "Service"}), false),
        ("TLSRoute", "team", json!({"group": "", "kind": "Service"}), false),
    ];
    for (kind, from, to, expected) in grants {
        let world = world(&[Kind::Gateway, Kind::HttpRoute]);
        synced(&world, Kind::Service, "other", "api");
        let backend = json!({"name": "api", "namespace": "other", "port": 80});
        let plan = route(&world, json!({"rules": [{"backendRefs": [backend]}]}));
        assert_eq!(
            notes(&plan),
            [
                "RefNotPermitted: Gateway API reference not permitted: translate rules[0]: translate backendRefs[0]: no matching \
                 virtual ReferenceGrant in namespace \"other\" permits HTTPRoute in namespace \"team\" to reference Service \
                 \"api\" in namespace \"other\""
            ]
        );
        let from = json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": from});
        let spec = json!({"from": [from], "to": [to]});
        let affected = put(&world, Kind::ReferenceGrant, "other", "open", spec.clone());
        assert!(affected.contains(&Reference::new(Kind::HttpRoute, "team", "shop")));
        let plan = world.plan(Kind::HttpRoute, "team", "shop");
        assert_eq!(plan.steps.len() == 1, expected, "{spec}: {plan:?}");
        if expected {
            let host = world.create(&plan, "h1");
            let backend = &host["spec"]["rules"][0]["backendRefs"][0];
            assert_eq!(
                backend,
                &json!({"name": "api-x-other-x-vc", "namespace": "host", "port": 80})
            );
            world.take(Side::Virtual, Kind::ReferenceGrant, "other", "open");
            let plan = world.plan(Kind::HttpRoute, "team", "shop");
            assert_eq!(summary(&plan), ["delete host HTTPRoute host/shop-x-team-x-vc h1"]);
        }
    }
}

#[test]
fn what_never_gets_to_the_host_is_told() {
    let world = world(&[Kind::HttpRoute]);
    let plan = route(
        &world,
        json!({"rules": [{"backendRefs": [{"name": "b", "group": "x.io", "kind": "Bucket"}]}]}),
    );
    assert!(
        notes(&plan)[0].ends_with("backendRef group \"x.io\" kind \"Bucket\" is not supported"),
        "{plan:?}"
    );
    let plan = route(
        &world,
        json!({"parentRefs": [{"name": "b", "group": "x.io", "kind": "Bucket"}]}),
    );
    assert_eq!(plan.notes[0].reason, "UnsupportedReference");
    let filter = json!({"type": "ExtensionRef", "extensionRef": {"group": "x.io", "kind": "Filter", "name": "theirs"}});
    let plan = route(&world, json!({"rules": [{"filters": [filter]}]}));
    assert!(
        notes(&plan)[0].ends_with("extensionRef group \"x.io\" kind \"Filter\" is not supported"),
        "{plan:?}"
    );
    // Gateways of tenants stay here with this configuration; nobody else's may be meant instead.
    gateway(&world, json!({"from": "All"}));
    let plan = route(&world, parent(json!({})));
    assert_eq!(
        notes(&plan),
        ["SyncError: Error syncing: translate parentRefs[0]: could not translate virtual Gateway \"edge\" to host"]
    );
    assert_eq!(plan.steps, []);
    // A route of Services within the cluster.
    synced(&world, Kind::Service, "team", "api");
    let plan = route(
        &world,
        json!({"parentRefs": [{"name": "api", "group": "", "kind": "Service"}]}),
    );
    assert!(summary(&plan)[0].starts_with("create host HTTPRoute"), "{plan:?}");
}

#[test]
fn what_the_host_is_told_to_keep_stays() {
    let world = world(&[Kind::HttpRoute]);
    synced(&world, Kind::Service, "team", "api");
    let rules = || json!([{"name": "all", "backendRefs": [{"name": "api"}]}]);
    route(&world, json!({"rules": rules()}));
    let host = copy(&world, Kind::HttpRoute, "team", "shop");
    let ours = host["spec"]["rules"][0].clone();
    let managed = json!({"name": "managed", "backendRefs": [{"name": "waf"}]});
    let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "tap"}}});
    let mut tapped = ours.clone();
    tapped["filters"] = json!([mirror, {"type": "URLRewrite", "urlRewrite": {}}]);
    later(
        &world,
        Kind::HttpRoute,
        host.clone(),
        json!({"spec": {"rules": [managed.clone(), tapped.clone()]}}),
    );
    let steps = summary(&world.plan(Kind::HttpRoute, "team", "shop"));
    assert!(
        steps[0].contains(&json!({"rules": [ours.clone()]}).to_string()),
        "{steps:?}"
    );

    let annotations = json!({
        "vcluster.loft.sh/preserve-host-rule": "managed", "vcluster.loft.sh/preserve-request-mirror-filters": "true",
    });
    let kept = json!({"metadata": {"annotations": annotations}, "spec": {"rules": [managed.clone(), tapped]}});
    later(&world, Kind::HttpRoute, host, kept);
    let steps = summary(&world.plan(Kind::HttpRoute, "team", "shop"));
    let mut with_mirror = ours;
    with_mirror["filters"] = json!([mirror]);
    assert!(
        steps[0].contains(&json!({"rules": [managed, with_mirror]}).to_string()),
        "{steps:?}"
    );
}
