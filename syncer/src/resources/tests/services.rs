//! Services and their endpoints.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_service_takes_its_address_from_the_host() {
    let world = small_world();
    let service = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v", "resourceVersion": "5"},
        "spec": {
            "type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"],
            "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "nodePort": 30001}],
        },
    });
    world.put(Side::Virtual, Kind::Service, service.clone());
    let plan = world.plan(Kind::Service, "team", "web");
    let Some(Step::Create { object, .. }) = plan.steps.first() else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(
        object["spec"],
        json!({
            "type": "NodePort", "ports": [{"port": 80, "targetPort": "http", "nodePort": 30001}],
            "selector": {"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team"},
        })
    );
    let mut host = object.clone();
    host["metadata"]["uid"] = json!("h");
    host["metadata"]["resourceVersion"] = json!("100");
    host["spec"]["clusterIP"] = json!("10.0.0.9");
    host["spec"]["clusterIPs"] = json!(["10.0.0.9"]);
    host["spec"]["ipFamilies"] = json!(["IPv4"]);
    host["spec"]["internalTrafficPolicy"] = json!("Cluster");
    host["spec"]["ports"] = json!([{"port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 31234}]);
    world.put(Side::Host, Kind::Service, host);
    let plan = world.plan(Kind::Service, "team", "web");
    let [
        Step::TryAddresses { spec, .. },
        Step::Patch {
            side: Side::Virtual,
            body,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(
        *spec,
        json!({"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"]})
    );
    assert_eq!(
        body["spec"],
        json!({
            "type": "ExternalName", "externalName": "address-pending.invalid",
            "clusterIP": null, "clusterIPs": null, "ipFamilies": null,
        })
    );
    let mut taken_over = service;
    crate::json::merge(&mut taken_over, body);
    taken_over["metadata"]["resourceVersion"] = json!("6");
    world.put(Side::Virtual, Kind::Service, taken_over.clone());
    let plan = world.plan(Kind::Service, "team", "web");
    let [
        Step::Patch {
            side: Side::Virtual,
            body,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(
        body["spec"],
        json!({
            "type": "NodePort", "externalName": null,
            "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ipFamilies": ["IPv4"],
            "ports": [{"port": 80, "targetPort": "http", "nodePort": 31234}],
        })
    );
    crate::json::merge(&mut taken_over, body);
    taken_over["metadata"]["resourceVersion"] = json!("7");
    world.put(Side::Virtual, Kind::Service, taken_over.clone());
    assert_eq!(world.plan(Kind::Service, "team", "web").steps, []);

    taken_over["metadata"]["resourceVersion"] = json!("8");
    taken_over["spec"]["selector"] = json!({"tier": "front"});
    taken_over["spec"]["ports"] =
        json!([{"port": 80, "targetPort": "http", "nodePort": 31234}, {"name": "tls", "port": 443}]);
    world.put(Side::Virtual, Kind::Service, taken_over);
    let plan = world.plan(Kind::Service, "team", "web");
    let [
        Step::Patch {
            side: Side::Host, body, ..
        },
    ] = &plan.steps[..]
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(
        body["spec"],
        json!({
            "selector": {"app": null, "tier": "front"},
            "ports": [{"port": 80, "targetPort": "http", "nodePort": 31234}, {"name": "tls", "port": 443}],
        })
    );
}

/// The addresses of a load balancer come up, and go when the Service is none any more: as API servers refuse them then, they are
/// not written while the host is behind.
#[test]
fn only_load_balancers_show_their_addresses() {
    let balanced = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.80"}]}});
    let cleared = r#"patch virtual Service team/web status{"metadata":{},"status":{"loadBalancer":{"ingress":null}}}"#;
    let shown = r#"patch virtual Service team/web status{"metadata":{},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.80"}]}}}"#;
    let follow = r#"patch host Service host/web-x-team-x-vc {"metadata":{},"spec":{"type":"ClusterIP"}}"#;
    let table: [(&str, Value, &str, Value, &[&str]); 6] = [
        (
            "LoadBalancer",
            json!({"loadBalancer": {}}),
            "LoadBalancer",
            balanced.clone(),
            &[shown],
        ),
        (
            "LoadBalancer",
            balanced.clone(),
            "LoadBalancer",
            json!({"loadBalancer": {}}),
            &[cleared],
        ),
        (
            "ClusterIP",
            json!({"loadBalancer": {}}),
            "LoadBalancer",
            balanced.clone(),
            &[follow],
        ),
        (
            "ClusterIP",
            json!({"loadBalancer": {}}),
            "ClusterIP",
            balanced.clone(),
            &[],
        ),
        (
            "ClusterIP",
            balanced.clone(),
            "LoadBalancer",
            balanced.clone(),
            &[follow, cleared],
        ),
        ("ClusterIP", json!({}), "ClusterIP", json!({}), &[]),
    ];
    for (kind, status, host_kind, host_status, expected) in table {
        let world = small_world();
        let spec = |kind: &str| {
            json!({
                "type": kind, "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "selector": {"app": "web"},
                "ports": [{"port": 80}],
            })
        };
        let service = json!({
            "metadata": {"namespace": "team", "name": "web", "uid": "v", "resourceVersion": "5"},
            "spec": spec(kind), "status": status,
        });
        world.put(Side::Virtual, Kind::Service, service);
        let mut host = world.create(&world.plan(Kind::Service, "team", "web"), "h");
        let selector = host["spec"]["selector"].clone();
        host["metadata"]["resourceVersion"] = json!("101");
        host["spec"] = spec(host_kind);
        host["spec"]["selector"] = selector;
        host["status"] = host_status;
        world.put(Side::Host, Kind::Service, host);
        let plan = world.plan(Kind::Service, "team", "web");
        assert_eq!(summary(&plan), expected, "{kind} {host_kind}");
    }
}

#[test]
fn a_service_made_anew_without_an_address_gets_a_copy_of_its_own() {
    let world = small_world();
    let service = |uid: &str, ip: &str| {
        json!({
            "metadata": {"namespace": "team", "name": "web", "uid": uid, "resourceVersion": "5"},
            "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]},
        })
    };
    world.put(Side::Virtual, Kind::Service, service("v1", "10.96.0.9"));
    let plan = world.plan(Kind::Service, "team", "web");
    let mut host = world.create(&plan, "h");
    host["metadata"]["resourceVersion"] = json!("101");
    host["spec"]["clusterIP"] = json!("10.0.0.9");
    world.put(Side::Host, Kind::Service, host);
    world.take(Side::Virtual, Kind::Service, "team", "web");
    world.put(Side::Virtual, Kind::Service, service("v2", "None"));
    assert_eq!(
        summary(&world.plan(Kind::Service, "team", "web")),
        ["delete host Service host/web-x-team-x-vc h"]
    );
}

#[test]
fn the_dns_service_is_kept_and_leads_to_the_control_plane() {
    let world = world();
    let plan = world.plan(Kind::Service, "kube-system", "kube-dns");
    assert_eq!((plan.steps.len(), plan.waits[0].kind), (0, Kind::Namespace));
    namespace(&world, "kube-system");
    let plan = world.plan(Kind::Service, "kube-system", "kube-dns");
    assert_eq!(summary(&plan), ["create virtual Service kube-system/kube-dns"]);
    world.create(&plan, "v");
    let plan = world.plan(Kind::Service, "kube-system", "kube-dns");
    let Some(Step::Create {
        object,
        side: Side::Host,
        ..
    }) = plan.steps.first()
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(object["spec"]["selector"], json!({"app": "vcluster", "release": "vc"}));
    assert_eq!(object["spec"]["ports"][0]["targetPort"], 1053);
}

#[test]
fn the_kubernetes_service_follows_the_control_plane() {
    let world = world();
    namespace(&world, "default");
    let plan = world.plan(Kind::Service, "default", "kubernetes");
    let Some(Step::Create {
        object,
        side: Side::Virtual,
        ..
    }) = plan.steps.first()
    else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(object["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(
        object["spec"]["ports"],
        json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443}])
    );
    let mut other = object.clone();
    other["metadata"]["uid"] = json!("v");
    other["spec"]["clusterIP"] = json!("10.96.0.1");
    other["spec"]["type"] = json!("ClusterIP");
    for (version, expected) in [
        (
            8,
            json!({"type": "ExternalName", "externalName": "address-pending.invalid",
            "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null}),
        ),
        (
            9,
            json!({"type": "ClusterIP", "externalName": null,
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
        ),
    ] {
        other["metadata"]["resourceVersion"] = json!(version.to_string());
        world.put(Side::Virtual, Kind::Service, other.clone());
        let plan = world.plan(Kind::Service, "default", "kubernetes");
        let Some(Step::Patch { body, .. }) = plan.steps.last() else {
            panic!("{:?}", plan.steps)
        };
        assert_eq!(body["spec"], expected);
        crate::json::merge(&mut other, body);
    }
    other["metadata"]["resourceVersion"] = json!("10");
    world.put(Side::Virtual, Kind::Service, other);
    assert_eq!(world.plan(Kind::Service, "default", "kubernetes").steps, []);

    world
        .control_plane
        .of(Kind::Endpoints)
        .apply(crate::object::Object::new(json!({
            "metadata": {"namespace": "host", "name": "vc", "uid": "e"},
            "subsets": [{
                "addresses": [{"ip": "10.1.0.2", "targetRef": {"kind": "Pod"}}],
                "ports": [{"name": "https", "port": 8443}, {"name": "kubelet", "port": 8443}],
            }],
        })));
    for (kind, field) in [(Kind::Endpoints, "subsets"), (Kind::EndpointSlice, "endpoints")] {
        let plan = world.plan(kind, "default", "kubernetes");
        let Some(Step::Create { object, .. }) = plan.steps.first() else {
            panic!("{:?}", plan.steps)
        };
        assert_eq!(object[field][0]["addresses"][0].get("targetRef"), None);
        let label = match kind {
            Kind::Endpoints => json!({"endpointslice.kubernetes.io/skip-mirror": "true"}),
            _ => json!({"kubernetes.io/service-name": "kubernetes"}),
        };
        assert_eq!(object["metadata"]["labels"], label);
        assert_eq!(world.plan(kind, "other", "kubernetes").steps, []);
        world.create(&plan, "v");
        assert_eq!(world.plan(kind, "default", "kubernetes").steps, []);
    }
}

/// What the host's controller made while the Service still selected is in the way, and nobody else takes it away.
#[test]
fn endpoints_of_the_hosts_controller_make_way_for_those_by_hand() {
    let world = small_world();
    let service =
        json!({"metadata": {"namespace": "team", "name": "db", "uid": "s", "resourceVersion": "5"}, "spec": {}});
    world.put(Side::Virtual, Kind::Service, service);
    copy_of_service(&world, "db", "s");
    let endpoints =
        json!({"metadata": {"namespace": "team", "name": "db", "uid": "e", "resourceVersion": "5"}, "subsets": []});
    world.put(Side::Virtual, Kind::Endpoints, endpoints);
    let made = |uid: &str, labels: Value| {
        json!({"metadata": {
            "namespace": "host", "name": "db-x-team-x-vc", "uid": uid, "resourceVersion": "7", "labels": labels,
        }})
    };
    let labels = json!({keys::MARKER: "vc", "endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    world.put(Side::Host, Kind::Endpoints, made("m", labels));
    let plan = world.plan(Kind::Endpoints, "team", "db");
    assert_eq!(summary(&plan), ["delete host Endpoints host/db-x-team-x-vc m"]);
    let gone = (plan.waits[0].place, plan.waits[0].kind, plan.waits[0].key.to_string());
    assert_eq!(gone, (Place::Host, Kind::Endpoints, "host/db-x-team-x-vc".to_owned()));
    world.take(Side::Host, Kind::Endpoints, "host", "db-x-team-x-vc");
    world.put(
        Side::Host,
        Kind::Endpoints,
        made(
            "n",
            json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"}),
        ),
    );
    let plan = world.plan(Kind::Endpoints, "team", "db");
    assert_eq!(
        (plan.steps.len(), plan.notes[0].reason),
        (0, "SyncError"),
        "it is somebody else's"
    );
}

#[test]
fn endpoints_go_down_for_services_without_a_selector() {
    let world = small_world();
    let endpoints = json!({
        "metadata": {"namespace": "team", "name": "db", "uid": "e", "resourceVersion": "5"},
        "subsets": [{"addresses": [{"ip": "1.2.3.4", "targetRef": {"kind": "Pod", "namespace": "team", "name": "db-0", "uid": "x"}}]}],
    });
    world.put(Side::Virtual, Kind::Endpoints, endpoints);
    assert_eq!(
        world.plan(Kind::Endpoints, "team", "db").steps,
        [],
        "there is no Service yet"
    );
    let service =
        json!({"metadata": {"namespace": "team", "name": "db", "uid": "s", "resourceVersion": "5"}, "spec": {}});
    let woken = world.put(Side::Virtual, Kind::Service, service);
    assert!(woken.contains(&Reference::new(Kind::Endpoints, "team", "db")));
    let plan = world.plan(Kind::Endpoints, "team", "db");
    assert_eq!(
        (plan.steps.len(), plan.waits.len()),
        (0, 1),
        "the host's Service is not ours yet"
    );
    copy_of_service(&world, "db", "s");
    let plan = world.plan(Kind::Endpoints, "team", "db");
    let host = world.create(&plan, "he");
    let target = &host["subsets"][0]["addresses"][0]["targetRef"];
    assert_eq!(
        *target,
        json!({"kind": "Pod", "namespace": "host", "name": "db-0-x-team-x-vc"})
    );
    assert_eq!(world.plan(Kind::Endpoints, "team", "db").steps, []);
    world.put(Side::Virtual, Kind::Service, json!({
        "metadata": {"namespace": "team", "name": "db", "uid": "s", "resourceVersion": "6"}, "spec": {"selector": {"app": "db"}},
    }));
    assert_eq!(
        summary(&world.plan(Kind::Endpoints, "team", "db")),
        ["delete host Endpoints host/db-x-team-x-vc he"]
    );
}
