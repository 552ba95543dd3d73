//! What belongs to no namespace but to an object in one: volumes and contents of snapshots; and what drivers tell of nodes.

use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::*;

fn object(name: &str, uid: &str, version: u64, more: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version.to_string()}});
    for (field, value) in more.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    object
}

fn in_team(name: &str, uid: &str, version: u64, more: Value) -> Value {
    let mut object = object(name, uid, version, more);
    object["metadata"]["namespace"] = json!("team");
    object
}

fn planned(world: &World, kind: Kind, namespace: &str, name: &str) -> Vec<String> {
    summary(&world.plan(kind, namespace, name))
}

/// A world with real volumes, a claim and its copy.
fn world_with_volumes() -> World {
    let mut world = world();
    world.settings.to_host.insert(Kind::PersistentVolume);
    let spec = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
    world.put(
        Side::Virtual,
        Kind::PersistentVolumeClaim,
        in_team("data", "c1", 5, spec),
    );
    world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "data"), "h1");
    world
}

/// A volume that the host made for the copy of a claim.
fn host_volume(version: u64, claim: Value) -> Value {
    object(
        "pvc-h1",
        "hv",
        version,
        json!({
            "spec": {"capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "fast", "claimRef": claim},
            "status": {"phase": "Bound"},
        }),
    )
}

fn claim_on_host() -> Value {
    json!({"kind": "PersistentVolumeClaim", "namespace": "host", "name": "data-x-team-x-vc", "uid": "h1"})
}

#[test]
fn a_volume_that_the_host_made_for_a_claim_is_shown() {
    let world = world_with_volumes();
    let items = world.put(Side::Host, Kind::PersistentVolume, host_volume(3, claim_on_host()));
    assert_eq!(items, [Reference::new(Kind::PersistentVolume, "", "pvc-h1")]);
    let mut shown = world.create(&world.plan(Kind::PersistentVolume, "", "pvc-h1"), "v1");
    assert_eq!(
        shown["metadata"]["annotations"],
        json!({"vcluster.loft.sh/host-pv": "pvc-h1"})
    );
    assert_eq!(
        shown["spec"]["claimRef"],
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "team", "name": "data", "uid": "c1"})
    );
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        ["patch virtual PersistentVolume pvc-h1 status{\"metadata\":{},\"status\":{\"phase\":\"Bound\"}}"]
    );

    // The tenant's changes are taken back: the host's volume is not ours to change.
    shown["status"] = json!({"phase": "Bound"});
    shown["spec"]["capacity"] = json!({"storage": "9Gi"});
    shown["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Virtual, Kind::PersistentVolume, shown.clone());
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        ["patch virtual PersistentVolume pvc-h1 {\"metadata\":{},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"}}}"]
    );

    // Without its claim it stays as long as the host keeps it, and goes there only if it is kept for the tenant.
    world.take(Side::Virtual, Kind::PersistentVolumeClaim, "team", "data");
    shown["spec"]["capacity"] = json!({"storage": "1Gi"});
    shown["metadata"]["resourceVersion"] = json!("102");
    world.put(Side::Virtual, Kind::PersistentVolume, shown.clone());
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        Vec::<String>::new()
    );
    shown["metadata"]["resourceVersion"] = json!("103");
    shown["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    shown["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
    world.put(Side::Virtual, Kind::PersistentVolume, shown);
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        ["delete host PersistentVolume pvc-h1 hv"]
    );
    world.take(Side::Host, Kind::PersistentVolume, "", "pvc-h1");
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        ["patch virtual PersistentVolume pvc-h1 {\"metadata\":{\"finalizers\":null}}"]
    );
}

#[test]
fn volumes_of_others_are_neither_shown_nor_touched() {
    let world = world_with_volumes();
    let elsewhere = json!({"namespace": "other", "name": "data-x-team-x-vc", "uid": "h1"});
    assert_eq!(
        world.put(Side::Host, Kind::PersistentVolume, host_volume(3, elsewhere)),
        []
    );
    let unknown = json!({"namespace": "host", "name": "somebodys", "uid": "x"});
    world.put(Side::Host, Kind::PersistentVolume, host_volume(4, unknown));
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        Vec::<String>::new()
    );
    let earlier = json!({"namespace": "host", "name": "data-x-team-x-vc", "uid": "earlier"});
    world.put(Side::Host, Kind::PersistentVolume, host_volume(5, earlier));
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        Vec::<String>::new()
    );

    // Nor is it enough to say that a volume shows the host's.
    world.put(
        Side::Host,
        Kind::PersistentVolume,
        host_volume(6, json!({"namespace": "host", "name": "somebodys"})),
    );
    let forged = json!({"spec": {"claimRef": {"namespace": "team", "name": "data"}}});
    let mut forged = object("mine", "v9", 3, forged);
    forged["metadata"]["annotations"] = json!({"vcluster.loft.sh/host-pv": "pvc-h1"});
    forged["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.put(Side::Virtual, Kind::PersistentVolume, forged);
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "mine"),
        Vec::<String>::new()
    );
}

#[test]
fn a_volume_that_somebody_made_has_a_copy_and_claims_find_it() {
    let world = world_with_volumes();
    let source = json!({"nfs": {"server": "a", "path": "/"}, "storageClassName": "slow", "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": "team", "name": "nfs"}});
    world.put(
        Side::Virtual,
        Kind::PersistentVolume,
        object("nfs", "v1", 3, json!({"spec": source})),
    );
    let mut copy = world.create(&world.plan(Kind::PersistentVolume, "", "nfs"), "hv1");
    assert_eq!(copy["metadata"]["name"], "vcluster-nfs-x-host-x-vc");
    assert_eq!(
        copy["spec"],
        json!({"nfs": {"server": "a", "path": "/"}, "storageClassName": "vcluster-slow-x-host-x-vc", "capacity": {"storage": "1Gi"}})
    );
    let spec = json!({"spec": {"volumeName": "nfs", "storageClassName": "slow"}});
    world.put(
        Side::Virtual,
        Kind::PersistentVolumeClaim,
        in_team("nfs", "c2", 5, spec),
    );
    let mut claim = world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "nfs"), "h2");
    assert_eq!(claim["spec"]["volumeName"], "vcluster-nfs-x-host-x-vc");
    assert_eq!(claim["spec"]["storageClassName"], "vcluster-slow-x-host-x-vc");

    claim["status"] = json!({"phase": "Bound"});
    claim["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::PersistentVolumeClaim, claim);
    assert_eq!(
        planned(&world, Kind::PersistentVolumeClaim, "team", "nfs"),
        ["patch virtual PersistentVolumeClaim team/nfs status{\"metadata\":{},\"status\":{\"phase\":\"Bound\"}}"]
    );
    copy["spec"]["claimRef"] = json!({"namespace": "host", "name": "nfs-x-team-x-vc", "uid": "h2"});
    copy["metadata"]["resourceVersion"] = json!("101");
    let items = world.put(Side::Host, Kind::PersistentVolume, copy);
    assert_eq!(items, [Reference::new(Kind::PersistentVolume, "", "nfs")]);
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "nfs"),
        [
            "patch virtual PersistentVolume nfs {\"metadata\":{},\"spec\":{\"claimRef\":{\"apiVersion\":\"v1\",\
          \"kind\":\"PersistentVolumeClaim\",\"name\":\"nfs\",\"namespace\":\"team\",\"uid\":\"c2\"}}}"
        ]
    );
    world.take(Side::Virtual, Kind::PersistentVolume, "", "nfs");
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "nfs"),
        ["delete host PersistentVolume vcluster-nfs-x-host-x-vc hv1"]
    );
}

#[test]
fn a_volume_that_was_made_up_makes_way() {
    let world = world_with_volumes();
    let mut made_up = object("pvc-h1", "v1", 3, json!({}));
    made_up["metadata"]["labels"] = json!({"vcluster.loft.sh/fake-pv": "true"});
    world.put(Side::Virtual, Kind::PersistentVolume, made_up);
    assert_eq!(
        planned(&world, Kind::PersistentVolume, "", "pvc-h1"),
        ["delete virtual PersistentVolume pvc-h1 v1"]
    );
}

/// A world in which snapshots are synced.
fn world_with_snapshots() -> World {
    let mut world = world();
    world
        .settings
        .to_host
        .extend([Kind::VolumeSnapshot, Kind::VolumeSnapshotContent]);
    world
        .settings
        .from_host
        .insert(Kind::VolumeSnapshotClass, Selector::default());
    world
}

#[test]
fn a_snapshot_is_taken_of_the_copy_of_its_claim_and_its_content_is_shown() {
    let world = world_with_snapshots();
    let spec = json!({"volumeSnapshotClassName": "c", "source": {"persistentVolumeClaimName": "data"}});
    world.put(
        Side::Virtual,
        Kind::VolumeSnapshot,
        in_team("s", "s1", 3, json!({"spec": spec})),
    );
    let mut copy = world.create(&world.plan(Kind::VolumeSnapshot, "team", "s"), "h1");
    assert_eq!(
        copy["spec"],
        json!({"volumeSnapshotClassName": "c", "source": {"persistentVolumeClaimName": "data-x-team-x-vc"}})
    );
    let content = json!({"spec": {"driver": "d", "volumeSnapshotRef": {"namespace": "host", "name": "s-x-team-x-vc", "uid": "h1"}}});
    let items = world.put(
        Side::Host,
        Kind::VolumeSnapshotContent,
        object("content", "hc", 3, content),
    );
    assert_eq!(items, [Reference::new(Kind::VolumeSnapshotContent, "", "content")]);
    let shown = world.create(&world.plan(Kind::VolumeSnapshotContent, "", "content"), "v1");
    assert_eq!(shown["spec"]["volumeSnapshotRef"]["name"], "s");
    assert_eq!(
        shown["spec"]["volumeSnapshotRef"]["apiVersion"],
        "snapshot.storage.k8s.io/v1"
    );

    copy["status"] = json!({"boundVolumeSnapshotContentName": "content", "readyToUse": true});
    copy["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::VolumeSnapshot, copy);
    assert_eq!(
        planned(&world, Kind::VolumeSnapshot, "team", "s"),
        ["patch virtual VolumeSnapshot team/s status{\"metadata\":{},\"status\":\
          {\"boundVolumeSnapshotContentName\":\"content\",\"readyToUse\":true}}"]
    );
    world.take(Side::Virtual, Kind::VolumeSnapshot, "team", "s");
    assert_eq!(
        planned(&world, Kind::VolumeSnapshot, "team", "s"),
        ["delete host VolumeSnapshot host/s-x-team-x-vc h1"]
    );
}

#[test]
fn a_content_that_somebody_made_is_found_by_its_snapshot() {
    let world = world_with_snapshots();
    let content =
        json!({"spec": {"source": {"snapshotHandle": "x"}, "volumeSnapshotRef": {"namespace": "team", "name": "s"}}});
    world.put(
        Side::Virtual,
        Kind::VolumeSnapshotContent,
        object("old", "v1", 3, content),
    );
    let copy = world.create(&world.plan(Kind::VolumeSnapshotContent, "", "old"), "hc");
    assert_eq!(copy["metadata"]["name"], "vcluster-old-x-host-x-vc");
    assert_eq!(
        copy["spec"]["volumeSnapshotRef"],
        json!({"namespace": "host", "name": "s-x-team-x-vc"})
    );
    let spec = json!({"source": {"volumeSnapshotContentName": "old"}});
    world.put(
        Side::Virtual,
        Kind::VolumeSnapshot,
        in_team("s", "s1", 3, json!({"spec": spec})),
    );
    let mut snapshot = world.create(&world.plan(Kind::VolumeSnapshot, "team", "s"), "h1");
    assert_eq!(
        snapshot["spec"]["source"]["volumeSnapshotContentName"],
        "vcluster-old-x-host-x-vc"
    );
    snapshot["status"] = json!({"boundVolumeSnapshotContentName": "vcluster-old-x-host-x-vc"});
    snapshot["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::VolumeSnapshot, snapshot);
    assert_eq!(
        planned(&world, Kind::VolumeSnapshot, "team", "s"),
        [
            "patch virtual VolumeSnapshot team/s status{\"metadata\":{},\"status\":{\"boundVolumeSnapshotContentName\":\"old\"}}"
        ]
    );
}

#[test]
fn classes_of_snapshots_are_shown_as_they_are() {
    let world = world_with_snapshots();
    let class = object("c", "h", 3, json!({"driver": "d", "deletionPolicy": "Delete"}));
    world.put(Side::Host, Kind::VolumeSnapshotClass, class);
    let shown = world.create(&world.plan(Kind::VolumeSnapshotClass, "", "c"), "v");
    assert_eq!(
        (&shown["driver"], &shown["deletionPolicy"]),
        (&json!("d"), &json!("Delete"))
    );
    for kind in [
        Kind::VolumeSnapshot,
        Kind::VolumeSnapshotContent,
        Kind::VolumeSnapshotClass,
    ] {
        assert_eq!(
            kind.definition(),
            Some(format!("{}.snapshot.storage.k8s.io", kind.plural()))
        );
    }
    assert_eq!(Kind::PersistentVolume.definition(), None);
}

#[test]
fn what_drivers_offer_on_a_node_is_shown_with_the_node() {
    let mut world = world();
    world.settings.from_host.insert(Kind::CsiNode, Selector::default());
    let drivers = json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}});
    world.put(Side::Host, Kind::CsiNode, object("worker-1", "h", 3, drivers));
    assert_eq!(planned(&world, Kind::CsiNode, "", "worker-1"), Vec::<String>::new());
    let items = world.put(Side::Virtual, Kind::Node, object("worker-1", "n1", 3, json!({})));
    assert!(items.contains(&Reference::new(Kind::CsiNode, "", "worker-1")));
    let shown = world.create(&world.plan(Kind::CsiNode, "", "worker-1"), "v");
    assert_eq!(shown["metadata"]["labels"], json!({keys::MARKER: "vc"}));
    assert_eq!(planned(&world, Kind::CsiNode, "", "worker-1"), Vec::<String>::new());
    world.take(Side::Virtual, Kind::Node, "", "worker-1");
    assert_eq!(
        planned(&world, Kind::CsiNode, "", "worker-1"),
        ["delete virtual CSINode worker-1 v"]
    );
    world.put(Side::Virtual, Kind::CsiNode, object("own", "o", 3, json!({})));
    assert_eq!(planned(&world, Kind::CsiNode, "", "own"), Vec::<String>::new());
}

#[test]
fn capacities_lie_in_one_namespace_and_name_virtual_classes() {
    let mut world = world();
    world
        .settings
        .from_host
        .insert(Kind::CsiStorageCapacity, Selector::default());
    let capacity = |version: u64, size: &str| {
        let mut capacity = object(
            "cap",
            "h",
            version,
            json!({"storageClassName": "fast", "capacity": size}),
        );
        capacity["metadata"]["namespace"] = json!("csi");
        world.put(Side::Host, Kind::CsiStorageCapacity, capacity)
    };
    assert_eq!(
        capacity(3, "1Gi"),
        [Reference::new(Kind::CsiStorageCapacity, "kube-system", "cap-x-csi")]
    );
    let shown = world.create(&world.plan(Kind::CsiStorageCapacity, "kube-system", "cap-x-csi"), "v");
    assert_eq!(
        shown["metadata"]["annotations"],
        json!({keys::OBJECT_NAME: "cap", keys::OBJECT_NAMESPACE: "csi"})
    );
    capacity(4, "2Gi");
    assert_eq!(
        planned(&world, Kind::CsiStorageCapacity, "kube-system", "cap-x-csi"),
        ["patch virtual CSIStorageCapacity kube-system/cap-x-csi {\"capacity\":\"2Gi\",\"metadata\":{}}"]
    );
    let world = {
        let mut world = world;
        world.settings.to_host.insert(Kind::StorageClass);
        world
    };
    // A class that has no virtual counterpart has no room either.
    assert_eq!(
        planned(&world, Kind::CsiStorageCapacity, "kube-system", "cap-x-csi"),
        ["delete virtual CSIStorageCapacity kube-system/cap-x-csi v"]
    );
    world.put(
        Side::Virtual,
        Kind::StorageClass,
        object("gold", "s", 3, json!({"provisioner": "p"})),
    );
    world.create(&world.plan(Kind::StorageClass, "", "gold"), "hs");
    let mut capacity = object(
        "gold",
        "g",
        3,
        json!({"storageClassName": "vcluster-gold-x-host-x-vc", "capacity": "1Gi"}),
    );
    capacity["metadata"]["namespace"] = json!("csi");
    world.put(Side::Host, Kind::CsiStorageCapacity, capacity);
    let shown = world.create(&world.plan(Kind::CsiStorageCapacity, "kube-system", "gold-x-csi"), "v2");
    assert_eq!(shown["storageClassName"], "gold");
}
