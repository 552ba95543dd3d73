//! Pods: created once, placed, shown, and gone from both sides.

use serde_json::json;

use super::*;

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
