//! Gateways of the host.

use super::*;
use crate::clusters::Change;
use crate::foreign::Scope;
use crate::object::{Object, ObjectKey};
use crate::settings::{GatewayOverride, GatewaySettings};

/// A world that shows `infra/edge` as `shared/public`, and everything of `lab` that is labelled `shown`.
fn world_with(gateways: GatewaySettings, to_host: &[Kind]) -> World {
    let mut world = world(to_host);
    let mappings = [("infra/edge", "shared/public"), ("lab/*", "lab/*")];
    let mappings = mappings.map(|(from, to)| config::ObjectMapping::parse(from, to).unwrap());
    world.settings.imports.insert(Kind::Gateway, mappings.to_vec());
    let selector = json!({"matchLabels": {"shown": "yes"}});
    world.settings.gateways = GatewaySettings {
        selector: Selector::of(Some(&selector)),
        hide_certificates: true,
        hide_infrastructure: true,
        ..gateways
    };
    world
}

fn on_host(world: &World, namespace: &str, name: &str, labels: Value, namespaces: &str) -> Vec<Reference> {
    let cache = world.foreign.caches.of(Kind::Gateway);
    let version = cache.newest() + 1;
    let listener = json!({
        "name": "web", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "secret"}]},
        "allowedRoutes": {"namespaces": {"from": namespaces}},
    });
    let gateway = json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": name, "resourceVersion": version.to_string(), "labels": labels,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "kept"},
        },
        "spec": {"gatewayClassName": "fake", "infrastructure": {"labels": {"zone": "a"}}, "listeners": [listener]},
        "status": {"addresses": [{"value": "192.0.2.1"}], "conditions": [{"type": "Programmed", "status": "True"}]},
    });
    match cache.apply(Object::new(gateway)) {
        Some(change) => resources::affected_by_foreign(world, Kind::Gateway, &change),
        None => Vec::new(),
    }
}

fn known(world: &World, namespace: &str, name: Option<&str>) {
    world.foreign.complete(&Scope {
        kind: Kind::Gateway,
        namespace: namespace.into(),
        name: name.map(str::to_owned),
    });
}

/// The mirror of `infra/edge`, made in the world.
fn mirror(world: &World) -> Value {
    namespace(world, "shared", json!({}));
    world.create(&world.plan(Kind::Gateway, "shared", "public"), "m1")
}

#[test]
fn a_mirror_shows_nothing_of_the_host_and_cannot_be_changed() {
    let world = world_with(GatewaySettings::default(), &[]);
    let affected = on_host(
        &world,
        "infra",
        "edge",
        json!({"shown": "no", "vcluster.loft.sh/x": "y"}),
        "All",
    );
    assert_eq!(affected, [Reference::new(Kind::Gateway, "shared", "public")]);
    let plan = world.plan(Kind::Gateway, "shared", "public");
    let created = world.create(&plan, "n1");
    assert_eq!(
        created["metadata"]["labels"],
        json!({"vcluster.loft.sh/imported-gateway": "true"}),
        "first its namespace"
    );
    let created = mirror(&world);
    assert_eq!(
        created["metadata"]["labels"],
        json!({"shown": "no", "vcluster.loft.sh/imported-gateway": "true"})
    );
    assert_eq!(
        created["metadata"]["annotations"],
        json!({"note": "kept", "vcluster.loft.sh/managed-by": "vcluster"})
    );
    let spec = json!({"gatewayClassName": "fake", "listeners": [{
        "name": "web", "port": 443, "protocol": "HTTPS", "allowedRoutes": {"namespaces": {"from": "All"}},
        "tls": {"options": {"vcluster.loft.sh/certificate-refs-sanitized": "true"}},
    }]});
    assert_eq!(created["spec"], spec);
    assert_eq!(
        summary(&world.plan(Kind::Gateway, "shared", "public")),
        [concat!(
            r#"patch virtual Gateway shared/public status{"metadata":{},"status":{"conditions":"#,
            r#"[{"status":"True","type":"Programmed"}]}}"#
        )]
    );
    // One of its marks is enough to know it by.
    for (labels, annotations) in [
        (json!({}), created["metadata"]["annotations"].clone()),
        (json!({"vcluster.loft.sh/imported-gateway": "true"}), json!({})),
    ] {
        let mut changed = created.clone();
        changed["metadata"]["labels"] = labels;
        changed["metadata"]["annotations"] = annotations;
        changed["metadata"]["resourceVersion"] = (world.virtual_side.of(Kind::Gateway).newest() + 1).to_string().into();
        changed["spec"]["gatewayClassName"] = "mine".into();
        world.put(Side::Virtual, Kind::Gateway, changed);
        let steps = summary(&world.plan(Kind::Gateway, "shared", "public"));
        assert!(steps[0].contains(r#""spec":{"gatewayClassName":"fake"}"#), "{steps:?}");
    }
    world.take(Side::Virtual, Kind::Gateway, "shared", "public");
    assert!(summary(&world.plan(Kind::Gateway, "shared", "public"))[0].starts_with("create virtual Gateway"));
}

#[test]
fn mirrors_go_with_the_host_s_gateway_or_its_label() {
    let world = world_with(GatewaySettings::default(), &[]);
    on_host(&world, "infra", "edge", json!({}), "All");
    mirror(&world);
    world
        .foreign
        .caches
        .of(Kind::Gateway)
        .remove(&ObjectKey::new("infra", "edge"), "");
    assert_eq!(
        summary(&world.plan(Kind::Gateway, "shared", "public")),
        Vec::<String>::new(),
        "not known yet"
    );
    known(&world, "infra", Some("edge"));
    let plan = world.plan(Kind::Gateway, "shared", "public");
    assert_eq!(summary(&plan), ["delete virtual Gateway shared/public m1"]);
    assert_eq!(
        notes(&plan),
        ["SyncWarning: Deleting virtual Gateway: host Gateway for imported mirror shared/public is missing"]
    );

    namespace(&world, "lab", json!({}));
    on_host(&world, "lab", "one", json!({"shown": "no"}), "All");
    assert_eq!(summary(&world.plan(Kind::Gateway, "lab", "one")), Vec::<String>::new());
    on_host(&world, "lab", "one", json!({"shown": "yes"}), "All");
    world.create(&world.plan(Kind::Gateway, "lab", "one"), "m2");
    on_host(&world, "lab", "one", json!({}), "All");
    let plan = world.plan(Kind::Gateway, "lab", "one");
    assert_eq!(summary(&plan), ["delete virtual Gateway lab/one m2"]);
    assert!(notes(&plan)[0].ends_with("host Gateway does not match sync.fromHost.gateways.selector"));
}

#[test]
fn what_is_to_be_shown_is() {
    let shown = GatewaySettings {
        expose_addresses: true,
        expose_source: true,
        ..GatewaySettings::default()
    };
    let mut world = world_with(shown, &[]);
    world.settings.gateways.hide_certificates = false;
    world.settings.gateways.hide_infrastructure = false;
    on_host(&world, "infra", "edge", json!({}), "All");
    let created = mirror(&world);
    assert_eq!(
        created["metadata"]["annotations"]["vcluster.loft.sh/source-gateway"],
        "infra/edge"
    );
    assert_eq!(created["spec"]["infrastructure"], json!({"labels": {"zone": "a"}}));
    assert_eq!(
        created["spec"]["listeners"][0]["tls"],
        json!({"certificateRefs": [{"name": "secret"}]})
    );
    assert!(summary(&world.plan(Kind::Gateway, "shared", "public"))[0].contains("192.0.2.1"));
}

#[test]
fn names_of_mirrors_are_not_the_tenants() {
    let world = world_with(GatewaySettings::default(), &[Kind::Gateway]);
    put(&world, Kind::GatewayClass, "", "fake", json!({}));
    for (namespace, name) in [("shared", "public"), ("lab", "mine")] {
        put(
            &world,
            Kind::Gateway,
            namespace,
            name,
            json!({"gatewayClassName": "fake"}),
        );
        let plan = world.plan(Kind::Gateway, namespace, name);
        let reserved = format!("SyncWarning: Gateway {namespace}/{name} is reserved for an imported Gateway");
        assert_eq!((summary(&plan), notes(&plan)), (vec![], vec![reserved]));
    }
    put(
        &world,
        Kind::Gateway,
        "web",
        "edge",
        json!({"gatewayClassName": "fake"}),
    );
    copy(&world, Kind::Gateway, "web", "edge");
}

#[test]
fn routes_attach_to_the_host_s_gateway_as_the_configuration_lets_them() {
    let single = GatewayOverride {
        allowed_routes: Some(
            json!({"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "apps"}}}}),
        ),
        hostnames: vec!["*.apps.example.com".into()],
    };
    let settings = GatewaySettings {
        allowed_routes: Some(json!({"namespaces": {"from": "Same"}})),
        overrides: [(ObjectKey::new("infra", "edge"), single)].into(),
        ..GatewaySettings::default()
    };
    let world = world_with(settings, &[Kind::HttpRoute]);
    let route = |namespace: &str, parent: Value, hostnames: Value| {
        let spec = json!({"parentRefs": [parent], "hostnames": hostnames});
        put(&world, Kind::HttpRoute, namespace, "shop", spec);
        world.plan(Kind::HttpRoute, namespace, "shop")
    };
    let public = || json!({"name": "public", "namespace": "shared"});
    let hostnames = || json!(["shop.apps.example.com"]);
    // Before the host's Gateway is known, there is none, even if a tenant makes one of its name.
    put(
        &world,
        Kind::Gateway,
        "shared",
        "public",
        json!({"listeners": [
            {"name": "web", "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
        ]}),
    );
    let plan = route("team", public(), hostnames());
    assert!(
        notes(&plan)[0].ends_with("attach to missing Gateway \"public\" in namespace \"shared\""),
        "{plan:?}"
    );
    let affected = on_host(&world, "infra", "edge", json!({}), "All");
    assert!(affected.contains(&Reference::new(Kind::HttpRoute, "team", "shop")));
    let plan = route("team", public(), hostnames());
    assert!(notes(&plan)[0].ends_with("is not permitted by Gateway \"public\" in namespace \"shared\" allowedRoutes"));
    assert!(
        namespace(&world, "team", json!({"team": "apps"})).contains(&Reference::new(Kind::HttpRoute, "team", "shop"))
    );

    for (hostnames, problem) in [
        (
            json!([]),
            "HTTPRoute with no hostnames is not permitted by imported Gateway \"public\" hostname policy",
        ),
        (
            json!(["apps.example.com"]),
            "hostname \"apps.example.com\" is not permitted by imported Gateway",
        ),
        (
            json!(["a.apps.example.com", "evil.com"]),
            "hostname \"evil.com\" is not permitted by imported Gateway",
        ),
    ] {
        let plan = route("team", public(), hostnames);
        assert!(plan.steps.is_empty() && notes(&plan)[0].contains(problem), "{plan:?}");
    }
    route("team", public(), hostnames());
    let host = copy(&world, Kind::HttpRoute, "team", "shop");
    assert_eq!(
        host["spec"]["parentRefs"],
        json!([{"name": "edge", "namespace": "infra"}])
    );
    let told = json!({"status": {"parents": [{"parentRef": {"name": "edge", "namespace": "infra"}}]}});
    later(&world, Kind::HttpRoute, host, told);
    let steps = summary(&world.plan(Kind::HttpRoute, "team", "shop"));
    assert!(
        steps[0].contains(r#"[{"parentRef":{"name":"public","namespace":"shared"}}]"#),
        "{steps:?}"
    );

    // In the mirror's own namespace none need be stated; on the host it is, and comes back unstated.
    namespace(&world, "shared", json!({"team": "apps"}));
    route("shared", json!({"name": "public"}), hostnames());
    let host = copy(&world, Kind::HttpRoute, "shared", "shop");
    assert_eq!(
        host["spec"]["parentRefs"],
        json!([{"name": "edge", "namespace": "infra"}])
    );
    let told = json!({"status": {"parents": [{"parentRef": {"name": "edge", "namespace": "infra"}}]}});
    later(&world, Kind::HttpRoute, host, told);
    let steps = summary(&world.plan(Kind::HttpRoute, "shared", "shop"));
    assert!(steps[0].contains(r#"[{"parentRef":{"name":"public"}}]"#), "{steps:?}");
    // A Gateway that the selector leaves out is none.
    on_host(&world, "lab", "one", json!({"shown": "no"}), "All");
    let plan = route("lab", json!({"name": "one"}), hostnames());
    assert!(notes(&plan)[0].contains("missing Gateway \"one\""), "{plan:?}");
}

#[test]
fn only_routes_look_at_gateways_that_are_not_theirs() {
    let world = world_with(GatewaySettings::default(), &[Kind::HttpRoute]);
    put(&world, Kind::HttpRoute, "team", "shop", json!({}));
    let change = Change::new(None, None);
    assert_eq!(resources::affected_by_foreign(&world, Kind::Service, &change), []);
}
