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

/// Of every kind: what the host has is shown, what a tenant writes over it is taken back, and it goes with the host's.
#[test]
fn what_is_the_hosts_is_shown_taken_back_and_goes() {
    let table = [
        (
            Kind::IngressClass,
            json!({"spec": {"controller": "example.com/c"}}),
            json!({"spec": {"controller": "mine"}}),
        ),
        (
            Kind::RuntimeClass,
            json!({"handler": "h", "overhead": {"podFixed": {"cpu": "1m"}}}),
            json!({"overhead": {"podFixed": {"cpu": "2m"}}}),
        ),
        (
            Kind::CsiDriver,
            json!({"spec": {"attachRequired": true}}),
            json!({"spec": {"attachRequired": false}}),
        ),
        (
            Kind::DeviceClass,
            json!({"spec": {"selectors": [{"cel": {"expression": "true"}}]}}),
            json!({"spec": {"selectors": []}}),
        ),
        (
            Kind::PriorityClass,
            json!({"value": 7, "description": "d"}),
            json!({"description": "mine"}),
        ),
        (
            Kind::StorageClass,
            json!({"provisioner": "p", "mountOptions": ["ro"]}),
            json!({"mountOptions": []}),
        ),
        (
            Kind::VolumeSnapshotClass,
            json!({"driver": "d", "deletionPolicy": "Delete"}),
            json!({"deletionPolicy": "Retain"}),
        ),
    ];
    for (kind, content, written) in table {
        let world = world_with(&[], &[(kind, json!({}))]);
        let woken = world.put(Side::Host, kind, class("a", json!({"tier": "x"}), content.clone()));
        assert_eq!(woken, [Reference::new(kind, "", "a")], "{kind}");
        let mut shown = world.create(&world.plan(kind, "", "a"), "v");
        for (field, value) in content.as_object().expect("fields") {
            assert_eq!(&shown[field], value, "{kind} {field}");
        }
        assert_eq!(shown["metadata"]["labels"], json!({"tier": "x"}), "{kind}");
        assert_eq!(world.plan(kind, "", "a").steps, [], "{kind}");
        for (field, value) in written.as_object().expect("fields") {
            shown[field] = value.clone();
        }
        shown["metadata"]["resourceVersion"] = json!("200");
        world.put(Side::Virtual, kind, shown.clone());
        let plan = world.plan(kind, "", "a");
        let [
            Step::Patch {
                side: Side::Virtual,
                body,
                ..
            },
        ] = &plan.steps[..]
        else {
            panic!("{kind}: {:?}", plan.steps);
        };
        crate::json::merge(&mut shown, body);
        for (field, value) in content.as_object().expect("fields") {
            assert_eq!(&shown[field], value, "{kind} {field}");
        }
        world.take(Side::Host, kind, "", "a");
        assert_eq!(
            summary(&world.plan(kind, "", "a")),
            [format!("delete virtual {kind} a v")]
        );
    }
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
