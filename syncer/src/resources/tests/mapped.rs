//! Kinds that name objects of other kinds, where virtual namespaces have some of the host to themselves.

use std::collections::BTreeMap;

use crate::names::{Fixed, NamespaceRules};
use crate::object::Object;
use crate::settings::NamespaceSettings;
use crate::testing::{settings, world_of};

use super::*;

/// A world with virtual namespaces `web` and `team`, which are `h-web` and `h-team` on the host; others have none to themselves.
pub(in crate::resources) fn mapped_world(mut settings: Settings) -> World {
    let pairs = BTreeMap::from([("web", "h-web"), ("team", "h-team")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    settings.to_host.insert(Kind::Namespace);
    settings.namespaces = Some(NamespaceSettings {
        rules: NamespaceRules::new("host", &pairs),
        extra_labels: BTreeMap::new(),
        fixed: Fixed::default(),
    });
    let world = world_of(settings);
    let own = json!({"metadata": {"name": "host", "uid": "own", "resourceVersion": "1"}});
    world.control_plane.of(Kind::Namespace).apply(Object::new(own));
    world.put(Side::Host, Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    }));
    for name in ["web", "team", "other"] {
        let metadata = json!({"name": name, "uid": name, "resourceVersion": "1"});
        world.put(Side::Virtual, Kind::Namespace, json!({"metadata": metadata}));
        let plan = world.plan(Kind::Namespace, "", name);
        world.create(&plan, &format!("h-{name}"));
        // The account of its pods.
        world.create(&world.plan(Kind::Namespace, "", name), &format!("a-{name}"));
    }
    world
}

fn world_with(kinds: &[Kind]) -> World {
    let mut settings = settings();
    settings.to_host.extend(kinds);
    mapped_world(settings)
}

fn in_namespace(namespace: &str, name: &str, more: Value) -> Value {
    let uid = format!("{namespace}-{name}");
    let mut object = json!({"metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "5"}});
    crate::json::merge(&mut object, &more);
    object
}

#[test]
fn claims_of_devices_belong_to_the_pods_of_their_namespace() {
    let world = world_with(&[Kind::ResourceClaim, Kind::ResourceClaimTemplate]);
    let spec = json!({
        "resourceClaims": [{"name": "a", "resourceClaimName": "gpu"}], "containers": [{"name": "c", "image": "i"}],
    });
    let mut copies = Vec::new();
    for namespace in ["web", "team"] {
        let claim = in_namespace(namespace, "gpu", json!({"spec": {"devices": {}}}));
        world.put(Side::Virtual, Kind::ResourceClaim, claim);
        copies.push(world.create(
            &world.plan(Kind::ResourceClaim, namespace, "gpu"),
            &format!("hc-{namespace}"),
        ));
        let pod = in_namespace(namespace, "pod", json!({"spec": spec}));
        world.put(Side::Virtual, Kind::Pod, pod);
        let mut pod = world.create(&world.plan(Kind::Pod, namespace, "pod"), &format!("hp-{namespace}"));
        assert_eq!(pod["metadata"]["namespace"], format!("h-{namespace}"));
        assert_eq!(pod["spec"]["resourceClaims"][0]["resourceClaimName"], "gpu");
        pod["metadata"]["resourceVersion"] = json!("101");
        pod["status"] =
            json!({"phase": "Pending", "resourceClaimStatuses": [{"name": "a", "resourceClaimName": "gpu"}]});
        world.put(Side::Host, Kind::Pod, pod);
        let steps = summary(&world.plan(Kind::Pod, namespace, "pod"));
        assert!(
            steps.iter().any(|step| step.contains(r#""resourceClaimName":"gpu""#)),
            "{steps:?}"
        );
    }
    let mut claim = copies.remove(0);
    claim["metadata"]["resourceVersion"] = json!("102");
    claim["status"] = json!({"reservedFor": [{"resource": "pods", "name": "pod", "uid": "hp-web"}]});
    world.put(Side::Host, Kind::ResourceClaim, claim);
    let steps = summary(&world.plan(Kind::ResourceClaim, "web", "gpu"));
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(
        steps[0].contains(r#""uid":"web-pod""#),
        "not that of the other namespace: {steps:?}"
    );
}

#[test]
fn snapshots_and_their_contents_name_the_namespaces_of_the_host() {
    let world = world_with(&[Kind::VolumeSnapshot, Kind::VolumeSnapshotContent]);
    let source = json!({"spec": {"source": {"persistentVolumeClaimName": "data"}}});
    world.put(Side::Virtual, Kind::VolumeSnapshot, in_namespace("team", "s", source));
    let plan = world.plan(Kind::VolumeSnapshot, "team", "s");
    assert!(
        plan.steps.is_empty(),
        "the host may have a claim of that name: {plan:?}"
    );
    let claim = in_namespace("team", "data", json!({"spec": {"accessModes": ["ReadWriteOnce"]}}));
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, claim);
    world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "data"), "hd");
    let copy = world.create(&world.plan(Kind::VolumeSnapshot, "team", "s"), "h1");
    assert_eq!(copy["metadata"]["namespace"], "h-team");
    assert_eq!(copy["spec"]["source"]["persistentVolumeClaimName"], "data");
    let restored =
        json!({"spec": {"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}}});
    let restored = in_namespace("team", "restored", restored);
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, restored);
    let made = world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "restored"), "hr");
    assert_eq!(made["spec"]["dataSource"]["name"], "s");
    let content = |namespace: &str| {
        json!({
            "metadata": {"name": "c", "uid": "c", "resourceVersion": "5"},
            "spec": {"driver": "d", "volumeSnapshotRef": {"namespace": namespace, "name": "s", "uid": "h1"}},
        })
    };
    let items = world.put(Side::Host, Kind::VolumeSnapshotContent, content("h-team"));
    assert_eq!(items, [Reference::new(Kind::VolumeSnapshotContent, "", "c")]);
    let shown = world.create(&world.plan(Kind::VolumeSnapshotContent, "", "c"), "v1");
    let reference = &shown["spec"]["volumeSnapshotRef"];
    assert_eq!(
        (&reference["namespace"], &reference["name"]),
        (&json!("team"), &json!("s"))
    );

    let world = world_with(&[Kind::VolumeSnapshot, Kind::VolumeSnapshotContent]);
    world.put(Side::Virtual, Kind::VolumeSnapshotContent, content("web"));
    let made = world.create(&world.plan(Kind::VolumeSnapshotContent, "", "c"), "h2");
    assert_eq!(
        made["spec"]["volumeSnapshotRef"],
        json!({"namespace": "h-web", "name": "s"})
    );

    let world = world_with(&[Kind::VolumeSnapshot, Kind::VolumeSnapshotContent]);
    world.put(Side::Virtual, Kind::VolumeSnapshotContent, content("other"));
    let made = world.create(&world.plan(Kind::VolumeSnapshotContent, "", "c"), "h2");
    assert_eq!(
        made["spec"]["volumeSnapshotRef"],
        json!({"namespace": "host", "name": "s-x-other-x-vc"}),
        "without one to itself"
    );
}

/// The control plane's Service selects by it, and some of the objects lie beside it; selectors are for all of them.
#[test]
fn a_label_of_a_release_is_hidden_everywhere() {
    let world = world_with(&[]);
    let labels =
        json!({"metadata": {"labels": {"release": "shop"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.put(Side::Virtual, Kind::Pod, in_namespace("team", "web", labels));
    let pod = world.create(&world.plan(Kind::Pod, "team", "web"), "h1");
    let hidden = world.names.label_to_host("release").into_owned();
    assert_eq!(pod["metadata"]["labels"][&hidden], "shop");
    assert_eq!(pod["metadata"]["labels"].get("release"), None);
    let selected = world
        .names
        .label_selector_to_host(&json!({"matchLabels": {"release": "shop"}}));
    assert_eq!(selected, json!({"matchLabels": {hidden: "shop"}}));
}

#[test]
fn a_replica_leads_to_the_copy_in_the_other_namespace_or_to_its_pods() {
    let mut settings = settings();
    settings.replicas.to_host = vec![crate::settings::Replica {
        from: ObjectKey::new("team", "web"),
        to: ObjectKey::new("host", "shop"),
    }];
    let world = mapped_world(settings);
    let plan = |expected: &[&str]| {
        let plan = world.plan(Kind::Service, "", "shop");
        assert_eq!(summary(&plan), expected);
        plan
    };
    let spec =
        json!({"spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
    let item = Reference::new(Kind::Service, "", "shop");
    let affected = world.put(Side::Virtual, Kind::Service, in_namespace("team", "web", spec));
    assert!(affected.contains(&item), "{affected:?}");
    let made = world.create(
        &plan(&["create host Service host/shop", "create host Endpoints host/shop"]),
        "r1",
    );
    assert_eq!(made.get("subsets"), Some(&json!([])), "there is no copy yet");
    let mut copy = world.create(&world.plan(Kind::Service, "team", "web"), "h1");
    let replica = world.host.get(Kind::Service, "host", "shop").expect("made").value();
    assert_eq!(replica["spec"]["clusterIP"], "None");
    assert_eq!(replica["spec"].get("selector"), None);
    copy["spec"]["clusterIP"] = json!("10.0.0.7");
    copy["metadata"]["resourceVersion"] = json!("101");
    assert!(world.put(Side::Host, Kind::Service, copy.clone()).contains(&item));
    plan(&[
        r#"patch host Endpoints host/shop {"metadata":{},"subsets":[{"addresses":[{"ip":"10.0.0.7"}],"ports":[{"name":"http","port":80,"protocol":"TCP"}]}]}"#,
    ]);

    copy["spec"]["clusterIP"] = json!("None");
    copy["metadata"]["resourceVersion"] = json!("102");
    world.put(Side::Host, Kind::Service, copy);
    let slice = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.1.0.1"]}, {"addresses": ["10.1.0.2"], "conditions": {"ready": false}}],
    });
    let affected = world.put(Side::Virtual, Kind::EndpointSlice, in_namespace("team", "web-1", slice));
    assert!(affected.contains(&item), "{affected:?}");
    let found = world.plan(Kind::Service, "", "shop");
    let [Step::Patch { body, .. }] = &found.steps[..] else {
        panic!("{found:?}")
    };
    let expected = json!([{
        "addresses": [{"ip": "10.1.0.1"}], "notReadyAddresses": [{"ip": "10.1.0.2"}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }]);
    assert_eq!(body["subsets"], expected);
    world.take(Side::Virtual, Kind::Service, "team", "web");
    plan(&["delete host Service host/shop r1", "delete host Endpoints host/shop r1"]);
}
