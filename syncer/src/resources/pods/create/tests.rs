use serde_json::{Value, json};

use super::*;
use crate::kinds::Side;
use crate::names::keys;
use crate::settings::RewriteHosts;
use crate::testing::{settings, world};

fn pod(spec: Value) -> Value {
    json!({
        "metadata": {
            "namespace": "team", "name": "web-0", "uid": "u1", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "o", "controller": true}],
        },
        "spec": spec,
        "status": {"phase": "Pending"},
    })
}

/// A world in which everything is known that a pod needs.
pub(super) fn ready_world() -> World {
    let world = world();
    world.put(Side::Host, Kind::Service, json!({
        "metadata": {"namespace": "host", "name": "kube-dns-x-kube-system-x-vc", "uid": "d"}, "spec": {"clusterIP": "10.0.0.53"},
    }));
    world.put(
        Side::Virtual,
        Kind::Namespace,
        json!({"metadata": {"name": "team", "uid": "n", "labels": {"team": "a"}}}),
    );
    world
}

fn translated(world: &World, pod: &Value) -> Created {
    let item = Reference::new(Kind::Pod, "team", json::text(pod, &["metadata", "name"]));
    let host = world.names.host_name(&item.key.name, "team");
    translate(world, &item, &host, pod).expect("everything is known")
}

pub(super) fn spec(world: &World, virtual_spec: Value) -> Value {
    translated(world, &pod(virtual_spec)).pod["spec"].clone()
}

#[test]
fn what_is_missing_is_awaited() {
    let pod = pod(json!({"containers": []}));
    let item = Reference::new(Kind::Pod, "team", "web-0");
    let awaited = translate(&world(), &item, "h", &pod).expect_err("DNS is not known");
    assert_eq!((awaited.place, awaited.kind), (Place::Host, Kind::Service));
    let without_service = World::new(settings());
    let awaited = translate(&without_service, &item, "h", &pod).expect_err("the control plane is not known");
    assert_eq!((awaited.place, awaited.kind), (Place::ControlPlane, Kind::Service));
}

#[test]
fn metadata() {
    let metadata = translated(&ready_world(), &pod(json!({"containers": []}))).pod["metadata"].clone();
    assert_eq!(metadata["name"], "web-0-x-team-x-vc");
    assert_eq!(metadata["namespace"], "host");
    let names = crate::names::Names::new("vc", "host");
    assert_eq!(
        metadata["labels"],
        json!({"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team", names.namespace_label("team"): "a"})
    );
    assert_eq!(metadata["annotations"]["vcluster.loft.sh/labels"], "app=\"web\"");
    assert_eq!(
        metadata["annotations"]["vcluster.loft.sh/owner-set-kind"],
        "StatefulSet"
    );
    assert_eq!(
        metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"],
        "true"
    );
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Service", "name": "vc", "uid": "cp", "controller": true}])
    );
}

#[test]
fn identity_and_scheduling_fields() {
    let host = spec(
        &ready_world(),
        json!({
            "containers": [], "serviceAccountName": "robot", "serviceAccount": "robot", "priorityClassName": "high", "priority": 7,
            "preemptionPolicy": "PreemptLowerPriority", "subdomain": "web", "hostname": "custom", "schedulerName": "mine",
            "automountServiceAccountToken": true, "enableServiceLinks": true, "terminationGracePeriodSeconds": 5,
        }),
    );
    assert_eq!(host["serviceAccountName"], "vc-workload-vc");
    for gone in [
        "serviceAccount",
        "priorityClassName",
        "priority",
        "preemptionPolicy",
        "subdomain",
    ] {
        assert_eq!(host.get(gone), None, "{gone}");
    }
    assert_eq!(host["automountServiceAccountToken"], false);
    assert_eq!(host["enableServiceLinks"], false);
    assert_eq!(
        (&host["hostname"], &host["schedulerName"]),
        (&json!("custom"), &json!("mine"))
    );
    assert_eq!(host["terminationGracePeriodSeconds"], 5);
    assert_eq!(
        host["hostAliases"],
        json!([{"ip": "10.0.0.1", "hostnames": [
            "kubernetes.default.svc.cluster.local", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        ]}])
    );
}

#[test]
fn hostnames_are_dns_labels() {
    assert_eq!(hostname("web.0"), "web-0");
    assert_eq!(hostname(&format!("{}.b", "a".repeat(62))), "a".repeat(62));
}

#[test]
fn dns_policies() {
    let world = ready_world();
    let ours = json!({
        "nameservers": ["10.0.0.53"],
        "searches": ["team.svc.cluster.local", "svc.cluster.local", "cluster.local"],
        "options": [{"name": "ndots", "value": "5"}],
    });
    let table = [
        (json!({"dnsPolicy": "ClusterFirst"}), true),
        (json!({}), true),
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), false),
        (
            json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}),
            true,
        ),
        (json!({"dnsPolicy": "Default"}), false),
        (json!({"dnsPolicy": "None"}), false),
    ];
    for (virtual_spec, rewritten) in table {
        let host = spec(&world, virtual_spec.clone());
        assert_eq!(host.get("dnsConfig").is_some(), rewritten, "{virtual_spec}");
        if rewritten {
            assert_eq!((&host["dnsPolicy"], &host["dnsConfig"]), (&json!("None"), &ours));
        }
    }
    let host = spec(
        &world,
        json!({"dnsConfig": {
            "nameservers": ["1.1.1.1", "10.0.0.53"], "searches": ["corp"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        }}),
    );
    assert_eq!(host["dnsConfig"]["nameservers"], json!(["10.0.0.53", "1.1.1.1"]));
    assert_eq!(host["dnsConfig"]["searches"][3], "corp");
    assert_eq!(
        host["dnsConfig"]["options"],
        json!([{"name": "ndots", "value": "2"}, {"name": "edns0"}])
    );
}

#[test]
fn environment_and_references() {
    let world = ready_world();
    world.put(
        Side::Virtual,
        Kind::Service,
        json!({
            "metadata": {"namespace": "team", "name": "db", "uid": "s"},
            "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 5432}]},
        }),
    );
    world.put(Side::Virtual, Kind::Service, json!({
        "metadata": {"namespace": "other", "name": "hidden", "uid": "s2"}, "spec": {"clusterIP": "10.0.0.8", "ports": [{"port": 1}]},
    }));
    let virtual_spec = json!({"containers": [{
        "name": "app", "image": "nginx",
        "env": [
            {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }]});
    let host = spec(&world, virtual_spec.clone());
    let container = &host["containers"][0];
    let env = json::items(container, &["env"]);
    let value = |name: &str| {
        env.iter()
            .find(|variable| variable["name"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(value("DB_SERVICE_HOST")["value"], "10.0.0.9");
    assert_eq!(value("KUBERNETES_SERVICE_HOST")["value"], "10.0.0.1");
    assert_eq!(value("KUBERNETES_SERVICE_PORT")["value"], "6443");
    assert_eq!(value("HIDDEN_SERVICE_HOST"), Value::Null);
    assert_eq!(value("PASSWORD")["valueFrom"]["secretKeyRef"]["name"], "db-x-team-x-vc");
    assert_eq!(
        value("ME")["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.annotations['vcluster.loft.sh/name']"
    );
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], "settings-x-team-x-vc");
    assert_eq!(env.last(), Some(&value("ME")), "the pod's own variables come last");

    let mut without_links = virtual_spec;
    without_links["enableServiceLinks"] = json!(false);
    let host = spec(&world, without_links);
    let names: Vec<&str> = json::items(&host["containers"][0], &["env"])
        .iter()
        .map(|variable| json::text(variable, &["name"]))
        .collect();
    assert!(!names.contains(&"DB_SERVICE_HOST") && names.contains(&"KUBERNETES_SERVICE_HOST"));
}

#[test]
fn images_are_replaced_by_exact_name() {
    let mut world = ready_world();
    world
        .settings
        .pods
        .translate_image
        .insert("nginx:1".into(), "mirror/nginx:1".into());
    let host = spec(
        &world,
        json!({"containers": [{"image": "nginx:1"}], "initContainers": [{"image": "nginx:12"}]}),
    );
    assert_eq!(host["containers"][0]["image"], "mirror/nginx:1");
    assert_eq!(host["initContainers"][0]["image"], "nginx:12");
}

#[test]
fn volumes() {
    let host = spec(
        &ready_world(),
        json!({"volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]}},
        ]}),
    );
    let volumes = &host["volumes"];
    assert_eq!(volumes[0]["persistentVolumeClaim"]["claimName"], "data-x-team-x-vc");
    assert_eq!(
        volumes[1],
        json!({"name": "scratch", "persistentVolumeClaim": {"claimName": "web-0-scratch-x-team-x-vc"}})
    );
    let sources = &volumes[2]["projected"]["sources"];
    assert_eq!(
        sources[0],
        json!({"secret": {
            "name": "web-0-sa-token-x-team-x-vc", "optional": false,
            "items": [{"key": "kube-api-access-x.0", "path": "token", "mode": 420}],
        }})
    );
    assert_eq!(sources[1]["configMap"]["name"], "kube-root-ca.crt-x-team-x-vc");
    let field = &sources[2]["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"];
    assert_eq!(field, "metadata.annotations['vcluster.loft.sh/namespace']");
}

#[test]
fn affinity_selects_the_same_pods_on_the_host() {
    let world = ready_world();
    let term = |term: Value| {
        let virtual_spec = json!({"affinity": {"podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [term.clone()],
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
        }, "nodeAffinity": {"kept": true}}});
        let created = translated(&world, &pod(virtual_spec));
        let affinity = &created.pod["spec"]["affinity"];
        assert_eq!(affinity["nodeAffinity"], json!({"kept": true}));
        let affinity = &affinity["podAffinity"];
        let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"][0].clone();
        assert_eq!(
            affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"],
            required
        );
        (required, created.notes.len())
    };
    let selector = json!({"matchLabels": {"app": "db"}});
    let marked = |more: &[(&str, &str)]| {
        let mut labels = json!({"app": "db", keys::MARKER: "vc"});
        for (key, value) in more {
            labels[*key] = json!(value);
        }
        labels
    };

    let (own, _) = term(json!({"topologyKey": "zone", "labelSelector": selector}));
    assert_eq!(
        own,
        json!({"topologyKey": "zone", "labelSelector": {"matchLabels": marked(&[(keys::NAMESPACE, "team")])}})
    );

    let (listed, notes) = term(json!({"topologyKey": "zone", "labelSelector": selector, "namespaces": ["a", "b"]}));
    let expression = json!([{"key": keys::NAMESPACE, "operator": "In", "values": ["a", "b"]}]);
    assert_eq!(
        listed["labelSelector"],
        json!({"matchLabels": marked(&[]), "matchExpressions": expression})
    );
    assert_eq!(notes, 0);

    let by_label = json!({"matchLabels": {"team": "a"}});
    let (selected, _) = term(json!({"topologyKey": "zone", "labelSelector": selector, "namespaceSelector": by_label}));
    let key = world.names.namespace_label("team");
    assert_eq!(
        selected["labelSelector"],
        json!({"matchLabels": marked(&[(key.as_str(), "a")])})
    );

    let (all, _) =
        term(json!({"topologyKey": "zone", "labelSelector": selector, "namespaceSelector": {}, "namespaces": ["a"]}));
    assert_eq!(all["labelSelector"], json!({"matchLabels": marked(&[])}));

    let both =
        json!({"topologyKey": "zone", "labelSelector": selector, "namespaceSelector": by_label, "namespaces": ["a"]});
    assert_eq!(term(both).1, 2, "a warning for each of the two terms");
}

#[test]
fn spreading_and_tolerations() {
    let mut world = ready_world();
    world.settings.pods.tolerations = vec![json!({"operator": "Exists"})];
    let host = spec(
        &world,
        json!({
            "topologySpreadConstraints": [{"maxSkew": 1, "labelSelector": {"matchLabels": {"app": "a"}}}],
            "tolerations": [{"key": "k", "operator": "Exists"}],
        }),
    );
    let constraint = &host["topologySpreadConstraints"][0];
    assert_eq!(
        constraint["labelSelector"],
        json!({"matchLabels": {"app": "a", keys::MARKER: "vc", keys::NAMESPACE: "team"}})
    );
    assert_eq!(
        host["tolerations"],
        json!([{"key": "k", "operator": "Exists"}, {"operator": "Exists"}])
    );
}

/// What the virtual API server makes of the keys, if it is new enough, is what gets to the host: one that would do so again
/// refuses pods that have a key twice.
#[test]
fn keys_of_labels_become_what_they_stand_for() {
    let world = ready_world();
    let hidden = world.names.label_to_host("release");
    let expected = || {
        json!([
            {"key": "app", "operator": "In", "values": ["web"]}, {"key": hidden, "operator": "NotIn", "values": ["7"]},
        ])
    };
    for resolved in [false, true] {
        let mut selector = json!({"matchLabels": {"tier": "front"}});
        let mut spread = selector.clone();
        if resolved {
            let app = json!({"key": "app", "operator": "In", "values": ["web"]});
            spread["matchExpressions"] = json!([app]);
            selector["matchExpressions"] = json!([app, {"key": "release", "operator": "NotIn", "values": ["7"]}]);
        }
        let term = json!({
            "topologyKey": "zone", "labelSelector": selector,
            "matchLabelKeys": ["app", "absent"], "mismatchLabelKeys": ["release"],
        });
        let mut pod = pod(json!({
            "affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [term],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}],
            }},
            "topologySpreadConstraints": [
                {"labelSelector": spread, "matchLabelKeys": ["app"]}, {"matchLabelKeys": ["app"]},
            ],
        }));
        pod["metadata"]["labels"]["release"] = json!("7");
        let host = translated(&world, &pod).pod["spec"].clone();
        let affinity = &host["affinity"]["podAntiAffinity"];
        let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"][0];
        let preferred = &affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
        let constraints = &host["topologySpreadConstraints"];
        assert_eq!(required["labelSelector"]["matchExpressions"], expected(), "{resolved}");
        assert_eq!(preferred, required, "{resolved}");
        assert_eq!(
            constraints[0]["labelSelector"]["matchExpressions"],
            json!([{"key": "app", "operator": "In", "values": ["web"]}]),
            "{resolved}"
        );
        for holder in [required, &constraints[0], &constraints[1]] {
            for field in ["matchLabelKeys", "mismatchLabelKeys"] {
                assert_eq!(holder.get(field), None, "{field} {resolved}");
            }
        }
        assert_eq!(
            constraints[1].get("labelSelector"),
            None,
            "nothing is selected: {resolved}"
        );
    }
}

#[test]
fn pods_with_a_subdomain_know_their_full_name() {
    let mut world = ready_world();
    world.settings.pods.rewrite_hosts = Some(RewriteHosts {
        image: "alpine".into(),
        resources: json!({"limits": {"cpu": "30m"}}),
        user: 1001,
    });
    let created = translated(
        &world,
        &pod(json!({"subdomain": "web", "containers": [{"name": "app"}], "initContainers": [{"name": "i"}]})),
    );
    let host = &created.pod["spec"];
    let rewriter = &host["initContainers"][0];
    assert_eq!(rewriter["name"], "vcluster-rewrite-hosts");
    let script = rewriter["args"][1].as_str().expect("a script");
    assert!(script.contains("web-0.web.team.svc.cluster.local web-0"), "{script}");
    for container in [&host["initContainers"][1], &host["containers"][0]] {
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/hosts");
    }
    assert_eq!(
        created.pod["metadata"]["annotations"]["vcluster.loft.sh/hosts-rewritten"],
        "true"
    );
    assert_eq!(spec(&world, json!({"containers": []})).get("initContainers"), None);
    let mut own_way = pod(json!({"subdomain": "web", "containers": []}));
    own_way["metadata"]["annotations"] = json!({"vcluster.loft.sh/disable-subdomain-rewrite": "true"});
    let spec = translated(&world, &own_way).pod["spec"].clone();
    assert_eq!((spec.get("initContainers"), spec.get("subdomain")), (None, None));
}

/// What an autoscaler and the host's view of workloads learn about a pod.
#[test]
fn who_is_behind_a_pod_is_said_in_annotations() {
    const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let owner = |version: &str, kind: &str, controller: bool| json!([{"apiVersion": version, "kind": kind, "name": "o", "uid": "o", "controller": controller}]);
    let table = [
        (
            owner("apps/v1", "ReplicaSet", true),
            json!({}),
            Some("ReplicaSet"),
            "true",
            None,
        ),
        (
            owner("apps/v1", "DaemonSet", true),
            json!({}),
            Some("DaemonSet"),
            "true",
            Some("true"),
        ),
        (owner("batch/v1", "Job", true), json!({}), None, "true", None),
        (
            owner("example.com/v1", "ReplicaSet", true),
            json!({}),
            None,
            "true",
            None,
        ),
        (owner("example.com/v1", "Widget", false), json!({}), None, "false", None),
        (json!([]), json!({}), None, "false", None),
        (json!([]), json!({SAFE: "true"}), None, "true", None),
    ];
    for (owners, annotations, kind, is_safe, of_daemon_set) in table {
        let mut pod = pod(json!({"containers": []}));
        pod["metadata"]["ownerReferences"] = owners.clone();
        pod["metadata"]["annotations"] = annotations;
        let said = translated(&ready_world(), &pod).pod["metadata"]["annotations"].clone();
        let of = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(of("vcluster.loft.sh/owner-set-kind").as_deref(), kind, "{owners}");
        assert_eq!(of(SAFE).as_deref(), Some(is_safe), "{owners}");
        assert_eq!(
            of("cluster-autoscaler.kubernetes.io/daemonset-pod").as_deref(),
            of_daemon_set,
            "{owners}"
        );
        let stated = (owners != json!([])).then(|| owners.to_string());
        assert_eq!(of("vcluster.loft.sh/owner-references"), stated);
    }
}

#[test]
fn nothing_in_a_spec_makes_translation_panic() {
    let odd = [
        json!(null),
        json!([]),
        json!("x"),
        json!({"containers": "x", "volumes": [1, {"projected": []}], "affinity": 3}),
    ];
    for spec in odd {
        translated(&ready_world(), &pod(spec));
    }
}
