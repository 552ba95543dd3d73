//! GatewayClasses, and Gateways of tenants.

use super::*;

#[test]
fn selected_classes_are_shown_without_their_parameters() {
    let mut world = world(&[]);
    let selector = json!({"matchLabels": {"shown": "yes"}});
    world
        .settings
        .from_host
        .insert(Kind::GatewayClass, Selector::of(Some(&selector)));
    let class = |version: &str, shown: &str| {
        json!({
            "metadata": {"name": "fake", "uid": "c", "resourceVersion": version, "labels": {"shown": shown}},
            "spec": {"controllerName": "example.com/fake", "parametersRef": {"group": "", "kind": "ConfigMap", "name": "secret"}},
            "status": {"conditions": [{"type": "Accepted", "status": "True"}]},
        })
    };
    let items = world.put(Side::Host, Kind::GatewayClass, class("3", "yes"));
    assert_eq!(items, [Reference::new(Kind::GatewayClass, "", "fake")]);
    let created = world.create(&world.plan(Kind::GatewayClass, "", "fake"), "v1");
    assert_eq!(created["spec"], json!({"controllerName": "example.com/fake"}));
    assert_eq!(
        summary(&world.plan(Kind::GatewayClass, "", "fake")),
        [
            r#"patch virtual GatewayClass fake status{"metadata":{},"status":{"conditions":[{"status":"True","type":"Accepted"}]}}"#
        ]
    );
    world.put(Side::Host, Kind::GatewayClass, class("4", "no"));
    let plan = world.plan(Kind::GatewayClass, "", "fake");
    assert_eq!(summary(&plan), ["delete virtual GatewayClass fake v1"]);
    assert!(notes(&plan)[0].contains("does not match the selector under 'sync.fromHost.gatewayClasses.selector'"));
    world.take(Side::Host, Kind::GatewayClass, "", "fake");
    let plan = world.plan(Kind::GatewayClass, "", "fake");
    assert_eq!(
        notes(&plan),
        ["SyncWarning: Deleting virtual GatewayClass: physical GatewayClass \"fake\" is missing"]
    );
}

#[test]
fn gateways_of_known_classes_get_to_the_host_and_let_only_its_routes_in() {
    let world = world(&[Kind::Gateway]);
    gateway(
        &world,
        json!({"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}),
    );
    let plan = world.plan(Kind::Gateway, "web", "edge");
    assert_eq!(summary(&plan), Vec::<String>::new());
    assert_eq!(
        notes(&plan),
        ["SyncWarning: GatewayClass \"fake\" is not available in this virtual cluster"]
    );
    let affected = put(&world, Kind::GatewayClass, "", "fake", json!({}));
    assert!(
        affected.contains(&Reference::new(Kind::Gateway, "web", "edge")),
        "{affected:?}"
    );
    let host = copy(&world, Kind::Gateway, "web", "edge");
    assert_eq!(host["metadata"]["name"], "edge-x-web-x-vc");
    assert_eq!(host["spec"]["gatewayClassName"], "fake");
    assert_eq!(
        host["spec"]["listeners"][0]["allowedRoutes"],
        json!({"namespaces": {"from": "Same"}})
    );

    later(
        &world,
        Kind::Gateway,
        host,
        json!({"status": {"addresses": [{"value": "192.0.2.1"}]}}),
    );
    assert_eq!(
        summary(&world.plan(Kind::Gateway, "web", "edge")),
        [r#"patch virtual Gateway web/edge status{"metadata":{},"status":{"addresses":[{"value":"192.0.2.1"}]}}"#]
    );
    world.take(Side::Virtual, Kind::GatewayClass, "", "fake");
    let plan = world.plan(Kind::Gateway, "web", "edge");
    assert_eq!(summary(&plan), ["delete host Gateway host/edge-x-web-x-vc h1"]);
    assert_eq!(plan.notes.len(), 1);
    world.take(Side::Virtual, Kind::Gateway, "web", "edge");
    let plan = world.plan(Kind::Gateway, "web", "edge");
    assert_eq!(summary(&plan), ["delete host Gateway host/edge-x-web-x-vc h1"]);
}

#[test]
fn certificates_come_along_if_they_may_be_named() {
    let world = world(&[Kind::Gateway]);
    put(&world, Kind::GatewayClass, "", "fake", json!({}));
    let with = |reference: Value| {
        let listener =
            json!({"name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [reference]}});
        put(
            &world,
            Kind::Gateway,
            "web",
            "edge",
            json!({"gatewayClassName": "fake", "listeners": [listener]}),
        );
        world.plan(Kind::Gateway, "web", "edge")
    };
    // What does not exist is told; what does is on its way.
    let plan = with(json!({"name": "cert"}));
    assert_eq!(
        notes(&plan),
        [
            "SyncError: Error syncing: translate listeners[0].tls.certificateRefs[0]: referenced Secret \"cert\" in namespace \
             \"web\" has no synced host object \"cert-x-web-x-vc\" in namespace \"host\""
        ]
    );
    assert!(
        world
            .mappings()
            .is_referenced(&Reference::new(Kind::Secret, "web", "cert"))
    );
    put(&world, Kind::Secret, "web", "cert", json!({}));
    let plan = world.plan(Kind::Gateway, "web", "edge");
    assert_eq!((notes(&plan), plan.waits.len(), plan.steps.len()), (vec![], 1, 0));
    assert!(summary(&world.plan(Kind::Secret, "web", "cert"))[0].starts_with("create host Secret"));
    synced(&world, Kind::Secret, "web", "cert");
    let host = copy(&world, Kind::Gateway, "web", "edge");
    assert_eq!(
        host["spec"]["listeners"][0]["tls"]["certificateRefs"],
        json!([{"name": "cert-x-web-x-vc"}])
    );

    let plan = with(json!({"name": "cert", "namespace": "team"}));
    assert_eq!(
        (summary(&plan), plan.notes[0].reason),
        (vec![], "RefNotPermitted"),
        "the copy stays as it was"
    );
    let affected = grant(
        &world,
        "Gateway",
        "web",
        json!({"group": "", "kind": "Secret", "name": "cert"}),
    );
    assert!(affected.contains(&Reference::new(Kind::Gateway, "web", "edge")));
    let plan = world.plan(Kind::Gateway, "web", "edge");
    let steps = summary(&plan);
    assert!(
        steps[0].contains(r#""certificateRefs":[{"name":"cert-x-team-x-vc","namespace":"host"}]"#),
        "{steps:?}"
    );
    let plan = with(json!({"name": "cert", "kind": "Issuer", "group": "example.com"}));
    assert_eq!(
        notes(&plan),
        [
            "UnsupportedReference: Gateway API reference kind is not supported and will not be synced to the host: translate \
             listeners[0].tls.certificateRefs[0]: secretRef group \"example.com\" kind \"Issuer\" is not supported"
        ]
    );
}

/// Whatever a Gateway names by itself: the host's objects of the same names are not the tenant's.
#[test]
fn everything_that_a_gateway_names_is_translated_or_refused() {
    let world = world(&[Kind::Gateway]);
    put(&world, Kind::GatewayClass, "", "fake", json!({}));
    synced(&world, Kind::Secret, "web", "cert");
    synced(&world, Kind::ConfigMap, "web", "authorities");
    let authorities = |name: &str| json!({"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": name}]});
    let spec = |certificate: &str, authority: &str| {
        json!({
            "gatewayClassName": "fake",
            "listeners": [{"name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"frontendValidation": authorities(authority)}}],
            "infrastructure": {"parametersRef": {"group": "", "kind": "ConfigMap", "name": authority}},
            "backendTLS": {"clientCertificateRef": {"name": certificate}},
            "tls": {
                "backend": {"clientCertificateRef": {"name": certificate}},
                "frontend": {
                    "default": {"validation": authorities(authority)},
                    "perPort": [{"port": 443, "tls": {"validation": authorities(authority)}}],
                },
            },
        })
    };
    put(&world, Kind::Gateway, "web", "edge", spec("cert", "authorities"));
    let host = copy(&world, Kind::Gateway, "web", "edge");
    assert_eq!(host["spec"], spec("cert-x-web-x-vc", "authorities-x-web-x-vc"));

    let refused = |more: Value| {
        let mut spec = json!({"gatewayClassName": "fake", "listeners": []});
        json::merge(&mut spec, &more);
        put(&world, Kind::Gateway, "web", "other", spec);
        let plan = world.plan(Kind::Gateway, "web", "other");
        assert_eq!(plan.steps, [], "{plan:?}");
        plan.notes[0].reason
    };
    let parameters = json!({"group": "x.io", "kind": "Proxy", "name": "theirs"});
    assert_eq!(
        refused(json!({"infrastructure": {"parametersRef": parameters}})),
        "UnsupportedReference"
    );
    let elsewhere = json!([{"group": "", "kind": "ConfigMap", "name": "authorities", "namespace": "team"}]);
    let validation = json!({"validation": {"caCertificateRefs": elsewhere}});
    let refusal = refused(json!({"infrastructure": null, "tls": {"frontend": {"default": validation}}}));
    assert_eq!(refusal, "RefNotPermitted");
}
