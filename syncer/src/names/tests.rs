use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::Strings;

mod collisions;
mod selection;

const LONG_CONFIG_MAP: &str = "my.config.with.dots-and-a-rather-long-name-for-a-config.map";

#[test]
fn host_names() {
    let table = [
        ("my-vcluster", "nginx", "default", "nginx-x-default-x-my-vcluster"),
        ("suffix", "test", "test", "test-x-test-x-suffix"),
        (
            "my-vcluster",
            "kube-dns",
            "kube-system",
            "kube-dns-x-kube-system-x-my-vcluster",
        ),
        (
            "my-vcluster",
            "my-super-long-application-deployment-7f9c6d5b8-x2k4p",
            "production",
            "my-super-long-application-deployment-7f9c6d5b8-x2k4p-1fec5a0efe",
        ),
        (
            "my-vcluster",
            LONG_CONFIG_MAP,
            "team-a",
            "my.config.with.dots-and-a-rather-long-name-for-a-con-9299d038b4",
        ),
        (
            "my-vcluster",
            "nginx-sa-token",
            "default",
            "nginx-sa-token-x-default-x-my-vcluster",
        ),
        ("my-vcluster", "", "default", ""),
    ];
    for (vcluster, name, namespace, expected) in table {
        assert_eq!(Names::new(vcluster, "host").host_name(name, namespace), expected);
    }
    let dotted = format!("{}.yyyyyyyyyyy", "x".repeat(51));
    let expected = format!("{}-19b3705f45", "x".repeat(51));
    assert_eq!(
        Names::new("my-vcluster", "host").host_name(&dotted, "default"),
        expected
    );
    let dashed = format!("{}-x--986990a879", "a".repeat(49));
    assert_eq!(Names::new("vc", "host").host_name(&"a".repeat(49), "default"), dashed);
}

#[test]
fn short_and_cluster_names() {
    let names = Names::new("my-vcluster", "vcluster-my-vcluster");
    assert_eq!(names.short_host_name("gpu-claim", "default"), "v17pvjeqctre79");
    assert_eq!(names.short_host_name("tmpl", "ml"), "v3azkrr9rq1afs");
    assert_eq!(
        names.cluster_host_name("gold"),
        "vcluster-gold-x-vcluster-my-vcluster-x-my-vcluster"
    );
    assert_eq!(
        names.cluster_host_name("a-very-long-priority-class-name-for-batch"),
        "vcluster-a-very-long-priority-class-name-for-batch-x-953543b0cb"
    );
    assert_eq!(names.cluster_marker(), "vcluster-my-vcluster-x-my-vcluster");
    assert_eq!(
        names.node_service("worker-1.example.com"),
        "my-vcluster-node-worker-1-example-com"
    );
}

#[test]
fn label_keys() {
    let suffix = Names::new("suffix", "host");
    assert_eq!(
        suffix.label_to_host("release"),
        "vcluster.loft.sh/label-suffix-x-a4d451ec23"
    );
    assert_eq!(
        suffix.label_to_host(keys::NAMESPACE),
        "vcluster.loft.sh/label-suffix-x-101dcd4e86"
    );
    assert_eq!(
        suffix.label_to_host(keys::MARKER),
        "vcluster.loft.sh/label-suffix-x-e5f1b28ab2"
    );
    assert_eq!(suffix.label_to_host("app"), "app");
    let names = Names::new("my-vcluster", "host");
    assert_eq!(
        names.label_to_host(keys::CONTROLLED_BY),
        "vcluster.loft.sh/label-my-vcluster-x-2080cec00f"
    );
    assert_eq!(
        names.namespace_label("kubernetes.io/metadata.name"),
        "vcluster.loft.sh/ns-label-my-vcluster-x-cf1227b7b2"
    );
    let long = Names::new("a-quite-long-virtual-cluster-name-here", "host");
    assert_eq!(
        long.namespace_label("team"),
        "vcluster.loft.sh/ns-label-a-quite-long-virtual-clust-b6f10e273e"
    );
}

fn strings(pairs: &[(&str, &str)]) -> Strings {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn labels_go_down_marked_and_come_back_without_marks() {
    let names = Names::new("vc", "host");
    let labels = strings(&[
        ("app", "web"),
        ("release", "r1"),
        ("vcluster.loft.sh/label-other-x-0000000000", "kept"),
    ]);
    let host = names.labels_to_host(&labels, Some("team"));
    assert_eq!(host[keys::MARKER], "vc");
    assert_eq!(host[keys::NAMESPACE], "team");
    assert!(!host.contains_key("release"));
    let back: Strings = host
        .iter()
        .filter_map(|(key, value)| Some((names.label_to_virtual(key)?.to_owned(), value.clone())))
        .collect();
    assert_eq!(back, labels);
}

#[test]
fn labels_that_speak_for_the_syncer_are_hidden() {
    let names = Names::new("vc", "host");
    let namespace_label = names.namespace_label("team");
    let written = strings(&[
        (&names.label_to_host("release"), "spoofed"),
        (&namespace_label, "spoofed"),
        ("vcluster.loft.sh/label-vc-x-0000000000", "spoofed"),
        (keys::MARKER, "other"),
        (keys::NAMESPACE, "other"),
    ]);
    let host = names.labels_to_host(&written, Some("team"));
    assert!(!host.contains_key(&*names.label_to_host("release")), "{host:?}");
    assert!(!host.contains_key(&namespace_label), "{host:?}");
    assert!(!host.contains_key("vcluster.loft.sh/label-vc-x-0000000000"), "{host:?}");
    assert_eq!((&*host[keys::MARKER], &*host[keys::NAMESPACE]), ("vc", "team"));
    // A virtual cluster inside selects its pods by them: selectors follow.
    let selector = names.label_selector_to_host(&json!({"matchLabels": {&namespace_label: "spoofed"}}));
    let hidden = names.label_to_host(&namespace_label).into_owned();
    assert_eq!(selector["matchLabels"], json!({&hidden: "spoofed"}));
    assert_eq!(host[&hidden], "spoofed");
    assert_eq!(names.label_to_virtual(&hidden), None);
    // The keys of one virtual cluster are no secrets of another one.
    let outer = Names::new("outer", "host");
    assert_ne!(outer.label_to_host(&namespace_label), namespace_label);
    assert_ne!(outer.label_to_host(&namespace_label), hidden);
}

#[test]
fn a_host_name_is_exclusive_when_its_parts_can_be_told_from_it() {
    let names = |vcluster| Names::new(vcluster, "host");
    let table = [
        ("vc", "web", "team", true),
        ("vc", "web-x-prod", "team", false),
        ("vc", "web", "a-x-b", false),
        ("vc", "web", "x-b", false),
        ("vc", "web-x", "b", false),
        ("b-x-vc", "web", "team", false),
        ("x-vc", "web", "team", false),
        (
            "vc",
            "a-name-of-fifty-characters-which-leaves-too-little-room",
            "team",
            false,
        ),
    ];
    for (vcluster, name, namespace, expected) in table {
        assert_eq!(
            names(vcluster).is_exclusive(name, namespace),
            expected,
            "{name} {namespace} {vcluster}"
        );
    }
    // What the rule is for: two objects of two virtual clusters, one host name.
    assert_eq!(
        names("vc").host_name("web-x-team", "b"),
        names("b-x-vc").host_name("web", "team")
    );
}

#[test]
fn selectors() {
    let names = Names::new("vc", "host");
    let map = names.map_selector_to_host(json!({"app": "web"}).as_object().expect("object"), "team");
    assert_eq!(
        Value::Object(map),
        json!({"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team"})
    );
    assert!(names.map_selector_to_host(&serde_json::Map::new(), "team").is_empty());

    let mut selector = names.label_selector_to_host(&json!({
        "matchLabels": {"release": "a"},
        "matchExpressions": [{"key": "release", "operator": "Exists"}],
    }));
    names.restrict(&mut selector, Some("team"));
    let key = names.label_to_host("release");
    assert_eq!(
        selector,
        json!({
            "matchLabels": {&*key: "a", keys::MARKER: "vc", keys::NAMESPACE: "team"},
            "matchExpressions": [{"key": &*key, "operator": "Exists"}],
        })
    );

    let mut merged = json!({"matchLabels": {"a": "1"}});
    merge_selectors(&mut merged, &json!({"matchLabels": {"a": "2", "b": "3"}}));
    assert_eq!(
        merged,
        json!({"matchLabels": {"a": "1", "b": "3"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["2"]}]})
    );
}

fn pair() -> (Names, Value) {
    let names = Names::new("vc", "host");
    let object = json!({"metadata": {
        "name": "web", "namespace": "team", "uid": "u1",
        "labels": {"app": "web"}, "annotations": {"note": "hello", keys::OBJECT_NAME: "forged"},
        "finalizers": ["keep.me/here"], "resourceVersion": "7",
    }});
    (names, object)
}

fn source<'a>(names: &'a Names, object: &'a Value) -> Source<'a> {
    Source {
        names,
        kind: "/v1, Kind=Pod",
        host_name: "web-x-team-x-vc",
        object,
        excluded: &["field.cattle.io/publicEndpoints"],
        host_labels: Strings::new(),
        host_annotations: Strings::new(),
        // Nothing is known from one look to the next.
        agreed: Box::leak(Box::default()),
    }
}

#[test]
fn a_new_host_object_is_ours_and_carries_no_server_fields() {
    let (names, object) = pair();
    let metadata = host_metadata(&source(&names, &object));
    assert_eq!(
        metadata,
        json!({
            "name": "web-x-team-x-vc",
            "namespace": "host",
            "labels": {"app": "web", keys::MARKER: "vc", keys::NAMESPACE: "team"},
            "annotations": {
                "note": "hello",
                keys::OBJECT_NAME: "web",
                keys::OBJECT_NAMESPACE: "team",
                keys::OBJECT_UID: "u1",
                keys::OBJECT_KIND: "/v1, Kind=Pod",
                keys::OBJECT_HOST_NAME: "web-x-team-x-vc",
                keys::OBJECT_HOST_NAMESPACE: "host",
                keys::MANAGED_ANNOTATIONS: "note",
                keys::MANAGED_LABELS: "app",
            },
        })
    );
    let host = json!({"metadata": metadata});
    let ours = Claim::Ours {
        namespace: "team".into(),
        name: "web".into(),
        uid: "u1".into(),
    };
    assert_eq!(claim(&names, "/v1, Kind=Pod", &host), ours);
    assert_eq!(
        reconcile_metadata(&source(&names, &object), &host),
        MetadataChange::default()
    );
}

#[test]
fn an_object_that_disagrees_with_itself_is_foreign() {
    let (names, object) = pair();
    let host = json!({"metadata": host_metadata(&source(&names, &object))});
    let table: [(&str, &str, Value); 6] = [
        ("labels", keys::MARKER, json!("other")),
        ("labels", keys::CONTROLLED_BY, json!("vcluster")),
        ("annotations", keys::OBJECT_NAME, Value::Null),
        ("annotations", keys::OBJECT_KIND, json!("/v1, Kind=Secret")),
        ("annotations", keys::OBJECT_HOST_NAME, json!("copied")),
        ("annotations", keys::OBJECT_HOST_NAMESPACE, json!("elsewhere")),
    ];
    for (map, key, value) in table {
        let mut changed = host.clone();
        changed["metadata"][map][key] = value;
        assert_eq!(claim(&names, "/v1, Kind=Pod", &changed), Claim::Foreign, "{map} {key}");
    }
}

#[test]
fn keys_follow_their_owner() {
    let (names, mut object) = pair();
    let mut host = json!({"metadata": host_metadata(&source(&names, &object))});
    // The host adds a key of its own: it goes up, and stays the host's.
    host["metadata"]["annotations"]["cni.example.com/ip"] = json!("10.0.0.1");
    host["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!("a");
    let change = reconcile_metadata(&source(&names, &object), &host);
    assert_eq!(change.host, None);
    assert_eq!(
        change.virtual_,
        Some(json!({
            "labels": {"topology.kubernetes.io/zone": "a"},
            "annotations": {"cni.example.com/ip": "10.0.0.1"},
        }))
    );
    object["metadata"]["annotations"]["cni.example.com/ip"] = json!("10.0.0.1");
    object["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!("a");
    assert_eq!(
        reconcile_metadata(&source(&names, &object), &host),
        MetadataChange::default()
    );
    host["metadata"]["annotations"]["cni.example.com/ip"] = json!("10.0.0.2");
    let change = reconcile_metadata(&source(&names, &object), &host);
    assert_eq!(change.host, None);
    assert_eq!(
        change.virtual_,
        Some(json!({"annotations": {"cni.example.com/ip": "10.0.0.2"}}))
    );

    // The virtual side changes, adds and removes keys: they go down.
    object["metadata"]["annotations"]["cni.example.com/ip"] = json!("10.0.0.2");
    object["metadata"]["labels"] = json!({"tier": "front", "topology.kubernetes.io/zone": "a"});
    let change = reconcile_metadata(&source(&names, &object), &host);
    assert_eq!(change.virtual_, None);
    assert_eq!(
        change.host,
        Some(json!({
            "labels": {"app": null, "tier": "front"},
            "annotations": {keys::MANAGED_LABELS: "tier"},
        }))
    );
}

/// A key of the host is changed in the virtual cluster, or removed on one of the sides, after both had it.
#[test]
fn keys_of_the_host_follow_who_has_changed_them() {
    const KEY: &str = "team.example.com/owner";
    let (names, object) = pair();
    let copy = json!({"metadata": host_metadata(&source(&names, &object))});
    let with = |object: &Value, value: Option<&str>| {
        let mut object = object.clone();
        for map in ["labels", "annotations"] {
            if let Some(value) = value {
                object["metadata"][map][KEY] = json!(value);
            }
        }
        object
    };
    let both = |value: Value| Some(json!({"labels": {KEY: value}, "annotations": {KEY: value}}));
    let owned = |value: &str| {
        Some(json!({
            "labels": {KEY: value},
            "annotations": {
                KEY: value,
                keys::MANAGED_LABELS: format!("app\n{KEY}"), keys::MANAGED_ANNOTATIONS: format!("note\n{KEY}"),
            },
        }))
    };
    let table = [
        (Some("b"), Some("a"), owned("b"), None),
        (Some("b"), Some("c"), owned("b"), None),
        (Some("b"), None, owned("b"), None),
        (Some("a"), Some("b"), None, both(json!("b"))),
        (Some("a"), None, None, both(Value::Null)),
        (None, Some("a"), both(Value::Null), None),
        (Some("a"), Some("a"), None, None),
    ];
    for (ours, theirs, host, virtual_) in table {
        let agreed = Agreed::default();
        let look = |ours: Option<&str>, theirs: Option<&str>| {
            let (object, host) = (with(&object, ours), with(&copy, theirs));
            let source = Source {
                agreed: &agreed,
                ..source(&names, &object)
            };
            reconcile_metadata(&source, &host)
        };
        assert_eq!(look(Some("a"), Some("a")), MetadataChange::default());
        let change = look(ours, theirs);
        assert_eq!(change, MetadataChange { host, virtual_ }, "{ours:?} {theirs:?}");
        assert_eq!(
            look(ours, theirs),
            change,
            "what was not written is written the next time"
        );
    }
    // A process that has just started knows nothing: the key is still the host's.
    let (object, host) = (with(&object, Some("b")), with(&copy, Some("a")));
    let change = reconcile_metadata(&source(&names, &object), &host);
    assert_eq!((change.host, change.virtual_), (None, both(json!("a"))));
}

#[test]
fn what_the_host_was_told_about_namespaces_and_owners_does_not_outlive_them() {
    let (names, object) = pair();
    let label = names.namespace_label("team");
    let told = Source {
        host_labels: strings(&[(&label, "blue")]),
        host_annotations: strings(&[(keys::OWNER_REFERENCES, "[]"), (keys::OWNER_SET_KIND, "ReplicaSet")]),
        ..source(&names, &object)
    };
    let host = json!({"metadata": host_metadata(&told)});
    assert_eq!(reconcile_metadata(&told, &host), MetadataChange::default());
    let change = reconcile_metadata(&source(&names, &object), &host);
    let gone = json!({
        "labels": {label: null},
        "annotations": {keys::OWNER_REFERENCES: null, keys::OWNER_SET_KIND: null},
    });
    assert_eq!((change.host, change.virtual_), (Some(gone), None));
}

#[test]
fn host_messages_lose_host_names() {
    let names = Names::new("vc", "host");
    let message = "pods \"web-x-team-x-vc\" is waiting for secret \"db-x-team-x-vc\"";
    assert_eq!(
        names.sanitise(message, "web", "team"),
        "pods \"web\" is waiting for secret \"db\""
    );
}

fn dns_label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
}

fn dns_subdomain() -> impl Strategy<Value = String> {
    prop::collection::vec(dns_label(), 1..4).prop_map(|parts| parts.join("."))
}

proptest! {
    #[test]
    fn host_names_fit_and_are_stable(name in dns_subdomain(), namespace in dns_label(), vcluster in "[a-z][a-z0-9-]{0,40}[a-z0-9]") {
        let names = Names::new(&vcluster, "host");
        let host = names.host_name(&name, &namespace);
        prop_assert!(!host.is_empty() && host.len() <= 63);
        prop_assert!(!host.contains(".-"));
        prop_assert_eq!(&host, &names.host_name(&name, &namespace));
        let joined = format!("{name}-x-{namespace}-x-{vcluster}");
        prop_assert!(joined.len() > 63 || host == joined);
    }

    #[test]
    fn different_long_names_differ(first in "[a-z]{64,90}", second in "[a-z]{64,90}") {
        prop_assume!(first != second);
        let names = Names::new("vc", "host");
        prop_assert_ne!(names.host_name(&first, "ns"), names.host_name(&second, "ns"));
    }

    #[test]
    fn safe_concat_never_breaks_on_any_text(parts in prop::collection::vec(any::<String>(), 0..4)) {
        let borrowed: Vec<&str> = parts.iter().map(String::as_str).collect();
        prop_assert!(safe_concat(&borrowed).len() <= 63);
    }

    #[test]
    fn labels_survive_the_round_trip(labels in prop::collection::btree_map("[a-z]{1,8}(/[a-z]{1,8})?", "[a-z]{0,8}", 0..6)) {
        let names = Names::new("vc", "host");
        let host = names.labels_to_host(&labels, Some("ns"));
        let back: Strings = host.iter()
            .filter_map(|(key, value)| Some((names.label_to_virtual(key)?.to_owned(), value.clone())))
            .collect();
        prop_assert_eq!(back, labels);
    }
}
