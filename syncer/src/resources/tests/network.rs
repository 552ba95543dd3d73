//! Ingresses, policies, budgets and slices: names and selectors are those of the host.

use serde_json::{Value, json};

use super::*;
use crate::json;
use crate::testing::object;

fn world_with(kind: Kind) -> World {
    let mut world = world();
    world.settings.to_host.insert(kind);
    world
}

#[test]
fn every_name_in_an_ingress_is_translated_and_its_secrets_are_used() {
    let world = world_with(Kind::Ingress);
    let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
    let ingress = object(
        "web",
        json!({
            "metadata": {"annotations": {
                "nginx.ingress.kubernetes.io/auth-secret": "login",
                "nginx.ingress.kubernetes.io/auth-tls-secret": "other/ca",
                "alb.ingress.kubernetes.io/actions.split": "{\"forwardConfig\":{\"targetGroups\":[{\"serviceName\":\"blue\"}]}}",
                "alb.ingress.kubernetes.io/conditions.split": "[]",
                "note": "plain",
            }},
            "spec": {
                "ingressClassName": "nginx",
                "defaultBackend": backend("fallback"),
                "tls": [{"hosts": ["a.example"], "secretName": "cert"}],
                "rules": [{"host": "a.example", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": backend("app")},
                    {"path": "/r", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket", "name": "files"}}},
                ]}}],
            },
        }),
    );
    let host = world.copied(Kind::Ingress, ingress);
    let spec = &host["spec"];
    assert_eq!(spec["defaultBackend"]["service"]["name"], "fallback-x-team-x-vc");
    assert_eq!(spec["tls"][0]["secretName"], "cert-x-team-x-vc");
    let paths = &spec["rules"][0]["http"]["paths"];
    assert_eq!(paths[0]["backend"]["service"]["name"], "app-x-team-x-vc");
    assert_eq!(paths[1]["backend"]["resource"]["name"], "files-x-team-x-vc");
    let annotations = &host["metadata"]["annotations"];
    for (key, value) in [
        ("nginx.ingress.kubernetes.io/auth-secret", "login-x-team-x-vc"),
        ("nginx.ingress.kubernetes.io/auth-tls-secret", "host/ca-x-other-x-vc"),
        (
            "alb.ingress.kubernetes.io/actions.split-x-team-x-vc",
            "{\"forwardConfig\":{\"targetGroups\":[{\"serviceName\":\"blue-x-team-x-vc\"}]}}",
        ),
        ("alb.ingress.kubernetes.io/conditions.split-x-team-x-vc", "[]"),
        ("note", "plain"),
    ] {
        assert_eq!(annotations[key], value, "{key}");
    }
    assert!(annotations.get("alb.ingress.kubernetes.io/actions.split").is_none());
    for (namespace, name) in [("team", "cert"), ("team", "login"), ("other", "ca")] {
        let secret = Reference::new(Kind::Secret, namespace, name);
        assert!(world.mappings().is_referenced(&secret), "{secret}");
    }
}

#[test]
fn what_the_host_gives_an_ingress_comes_back() {
    let world = world_with(Kind::Ingress);
    let mut host = world.copied(
        Kind::Ingress,
        object("web", json!({"spec": {"defaultBackend": {"service": {"name": "app"}}}})),
    );
    host["metadata"]["resourceVersion"] = json!("101");
    host["spec"]["ingressClassName"] = json!("default");
    host["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}});
    world.put(Side::Host, Kind::Ingress, host);
    assert_eq!(
        summary(&world.plan(Kind::Ingress, "team", "web")),
        [
            "patch virtual Ingress team/web {\"metadata\":{},\"spec\":{\"ingressClassName\":\"default\"}}",
            "patch virtual Ingress team/web status{\"metadata\":{},\"status\":{\"loadBalancer\":{\"ingress\":\
             [{\"ip\":\"192.0.2.7\"}]}}}",
        ]
    );
}

#[test]
fn a_network_policy_means_the_same_pods() {
    let world = world_with(Kind::NetworkPolicy);
    let labels = world.names.namespace_label("team");
    let marks = |more: Value| {
        let mut marks = json!({keys::MARKER: "vc", keys::NAMESPACE: "team"});
        json::merge(&mut marks, &more);
        marks
    };
    let policy = object(
        "deny",
        json!({"spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": 5432}], "from": [
                {"podSelector": {"matchLabels": {"app": "web"}}},
                {"namespaceSelector": {"matchLabels": {"team": "b"}}},
                {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "probe"}}},
                {"ipBlock": {"cidr": "192.0.2.0/24"}},
            ]}],
            "egress": [{}],
        }}),
    );
    let spec = world.copied(Kind::NetworkPolicy, policy)["spec"].clone();
    assert_eq!(spec["podSelector"], json!({"matchLabels": marks(json!({"app": "db"}))}));
    assert_eq!(spec["egress"], json!([{}]));
    assert_eq!(
        spec["ingress"],
        json!([{"ports": [{"port": 5432}], "from": [
            {"podSelector": {"matchLabels": marks(json!({"app": "web"}))}},
            {"podSelector": {"matchLabels": {labels: "b", keys::MARKER: "vc"}}},
            {"podSelector": {"matchLabels": {"app": "probe", keys::MARKER: "vc"}}},
            {"ipBlock": {"cidr": "192.0.2.0/24"}},
        ]}])
    );
}

#[test]
fn a_budget_protects_its_own_pods_only() {
    let world = world_with(Kind::PodDisruptionBudget);
    let budget = object(
        "two",
        json!({"spec": {"minAvailable": 2, "selector": {"matchLabels": {"release": "x"}}}}),
    );
    let spec = world.copied(Kind::PodDisruptionBudget, budget)["spec"].clone();
    let release = world.names.label_to_host("release").into_owned();
    assert_eq!(
        spec,
        json!({"minAvailable": 2, "selector": {"matchLabels": {release: "x", keys::MARKER: "vc", keys::NAMESPACE: "team"}}})
    );
}

#[test]
fn a_service_account_gets_no_rights_with_it() {
    let world = world_with(Kind::ServiceAccount);
    let account = object(
        "robot",
        json!({"secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}]}),
    );
    let host = world.copied(Kind::ServiceAccount, account);
    assert_eq!(host["automountServiceAccountToken"], false);
    assert!(host.get("secrets").is_none() && host.get("imagePullSecrets").is_none());
}

#[test]
fn slices_of_services_without_selector_are_copied() {
    let world = world();
    let service = |selector: Value, version: &str| {
        json!({
            "metadata": {"namespace": "team", "name": "db", "uid": "s1", "resourceVersion": version},
            "spec": {"clusterIP": "10.0.0.9", "selector": selector},
        })
    };
    world.put(Side::Virtual, Kind::Service, service(json!({}), "1"));
    copy_of_service(&world, "db", "s1");
    let slice = object(
        "db-1",
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4",
            "ports": [{"port": 5432}],
            "endpoints": [{"addresses": ["192.0.2.5"], "targetRef": {"kind": "Pod", "namespace": "team", "name": "p", "uid": "u"}}],
        }),
    );
    let host = world.copied(Kind::EndpointSlice, slice.clone());
    assert_eq!(
        host["metadata"]["labels"]["kubernetes.io/service-name"],
        "db-x-team-x-vc"
    );
    assert_eq!(
        host["endpoints"],
        json!([{"addresses": ["192.0.2.5"], "targetRef": {"kind": "Pod", "namespace": "host", "name": "p-x-team-x-vc"}}])
    );
    let items = world.put(Side::Virtual, Kind::Service, service(json!({"app": "db"}), "2"));
    assert!(items.contains(&Reference::new(Kind::EndpointSlice, "team", "db-1")));
    assert_eq!(
        summary(&world.plan(Kind::EndpointSlice, "team", "db-1")),
        ["delete host EndpointSlice host/db-1-x-team-x-vc h1"]
    );

    let mut mirrored = slice;
    mirrored["metadata"]["name"] = json!("db-2");
    mirrored["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
        json!("endpointslicemirroring-controller.k8s.io");
    world.put(Side::Virtual, Kind::Service, service(json!({}), "3"));
    world.put(Side::Virtual, Kind::EndpointSlice, mirrored);
    let plan = world.plan(Kind::EndpointSlice, "team", "db-2");
    assert_eq!(
        summary(&plan),
        Vec::<String>::new(),
        "the host mirrors the Endpoints itself"
    );
}
