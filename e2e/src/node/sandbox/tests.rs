//! One pod with every source of variables and files.

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "ns", "uid": "u1", "labels": {"app": "web"}},
        "spec": {
            "nodeName": "node-1",
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kubernetes"]}],
            "dnsConfig": {"nameservers": ["10.96.0.10"], "searches": ["ns.svc.cluster.local"], "options": [{"name": "ndots", "value": "5"}]},
            "volumes": [
                {"name": "config", "configMap": {"name": "settings"}},
                {"name": "one", "secret": {"secretName": "keys", "items": [{"key": "password", "path": "db/pw"}]}},
                {"name": "info", "projected": {"sources": [
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                    {"serviceAccountToken": {"path": "token"}}]}}],
            "containers": [{"name": "web", "image": "nginx", "args": ["serve", "$(WHO)", "$$(WHO)", "$(NOPE)"],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}, {"name": "one", "mountPath": "/keys"},
                    {"name": "config", "mountPath": "/single", "subPath": "a"}, {"name": "info", "mountPath": "/info/"}],
                "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}],
                "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
                    {"name": "BOTH", "value": "$(WHO)-$(PW)"},
                    {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "x", "optional": true}}}]}]}
    }))
    .unwrap()
}

fn objects() -> Objects {
    let mut objects = Objects::default();
    objects.add_config_map(
        "settings",
        &serde_json::from_value(json!({"data": {"a": "1"}})).unwrap(),
    );
    objects.add_secret(
        "keys",
        &serde_json::from_value(json!({"data": {"password": "cHc="}})).unwrap(),
    );
    objects.set_token("jwt".to_string());
    objects
}

#[test]
fn environment_and_files() {
    let pod = pod();
    let container = containers(&pod).next().unwrap();
    let view = view(&pod, container, &objects()).unwrap();
    let env = |name: &str| {
        view.env
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        [env("S_a"), env("WHO"), env("BOTH"), env("MAYBE")],
        [Some("1"), Some("web-0"), Some("web-0-pw"), None]
    );
    let file = |path: &str| {
        view.files
            .get(path)
            .map(|content| String::from_utf8(content.clone()).unwrap())
    };
    for (path, content) in [
        ("/etc/config/a", "1"),
        ("/single", "1"),
        ("/keys/db/pw", "pw"),
        ("/info/labels", "app=\"web\""),
        ("/info/token", "jwt"),
        ("/etc/hostname", "web-0\n"),
        (
            "/etc/resolv.conf",
            "search ns.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
        ),
    ] {
        assert_eq!(file(path).as_deref(), Some(content), "{path}");
    }
    assert!(file("/etc/hosts").unwrap().contains("10.0.0.1\tkubernetes\n"));
    assert_eq!(command_line(container, &view), ["serve", "web-0", "$(WHO)", "$(NOPE)"]);
    assert_eq!(missing(&pod, &objects()), Missing::default());
    assert!(wants_token(&pod));
}

#[test]
fn what_is_missing_is_named() {
    let pod = pod();
    let names = ["absent", "settings"].map(|name| Reference::ConfigMap(name.to_string()));
    assert_eq!(
        references(&pod),
        names
            .into_iter()
            .chain([Reference::Secret("keys".to_string())])
            .collect()
    );
    let nothing = missing(&pod, &Objects::default());
    let mounts = ["config", "one"].map(|name| format!("MountVolume.SetUp failed for volume \"{name}\" : "));
    assert!(
        nothing
            .volumes
            .iter()
            .zip(&mounts)
            .all(|(found, start)| found.starts_with(start)),
        "{nothing:?}"
    );
    assert_eq!(nothing.environment["web"], "configmap \"settings\" not found");
    let mut objects = objects();
    objects.add_secret("keys", &Secret::default());
    assert_eq!(
        missing(&pod, &objects).environment["web"],
        "couldn't find key password in Secret ns/keys"
    );
}
