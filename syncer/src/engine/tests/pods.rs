//! What becomes of pods and of what they use.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pod_costs_one_host_write_to_create_and_no_read() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("first"));
    bridge
        .until("the first pod is on the host", || bridge.host_pod("first").is_some())
        .await;
    bridge.host.take_requests();
    bridge.virtual_.take_requests();
    bridge.virtual_.put(Kind::Pod, pod("web"));
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
    bridge.host.change(Kind::Pod, "host", "web-x-team-x-vc", |pod| {
        pod["spec"]["nodeName"] = json!("worker-1");
        pod["status"] = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z"});
    });
    let running = || {
        bridge
            .virtual_
            .get(Kind::Pod, "team", "web")
            .is_some_and(|pod| pod["status"]["phase"] == "Running")
    };
    bridge.until("the status is in the virtual cluster", running).await;
    tokio::time::sleep(PATIENCE).await;
    // Watches are opened again now and then; nothing else is asked.
    let mut requests = bridge.host.take_requests();
    requests.retain(|request| !request.starts_with("GET") || request.contains("-x-"));
    assert_eq!(requests, ["POST /api/v1/namespaces/host/pods"]);
    assert_eq!(
        bridge.virtual_.take_writes(),
        [
            "POST /api/v1/nodes",
            "POST /api/v1/namespaces/team/pods/web/binding",
            "PATCH /api/v1/namespaces/team/pods/web/status",
        ]
    );

    bridge.host.take_requests();
    bridge.virtual_.delete(Kind::Pod, "team", "web", 30);
    bridge
        .until("the host pod is told", || {
            bridge
                .host_pod("web")
                .is_some_and(|pod| pod["metadata"].get("deletionTimestamp").is_some())
        })
        .await;
    bridge.run_host();
    bridge
        .until("the virtual pod is gone", || {
            bridge.virtual_.get(Kind::Pod, "team", "web").is_none()
        })
        .await;
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(
        bridge.host.take_writes(),
        ["DELETE /api/v1/namespaces/host/pods/web-x-team-x-vc"]
    );
}

#[tokio::test(start_paused = true)]
async fn unused_objects_leave_the_host() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    tokio::time::sleep(PATIENCE).await;
    assert!(bridge.host.list(Kind::ConfigMap).is_empty());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
    assert_eq!(bridge.host.list(Kind::ConfigMap).len(), 1);
    bridge.virtual_.remove(Kind::Pod, "team", "web");
    bridge
        .until("the host pod is told", || {
            bridge.run_host();
            bridge.host.list(Kind::Pod).is_empty() && bridge.host.list(Kind::ConfigMap).is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_is_reported_left_alone_and_waited_out() {
    let bridge = Bridge::start();
    let foreign = json!({"metadata": {"namespace": "host", "name": "settings-x-team-x-vc"}, "data": {"theirs": "1"}});
    let before = bridge.host.put(Kind::ConfigMap, foreign);
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    let told = || {
        bridge
            .virtual_
            .list(Kind::Event)
            .iter()
            .any(|event| event["reason"] == "SyncError")
    };
    bridge.until("an event says so", told).await;
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(
        bridge.host.get(Kind::ConfigMap, "host", "settings-x-team-x-vc"),
        Some(before)
    );
    assert!(bridge.host_pod("web").is_none(), "the pod would see what is in it");
    bridge.host.remove(Kind::ConfigMap, "host", "settings-x-team-x-vc");
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_syncer_cleans_up_after_a_killed_one() {
    let bridge = Bridge::start();
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    for name in ["kept", "deleted", "recreated"] {
        bridge.virtual_.put(Kind::Pod, pod(name));
        bridge
            .until("the pods are on the host", || bridge.host_pod(name).is_some())
            .await;
    }
    let kept = bridge.host_pod("kept").expect("a pod")["metadata"]["uid"].clone();
    let earlier = bridge.host_pod("recreated").expect("a pod")["metadata"]["uid"].clone();
    let (virtual_, host) = (bridge.virtual_.clone(), bridge.host.clone());
    drop(bridge);
    virtual_.remove(Kind::Pod, "team", "deleted");
    virtual_.remove(Kind::Pod, "team", "recreated");
    virtual_.put(Kind::Pod, pod("recreated"));
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("both sides agree again", || {
            bridge.run_host();
            bridge.host_pod("deleted").is_none()
                && bridge
                    .host_pod("recreated")
                    .is_some_and(|pod| pod["metadata"]["uid"] != earlier)
        })
        .await;
    assert_eq!(bridge.host_pod("kept").expect("a pod")["metadata"]["uid"], kept);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_field_of_an_object_that_is_there_is_not_a_loop() {
    let (virtual_, host) = clusters();
    let service = json!({
        "metadata": {
            "namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "labels": {keys::MARKER: "vc"},
            "annotations": {keys::OBJECT_NAME: "kube-dns", keys::OBJECT_NAMESPACE: "kube-system"},
        },
        "spec": {"clusterIP": ""},
    });
    host.put(Kind::Service, service);
    let bridge = Bridge::between(virtual_, host);
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    bridge.virtual_.put(Kind::Pod, pod("web"));
    tokio::time::sleep(PATIENCE).await;
    assert!(bridge.host_pod("web").is_none());
    bridge
        .host
        .change(Kind::Service, "host", "kube-dns-x-kube-system-x-vc", |service| {
            service["spec"]["clusterIP"] = json!("10.0.0.53");
        });
    bridge
        .until("the pod is on the host", || bridge.host_pod("web").is_some())
        .await;
}
