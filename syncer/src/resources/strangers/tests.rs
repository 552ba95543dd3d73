use super::*;
use crate::object::Object;
use crate::testing::{summary, with_namespaces, world_of};

/// A world whose namespace `team` is `own-team` on the host, and is there.
fn world() -> World {
    let mut settings = with_namespaces(&[("team", "own-team")]);
    settings.to_host.insert(Kind::Ingress);
    let world = world_of(settings);
    let namespace = json!({"metadata": {"name": "team", "uid": "n", "resourceVersion": "1"}});
    world.put(Side::Virtual, Kind::Namespace, namespace);
    world.create(&world.plan(Kind::Namespace, "", "team"), "h-n");
    world.create(&world.plan(Kind::Namespace, "", "team"), "account");
    world
}

impl World {
    /// Shows an object of the host, as a watch would.
    fn found(&self, kind: Kind, object: Value) -> Option<Reference> {
        let change = self.strangers.of(kind).apply(Object::new(object))?;
        affected(self, kind, &change)
    }

    fn lost(&self, kind: Kind, name: &str) -> Option<Reference> {
        let change = self.strangers.of(kind).remove(&ObjectKey::new("own-team", name), "")?;
        affected(self, kind, &change)
    }
}

fn on_host(name: &str, more: Value) -> Value {
    let mut object = json!({"metadata": {
        "namespace": "own-team", "name": name, "uid": format!("h-{name}"), "resourceVersion": "3",
        "labels": {"app": "web"}, "annotations": {"note": "kept"},
        "ownerReferences": [{"kind": "Deployment"}], "finalizers": ["example.com/f"],
    }});
    json::merge(&mut object, &more);
    object
}

/// Shows the object in the virtual cluster and marks the host's; returns both.
fn imported(world: &World, kind: Kind, object: Value) -> (Value, Value) {
    let name = pair::key_of(&object).name;
    let item = Reference::new(kind, "team", &name);
    assert_eq!(world.found(kind, object.clone()), Some(item.clone()));
    let plan = world.plan(kind, "team", &name);
    assert_eq!(summary(&plan), [format!("create virtual {kind} team/{name}")]);
    let shown = world.create(&plan, &format!("v-{name}"));
    let plan = world.plan(kind, "team", &name);
    let [
        Step::Patch {
            side: Side::Host, body, ..
        },
    ] = plan.steps.as_slice()
    else {
        panic!("{plan:?}");
    };
    let mut marked = object;
    json::merge(&mut marked, body);
    marked["metadata"]["resourceVersion"] = json!("4");
    world.put(Side::Host, kind, marked.clone());
    assert_eq!(world.found(kind, marked.clone()), Some(item));
    (shown, marked)
}

#[test]
fn an_object_of_the_host_becomes_a_copy_like_all_others() {
    let world = world();
    let map = on_host("settings", json!({"data": {"a": "b"}}));
    let (shown, marked) = imported(&world, Kind::ConfigMap, map);
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {
            "namespace": "team", "name": "settings", "labels": {"app": "web"}, "uid": "v-settings", "resourceVersion": "100",
            "annotations": {"note": "kept", keys::MADE_FOR: "own-team/settings/h-settings"},
        },
    });
    assert_eq!(shown, expected);
    assert_eq!(marked["metadata"]["annotations"][keys::OBJECT_UID], "v-settings");
    assert_eq!(marked["metadata"]["annotations"][keys::IMPORTED], "true");
    assert_eq!(
        summary(&world.plan(Kind::ConfigMap, "team", "settings")),
        Vec::<String>::new()
    );
    let kept = world
        .strangers
        .get(Kind::ConfigMap, "own-team", "settings")
        .expect("known");
    assert!(!kept.value().is_object(), "it is kept once");

    // Whoever changes either of them changes both; whoever deletes the virtual one deletes both.
    world.take(Side::Virtual, Kind::ConfigMap, "team", "settings");
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert_eq!(summary(&plan), ["delete host ConfigMap own-team/settings h-settings"]);
}

#[test]
fn it_goes_with_that_of_the_host() {
    let world = world();
    imported(&world, Kind::ConfigMap, on_host("settings", json!({"data": {}})));
    let gone = ["delete virtual ConfigMap team/settings v-settings"];
    world.take(Side::Host, Kind::ConfigMap, "own-team", "settings");
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert!(
        plan.steps.is_empty() && plan.again_after.is_some(),
        "one watch is behind: {plan:?}"
    );
    assert!(world.lost(Kind::ConfigMap, "settings").is_some());
    assert_eq!(summary(&world.plan(Kind::ConfigMap, "team", "settings")), gone);
    // Another one of its name is shown after it.
    let mut other = on_host("settings", json!({"data": {}}));
    other["metadata"]["uid"] = json!("other");
    world.found(Kind::ConfigMap, other);
    assert_eq!(summary(&world.plan(Kind::ConfigMap, "team", "settings")), gone);
    world.take(Side::Virtual, Kind::ConfigMap, "team", "settings");
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert_eq!(summary(&plan), ["create virtual ConfigMap team/settings"]);
}

#[test]
fn an_object_that_says_so_elsewhere_is_an_object_like_all_others() {
    let world = world();
    let copied = json!({
        "metadata": {"namespace": "team", "name": "copy", "uid": "c", "annotations": {keys::MADE_FOR: "own-team/settings/h"}},
    });
    world.put(Side::Virtual, Kind::ConfigMap, copied);
    let plan = world.plan(Kind::ConfigMap, "team", "copy");
    assert_eq!(summary(&plan), ["create host ConfigMap own-team/copy"]);
}

#[test]
fn what_has_a_virtual_one_already_is_somebody_elses() {
    let world = world();
    let own = json!({"metadata": {"namespace": "team", "name": "settings", "uid": "own"}, "data": {"mine": "1"}});
    world.put(Side::Virtual, Kind::ConfigMap, own);
    world.found(Kind::ConfigMap, on_host("settings", json!({"data": {}})));
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert_eq!(
        summary(&plan),
        ["create host ConfigMap own-team/settings"],
        "which says that it is there"
    );
}

#[test]
fn not_everything_is_shown() {
    let world = world();
    let labelled = |key: &str| json!({"metadata": {"labels": {key: "x"}}});
    let annotated = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
    for (kind, more) in [
        (Kind::Secret, json!({"type": TOKEN})),
        (Kind::Pod, annotated(MIRROR, "x")),
        (Kind::ConfigMap, labelled(keys::MARKER)),
        (Kind::ConfigMap, labelled(keys::CONTROLLED_BY)),
        (Kind::ConfigMap, annotated(keys::SKIP_BACKSYNC, "true")),
        (
            Kind::ConfigMap,
            json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}}),
        ),
        (Kind::ServiceAccount, json!({})),
        (Kind::NetworkPolicy, json!({})),
    ] {
        world.found(kind, on_host("x", more.clone()));
        assert_eq!(
            summary(&world.plan(kind, "team", "x")),
            Vec::<String>::new(),
            "{kind} {more}"
        );
        world.lost(kind, "x");
    }
    let root = on_host("kube-root-ca.crt", json!({"data": {}}));
    assert_eq!(world.found(Kind::ConfigMap, root), None);
    let mut elsewhere = on_host("x", json!({"data": {}}));
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    elsewhere["metadata"]["uid"] = json!("elsewhere");
    assert_eq!(world.found(Kind::ConfigMap, elsewhere), None);
    let kept = world.strangers.get(Kind::ConfigMap, "kube-system", "x").expect("known");
    assert!(!kept.value().is_object(), "nobody reads it");
    assert_eq!(kinds(&crate::testing::settings()).count(), 0);
}

#[test]
fn a_namespace_has_to_be_there_first() {
    let world = world_of(with_namespaces(&[("team", "own-team")]));
    world.found(Kind::ConfigMap, on_host("settings", json!({"data": {}})));
    let plan = world.plan(Kind::ConfigMap, "team", "settings");
    assert!(
        plan.steps.is_empty() && plan.waits[0].key == ObjectKey::new("", "own-team"),
        "{plan:?}"
    );
}

#[test]
fn pods_run_on_and_are_bound_where_they_are() {
    let world = world();
    let pod = on_host(
        "web",
        json!({"spec": {
            "nodeName": "n1", "serviceAccountName": "default", "serviceAccount": "default", "priority": 0,
            "priorityClassName": "of-the-host", "ephemeralContainers": [{"name": "debug"}],
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "containers": [{"name": "app", "image": "i"}],
        }, "status": {"phase": "Running"}}),
    );
    let (shown, _) = imported(&world, Kind::Pod, pod);
    let spec = shown["spec"].as_object().expect("a map");
    assert_eq!(spec.keys().collect::<Vec<_>>(), ["containers", "volumes"]);
    let node = json!({"metadata": {"name": "n1", "uid": "n1"}});
    world.put(Side::Virtual, Kind::Node, node);
    assert_eq!(summary(&world.plan(Kind::Pod, "team", "web")), ["bind team/web to n1"]);
    let mut bound = shown;
    bound["spec"]["nodeName"] = json!("n1");
    bound["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Virtual, Kind::Pod, bound);
    let steps = summary(&world.plan(Kind::Pod, "team", "web"));
    assert!(
        steps.iter().all(|step| !step.starts_with("tokens")),
        "it has its own: {steps:?}"
    );
    assert!(
        steps.iter().any(|step| step.contains(r#""phase":"Running""#)),
        "{steps:?}"
    );
}

#[test]
fn services_select_what_they_did_and_claims_keep_their_volumes() {
    let world = world();
    let service = on_host(
        "web",
        json!({"spec": {
            "type": "NodePort", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "selector": {"app": "web"},
            "ports": [{"port": 80, "nodePort": 30080}],
        }}),
    );
    let (shown, _) = imported(&world, Kind::Service, service);
    assert_eq!(
        shown["spec"],
        json!({"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]})
    );
    let steps = summary(&world.plan(Kind::Service, "team", "web"));
    assert!(steps.iter().all(|step| step.starts_with("patch virtual")), "{steps:?}");
    let claim = on_host(
        "data",
        json!({
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": "pv-1", "accessModes": ["ReadWriteOnce"], "storageClassName": "fast"},
        }),
    );
    let (shown, _) = imported(&world, Kind::PersistentVolumeClaim, claim);
    assert_eq!(
        shown["spec"],
        json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "fast"})
    );
    assert_eq!(
        shown["metadata"]["annotations"].get("pv.kubernetes.io/bind-completed"),
        None
    );
    let ingress = on_host("door", json!({"spec": {"rules": []}, "status": {"loadBalancer": {}}}));
    assert_eq!(imported(&world, Kind::Ingress, ingress).0["spec"], json!({"rules": []}));
}

#[test]
fn in_the_end_it_stays_without_marks() {
    let world = world();
    let secret = on_host("key", json!({"type": "Opaque", "data": {"a": "Yg=="}}));
    imported(&world, Kind::Secret, secret);
    world.end();
    let plan = world.plan(Kind::Secret, "team", "key");
    let [
        Step::Patch {
            side: Side::Host, body, ..
        },
    ] = plan.steps.as_slice()
    else {
        panic!("{plan:?}");
    };
    let metadata = &body["metadata"];
    assert_eq!(metadata["labels"], json!({keys::MARKER: null, keys::NAMESPACE: null}));
    assert_eq!(metadata["annotations"][keys::OBJECT_NAME], Value::Null);
    assert!(metadata["annotations"].get("note").is_none());
    assert_eq!(
        world.found(Kind::Secret, on_host("late", json!({}))),
        Some(Reference::new(Kind::Secret, "team", "late"))
    );
    assert_eq!(summary(&world.plan(Kind::Secret, "team", "late")), Vec::<String>::new());
}
