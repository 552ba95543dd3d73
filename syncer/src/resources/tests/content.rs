//! ConfigMaps and Secrets: on the host while they are used, and nobody else's.

use serde_json::json;

use super::*;

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
fn binary_entries_are_entries_like_others() {
    let world = small_world();
    let mut object = config_map("binary", "1", json!({}));
    object["metadata"]["annotations"] = json!({keys::FORCE_SYNC: "true"});
    object["binaryData"] = json!({"a": "AA=="});
    world.put(Side::Virtual, Kind::ConfigMap, object.clone());
    let host = world.create(&world.plan(Kind::ConfigMap, "team", "binary"), "h");
    assert_eq!(host["binaryData"], object["binaryData"]);
    assert_eq!(world.plan(Kind::ConfigMap, "team", "binary").steps, []);
    object["binaryData"] = json!({"b": "AQ=="});
    object["metadata"]["resourceVersion"] = json!("9");
    world.put(Side::Virtual, Kind::ConfigMap, object);
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "binary")),
        ["patch host ConfigMap host/binary-x-team-x-vc {\"binaryData\":{\"a\":null,\"b\":\"AQ==\"},\"metadata\":{}}"]
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
