//! Claims, and the volumes that stand for the host's.

use serde_json::{Value, json};

use super::*;

fn claim(spec: Value) -> Value {
    let mut claim = json!({
        "metadata": {"namespace": "team", "name": "data", "uid": "c1", "resourceVersion": "5"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        claim["spec"][field] = value.clone();
    }
    claim
}

/// A world in which the host has bound the copy of a claim.
fn bound_world() -> World {
    let world = world();
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, claim(json!({})));
    let mut host = world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "data"), "h1");
    host["metadata"]["resourceVersion"] = json!("101");
    host["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
    host["spec"]["volumeName"] = json!("pv-1");
    host["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
    world.put(Side::Host, Kind::PersistentVolumeClaim, host);
    world
}

/// That world after the virtual claim has followed.
fn settled_world() -> World {
    let world = bound_world();
    let mut virtual_ = claim(json!({"volumeName": "pv-1"}));
    virtual_["metadata"]["resourceVersion"] = json!("6");
    virtual_["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    virtual_["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
    let items = world.put(Side::Virtual, Kind::PersistentVolumeClaim, virtual_);
    assert!(items.contains(&Reference::new(Kind::PersistentVolume, "", "pv-1")));
    world
}

fn plan_claim(world: &World) -> Vec<String> {
    summary(&world.plan(Kind::PersistentVolumeClaim, "team", "data"))
}

fn plan_volume(world: &World) -> Vec<String> {
    summary(&world.plan(Kind::PersistentVolume, "", "pv-1"))
}

#[test]
fn the_virtual_claim_follows_the_binding_of_its_copy() {
    assert_eq!(
        plan_claim(&bound_world()),
        [
            "patch virtual PersistentVolumeClaim team/data {\"metadata\":{\"annotations\":\
             {\"pv.kubernetes.io/bind-completed\":\"yes\"}},\"spec\":{\"volumeName\":\"pv-1\"}}",
            "patch virtual PersistentVolumeClaim team/data status{\"metadata\":{},\"status\":\
             {\"capacity\":{\"storage\":\"2Gi\"},\"phase\":\"Bound\"}}",
        ]
    );
    assert_eq!(plan_claim(&settled_world()), Vec::<String>::new());
}

#[test]
fn a_claim_grows_and_is_deleted_from_both_sides() {
    let world = settled_world();
    let mut grown = claim(json!({"volumeName": "pv-1", "resources": {"requests": {"storage": "3Gi"}}}));
    grown["metadata"]["resourceVersion"] = json!("7");
    grown["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    grown["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"}});
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, grown.clone());
    assert_eq!(
        plan_claim(&world),
        [
            "patch host PersistentVolumeClaim host/data-x-team-x-vc {\"metadata\":{},\"spec\":{\"resources\":{\"requests\":\
          {\"storage\":\"3Gi\"}}}}"
        ]
    );
    grown["metadata"]["resourceVersion"] = json!("8");
    grown["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, grown);
    assert_eq!(
        plan_claim(&world),
        ["delete host PersistentVolumeClaim host/data-x-team-x-vc h1"]
    );

    let world = settled_world();
    let host = world.host.get(Kind::PersistentVolumeClaim, "host", "data-x-team-x-vc");
    let mut host = host.expect("the copy").value();
    host["metadata"]["resourceVersion"] = json!("102");
    host["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.put(Side::Host, Kind::PersistentVolumeClaim, host);
    assert_eq!(
        plan_claim(&world),
        ["delete virtual PersistentVolumeClaim team/data c1"]
    );
}

#[test]
fn a_new_claim_takes_over_the_data_of_the_one_before() {
    let world = bound_world();
    let mut again = claim(json!({}));
    again["metadata"]["uid"] = json!("c2");
    again["metadata"]["resourceVersion"] = json!("9");
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, again);
    let plan = plan_claim(&world);
    assert!(
        plan[0].starts_with("patch host PersistentVolumeClaim host/data-x-team-x-vc"),
        "{plan:?}"
    );
    assert!(plan[0].contains("\"vcluster.loft.sh/object-uid\":\"c2\""), "{plan:?}");
}

#[test]
fn a_new_claim_does_not_wait_for_a_copy_that_is_bound_to_nothing() {
    let world = world();
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, claim(json!({})));
    world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "data"), "h1");
    let mut again = claim(json!({"resources": {"requests": {"storage": "5Gi"}}}));
    again["metadata"]["uid"] = json!("c2");
    again["metadata"]["resourceVersion"] = json!("9");
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, again);
    assert_eq!(
        plan_claim(&world),
        ["delete host PersistentVolumeClaim host/data-x-team-x-vc h1"]
    );
    world.take(Side::Host, Kind::PersistentVolumeClaim, "host", "data-x-team-x-vc");
    assert_eq!(
        plan_claim(&world),
        ["create host PersistentVolumeClaim host/data-x-team-x-vc"]
    );
}

#[test]
fn a_claim_that_is_bound_elsewhere_is_not_two_claims() {
    let world = bound_world();
    let mut other = claim(json!({"volumeName": "pv-2"}));
    other["metadata"]["resourceVersion"] = json!("9");
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, other);
    let plan = world.plan(Kind::PersistentVolumeClaim, "team", "data");
    assert_eq!(
        summary(&plan),
        [
            "patch host PersistentVolumeClaim host/data-x-team-x-vc {\"metadata\":{\"annotations\":\
             {\"vcluster.loft.sh/skip-backsync\":\"true\"}}}",
            "delete virtual PersistentVolumeClaim team/data c1",
            "create virtual PersistentVolumeClaim team/data",
        ]
    );
    assert_eq!(plan.notes[0].reason, "VolumeNameDiffers");
    let Some(Step::Create { object, .. }) = plan.steps.last() else {
        panic!("the claim is made anew")
    };
    assert_eq!(object["spec"]["volumeName"], "pv-1");

    // Its data outlives what comes between.
    let mut host = world
        .host
        .get(Kind::PersistentVolumeClaim, "host", "data-x-team-x-vc")
        .expect("the copy")
        .value();
    host["metadata"]["resourceVersion"] = json!("103");
    host["metadata"]["annotations"][keys::SKIP_BACKSYNC] = json!("true");
    world.put(Side::Host, Kind::PersistentVolumeClaim, host);
    let mut held = claim(json!({"volumeName": "pv-2"}));
    held["metadata"]["resourceVersion"] = json!("10");
    held["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    held["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, held);
    let steps = plan_claim(&world);
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert!(steps.iter().all(|step| !step.starts_with("delete host")), "{steps:?}");
    world.take(Side::Virtual, Kind::PersistentVolumeClaim, "team", "data");
    assert_eq!(plan_claim(&world), Vec::<String>::new());
    let mut anew = object.clone();
    anew["metadata"]["uid"] = json!("c3");
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, anew);
    assert_eq!(
        plan_claim(&world),
        [
            "patch host PersistentVolumeClaim host/data-x-team-x-vc {\"metadata\":{\"annotations\":\
             {\"vcluster.loft.sh/skip-backsync\":null}}}"
        ]
    );
}

#[test]
fn names_in_a_claim_are_those_of_the_host() {
    let mut world = world();
    world.settings.to_host.insert(Kind::StorageClass);
    let source = json!({"kind": "PersistentVolumeClaim", "name": "old"});
    let spec = json!({"storageClassName": "fast", "dataSource": source, "dataSourceRef": source});
    world.put(Side::Virtual, Kind::PersistentVolumeClaim, claim(spec));
    let host = world.create(&world.plan(Kind::PersistentVolumeClaim, "team", "data"), "h1");
    assert_eq!(host["spec"]["storageClassName"], "vcluster-fast-x-host-x-vc");
    for field in ["dataSource", "dataSourceRef"] {
        assert_eq!(host["spec"][field]["name"], "old-x-team-x-vc");
    }
}

#[test]
fn a_bound_claim_has_a_volume_and_a_deleted_one_has_none() {
    let world = settled_world();
    let plan = world.plan(Kind::PersistentVolume, "", "pv-1");
    let mut volume = world.create(&plan, "p1");
    assert_eq!(volume["spec"]["capacity"], json!({"storage": "2Gi"}));
    assert_eq!(volume["spec"]["claimRef"]["uid"], "c1");
    assert_eq!(
        plan_volume(&world),
        ["patch virtual PersistentVolume pv-1 status{\"metadata\":{},\"status\":{\"phase\":\"Bound\"}}"]
    );
    volume["metadata"]["resourceVersion"] = json!("101");
    volume["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
    volume["status"] = json!({"phase": "Bound"});
    world.put(Side::Virtual, Kind::PersistentVolume, volume);
    assert_eq!(plan_volume(&world), Vec::<String>::new());

    let items = world.take(Side::Virtual, Kind::PersistentVolumeClaim, "team", "data");
    assert!(items.contains(&Reference::new(Kind::PersistentVolume, "", "pv-1")));
    assert_eq!(
        plan_volume(&world),
        [
            "delete virtual PersistentVolume pv-1 p1",
            "patch virtual PersistentVolume pv-1 {\"metadata\":{\"finalizers\":null}}",
        ]
    );
}

#[test]
fn volumes_that_somebody_made_are_left_alone() {
    let world = world();
    let volume = json!({"metadata": {"name": "pv-1", "uid": "p1", "resourceVersion": "1"}});
    world.put(Side::Virtual, Kind::PersistentVolume, volume);
    assert_eq!(plan_volume(&world), Vec::<String>::new());
}
