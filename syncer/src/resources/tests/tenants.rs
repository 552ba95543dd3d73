//! What a tenant may try to reach objects of others, and what comes of it.

use serde_json::{Value, json};

use super::*;
use crate::json;

fn object(kind: Kind, name: &str, more: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "uid": format!("v-{name}"), "resourceVersion": "5"}});
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = json!("team");
    }
    json::merge(&mut object, &more);
    object
}

/// The plan for a new object, and all that it says to its owner.
fn plan_new(world: &World, kind: Kind, virtual_: Value) -> (Plan, String) {
    let key = pair::key_of(&virtual_);
    world.put(Side::Virtual, kind, virtual_);
    let plan = world.plan(kind, &key.namespace, &key.name);
    let said: Vec<&str> = plan.notes.iter().map(|note| note.text.as_str()).collect();
    let said = said.join("\n");
    (plan, said)
}

fn created(world: &World, kind: Kind, virtual_: Value) -> Value {
    let (plan, said) = plan_new(world, kind, virtual_);
    match plan.steps.as_slice() {
        [Step::Create { object, .. }] => object.clone(),
        other => panic!("{other:?} {said}"),
    }
}

fn pod_with(spec: Value) -> Value {
    let mut pod = object(
        Kind::Pod,
        "web",
        json!({"spec": {"containers": [{"name": "app", "image": "i"}]}}),
    );
    json::merge(&mut pod, &json!({"spec": spec}));
    pod
}

fn every_kind() -> World {
    let mut world = small_world();
    world.settings.to_host.extend([
        Kind::Ingress,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::PriorityClass,
        Kind::ServiceAccount,
        Kind::StorageClass,
    ]);
    world
}

#[test]
fn annotations_and_labels_of_the_product_stay_behind() {
    let world = small_world();
    let marks = json!({"metadata": {
        "annotations": {
            keys::OBJECT_NAME: "other", keys::OBJECT_UID: "other", keys::OBJECT_HOST_NAME: "other",
            keys::SKIP_BACKSYNC: "true", keys::FORCE_SYNC: "true", keys::MANAGED_LABELS: "x", keys::CONTROLLED_BY: "",
            "vcluster.loft.sh/name": "p", "vcluster.loft.sh/token-refresh-at": "2030-01-01T00:00:00Z",
            "vcluster.loft.sh/vcluster-name": "other", "note": "kept",
        },
        "labels": {keys::MARKER: "other", keys::NAMESPACE: "kube-system", "release": "vc", "app": "vcluster"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "vc-other", "uid": "cp2"}],
        "finalizers": ["example.com/stay"],
    }});
    let host = created(&world, Kind::Secret, object(Kind::Secret, "s", marks));
    let metadata = &host["metadata"];
    let mut annotations = json::strings(metadata, &["annotations"]);
    annotations.retain(|key, _| key.starts_with(keys::PREFIX));
    let expected = [
        (keys::MANAGED_ANNOTATIONS, "note"),
        (keys::OBJECT_HOST_NAME, "s-x-team-x-vc"),
        (keys::OBJECT_HOST_NAMESPACE, "host"),
        (keys::OBJECT_KIND, "/v1, Kind=Secret"),
        (keys::OBJECT_NAME, "s"),
        (keys::OBJECT_NAMESPACE, "team"),
        (keys::OBJECT_UID, "v-s"),
    ];
    annotations.remove(keys::MANAGED_LABELS);
    let annotations: Vec<(&str, &str)> = annotations
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(annotations, expected);
    let label = |key: &str| metadata["labels"][key].clone();
    assert_eq!(
        (label(keys::MARKER), label(keys::NAMESPACE)),
        (json!("vc"), json!("team"))
    );
    assert_eq!(label("release"), Value::Null, "the control plane's own pods have it");
    assert_eq!(metadata["ownerReferences"][0]["uid"], "cp");
    assert_eq!(metadata.get("finalizers"), None);
}

#[test]
fn a_pod_that_says_it_is_the_copy_of_another_one_does_so_to_itself_only() {
    let world = small_world();
    let mut pod = pod_with(json!({}));
    pod["metadata"]["annotations"] =
        json!({"vcluster.loft.sh/name": "inner", "vcluster.loft.sh/hosts-rewritten": "true"});
    let annotations = created(&world, Kind::Pod, pod)["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["vcluster.loft.sh/name"], "inner",
        "what a virtual cluster inside says"
    );
    assert_eq!(annotations.get("vcluster.loft.sh/hosts-rewritten"), None);
    assert_eq!(annotations[keys::OBJECT_NAME], "web");
}

#[test]
fn fields_that_would_be_objects_of_the_host_are_refused() {
    let table = [
        (
            json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "v17pvjeqctre79"}]}),
            "uses a ResourceClaim",
        ),
        (
            json!({"volumes": [{"name": "t", "projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "p"}}]}}]}),
            "volume \"t\" projects a cluster trust bundle",
        ),
        (
            json!({"volumes": [{"name": "t", "projected": {"sources": [{"podCertificate": {"signerName": "s/x"}}]}}]}),
            "volume \"t\" projects a pod certificate",
        ),
        (
            json!({"nodeName": "nowhere"}),
            "Given nodeName nowhere does not exist in virtual cluster",
        ),
    ];
    for (spec, expected) in table {
        let (plan, said) = plan_new(&small_world(), Kind::Pod, pod_with(spec));
        assert!(plan.steps.is_empty() && said.contains(expected), "{said}");
    }
}

#[test]
fn a_node_made_by_hand_is_no_way_around_the_scheduler() {
    let world = small_world();
    let node = json!({"metadata": {"name": "n1", "uid": "n", "labels": {"vcluster.loft.sh/fake-node": "true"}}});
    world.put(Side::Virtual, Kind::Node, node);
    let (plan, said) = plan_new(&world, Kind::Pod, pod_with(json!({"nodeName": "n1"})));
    assert!(
        plan.steps.is_empty() && said.contains("none of the host's nodes"),
        "{said}"
    );
    let placed = json!({"metadata": {"namespace": "host", "name": "h", "uid": "h"}, "spec": {"nodeName": "n1"}});
    world.put(Side::Host, Kind::Pod, placed);
    assert_eq!(
        summary(&world.plan(Kind::Pod, "team", "web")),
        ["create host Pod host/web-x-team-x-vc"]
    );
}

#[test]
fn fields_that_are_the_hosts_to_fill_are_left_out() {
    let spec = json!({
        "overhead": {"cpu": "1"}, "priority": 2000001000, "preemptionPolicy": "Never", "serviceAccount": "admin",
        "priorityClassName": "system-node-critical", "serviceAccountName": "vc-vc", "schedulingGroup": {"podGroupName": "g"},
        "ephemeralContainers": [{"name": "debug", "image": "i"}], "automountServiceAccountToken": true,
    });
    let world = small_world();
    let (plan, said) = plan_new(&world, Kind::Pod, pod_with(spec));
    let Some(Step::Create { object, .. }) = plan.steps.first() else {
        panic!("{plan:?}")
    };
    let spec = object["spec"].as_object().expect("a spec");
    for gone in [
        "overhead",
        "priority",
        "preemptionPolicy",
        "serviceAccount",
        "priorityClassName",
        "schedulingGroup",
        "ephemeralContainers",
    ] {
        assert!(!spec.contains_key(gone), "{gone} is there");
    }
    assert_eq!(spec["serviceAccountName"], "vc-workload-vc");
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert!(said.contains("spec.schedulingGroup"), "{said}");
}

#[test]
fn a_name_that_another_virtual_cluster_can_have_is_not_used_before_it_is_ours() {
    let world = small_world();
    let (plan, said) = plan_new(
        &world,
        Kind::Pod,
        pod_with(json!({"volumes": [{"name": "v", "secret": {"secretName": "web-x-prod"}}]})),
    );
    assert!(plan.steps.is_empty() && plan.waits.len() == 1, "{plan:?}");
    assert!(said.contains("Secret team/web-x-prod does not exist"), "{said}");
    let secret = object(Kind::Secret, "web-x-prod", json!({}));
    world.put(Side::Virtual, Kind::Secret, secret);
    assert_eq!(
        summary(&world.plan(Kind::Pod, "team", "web")),
        Vec::<String>::new(),
        "it is not on the host yet"
    );
    world.create(&world.plan(Kind::Secret, "team", "web-x-prod"), "hs");
    assert_eq!(
        summary(&world.plan(Kind::Pod, "team", "web")),
        ["create host Pod host/web-x-team-x-vc"]
    );
}

#[test]
fn what_others_have_under_the_same_name_is_not_used() {
    let world = every_kind();
    let foreign = |kind: Kind, name: &str| {
        let object =
            json!({"metadata": {"namespace": "host", "name": name, "uid": "f", "labels": {keys::MARKER: "vc"}}});
        world.put(Side::Host, kind, object);
    };
    for (kind, name) in [
        (Kind::Secret, "cert-x-team-x-vc"),
        (Kind::Service, "db-x-team-x-vc"),
        (Kind::ServiceAccount, "robot-x-team-x-vc"),
        (Kind::PersistentVolumeClaim, "source-x-team-x-vc"),
    ] {
        foreign(kind, name);
    }
    let service = json!({"spec": {"clusterIP": "10.0.0.9"}});
    world.put(Side::Virtual, Kind::Service, object(Kind::Service, "db", service));
    let slice =
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4", "endpoints": []});
    let backend = |name: &str| json!({"spec": {"defaultBackend": {"service": {"name": name}}}});
    let table = [
        (
            Kind::Ingress,
            object(Kind::Ingress, "i1", json!({"spec": {"tls": [{"secretName": "cert"}]}})),
        ),
        (Kind::Ingress, object(Kind::Ingress, "i2", backend("db"))),
        (Kind::Endpoints, object(Kind::Endpoints, "db", json!({"subsets": []}))),
        (Kind::EndpointSlice, object(Kind::EndpointSlice, "slice", slice)),
        (Kind::Pod, pod_with(json!({"serviceAccountName": "robot"}))),
        (
            Kind::PersistentVolumeClaim,
            object(
                Kind::PersistentVolumeClaim,
                "copy",
                json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "source"}}}),
            ),
        ),
    ];
    for (kind, virtual_) in table {
        let (plan, said) = plan_new(&world, kind, virtual_);
        let creates = plan.steps.iter().any(|step| matches!(step, Step::Create { .. }));
        assert!(!creates && said.contains("does not belong to"), "{kind}: {plan:?}");
    }
}

#[test]
fn a_claim_is_never_filled_from_an_object_by_its_name_on_the_host() {
    let world = small_world();
    for kind in ["PersistentVolumeClaim", "VolumeSnapshot"] {
        let source = json!({"kind": kind, "name": "data-x-other-x-vc", "namespace": "kube-system"});
        let claim = object(
            Kind::PersistentVolumeClaim,
            &format!("of-{}", kind.to_lowercase()),
            json!({
                "metadata": {"annotations": {keys::SKIP_TRANSLATE: "true"}},
                "spec": {"dataSource": source, "dataSourceRef": source, "storageClassName": "fast"},
            }),
        );
        let (plan, said) = plan_new(&world, Kind::PersistentVolumeClaim, claim);
        match plan.steps.first() {
            Some(Step::Create { object, .. }) => {
                for field in ["dataSource", "dataSourceRef"] {
                    let expected = json!({"kind": kind, "name": "data-x-other-x-vc-x-team-x-vc"});
                    assert_eq!(object["spec"][field], expected);
                }
            }
            _ => assert!(said.contains("does not exist"), "{said}"),
        }
    }
}

#[test]
fn a_storage_class_names_secrets_of_its_own_cluster_only() {
    let world = every_kind();
    let class = |name: &str, parameters: Value| {
        object(
            Kind::StorageClass,
            name,
            json!({"provisioner": "csi.example.com", "parameters": parameters}),
        )
    };
    let (name, namespace) = (
        "csi.storage.k8s.io/provisioner-secret-name",
        "csi.storage.k8s.io/provisioner-secret-namespace",
    );
    let host = created(
        &world,
        Kind::StorageClass,
        class(
            "own",
            json!({name: "key", namespace: "kube-system", "secretName": "a", "secretNamespace": "b", "pool": "p"}),
        ),
    );
    assert_eq!(
        host["parameters"],
        json!({
            name: "key-x-kube-system-x-vc", namespace: "host", "pool": "p",
            "secretName": "a-x-b-x-vc", "secretNamespace": "host",
        })
    );
    assert!(
        world
            .mappings()
            .is_referenced(&Reference::new(Kind::Secret, "kube-system", "key"))
    );
    for (of, parameters) in [
        ("a", json!({name: "${pvc.name}", namespace: "kube-system"})),
        ("b", json!({name: "key", namespace: "${pvc.namespace}"})),
        ("c", json!({name: "key"})),
    ] {
        let (plan, said) = plan_new(&world, Kind::StorageClass, class(of, parameters));
        assert!(plan.steps.is_empty() && said.contains("must both be there"), "{said}");
    }
}

#[test]
fn two_virtual_clusters_whose_markers_are_the_same_have_their_own_classes() {
    let settings = |vcluster: &str, namespace: &str| {
        let mut settings = crate::testing::settings();
        (settings.vcluster, settings.host_namespace) = (vcluster.into(), namespace.into());
        settings.to_host.insert(Kind::PriorityClass);
        settings.service_name = String::new();
        World::new(settings)
    };
    let (first, second) = (settings("c", "a-x-b"), settings("b-x-c", "a"));
    assert_eq!(first.names.cluster_marker(), second.names.cluster_marker());
    let class = || object(Kind::PriorityClass, "gold", json!({"value": 5}));
    let host = first.create(&plan_new(&first, Kind::PriorityClass, class()).0, "h1");
    let mut other = class();
    other["metadata"]["uid"] = json!("another");
    second.put(Side::Host, Kind::PriorityClass, host);
    let (plan, said) = plan_new(&second, Kind::PriorityClass, other);
    assert!(plan.steps.is_empty() && said.contains("does not belong to"), "{plan:?}");
}

#[test]
fn debug_containers_use_only_what_is_ours() {
    let world = running_world();
    let mut pod = pod(json!({}));
    pod["metadata"]["resourceVersion"] = json!("6");
    pod["spec"]["ephemeralContainers"] =
        json!([{"name": "debug", "image": "i", "envFrom": [{"secretRef": {"name": "web-x-prod"}}]}]);
    world.put(Side::Virtual, Kind::Pod, pod);
    let plan = world.plan(Kind::Pod, "team", "web");
    assert!(
        !summary(&plan).iter().any(|step| step.contains("ephemeralcontainers")),
        "{plan:?}"
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.text.contains("Secret team/web-x-prod")),
        "{plan:?}"
    );
}

#[test]
fn what_lies_in_no_namespace_goes_with_the_namespace_and_with_the_control_plane() {
    let world = every_kind();
    let namespace = json!({"metadata": {"name": "host", "uid": "ns"}});
    world
        .control_plane
        .of(Kind::Namespace)
        .apply(crate::object::Object::new(namespace));
    let class = object(Kind::PriorityClass, "gold", json!({"value": 5}));
    let (plan, _) = plan_new(&world, Kind::PriorityClass, class);
    let host = world.create(&plan, "h1");
    assert_eq!(
        host["metadata"]["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Namespace", "name": "host", "uid": "ns"}])
    );
    let item = Reference::new(Kind::PriorityClass, "", "gold");
    assert!(affected_by_control_plane(&world, Kind::Service).contains(&item));
    world
        .control_plane
        .of(Kind::Service)
        .remove(&crate::object::ObjectKey::new("host", "vc"), "");
    let gone = format!("delete host PriorityClass {} h1", world.names.cluster_host_name("gold"));
    assert_eq!(summary(&world.plan(Kind::PriorityClass, "", "gold")), [gone]);
    world.take(
        Side::Host,
        Kind::PriorityClass,
        "",
        &world.names.cluster_host_name("gold"),
    );
    assert_eq!(
        world.plan(Kind::PriorityClass, "", "gold").steps,
        [],
        "it is not made again"
    );
}

#[test]
fn pods_comply_with_the_standard_of_the_configuration_whatever_their_namespace_says() {
    use machinery::pod_security::{Level, Standard, Version};
    let mut world = small_world();
    world.settings.pod_security = Some(Standard {
        level: Level::Baseline,
        version: Version::Latest,
    });
    let (plan, said) = plan_new(&world, Kind::Pod, pod_with(json!({"hostNetwork": true})));
    assert!(plan.steps.is_empty(), "{plan:?}");
    assert_eq!(said, "Pod web is forbidden: host namespaces (hostNetwork=true)");

    namespace(&world, "team");
    let labels = "{\"labels\":{\"pod-security.kubernetes.io/enforce\":\"baseline\",\
                  \"pod-security.kubernetes.io/enforce-version\":\"latest\",\
                  \"pod-security.kubernetes.io/warn\":\"baseline\",\
                  \"pod-security.kubernetes.io/warn-version\":\"latest\"}}";
    let expected = format!("patch virtual Namespace team {{\"metadata\":{labels}}}");
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "team")), [expected]);
    world.settings.pod_security = None;
    assert_eq!(world.plan(Kind::Namespace, "", "team").steps, []);
}

#[test]
fn a_pod_that_takes_on_what_is_forbidden_is_not_synced_any_more() {
    let mut world = running_world();
    world.settings.pod_security = "baseline".parse().ok().map(|level| machinery::pod_security::Standard {
        level,
        version: machinery::pod_security::Version::Latest,
    });
    let mut pod = pod(json!({}));
    pod["metadata"]["resourceVersion"] = json!("6");
    pod["spec"]["ephemeralContainers"] =
        json!([{"name": "debug", "image": "i", "securityContext": {"privileged": true}}]);
    world.put(Side::Virtual, Kind::Pod, pod);
    let plan = world.plan(Kind::Pod, "team", "web");
    assert!(
        !summary(&plan).iter().any(|step| step.starts_with("patch host")),
        "{plan:?}"
    );
    assert!(
        plan.notes.iter().any(|note| note.text.contains("privileged")),
        "{plan:?}"
    );
}
