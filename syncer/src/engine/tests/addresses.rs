//! Services take over the addresses that the host gives their copies.

use super::*;

/// The virtual Services and the host's copies.
fn pairs(bridge: &Bridge, names: &[&str]) -> Vec<(Value, Value)> {
    let of = |name: &&str| {
        let host = bridge.host.get(Kind::Service, "host", &format!("{name}-x-team-x-vc"))?;
        Some((bridge.virtual_.get(Kind::Service, "team", name)?, host))
    };
    names.iter().filter_map(of).collect()
}

fn have_the_hosts_addresses(bridge: &Bridge, names: &[&str]) -> bool {
    let pairs = pairs(bridge, names);
    pairs.len() == names.len()
        && pairs.iter().all(|(virtual_, host)| {
            virtual_["spec"]["type"] == "ClusterIP" && virtual_["spec"]["clusterIP"] == host["spec"]["clusterIP"]
        })
}

#[tokio::test(start_paused = true)]
async fn services_take_over_addresses_that_others_hold() {
    let (virtual_, host) = clusters();
    let names = ["a", "b", "c"];
    let uids = names.map(|name| virtual_.put(Kind::Service, service(name))["metadata"]["uid"].clone());
    // On the host others come first, and the order is another one.
    for name in ["c", "a"] {
        let copy = json!({
            "metadata": {
                "namespace": "host", "name": format!("{name}-x-team-x-vc"), "labels": {keys::MARKER: "vc"},
                "annotations": {keys::OBJECT_NAME: name, keys::OBJECT_NAMESPACE: "team"},
            },
            "spec": {"type": "ClusterIP"},
        });
        host.put(Kind::Service, copy);
    }
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("all have the host's addresses", || {
            have_the_hosts_addresses(&bridge, &names)
        })
        .await;
    for ((virtual_, _), uid) in pairs(&bridge, &names).iter().zip(&uids) {
        assert_eq!(
            virtual_["metadata"]["uid"], *uid,
            "clients keep watching the same object"
        );
        assert_eq!(virtual_["metadata"]["annotations"], json!({"team/owner": "them"}));
        assert_eq!(virtual_["spec"]["internalTrafficPolicy"], "Local");
        assert_eq!(virtual_["spec"].get("externalName"), None);
    }
    bridge.virtual_.take_writes();
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(bridge.virtual_.take_writes(), [""; 0], "nothing is left to do");
    assert_eq!(errors_told(&bridge), [Value::Null; 0]);
}

/// A virtual cluster configured with another network than the host's: an event says so, and no Service is damaged.
#[tokio::test(start_paused = true)]
async fn addresses_that_cannot_be_had_are_not_given_up_for() {
    let (virtual_, host) = clusters();
    virtual_.set_network("10.96.0");
    let bridge = Bridge::between(virtual_, host);
    let before = bridge.virtual_.put(Kind::Service, service("web"));
    bridge
        .until("an event says so", || !errors_told(&bridge).is_empty())
        .await;
    tokio::time::sleep(PATIENCE).await;
    let now = bridge.virtual_.get(Kind::Service, "team", "web").expect("the Service");
    assert_eq!(
        (&now["spec"], &now["metadata"]["annotations"]),
        (&before["spec"], &before["metadata"]["annotations"])
    );
    assert!(
        pairs(&bridge, &["web"]).len() == 1,
        "its pods are reached on the host all the same"
    );
}

/// A syncer killed between the two patches: the next one goes on, and the host never sees what was in between.
#[tokio::test(start_paused = true)]
async fn a_service_between_two_addresses_is_finished_by_the_next_syncer() {
    let (virtual_, host) = clusters();
    host.put(
        Kind::Service,
        json!({"metadata": {"namespace": "host", "name": "other"}, "spec": {"type": "ClusterIP"}}),
    );
    let mut patches = 0;
    virtual_.set_faults(Some(Box::new(move |method, path| {
        let ours = *method == http::Method::PATCH && path.ends_with("/services/web");
        patches += usize::from(ours);
        (ours && patches > 1).then_some(503)
    })));
    let bridge = Bridge::between(virtual_, host);
    let put = bridge.virtual_.put(Kind::Service, service("web"));
    let between = || {
        let service = bridge.virtual_.get(Kind::Service, "team", "web");
        service.is_some_and(|service| service["spec"]["type"] == "ExternalName")
    };
    bridge.until("the addresses are given back", between).await;
    let (virtual_, host) = (bridge.virtual_.clone(), bridge.host.clone());
    drop(bridge);
    // The owner goes on working, and somebody deletes the copy.
    virtual_.change(Kind::Service, "team", "web", |service| {
        service["spec"]["selector"] = json!({"app": "new"});
    });
    let earlier = host.get(Kind::Service, "host", "web-x-team-x-vc").expect("the copy");
    assert_eq!(earlier["spec"]["type"], "ClusterIP");
    host.remove(Kind::Service, "host", "web-x-team-x-vc");
    virtual_.set_faults(None);
    let bridge = Bridge::between(virtual_, host);
    bridge
        .until("the Service is back", || have_the_hosts_addresses(&bridge, &["web"]))
        .await;
    let (virtual_, host) = pairs(&bridge, &["web"]).remove(0);
    assert_eq!(virtual_["metadata"]["uid"], put["metadata"]["uid"]);
    assert_eq!(virtual_["metadata"]["annotations"], put["metadata"]["annotations"]);
    assert_eq!(virtual_["spec"]["selector"], json!({"app": "new"}));
    assert_eq!(virtual_["spec"]["internalTrafficPolicy"], "Local");
    assert_eq!(host["spec"]["selector"]["app"], "new");
    assert_eq!(host["spec"].get("externalName"), None);
    assert_eq!(errors_told(&bridge), [Value::Null; 0]);
}
