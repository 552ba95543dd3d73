use super::*;
use crate::object::Object;
use crate::testing::{object, summary, with_namespaces, world_of};

const MARKER: &str = "host-x-vc";

/// Virtual cluster `vc` with these pairs of namespaces.
fn mapped(pairs: &[(&str, &str)]) -> World {
    let mut settings = with_namespaces(pairs);
    settings.to_host.extend([Kind::NetworkPolicy, Kind::ServiceAccount]);
    let world = world_of(settings);
    let own = json!({"metadata": {"name": "host", "uid": "own", "resourceVersion": "1"}});
    world.control_plane.of(Kind::Namespace).apply(Object::new(own));
    world
}

fn namespace(name: &str, uid: &str, more: Value) -> Value {
    let mut namespace = json!({"metadata": {"name": name, "uid": uid, "resourceVersion": "7"}});
    crate::json::merge(&mut namespace, &more);
    namespace
}

/// A virtual namespace with its copy.
fn with_namespace(world: &World, name: &str) -> Value {
    world.put(
        Side::Virtual,
        Kind::Namespace,
        namespace(name, &format!("v-{name}"), json!({})),
    );
    let plan = world.plan(Kind::Namespace, "", name);
    world.create(&plan, &format!("h-{name}"))
}

fn said(plan: &Plan) -> String {
    plan.notes
        .iter()
        .map(|note| note.text.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn service(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "resourceVersion": "5"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    })
}

#[test]
fn a_namespace_is_made_without_what_a_tenant_must_not_say() {
    let world = mapped(&[("team", "tenant-team")]);
    let marks = json!({"metadata": {
        "labels": {
            "app": "web", "cost": "1", "pod-security.kubernetes.io/enforce": "privileged",
            "kubernetes.io/metadata.name": "team", keys::MARKER: "other",
        },
        "annotations": {
            "note": "kept", "scheduler.alpha.kubernetes.io/node-selector": "a=b", keys::IMPORTED: "true",
            keys::VCLUSTER_NAME: "other",
        },
    }});
    world.put(Side::Virtual, Kind::Namespace, namespace("team", "v1", marks));
    let made = world.create(&world.plan(Kind::Namespace, "", "team"), "h1");
    let metadata = &made["metadata"];
    assert_eq!(metadata["name"], "tenant-team");
    let mut labels = json::strings(metadata, &["labels"]);
    labels.retain(|key, _| !key.starts_with("vcluster.loft.sh/label-"));
    let expected = [
        ("app", "web"),
        ("cost", "42"),
        (keys::MARKER, MARKER),
        (keys::VCLUSTER_NAME, "vc"),
        (keys::VCLUSTER_NAMESPACE, "host"),
    ];
    assert_eq!(
        labels,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    );
    let annotation = |key: &str| json::text(metadata, &["annotations", key]);
    assert_eq!((annotation("note"), annotation(keys::IMPORTED)), ("kept", ""));
    assert_eq!(annotation("scheduler.alpha.kubernetes.io/node-selector"), "");
    assert_eq!(
        (annotation(keys::VCLUSTER_NAME), annotation(keys::VCLUSTER_NAMESPACE)),
        ("vc", "host")
    );
    assert_eq!(
        metadata["ownerReferences"][0]["uid"], "own",
        "it goes with the virtual cluster"
    );
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "team")), Vec::<String>::new());

    world.take(Side::Virtual, Kind::Namespace, "", "team");
    assert_eq!(
        summary(&world.plan(Kind::Namespace, "", "team")),
        ["delete host Namespace tenant-team h1"]
    );
}

#[test]
fn labels_follow_and_nothing_comes_back() {
    let world = mapped(&[("team", "tenant-team")]);
    let made = with_namespace(&world, "team");
    let mut host = made.clone();
    host["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!("tenant-team");
    host["metadata"]["labels"]["secret-of-the-host"] = json!("x");
    world.put(Side::Host, Kind::Namespace, host);
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "team")), Vec::<String>::new());
    let labelled = json!({"metadata": {"labels": {"stage": "live"}, "resourceVersion": "9"}});
    world.put(Side::Virtual, Kind::Namespace, namespace("team", "v-team", labelled));
    let steps = summary(&world.plan(Kind::Namespace, "", "team"));
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(steps[0].contains(r#""labels":{"stage":"live"}"#), "{steps:?}");
}

#[test]
fn objects_keep_their_names_in_a_namespace_of_their_own() {
    let world = mapped(&[("team", "tenant-team")]);
    world.put(Side::Virtual, Kind::Service, service("team", "web"));
    let early = world.plan(Kind::Service, "team", "web");
    assert_eq!(summary(&early), Vec::<String>::new());
    assert_eq!(early.waits[0].key, ObjectKey::new("", "tenant-team"));
    with_namespace(&world, "team");
    let copy = world.create(&world.plan(Kind::Service, "team", "web"), "h1");
    let metadata = &copy["metadata"];
    assert_eq!(pair::key_of(&copy), ObjectKey::new("tenant-team", "web"));
    assert_eq!(metadata["labels"], json!({keys::MARKER: "vc", keys::NAMESPACE: "team"}));
    assert_eq!(
        copy["spec"]["selector"],
        json!({"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team"})
    );
    assert_eq!(
        metadata.get("ownerReferences"),
        None,
        "owners lie in the same namespace"
    );
    let annotation = |key: &str| json::text(metadata, &["annotations", key]);
    assert_eq!(
        (annotation(keys::VCLUSTER_NAME), annotation(keys::VCLUSTER_NAMESPACE)),
        ("vc", "host")
    );
    assert_eq!(annotation(keys::OBJECT_HOST_NAMESPACE), "tenant-team");
    world.take(Side::Virtual, Kind::Service, "team", "web");
    assert_eq!(
        summary(&world.plan(Kind::Service, "team", "web")),
        ["delete host Service tenant-team/web h1"]
    );
}

#[test]
fn pods_find_what_they_name_and_run_as_nobody() {
    let world = mapped(&[("team", "tenant-team")]);
    with_namespace(&world, "team");
    with_namespace(&world, "kube-system");
    world.settings_for_dns();
    let map = json!({"metadata": {"namespace": "team", "name": "kube-root-ca.crt", "uid": "m"}, "data": {"a": "b"}});
    world.put(Side::Virtual, Kind::ConfigMap, map);
    let copy = world.create(&world.plan(Kind::ConfigMap, "team", "kube-root-ca.crt"), "h2");
    assert_eq!(
        pair::key_of(&copy),
        ObjectKey::new("tenant-team", "vcluster-kube-root-ca.crt-x-vc")
    );
    let account = json!({"metadata": {"namespace": "team", "name": "default", "uid": "a"}});
    world.put(Side::Virtual, Kind::ServiceAccount, account);
    let copy = world.create(&world.plan(Kind::ServiceAccount, "team", "default"), "h3");
    assert_eq!(
        pair::key_of(&copy),
        ObjectKey::new("tenant-team", "vcluster-default-x-vc")
    );
    let pod = object(
        "web",
        json!({"spec": {
            "containers": [{"name": "app", "image": "i", "envFrom": [{"configMapRef": {"name": "kube-root-ca.crt"}}]}],
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {}, "namespaces": ["team", "other"]},
                {"topologyKey": "zone", "labelSelector": {}},
            ]}},
        }}),
    );
    world.put(Side::Virtual, Kind::Pod, pod);
    let plan = world.plan(Kind::Pod, "team", "web");
    let Some(Step::Tokens(tokens)) = plan.steps.last() else {
        panic!("{plan:?}");
    };
    assert_eq!(pair::key_of(&tokens.secret).namespace, "tenant-team");
    assert_eq!(tokens.copy, ObjectKey::new("tenant-team", "web"));
    let copy = world.create(&plan, "h4");
    assert_eq!(pair::key_of(&copy), ObjectKey::new("tenant-team", "web"), "{plan:?}");
    let spec = &copy["spec"];
    assert_eq!(
        spec["containers"][0]["envFrom"][0]["configMapRef"]["name"],
        "vcluster-kube-root-ca.crt-x-vc"
    );
    assert_eq!(spec["serviceAccountName"], "vcluster-default-x-vc");
    assert_eq!(spec["dnsConfig"]["nameservers"][0], "10.0.0.53");
    let terms = &spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(
        terms[0]["namespaceSelector"],
        json!({"matchLabels": {keys::MARKER: MARKER}})
    );
    assert_eq!(
        terms[0]["namespaces"],
        json!(["host"]),
        "where namespaces without their own are"
    );
    assert_eq!(
        (terms[1].get("namespaceSelector"), terms[1].get("namespaces")),
        (None, None)
    );
}

impl World {
    /// The name server's Service with its copy, which lies with the control plane.
    fn settings_for_dns(&self) {
        let plan = self.plan(Kind::Service, "kube-system", "kube-dns");
        self.create(&plan, "dns");
        let plan = self.plan(Kind::Service, "kube-system", "kube-dns");
        let mut copy = self.create(&plan, "h-dns");
        assert_eq!(
            pair::key_of(&copy),
            ObjectKey::new("host", "kube-dns-x-kube-system-x-vc")
        );
        assert_eq!(copy["spec"]["selector"]["app"], "vcluster");
        assert_eq!(copy["metadata"]["ownerReferences"][0]["uid"], "cp");
        copy["spec"]["clusterIP"] = json!("10.0.0.53");
        copy["metadata"]["resourceVersion"] = json!("101");
        self.put(Side::Host, Kind::Service, copy);
    }
}

#[test]
fn policies_select_in_the_namespaces_of_the_virtual_cluster() {
    let world = mapped(&[("team", "tenant-team")]);
    with_namespace(&world, "team");
    let policy = object(
        "p",
        json!({"spec": {"podSelector": {}, "ingress": [{"from": [
            {"namespaceSelector": {"matchLabels": {"a": "b"}}},
            {"podSelector": {}},
        ]}]}}),
    );
    world.put(Side::Virtual, Kind::NetworkPolicy, policy);
    let copy = world.create(&world.plan(Kind::NetworkPolicy, "team", "p"), "h1");
    let peers = &copy["spec"]["ingress"][0]["from"];
    assert_eq!(
        peers[0]["namespaceSelector"],
        json!({"matchLabels": {keys::MARKER: MARKER}})
    );
    let label = world.names.namespace_label("a");
    assert_eq!(
        peers[0]["podSelector"]["matchLabels"],
        json!({keys::MARKER: "vc", label: "b"})
    );
    let joined = json!({"matchLabels": {"kubernetes.io/metadata.name": "host"}});
    assert_eq!(
        (&peers[1]["namespaceSelector"], &peers[1]["podSelector"]),
        (&joined, &peers[0]["podSelector"])
    );
    assert_eq!(
        peers[2],
        json!({"podSelector": {"matchLabels": {keys::MARKER: "vc", keys::NAMESPACE: "team"}}})
    );
}

/// What a patch of the metadata makes of an object.
fn patched(object: &Value, plan: &Plan, version: &str) -> Value {
    let [Step::Patch { body, .. }] = plan.steps.as_slice() else {
        panic!("{plan:?}");
    };
    let mut patched = object.clone();
    json::merge_patch(&mut patched, body);
    patched["metadata"]["resourceVersion"] = json!(version);
    for field in ["labels", "annotations"] {
        if let Some(all) = json::object_mut(&mut patched["metadata"], field) {
            all.retain(|_, value| !value.is_null());
        }
    }
    patched
}

#[test]
fn a_namespace_that_is_there_is_marked_and_left_in_the_end() {
    for (virtual_, name) in [("team", "shared"), ("x-1", "y-1")] {
        let world = mapped(&[("team", "shared"), ("x-*", "y-*")]);
        let there = namespace(name, "there", json!({"metadata": {"labels": {"of": "host"}}}));
        world.put(Side::Host, Kind::Namespace, there.clone());
        let mine = json!({"metadata": {"labels": {"mine": "1"}}});
        world.put(Side::Virtual, Kind::Namespace, namespace(virtual_, "v1", mine));
        let plan = world.plan(Kind::Namespace, "", virtual_);
        let [Step::Patch { body, .. }] = plan.steps.as_slice() else {
            panic!("{plan:?}");
        };
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        let ours = json!({
            keys::MARKER: MARKER, "cost": "42", keys::VCLUSTER_NAME: "vc", keys::VCLUSTER_NAMESPACE: "host",
        });
        assert_eq!(body["metadata"]["labels"], ours);
        assert_eq!(body["metadata"]["annotations"][keys::IMPORTED], "true");
        let marked = patched(&there, &plan, "8");
        world.put(Side::Host, Kind::Namespace, marked.clone());
        assert_eq!(world.virtual_namespace(name).as_deref(), Some(virtual_));
        // It stays, so that it takes nothing along.
        world.put(Side::Virtual, Kind::Service, service(virtual_, "web"));
        let copy = world.create(&world.plan(Kind::Service, virtual_, "web"), "h1");
        assert_eq!(copy["metadata"]["ownerReferences"][0]["uid"], "own");
        world.take(Side::Virtual, Kind::Service, virtual_, "web");
        world.take(Side::Host, Kind::Service, name, "web");
        assert_eq!(
            summary(&world.plan(Kind::Namespace, "", virtual_)),
            Vec::<String>::new()
        );
        world.take(Side::Virtual, Kind::Namespace, "", virtual_);
        assert_eq!(
            summary(&world.plan(Kind::Namespace, "", virtual_)),
            Vec::<String>::new(),
            "it stays, and its owner does not get it back"
        );
        world
            .control_plane
            .of(Kind::Service)
            .remove(&ObjectKey::new("host", "vc"), "");
        let affected = crate::resources::affected_by_control_plane(&world, Kind::Service);
        assert!(
            affected.contains(&Reference::new(Kind::Namespace, "", virtual_)),
            "{affected:?}"
        );
        let mut left = patched(&marked, &world.plan(Kind::Namespace, "", virtual_), "7");
        // An empty map says nothing.
        json::object_mut(&mut left, "metadata").map(|metadata| metadata.remove("annotations"));
        assert_eq!(left, there);
    }
}

#[test]
fn a_namespace_of_the_host_is_shown_by_its_mapping() {
    for (virtual_, name) in [("team", "shared"), ("x-1", "y-1")] {
        let world = mapped(&[("team", "shared"), ("x-*", "y-*")]);
        let there = namespace(
            name,
            "there",
            json!({"metadata": {
                "labels": {"of": "host", "kubernetes.io/metadata.name": name},
                "annotations": {"note": "kept", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            }}),
        );
        let affected = world.put(Side::Host, Kind::Namespace, there.clone());
        assert_eq!(affected, [Reference::new(Kind::Namespace, "", virtual_)]);
        let marked = patched(&there, &world.plan(Kind::Namespace, "", virtual_), "8");
        world.put(Side::Host, Kind::Namespace, marked.clone());
        let plan = world.plan(Kind::Namespace, "", virtual_);
        assert_eq!(summary(&plan), [format!("create virtual Namespace {virtual_}")]);
        let shown = world.create(&plan, "v1");
        let labels = json!({
            "of": "host", "cost": "42", keys::VCLUSTER_NAME: "vc", keys::VCLUSTER_NAMESPACE: "host",
        });
        assert_eq!(shown["metadata"]["labels"], labels);
        assert_eq!(
            shown["metadata"]["annotations"],
            json!({"note": "kept", keys::MADE_FOR: format!("{name}/there")})
        );
        let known = patched(&marked, &world.plan(Kind::Namespace, "", virtual_), "9");
        assert_eq!(known["metadata"]["annotations"][keys::OBJECT_UID], "v1");
        world.put(Side::Host, Kind::Namespace, known);
        assert_eq!(
            summary(&world.plan(Kind::Namespace, "", virtual_)),
            Vec::<String>::new()
        );
        world.take(Side::Host, Kind::Namespace, "", name);
        assert_eq!(
            summary(&world.plan(Kind::Namespace, "", virtual_)),
            [format!("delete virtual Namespace {virtual_} v1")],
            "it goes with that of the host"
        );
    }
    let world = mapped(&[("team", "shared"), ("x-*", "y-*")]);
    for name in ["other", "y-", "host"] {
        assert_eq!(
            world.put(Side::Host, Kind::Namespace, namespace(name, name, json!({}))),
            []
        );
    }
    let going = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z"}});
    world.put(Side::Host, Kind::Namespace, namespace("shared", "s", going));
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "team")), Vec::<String>::new());
}

#[test]
fn pods_run_as_an_account_that_is_made_for_them() {
    let world = world_of(with_namespaces(&[("team", "tenant-team")]));
    let pod = object("web", json!({"spec": {"containers": [{"name": "app", "image": "i"}]}}));
    world.put(Side::Virtual, Kind::Pod, pod);
    with_namespace(&world, "kube-system");
    world.settings_for_dns();
    with_namespace(&world, "team");
    let early = world.plan(Kind::Pod, "team", "web");
    let account = ObjectKey::new("tenant-team", "vc-workload-vc");
    assert!(early.steps.is_empty() && early.waits[0].key == account, "{early:?}");
    let plan = world.plan(Kind::Namespace, "", "team");
    assert_eq!(summary(&plan), [format!("create host ServiceAccount {account}")]);
    let made = world.create(&plan, "a");
    assert_eq!(made["automountServiceAccountToken"], false);
    let copy = world.create(&world.plan(Kind::Pod, "team", "web"), "h");
    assert_eq!(copy["spec"]["serviceAccountName"], "vc-workload-vc");
    let gone = world.take(Side::Host, Kind::ServiceAccount, "tenant-team", "vc-workload-vc");
    assert_eq!(gone, [Reference::new(Kind::Namespace, "", "team")], "it is made again");
    // One that is there is as good, and nobody's to take away.
    let theirs = json!({"metadata": {"namespace": "tenant-team", "name": "vc-workload-vc", "uid": "t"}});
    world.put(Side::Host, Kind::ServiceAccount, theirs);
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "team")), Vec::<String>::new());
}

#[test]
fn the_namespace_of_another_virtual_cluster_is_not_taken() {
    let world = mapped(&[("team", "shared")]);
    let marks = json!({"metadata": {
        "labels": {keys::MARKER: "elsewhere-x-other"}, "annotations": {keys::IMPORTED: "true"},
    }});
    world.put(Side::Host, Kind::Namespace, namespace("shared", "h1", marks));
    world.put(Side::Virtual, Kind::Namespace, namespace("team", "v1", json!({})));
    let plan = world.plan(Kind::Namespace, "", "team");
    assert!(
        plan.steps.is_empty() && said(&plan).contains("Namespace shared already exists"),
        "{plan:?}"
    );
    world.put(Side::Virtual, Kind::Service, service("team", "web"));
    let plan = world.plan(Kind::Service, "team", "web");
    assert!(
        plan.steps.is_empty() && said(&plan).contains(r#"namespace "shared" of the host is not that"#),
        "{plan:?}"
    );
}

/// A namespace of the host that says it is another one's gets nothing of the one that its name is for.
#[test]
fn a_mark_made_to_mislead_gets_nothing() {
    let world = mapped(&[("x-*", "y-*")]);
    let mut taken = with_namespace(&world, "x-first");
    taken["metadata"]["annotations"][keys::OBJECT_NAME] = json!("x-second");
    taken["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::Namespace, taken);
    world.put(Side::Virtual, Kind::Service, service("x-first", "web"));
    let plan = world.plan(Kind::Service, "x-first", "web");
    assert!(
        plan.steps.is_empty() && said(&plan).contains(r#"namespace "y-first" of the host"#),
        "{plan:?}"
    );
}

#[test]
fn nothing_is_made_in_a_namespace_that_is_going() {
    let world = mapped(&[("team", "tenant-team")]);
    let mut going = with_namespace(&world, "team");
    going["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
    going["metadata"]["resourceVersion"] = json!("101");
    world.put(Side::Host, Kind::Namespace, going);
    world.put(Side::Virtual, Kind::Service, service("team", "web"));
    let plan = world.plan(Kind::Service, "team", "web");
    assert!(plan.steps.is_empty() && plan.notes.is_empty(), "{plan:?}");
    assert_eq!(plan.waits[0].key, ObjectKey::new("", "tenant-team"));
}

#[test]
fn an_object_that_is_not_ours_stays_as_it_is() {
    let world = mapped(&[("team", "tenant-team")]);
    with_namespace(&world, "team");
    world.put(Side::Virtual, Kind::Service, service("team", "web"));
    let copy = world.create(&world.plan(Kind::Service, "team", "web"), "h1");
    let altered = [
        // Of another virtual cluster of the same name.
        ("annotations", keys::VCLUSTER_NAMESPACE, Some("elsewhere")),
        ("annotations", keys::VCLUSTER_NAMESPACE, None),
        ("annotations", keys::VCLUSTER_NAME, Some("other")),
        // Moved here by hand from where it was.
        ("annotations", keys::OBJECT_NAMESPACE, Some("other")),
        ("labels", keys::MARKER, Some("other")),
    ];
    for (version, (field, key, value)) in altered.into_iter().enumerate() {
        let mut other = copy.clone();
        other["metadata"][field][key] = json!(value);
        other["metadata"]["resourceVersion"] = json!((200 + version).to_string());
        world.put(Side::Host, Kind::Service, other);
        let plan = world.plan(Kind::Service, "team", "web");
        assert!(
            plan.steps.is_empty() && said(&plan).contains("does not belong to team/web"),
            "{key}: {plan:?}"
        );
    }
    // What does not exist cannot be named: an object of the host may have the name.
    let pod = object(
        "p",
        json!({"spec": {"containers": [{"name": "c", "image": "i", "envFrom": [
            {"secretRef": {"name": "of-the-host"}},
        ]}]}}),
    );
    world.put(Side::Virtual, Kind::Pod, pod);
    let plan = world.plan(Kind::Pod, "team", "p");
    assert!(
        plan.steps.is_empty() && said(&plan).contains("Secret team/of-the-host does not exist"),
        "{plan:?}"
    );
}

#[test]
fn namespaces_without_a_mapping_are_joined_in_that_of_the_control_plane() {
    let world = mapped(&[("team", "tenant-team")]);
    world.put(Side::Virtual, Kind::Namespace, namespace("other", "v1", json!({})));
    assert_eq!(summary(&world.plan(Kind::Namespace, "", "other")), Vec::<String>::new());
    let mut web = service("other", "web");
    web["metadata"]["labels"] = json!({"release": "vc"});
    web["spec"]["selector"]["release"] = json!("vc");
    world.put(Side::Virtual, Kind::Service, web);
    let copy = world.create(&world.plan(Kind::Service, "other", "web"), "h1");
    assert_eq!(pair::key_of(&copy), ObjectKey::new("host", "web-x-other-x-vc"));
    let metadata = &copy["metadata"];
    assert_eq!(metadata["ownerReferences"][0]["uid"], "cp");
    assert_eq!(metadata["annotations"].get(keys::VCLUSTER_NAME), None);
    let hidden = world.names.label_to_host("release").into_owned();
    assert!(hidden.starts_with(keys::PREFIX));
    for labels in [&metadata["labels"], &copy["spec"]["selector"]] {
        assert_eq!((&labels[&hidden], labels.get("release")), (&json!("vc"), None));
    }
    assert_eq!(world.host_namespaces(), ["host"]);
    assert!(world.holds_copies("host") && !world.holds_copies("tenant-team"));
    world.take(Side::Virtual, Kind::Service, "other", "web");
    assert_eq!(
        summary(&world.plan(Kind::Service, "other", "web")),
        ["delete host Service host/web-x-other-x-vc h1"]
    );
}

#[test]
fn at_the_end_nothing_is_left() {
    let world = mapped(&[("team", "tenant-team")]);
    with_namespace(&world, "team");
    world.put(Side::Virtual, Kind::Service, service("team", "web"));
    world.create(&world.plan(Kind::Service, "team", "web"), "h1");
    let key = ObjectKey::new("host", "vc");
    world.control_plane.of(Kind::Service).remove(&key, "");
    let affected = crate::resources::affected_by_control_plane(&world, Kind::Service);
    assert!(affected.contains(&Reference::new(Kind::Service, "team", "web")));
    assert_eq!(
        summary(&world.plan(Kind::Service, "team", "web")),
        ["delete host Service tenant-team/web h1"]
    );
    assert_eq!(
        summary(&world.plan(Kind::Namespace, "", "team")),
        ["delete host Namespace tenant-team h-team"]
    );
    world.take(Side::Host, Kind::Service, "tenant-team", "web");
    assert_eq!(
        summary(&world.plan(Kind::Service, "team", "web")),
        Vec::<String>::new(),
        "not made again"
    );
}

#[test]
fn keys_that_hosts_obey_are_recognised() {
    for (key, expected) in [
        ("pod-security.kubernetes.io/enforce", true),
        ("kubernetes.io/metadata.name", true),
        ("node.k8s.io/x", true),
        ("resource.kubernetes.io/admin-access", true),
        ("field.cattle.io/projectId", true),
        ("openshift.io/sa.scc.uid-range", true),
        ("cni.projectcalico.org/ipv4pools", true),
        ("notkubernetes.io/x", false),
        ("kubernetes.io", false),
        ("app", false),
    ] {
        assert_eq!(is_obeyed(key), expected, "{key}");
    }
}
