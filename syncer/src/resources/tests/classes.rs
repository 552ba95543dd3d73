//! Classes in both directions, and what limits their use.

use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::*;

fn world_with(to_host: &[Kind], from_host: &[(Kind, Value)]) -> World {
    let mut world = world();
    world.settings.to_host.extend(to_host);
    let selected = from_host
        .iter()
        .map(|(kind, selector)| (*kind, Selector::of(Some(selector))));
    world.settings.from_host.extend(selected);
    world
}

fn class(name: &str, labels: Value, more: Value) -> Value {
    let mut class = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "3", "labels": labels}});
    for (field, value) in more.as_object().into_iter().flatten() {
        class[field] = value.clone();
    }
    class
}

#[test]
fn selected_classes_of_the_host_are_shown_as_they_are() {
    let world = world_with(&[], &[(Kind::StorageClass, json!({"matchLabels": {"tier": "gold"}}))]);
    let fields = json!({"provisioner": "csi.example.com", "parameters": {"a": "b"}, "allowVolumeExpansion": true});
    let items = world.put(
        Side::Host,
        Kind::StorageClass,
        class("fast", json!({"tier": "gold"}), fields.clone()),
    );
    assert_eq!(items, [Reference::new(Kind::StorageClass, "", "fast")]);
    let plan = world.plan(Kind::StorageClass, "", "fast");
    let created = world.create(&plan, "v1");
    assert_eq!(created["provisioner"], "csi.example.com");
    assert_eq!(created["metadata"]["labels"], json!({"tier": "gold"}));
    assert_eq!(
        summary(&world.plan(Kind::StorageClass, "", "fast")),
        Vec::<String>::new()
    );

    // The tenant's change is taken back, and so is what is not selected any more.
    let mut changed = created.clone();
    changed["allowVolumeExpansion"] = json!(false);
    changed["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Virtual, Kind::StorageClass, changed);
    let plan = world.plan(Kind::StorageClass, "", "fast");
    assert_eq!(
        summary(&plan),
        ["patch virtual StorageClass fast {\"allowVolumeExpansion\":true,\"metadata\":{}}"]
    );
    let mut other = class("fast", json!({"tier": "gold"}), fields);
    other["provisioner"] = json!("other.example.com");
    other["metadata"]["resourceVersion"] = json!("4");
    world.put(Side::Host, Kind::StorageClass, other.clone());
    let plan = world.plan(Kind::StorageClass, "", "fast");
    assert_eq!(summary(&plan), ["delete virtual StorageClass fast v1"]);
    other["metadata"]["labels"] = json!({});
    other["metadata"]["resourceVersion"] = json!("5");
    world.put(Side::Host, Kind::StorageClass, other);
    let plan = world.plan(Kind::StorageClass, "", "fast");
    assert_eq!(summary(&plan), ["delete virtual StorageClass fast v1"]);
}

#[test]
fn classes_that_only_the_virtual_cluster_has_go_unless_every_cluster_has_them() {
    let world = world_with(&[], &[(Kind::PriorityClass, json!({}))]);
    for name in ["own", "system-node-critical"] {
        world.put(
            Side::Virtual,
            Kind::PriorityClass,
            class(name, json!({}), json!({"value": 5})),
        );
    }
    assert_eq!(
        summary(&world.plan(Kind::PriorityClass, "", "own")),
        ["delete virtual PriorityClass own own"]
    );
    assert_eq!(
        summary(&world.plan(Kind::PriorityClass, "", "system-node-critical")),
        Vec::<String>::new()
    );
}

#[test]
fn a_priority_class_on_the_host_is_nobody_elses_default_and_not_above_the_systems() {
    let world = world_with(&[Kind::PriorityClass], &[]);
    let fields = json!({"value": 2_000_000_000, "globalDefault": true, "description": "mine"});
    world.put(Side::Virtual, Kind::PriorityClass, class("urgent", json!({}), fields));
    let created = world.create(&world.plan(Kind::PriorityClass, "", "urgent"), "h1");
    assert_eq!(created["metadata"]["name"], "vcluster-urgent-x-host-x-vc");
    assert_eq!(created["metadata"]["labels"], json!({keys::MARKER: "host-x-vc"}));
    assert_eq!(
        (&created["value"], &created["globalDefault"], &created["description"]),
        (&json!(1_000_000_000), &json!(false), &json!("mine"))
    );
    assert!(
        created["metadata"].get("ownerReferences").is_none(),
        "owners have no namespace there"
    );
    assert_eq!(
        summary(&world.plan(Kind::PriorityClass, "", "urgent")),
        Vec::<String>::new()
    );
    world.take(Side::Virtual, Kind::PriorityClass, "", "urgent");
    assert_eq!(
        summary(&world.plan(Kind::PriorityClass, "", "urgent")),
        ["delete host PriorityClass vcluster-urgent-x-host-x-vc h1"]
    );
}

/// What the host pod says about its classes and its account.
fn host_pod_of(world: &World, spec: Value) -> Value {
    world.put(
        Side::Host,
        Kind::Service,
        json!({"metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"}}),
    );
    let mut pod = json!({
        "metadata": {"namespace": "team", "name": "web", "uid": "v1", "resourceVersion": "5"},
        "spec": {"containers": [{"name": "app", "image": "nginx"}]},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    world.put(Side::Virtual, Kind::Pod, pod);
    let created = world.create(&world.plan(Kind::Pod, "team", "web"), "h1");
    let of = |field: &str| created["spec"].get(field).cloned().unwrap_or_default();
    json!([
        of("serviceAccountName"),
        of("priorityClassName"),
        of("runtimeClassName")
    ])
}

#[test]
fn pods_name_what_the_host_knows() {
    let spec = json!({"serviceAccountName": "robot", "priorityClassName": "urgent", "runtimeClassName": "gvisor"});
    let table = [
        (world_with(&[], &[]), json!(["vc-workload-vc", null, "gvisor"])),
        (
            world_with(&[Kind::PriorityClass, Kind::ServiceAccount], &[]),
            json!(["robot-x-team-x-vc", "vcluster-urgent-x-host-x-vc", "gvisor"]),
        ),
        (
            world_with(&[], &[(Kind::PriorityClass, json!({}))]),
            json!(["vc-workload-vc", "urgent", "gvisor"]),
        ),
    ];
    for (world, expected) in table {
        assert_eq!(host_pod_of(&world, spec.clone()), expected);
    }
}

#[test]
fn a_class_that_is_not_selected_keeps_its_objects_from_the_host() {
    let gold = json!({"matchLabels": {"tier": "gold"}});
    let world = world_with(
        &[Kind::Ingress],
        &[
            (Kind::IngressClass, gold.clone()),
            (Kind::RuntimeClass, gold.clone()),
            (Kind::StorageClass, gold),
        ],
    );
    world.put(Side::Host, Kind::IngressClass, class("plain", json!({}), json!({})));
    let object = |spec: Value| json!({"metadata": {"namespace": "team", "name": "x", "uid": "u"}, "spec": spec});
    for (kind, spec, expected) in [
        (
            Kind::Ingress,
            json!({"ingressClassName": "plain"}),
            "did not sync ingress \"x\" to host because the ingress class \"plain\" in the host does not match the selector \
             under 'sync.fromHost.ingressClasses.selector'",
        ),
        (
            Kind::PersistentVolumeClaim,
            json!({"storageClassName": "gone"}),
            "did not sync persistent volume claim \"x\" to host because the storage class \"gone\" couldn't be reached in the host",
        ),
        (
            Kind::Pod,
            json!({"runtimeClassName": "gone"}),
            "did not sync pod \"x\" to host because the runtime class \"gone\" couldn't be reached in the host",
        ),
    ] {
        world.put(Side::Virtual, kind, object(spec));
        let plan = world.plan(kind, "team", "x");
        assert_eq!(plan.steps, [], "{kind}");
        assert_eq!(plan.notes, [crate::engine::plan::Note::warning(expected)]);
    }
}
