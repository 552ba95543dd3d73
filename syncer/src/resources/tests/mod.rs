//! Plans for pairs in every state.

mod bound;
mod classes;
mod crafted;
mod devices;
mod imports;
pub(super) mod mapped;
mod network;
mod replicas;
mod scheduling;
mod storage;
mod tenants;

use serde_json::{Value, json};

use super::*;
use crate::engine::plan::{Place, Step};
use crate::names::keys;
use crate::object::ObjectKey;
use crate::testing::{summary, world};

fn config_map(name: &str, uid: &str, data: Value) -> Value {
    json!({"metadata": {"namespace": "team", "name": name, "uid": uid, "resourceVersion": "5"}, "data": data})
}

fn pod(more: Value) -> Value {
    let mut pod = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "5"},
        "spec": {"containers": [{"name": "app", "image": "nginx", "envFrom": [{"configMapRef": {"name": "settings"}}]}]},
        "status": {"phase": "Pending"},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        for (field, value) in value.as_object().into_iter().flatten() {
            pod[key][field] = value.clone();
        }
    }
    pod
}

/// A world with DNS, a namespace and a ConfigMap that nobody uses yet.
fn small_world() -> World {
    let world = world();
    world.put(Side::Host, Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    }));
    world.put(
        Side::Virtual,
        Kind::ConfigMap,
        config_map("settings", "c1", json!({"a": "1"})),
    );
    world
}

/// That world with a pod on both sides.
fn running_world() -> World {
    let world = small_world();
    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    world.plan(Kind::Pod, "team", "web");
    world.create(&world.plan(Kind::ConfigMap, "team", "settings"), "hc1");
    let plan = world.plan(Kind::Pod, "team", "web");
    assert_eq!(summary(&plan), ["create host Pod host/web-x-team-x-vc"]);
    world.create(&plan, "h1");
    world
}

/// The copy of a Service, as the host has it.
fn copy_of_service(world: &World, name: &str, uid: &str) {
    let gvk = Kind::Service.gvk();
    let virtual_ = json!({"metadata": {"namespace": "team", "name": name, "uid": uid}});
    let host_name = world.names.host_name(name, "team");
    let mut metadata = crate::names::host_metadata(&pair::source(world, &gvk, &host_name, &virtual_, &[]));
    metadata["uid"] = json!(format!("h-{uid}"));
    world.put(Side::Host, Kind::Service, json!({"metadata": metadata}));
}

fn namespace(world: &World, name: &str) {
    let object = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}});
    world.put(Side::Virtual, Kind::Namespace, object);
}

fn host_pod(world: &World) -> Value {
    world
        .host
        .get(Kind::Pod, "host", "web-x-team-x-vc")
        .expect("the host pod")
        .value()
}

fn change_host_pod(world: &World, change: impl FnOnce(&mut Value)) {
    let mut host = host_pod(world);
    let version = world
        .host
        .get(Kind::Pod, "host", "web-x-team-x-vc")
        .map_or(0, |object| object.version());
    change(&mut host);
    host["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    world.put(Side::Host, Kind::Pod, host);
}

fn plan_pod(world: &World) -> Vec<String> {
    summary(&world.plan(Kind::Pod, "team", "web"))
}

#[test]
fn a_config_map_is_on_the_host_while_a_pod_uses_it() {
    let world = small_world();
    assert_eq!(world.plan(Kind::ConfigMap, "team", "settings").steps, []);

    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    let waiting = world.plan(Kind::Pod, "team", "web");
    assert_eq!(waiting.steps, [], "the pod must not run ahead of what it uses");
    assert_eq!(waiting.waits[0].place, Place::Host);
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert_eq!(summary(&plan), ["create host ConfigMap host/settings-x-team-x-vc"]);
    world.create(&plan, "hc1");
    assert_eq!(plan_pod(&world), ["create host Pod host/web-x-team-x-vc"]);

    world.put(Side::Virtual, Kind::ConfigMap, json!({
        "metadata": {"namespace": "team", "name": "settings", "uid": "c1", "resourceVersion": "6"}, "data": {"b": "2"},
    }));
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "settings")),
        ["patch host ConfigMap host/settings-x-team-x-vc {\"data\":{\"a\":null,\"b\":\"2\"},\"metadata\":{}}"]
    );

    world.take(Side::Virtual, Kind::Pod, "team", "web");
    assert!(world.plan(Kind::Pod, "team", "web").forget);
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "settings")),
        ["delete host ConfigMap host/settings-x-team-x-vc hc1"]
    );
}

#[test]
fn a_host_object_that_is_not_ours_is_left_alone() {
    let world = small_world();
    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    world.plan(Kind::Pod, "team", "web");
    let foreign = json!({"metadata": {"namespace": "host", "name": "settings-x-team-x-vc", "uid": "x"}, "data": {"secret": "theirs"}});
    world.put(Side::Host, Kind::ConfigMap, foreign);
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert_eq!(plan.steps, []);
    assert!(
        plan.notes[0].text.contains("does not belong to team/settings"),
        "{:?}",
        plan.notes
    );
    let plan = world.plan(Kind::Pod, "team", "web");
    assert_eq!(plan.steps, [], "the pod would see what is in it");
    assert_eq!(plan.notes[0].reason, "SyncError");

    world.take(Side::Host, Kind::ConfigMap, "host", "settings-x-team-x-vc");
    assert_eq!(
        world.plan(Kind::ConfigMap, "team", "settings").steps.len(),
        1,
        "it goes on when the name is free"
    );
}

#[test]
fn a_kind_that_is_switched_off_stays_where_it_is() {
    let mut world = small_world();
    world.settings.to_host.remove(&Kind::ConfigMap);
    world.put(Side::Virtual, Kind::Pod, pod(json!({})));
    // Nothing will come that the pod could wait for.
    assert_eq!(plan_pod(&world), ["create host Pod host/web-x-team-x-vc"]);
    assert_eq!(world.plan(Kind::ConfigMap, "team", "settings").steps, []);
    world.settings.to_host.clear();
    for (kind, name) in [
        (Kind::Pod, "web"),
        (Kind::Service, "kube-dns"),
        (Kind::Endpoints, "web"),
    ] {
        assert_eq!(summary(&world.plan(kind, "team", name)), Vec::<String>::new(), "{kind}");
    }
    namespace(&world, "default");
    namespace(&world, "kube-system");
    assert_eq!(
        summary(&world.plan(Kind::Service, "default", "kubernetes")),
        ["create virtual Service default/kubernetes"]
    );
    assert_eq!(world.plan(Kind::Service, "kube-system", "kube-dns").steps, []);
}

#[test]
fn two_virtual_objects_with_one_host_name_do_not_share_it() {
    let world = small_world();
    let mut first = config_map("a-x-b", "1", json!({}));
    first["metadata"]["namespace"] = json!("c");
    let mut second = config_map("a", "2", json!({}));
    second["metadata"]["namespace"] = json!("b-x-c");
    for object in [&mut first, &mut second] {
        object["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
        world.put(Side::Virtual, Kind::ConfigMap, object.clone());
    }
    world.create(&world.plan(Kind::ConfigMap, "c", "a-x-b"), "h");
    let plan = world.plan(Kind::ConfigMap, "b-x-c", "a");
    assert_eq!(plan.steps, []);
    assert_eq!(plan.notes[0].reason, "SyncError");
}

#[test]
fn an_immutable_copy_is_made_anew() {
    let world = small_world();
    let mut object = config_map("fixed", "1", json!({"a": "1"}));
    object["immutable"] = json!(true);
    object["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
    world.put(Side::Virtual, Kind::ConfigMap, object.clone());
    world.create(&world.plan(Kind::ConfigMap, "team", "fixed"), "h");
    assert_eq!(world.plan(Kind::ConfigMap, "team", "fixed").steps, []);
    // Deleted and created again in the virtual cluster, with other content.
    object["metadata"]["uid"] = json!("2");
    object["metadata"]["resourceVersion"] = json!("9");
    object["data"] = json!({"a": "2"});
    world.put(Side::Virtual, Kind::ConfigMap, object);
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "fixed")),
        ["delete host ConfigMap host/fixed-x-team-x-vc h"]
    );
}

#[test]
fn token_secrets_become_opaque() {
    let world = small_world();
    world.put(
        Side::Virtual,
        Kind::Secret,
        json!({
            "metadata": {"namespace": "team", "name": "t", "uid": "1", "annotations": {keys::FORCE_SYNC: "true"}},
            "type": "kubernetes.io/service-account-token", "data": {"token": "eA=="},
        }),
    );
    let host = world.create(&world.plan(Kind::Secret, "team", "t"), "h");
    assert_eq!(
        (&host["type"], &host["data"]["token"]),
        (&json!("Opaque"), &json!("eA=="))
    );
    assert_eq!(world.plan(Kind::Secret, "team", "t").steps, []);
}

#[test]
fn a_synced_pod_needs_nothing() {
    let world = running_world();
    assert_eq!(plan_pod(&world), Vec::<String>::new());
}

#[test]
fn a_pod_is_bound_to_a_virtual_node_and_its_status_comes_up() {
    let world = running_world();
    let mut host = host_pod(&world);
    host["spec"]["nodeName"] = json!("worker-1");
    host["metadata"]["resourceVersion"] = json!("101");
    host["status"] = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.0.4"});
    let woken = world.put(Side::Host, Kind::Pod, host);
    assert!(woken.contains(&Reference::new(Kind::Node, "", "worker-1")));
    assert_eq!(world.plan(Kind::Pod, "team", "web").waits[0].kind, Kind::Node);
    let node = world.create(&world.plan(Kind::Node, "", "worker-1"), "n1");
    assert_eq!(node["status"]["addresses"][0]["address"], "10.9.9.9");
    assert_eq!(world.plan(Kind::Node, "", "worker-1").steps, []);
    assert_eq!(plan_pod(&world), ["bind team/web to worker-1"]);

    world.put(
        Side::Virtual,
        Kind::Pod,
        pod(json!({"metadata": {"resourceVersion": "6"}, "spec": {"nodeName": "worker-1"}})),
    );
    assert_eq!(
        plan_pod(&world),
        [
            "patch virtual Pod team/web status{\"metadata\":{},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.0.4\",\"startTime\":\"2026-01-01T00:00:00Z\"}}"
        ]
    );
    world.take(Side::Host, Kind::Pod, "host", "web-x-team-x-vc");
    world.take(Side::Virtual, Kind::Pod, "team", "web");
    assert_eq!(
        summary(&world.plan(Kind::Node, "", "worker-1")),
        ["delete virtual Node worker-1 n1"]
    );
}

#[test]
fn deletion_goes_both_ways() {
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30});
    // virtual deleting, host deleting, host gone, and what is done about it
    let table: [(bool, Option<i64>, bool, &[&str]); 6] = [
        (true, None, false, &["delete host Pod host/web-x-team-x-vc h1 in 30s"]),
        (false, Some(20), false, &["delete virtual Pod team/web v1 in 20s"]),
        (true, Some(30), false, &[]),
        (
            true,
            Some(60),
            false,
            &["delete host Pod host/web-x-team-x-vc h1 in 30s"],
        ),
        (true, Some(10), false, &["delete virtual Pod team/web v1 in 10s"]),
        (true, None, true, &["delete virtual Pod team/web v1 in 0s"]),
    ];
    for (virtual_deleting, host_grace, gone, expected) in table {
        let world = running_world();
        if virtual_deleting {
            let mut pod = pod(json!({"metadata": deleting}));
            pod["metadata"]["resourceVersion"] = json!("7");
            world.put(Side::Virtual, Kind::Pod, pod);
        }
        if let Some(grace) = host_grace {
            change_host_pod(&world, |host| {
                host["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                host["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            });
        }
        if gone {
            world.take(Side::Host, Kind::Pod, "host", "web-x-team-x-vc");
        }
        let steps: Vec<String> = plan_pod(&world)
            .into_iter()
            .filter(|step| step.starts_with("delete"))
            .collect();
        assert_eq!(steps, expected, "{virtual_deleting} {host_grace:?} {gone}");
    }
}

#[test]
fn a_pod_that_ran_is_not_started_again() {
    let world = running_world();
    world.take(Side::Host, Kind::Pod, "host", "web-x-team-x-vc");
    assert_eq!(
        plan_pod(&world),
        ["create host Pod host/web-x-team-x-vc"],
        "it had not started"
    );
    let placed = |version: &str, condition: &str| {
        pod(json!({
            "metadata": {"resourceVersion": version}, "spec": {"nodeName": "n1"},
            "status": {"conditions": [{"type": condition, "status": "True"}]},
        }))
    };
    world.put(Side::Virtual, Kind::Pod, placed("6", "PodScheduled"));
    assert_eq!(
        plan_pod(&world),
        ["delete virtual Pod team/web v1 in 0s"],
        "the host had placed it"
    );
    world.put(Side::Virtual, Kind::Pod, placed("7", "PodReadyToStartContainers"));
    assert_eq!(plan_pod(&world), Vec::<String>::new(), "its owner named a node");
    world.put(
        Side::Virtual,
        Kind::Pod,
        pod(json!({"metadata": {"resourceVersion": "8"}, "status": {"startTime": "2026-01-01T00:00:00Z"}})),
    );
    assert_eq!(plan_pod(&world), ["delete virtual Pod team/web v1 in 0s"]);
    // It waits for a finalizer: nothing more to say.
    world.put(
        Side::Virtual,
        Kind::Pod,
        pod(json!({"metadata": {
            "resourceVersion": "9", "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
            "finalizers": ["batch.kubernetes.io/job-tracking"],
        }})),
    );
    assert_eq!(plan_pod(&world), Vec::<String>::new());
}

#[test]
fn a_recreated_pod_replaces_its_predecessors_copy() {
    let world = running_world();
    let mut again = pod(json!({}));
    again["metadata"]["uid"] = json!("v2");
    again["metadata"]["resourceVersion"] = json!("9");
    world.put(Side::Virtual, Kind::Pod, again);
    assert_eq!(plan_pod(&world), ["delete host Pod host/web-x-team-x-vc h1"]);
    change_host_pod(&world, |host| {
        host["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")
    });
    assert_eq!(plan_pod(&world), Vec::<String>::new());
    world.take(Side::Host, Kind::Pod, "host", "web-x-team-x-vc");
    assert_eq!(plan_pod(&world), ["create host Pod host/web-x-team-x-vc"]);
}

#[test]
fn an_orphan_on_the_host_is_deleted() {
    let world = running_world();
    world.take(Side::Virtual, Kind::Pod, "team", "web");
    assert_eq!(plan_pod(&world), ["delete host Pod host/web-x-team-x-vc h1"]);
    change_host_pod(&world, |host| {
        json_remove(&mut host["metadata"]["annotations"], keys::OBJECT_KIND);
    });
    assert_eq!(
        plan_pod(&world),
        Vec::<String>::new(),
        "an object that does not say in full whose it is stays"
    );
}

fn json_remove(map: &mut Value, key: &str) {
    map.as_object_mut().expect("an object").remove(key);
}

#[test]
fn images_deadlines_and_debug_containers_follow() {
    let world = running_world();
    world.put(Side::Virtual, Kind::Pod, pod(json!({
        "metadata": {"resourceVersion": "6"},
        "spec": {
            "containers": [{"name": "app", "image": "nginx:2", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
            "activeDeadlineSeconds": 60,
            "ephemeralContainers": [{"name": "debug", "image": "busybox", "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
            ]}],
        },
    })));
    let plan = world.plan(Kind::Pod, "team", "web");
    let [
        Step::Patch { body: first, .. },
        Step::Patch {
            body: second,
            subresource,
            ..
        },
    ] = &plan.steps[..]
    else {
        panic!("two patches of the host: {:?}", plan.steps);
    };
    assert_eq!(
        first["spec"],
        json!({"containers": [{"name": "app", "image": "nginx:2"}], "activeDeadlineSeconds": 60})
    );
    assert_eq!(*subresource, "ephemeralcontainers");
    let debug = &second["spec"]["ephemeralContainers"][0];
    let reference = crate::json::items(debug, &["env"]).last().expect("an env");
    assert_eq!(
        reference["valueFrom"]["configMapKeyRef"]["name"],
        "settings-x-team-x-vc"
    );
}

#[test]
fn tokens_are_requested_once_and_renewed_in_time() {
    let world = small_world();
    let with_token = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "5"},
        "spec": {"serviceAccountName": "robot", "containers": [], "volumes": [
            {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "vault", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}},
        ]},
    });
    world.put(Side::Virtual, Kind::Pod, with_token);
    let created = world.plan(Kind::Pod, "team", "web");
    // The kubelet of the host may look for the Secret at any moment from now on.
    assert_eq!(
        summary(&created),
        ["create host Pod host/web-x-team-x-vc", "tokens for team/web as robot"]
    );
    world.create(&created, "h1");
    let plan = world.plan(Kind::Pod, "team", "web");
    let Some(Step::Tokens(tokens)) = plan.steps.first() else {
        panic!("tokens: {:?}", plan.steps)
    };
    assert_eq!(
        plan.steps.first(),
        created.steps.last(),
        "asked for again until it is there"
    );
    assert_eq!(tokens.account, "robot");
    assert_eq!(tokens.copy, ObjectKey::new("host", "web-x-team-x-vc"));
    let keys: Vec<&str> = tokens.tokens.iter().map(|token| token.data_key.as_str()).collect();
    assert_eq!(keys, ["api.0", "vault.0"]);
    assert_eq!(tokens.tokens[1].audiences, ["vault"]);
    assert_eq!(
        tokens.tokens[0].audiences[0],
        "https://kubernetes.default.svc.cluster.local"
    );

    let mut secret = tokens.secret.clone();
    secret["metadata"]["uid"] = json!("s1");
    secret["metadata"]["ownerReferences"] = token_owner(&tokens.copy, "h1");
    secret["metadata"]["annotations"][REFRESH_AT] = json!("1970-01-01T01:00:00Z");
    let woken = world.put(Side::Host, Kind::Secret, secret.clone());
    assert_eq!(woken, [Reference::new(Kind::Pod, "team", "web")]);
    let plan = world.plan(Kind::Pod, "team", "web");
    assert_eq!(plan.steps, []);
    assert_eq!(plan.again_after, Some(std::time::Duration::from_secs(3600)));

    secret["metadata"]["annotations"][REFRESH_AT] = json!("1969-12-31T23:00:00Z");
    secret["metadata"]["resourceVersion"] = json!("2");
    world.put(Side::Host, Kind::Secret, secret.clone());
    assert_eq!(plan_pod(&world), ["tokens for team/web as robot"]);

    secret["metadata"]["ownerReferences"][0]["uid"] = json!("earlier");
    secret["metadata"]["resourceVersion"] = json!("3");
    world.put(Side::Host, Kind::Secret, secret);
    let delete = "delete host Secret host/web-sa-token-x-team-x-vc s1";
    assert_eq!(plan_pod(&world), [delete]);
    // The next pod of the name, while the host has not yet removed what belonged to the one before.
    world.take(Side::Host, Kind::Pod, "host", "web-x-team-x-vc");
    assert_eq!(
        plan_pod(&world),
        [
            delete,
            "create host Pod host/web-x-team-x-vc",
            "tokens for team/web as robot"
        ]
    );
}

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
            "type": "NodePort", "ports": [{"port": 80, "targetPort": "http"}],
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
        assert_eq!(world.plan(kind, "other", "kubernetes").steps, []);
        world.create(&plan, "v");
        assert_eq!(world.plan(kind, "default", "kubernetes").steps, []);
    }
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

#[test]
fn host_events_are_shown_at_the_virtual_object() {
    let world = running_world();
    let event = json!({
        "metadata": {"namespace": "host", "name": "web-x-team-x-vc.1", "uid": "e", "resourceVersion": "3"},
        "involvedObject": {"kind": "Pod", "namespace": "host", "name": "web-x-team-x-vc"}, "reason": "Pulled", "message": "ok",
    });
    let woken = world.put(Side::Host, Kind::Event, event.clone());
    assert_eq!(woken, [Reference::new(Kind::Event, "team", "web-x-team-x-vc.1")]);
    let plan = world.plan(Kind::Event, "team", "web-x-team-x-vc.1");
    assert_eq!(summary(&plan), ["upsert Event team/web.1"]);
    assert!(plan.release);
    world
        .host
        .of(Kind::Event)
        .release(&crate::object::ObjectKey::new("host", "web-x-team-x-vc.1"));
    assert_eq!(world.plan(Kind::Event, "team", "web-x-team-x-vc.1").steps, []);
    assert!(
        world.put(Side::Host, Kind::Event, event).is_empty(),
        "an echo is no news"
    );
}

#[test]
fn another_controllers_objects_are_ignored() {
    let world = small_world();
    let mut object = config_map("theirs", "1", json!({}));
    object["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
    object["metadata"]["labels"] = json!({keys::CONTROLLED_BY: "vcluster"});
    world.put(Side::Virtual, Kind::ConfigMap, object);
    assert_eq!(world.plan(Kind::ConfigMap, "team", "theirs").steps, []);
}

#[test]
fn new_labels_of_a_namespace_reach_its_pods() {
    let world = running_world();
    let labelled =
        json!({"metadata": {"name": "team", "uid": "n", "resourceVersion": "8", "labels": {"stage": "prod"}}});
    let woken = world.put(Side::Virtual, Kind::Namespace, labelled);
    assert!(woken.contains(&Reference::new(Kind::Pod, "team", "web")));
    let key = world.names.namespace_label("stage");
    assert_eq!(
        plan_pod(&world),
        [format!(
            "patch host Pod host/web-x-team-x-vc {{\"metadata\":{{\"labels\":{{\"{key}\":\"prod\"}}}}}}"
        )]
    );
}

#[test]
fn every_kind_has_one_line_in_a_direction() {
    let mut lines: Vec<String> = TABLE
        .iter()
        .map(|resource| format!("{} {:?}", resource.kind, resource.direction))
        .collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), TABLE.len());
}
