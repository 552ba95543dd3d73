//! Objects that a tenant crafts to have the host name, offer or reach something for them.

use machinery::pod_security::{Level, Standard, Version};
use machinery::selector::label::Selector;
use serde_json::{Value, json};

use super::*;
use crate::json;
use crate::kinds::CustomKind;
use crate::patches::{Patches, Rules};
use crate::resources::custom;

fn object(kind: Kind, name: &str, more: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "uid": format!("v-{name}"), "resourceVersion": "5"}});
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = json!("team");
    }
    json::merge(&mut object, &more);
    object
}

/// The copy that there would be, or why there is none.
fn copied(world: &World, kind: Kind, virtual_: Value) -> Result<Value, String> {
    let key = pair::key_of(&virtual_);
    world.put(Side::Virtual, kind, virtual_);
    let plan = world.plan(kind, &key.namespace, &key.name);
    match plan.steps.first() {
        Some(Step::Create { object, .. }) => Ok(object.clone()),
        _ => Err(plan.notes.iter().map(|note| note.text.as_str()).collect()),
    }
}

fn with_volumes() -> World {
    let mut world = small_world();
    world.settings.to_host.insert(Kind::PersistentVolume);
    world
}

fn volume(name: &str, spec: Value) -> Value {
    object(Kind::PersistentVolume, name, json!({"spec": spec}))
}

#[test]
fn a_class_of_ingresses_is_selected_however_it_is_named() {
    let mut world = small_world();
    world.settings.to_host.insert(Kind::Ingress);
    let selector = Selector::parse("tenants=yes").expect("a selector");
    world.settings.from_host.insert(Kind::IngressClass, selector);
    for (name, labels) in [("inner", json!({})), ("open", json!({"tenants": "yes"}))] {
        let class = json!({"metadata": {"name": name, "uid": name, "labels": labels}});
        world.put(Side::Host, Kind::IngressClass, class);
    }
    let ingress = |name: &str, class: &str, annotation: &str| {
        let annotations = json!({"kubernetes.io/ingress.class": annotation});
        let more = json!({"metadata": {"annotations": annotations}, "spec": {"ingressClassName": class}});
        copied(&world, Kind::Ingress, object(Kind::Ingress, name, more))
    };
    assert!(ingress("a", "open", "open").is_ok());
    for (name, class, annotation) in [
        ("b", "open", "inner"),
        ("c", "", "inner"),
        ("d", "inner", "open"),
        ("e", "", "none"),
    ] {
        let said = ingress(name, class, annotation).expect_err("no copy");
        assert!(said.contains("ingress class"), "{said}");
    }
}

/// The host binds any claim to any volume of the same class that nobody has.
#[test]
fn a_volume_is_nothing_that_claims_of_others_get() {
    let world = with_volumes();
    let annotation = json!({"volume.beta.kubernetes.io/storage-class": "fast"});
    for (name, annotations, class, expected) in [
        ("a", json!({}), json!("fast"), "vcluster-fast-x-host-x-vc"),
        ("b", annotation.clone(), json!("slow"), "vcluster-fast-x-host-x-vc"),
        ("c", json!({}), json!(""), "vcluster---x-host-x-vc"),
        ("d", json!({}), Value::Null, "vcluster---x-host-x-vc"),
    ] {
        let mut volume = volume(
            name,
            json!({"nfs": {"server": "a", "path": "/"}, "storageClassName": class}),
        );
        volume["metadata"]["annotations"] = annotations;
        let copy = copied(&world, Kind::PersistentVolume, volume).expect("a copy");
        assert_eq!(copy["spec"]["storageClassName"], expected, "{name}");
        let annotations = json::strings(&copy, &["metadata", "annotations"]);
        assert!(
            !annotations.contains_key("volume.beta.kubernetes.io/storage-class"),
            "{copy}"
        );
    }
    // Its own claims find it.
    let claim = |name: &str, spec: Value| {
        let claim = object(Kind::PersistentVolumeClaim, name, json!({"spec": spec}));
        copied(&world, Kind::PersistentVolumeClaim, claim).expect("a copy")["spec"].clone()
    };
    let spec = claim("c", json!({"volumeName": "c", "storageClassName": ""}));
    assert_eq!(
        spec,
        json!({"volumeName": "vcluster-c-x-host-x-vc", "storageClassName": "vcluster---x-host-x-vc"})
    );
    assert_eq!(
        claim("any", json!({"storageClassName": ""})),
        json!({"storageClassName": ""})
    );
}

#[test]
fn a_volume_names_secrets_of_its_own_cluster_only() {
    let world = with_volumes();
    let reference = |namespace: &str| json!({"name": "key", "namespace": namespace});
    let sources = [
        ("csi", "nodePublishSecretRef"),
        ("csi", "controllerExpandSecretRef"),
        ("iscsi", "secretRef"),
        ("rbd", "secretRef"),
        ("flexVolume", "secretRef"),
    ];
    for (source, field) in sources {
        let name = format!("{}-{}", source.to_lowercase(), field.to_lowercase());
        let spec = json!({source: {"driver": "d", field: reference("kube-system")}});
        let copy = copied(&world, Kind::PersistentVolume, volume(&name, spec)).expect("a copy");
        let expected = json!({"name": "key-x-kube-system-x-vc", "namespace": "host"});
        assert_eq!(copy["spec"][source][field], expected, "{source}.{field}");
        let spec = json!({source: {"driver": "d", field: {"name": "key"}}});
        let said = copied(&world, Kind::PersistentVolume, volume(&format!("{name}-open"), spec)).expect_err("no copy");
        assert!(
            said.contains(&format!("spec.{source}.{field}.namespace is missing")),
            "{said}"
        );
    }
    let azure = json!({"azureFile": {"shareName": "s", "secretName": "key", "secretNamespace": "kube-system"}});
    let copy = copied(&world, Kind::PersistentVolume, volume("azure", azure)).expect("a copy");
    assert_eq!(
        copy["spec"]["azureFile"],
        json!({"shareName": "s", "secretName": "key-x-kube-system-x-vc", "secretNamespace": "host"})
    );
    let key = Reference::new(Kind::Secret, "kube-system", "key");
    let mapping = world
        .plan(Kind::PersistentVolume, "", "azure")
        .mapping
        .expect("a mapping");
    assert!(mapping.references.contains_key(&key), "it is synced for that");
    // A name that others can have is not given before it is ours.
    let crafted = json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "web-x-prod", "namespace": "team"}}});
    let said = copied(&world, Kind::PersistentVolume, volume("crafted", crafted)).expect_err("no copy");
    assert!(said.contains("Secret team/web-x-prod does not exist"), "{said}");
}

#[test]
fn no_volume_leads_to_a_node_where_no_pod_may() {
    let mut world = with_volumes();
    let paths = || [json!({"hostPath": {"path": "/"}}), json!({"local": {"path": "/mnt"}})];
    for (index, spec) in paths().into_iter().enumerate() {
        let volume = volume(&format!("open-{index}"), spec);
        assert!(copied(&world, Kind::PersistentVolume, volume).is_ok());
    }
    world.settings.pod_security = Some(Standard {
        level: Level::Baseline,
        version: Version::Latest,
    });
    for (index, spec) in paths().into_iter().enumerate() {
        let volume = volume(&format!("closed-{index}"), spec);
        let said = copied(&world, Kind::PersistentVolume, volume).expect_err("no copy");
        assert!(
            said.contains("is forbidden: ") && said.contains("podSecurityStandard baseline"),
            "{said}"
        );
    }
}

#[test]
fn a_snapshot_is_never_taken_of_a_claim_by_its_name_on_the_host() {
    let mut world = small_world();
    world.settings.to_host.insert(Kind::VolumeSnapshot);
    for (field, expected) in [
        ("persistentVolumeClaimName", "data-x-other-x-vc-x-team-x-vc"),
        ("volumeSnapshotContentName", "vcluster-data-x-other-x-vc-x-host-x-vc"),
    ] {
        let more = json!({
            "metadata": {"annotations": {keys::SKIP_TRANSLATE: "true"}},
            "spec": {"source": {field: "data-x-other-x-vc"}},
        });
        let snapshot = object(Kind::VolumeSnapshot, &field.to_lowercase(), more);
        let copy = copied(&world, Kind::VolumeSnapshot, snapshot).expect("a copy");
        assert_eq!(copy["spec"]["source"][field], expected);
    }
}

/// A world in which the custom resource `widgets` goes to the host, and names a Secret there.
fn with_widgets() -> (World, Kind) {
    let mut settings = crate::testing::settings();
    let widget = CustomKind {
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        plural: "widgets".to_owned(),
        kind: "Widget".to_owned(),
        namespaced: true,
        status: false,
    };
    let line = custom::line(widget, Direction::ToHost);
    settings.custom.push(line);
    settings.patches = Patches::new(json!({}));
    let reference = json!({"path": "spec.secret", "reference": {"apiVersion": "v1", "kind": "Secret"}});
    for (kind, key) in [(line.kind, "widgets"), (Kind::Ingress, "ingresses")] {
        let rules = Rules {
            key: key.to_owned(),
            patches: serde_json::from_value(json!([reference])).expect("patches"),
        };
        settings.patches.add(Direction::ToHost, kind, rules).expect("patches");
    }
    settings.to_host.insert(Kind::Ingress);
    let world = crate::testing::world_of(settings);
    (world, line.kind)
}

#[test]
fn a_patch_names_what_is_ours_only() {
    let (world, widget) = with_widgets();
    let foreign = json!({"metadata": {"namespace": "host", "name": "key-x-team-x-vc", "uid": "f", "labels": {keys::MARKER: "vc"}}});
    world.put(Side::Host, Kind::Secret, foreign);
    for kind in [widget, Kind::Ingress] {
        for (name, secret, expected) in [
            // A name that another virtual cluster can have, and one that somebody has.
            ("crafted", "web-x-prod", "Secret team/web-x-prod does not exist"),
            ("taken", "key", "does not belong to"),
        ] {
            let virtual_ = object(kind, name, json!({"spec": {"secret": secret}}));
            let said = copied(&world, kind, virtual_).expect_err("no copy");
            assert!(said.contains(expected), "{kind}: {said}");
        }
        let own = object(kind, "own", json!({"spec": {"secret": "mine"}}));
        let copy = copied(&world, kind, own).expect("a copy");
        assert_eq!(copy["spec"]["secret"], "mine-x-team-x-vc");
    }
}

#[test]
fn a_copy_is_not_changed_to_name_what_is_not_ours() {
    let (world, widget) = with_widgets();
    let own = object(widget, "one", json!({"spec": {"secret": "mine"}}));
    world.put(Side::Virtual, widget, own.clone());
    world.create(&world.plan(widget, "team", "one"), "h1");
    let mut crafted = own;
    crafted["metadata"]["resourceVersion"] = json!("6");
    crafted["spec"]["secret"] = json!("web-x-prod");
    world.put(Side::Virtual, widget, crafted.clone());
    let plan = world.plan(widget, "team", "one");
    assert_eq!(summary(&plan), Vec::<String>::new());
    assert_eq!(plan.waits.len(), 1, "{plan:?}");
    // But it goes with the object.
    world.take(Side::Virtual, widget, "team", "one");
    assert_eq!(
        summary(&world.plan(widget, "team", "one")),
        ["delete host Widget host/one-x-team-x-vc h1"]
    );
}

#[test]
fn what_others_can_have_is_neither_a_source_nor_a_backend() {
    let mut world = small_world();
    world.settings.to_host.extend([Kind::Ingress, Kind::VolumeSnapshot]);
    let source = |index: usize, kind: &str, name: &str| {
        let spec = json!({"spec": {"dataSourceRef": {"apiGroup": "example.com", "kind": kind, "name": name}}});
        let claim = object(Kind::PersistentVolumeClaim, &format!("c{index}"), spec);
        copied(&world, Kind::PersistentVolumeClaim, claim)
    };
    for (index, kind) in ["PersistentVolumeClaim", "VolumeSnapshot", "Backup"]
        .into_iter()
        .enumerate()
    {
        let said = source(index, kind, "web-x-prod").expect_err("no copy");
        assert!(
            said.contains("web-x-prod") && said.contains("other virtual clusters can have"),
            "{said}"
        );
        let copy = source(index + 10, kind, "web").expect("a copy");
        assert_eq!(copy["spec"]["dataSourceRef"]["name"], "web-x-team-x-vc");
    }
    let backend = |name: &str, bucket: &str| {
        let resource = json!({"apiGroup": "example.com", "kind": "Bucket", "name": bucket});
        let ingress = object(
            Kind::Ingress,
            name,
            json!({"spec": {"defaultBackend": {"resource": resource}}}),
        );
        copied(&world, Kind::Ingress, ingress)
    };
    let said = backend("a", "web-x-prod").expect_err("no copy");
    assert!(said.contains("Bucket team/web-x-prod"), "{said}");
    let copy = backend("b", "web").expect("a copy");
    assert_eq!(copy["spec"]["defaultBackend"]["resource"]["name"], "web-x-team-x-vc");
}
