//! What owners make: of every kind an object that a number distinguishes from its other versions.

use serde_json::{Value, json};

/// A synced kind.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Path of its API.
    api: &'static str,
    pub(crate) plural: &'static str,
    /// What version `number` has besides its metadata.
    content: fn(u64) -> Value,
    /// Whether an update may bring the content of another version.
    pub(crate) content_changes: bool,
    /// What somebody on the host changes in a copy, as a merge patch of version `number`: it has to be changed back, or, entries of
    /// ConfigMaps and Secrets, to come up.
    pub(crate) vandalism: fn(u64) -> Value,
}

/// Where the number of a version stands in every object.
pub(crate) const VERSION: &str = "version";
/// The namespaces of owners, and the names that they choose; copies of the last one have shortened names.
pub(crate) const NAMESPACES: [&str; 2] = ["red", "blue"];
pub(crate) const NAMES: [&str; 3] = ["a", "b", "a-name-that-is-so-long-that-its-copy-needs-another-one"];

impl Kind {
    /// The path of all objects of a namespace.
    pub(crate) fn path(&self, namespace: &str) -> String {
        format!("{}/namespaces/{namespace}/{}", self.api, self.plural)
    }

    /// The path of all objects of a cluster.
    pub(crate) fn everywhere(&self) -> String {
        format!("{}/{}", self.api, self.plural)
    }

    /// Version `number` of an object.
    pub(crate) fn object(&self, name: &str, number: u64) -> Value {
        let mut object = (self.content)(number);
        object["metadata"] = json!({
            "name": name,
            "labels": {"app": name, "parity": if number.is_multiple_of(2) { "even" } else { "odd" }},
            "annotations": {VERSION: number.to_string()},
        });
        object
    }
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind {
        name: "ConfigMap",
        api: "/api/v1",
        plural: "configmaps",
        content: |number| json!({"data": {"version": number.to_string()}}),
        content_changes: true,
        vandalism: |number| json!({"data": {"version": format!("not {number}"), "more": "x"}}),
    },
    Kind {
        name: "Secret",
        api: "/api/v1",
        plural: "secrets",
        content: |number| json!({"type": "Opaque", "stringData": {"version": number.to_string()}}),
        content_changes: true,
        vandalism: |_| json!({"data": {"version": "bm90aGluZw==", "more": "eA=="}}),
    },
    Kind {
        name: "Service",
        api: "/api/v1",
        plural: "services",
        content: |number| {
            let kind = ["ClusterIP", "NodePort", "LoadBalancer"][number as usize % 3];
            json!({"spec": {"type": kind, "selector": {"app": "a"}, "ports": [{"name": "http", "port": 1_000 + number}]}})
        },
        content_changes: false,
        vandalism: |number| json!({"spec": {"selector": {"app": format!("x{number}")}, "sessionAffinity": "ClientIP"}}),
    },
    Kind {
        name: "PersistentVolumeClaim",
        api: "/api/v1",
        plural: "persistentvolumeclaims",
        content: |number| {
            json!({"spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                "resources": {"requests": {"storage": format!("{}Mi", 100 + number)}},
            }})
        },
        content_changes: false,
        vandalism: |_| json!({"metadata": {"labels": {"app": "nobody"}}}),
    },
    Kind {
        name: "Ingress",
        api: "/apis/networking.k8s.io/v1",
        plural: "ingresses",
        content: |number| {
            let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
            json!({"spec": {
                "tls": [{"secretName": "a"}],
                "rules": [{"host": format!("v{number}.example.com"), "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": backend},
                ]}}],
            }})
        },
        content_changes: true,
        vandalism: |_| json!({"spec": {"rules": null, "defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}}}),
    },
    Kind {
        name: "Pod",
        api: "/api/v1",
        plural: "pods",
        content: |number| {
            let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "a"}});
            let secret = json!({"name": "keys", "secret": {"secretName": "b"}});
            let settings = ["a", "b"][number as usize % 2];
            json!({"spec": {
                "terminationGracePeriodSeconds": number % 3 * 5,
                "containers": [{
                    "name": "app", "image": format!("registry.example.com/app:{number}"),
                    "envFrom": [{"configMapRef": {"name": settings}}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "keys", "mountPath": "/keys"}],
                }],
                "volumes": [claim, secret],
            }})
        },
        content_changes: false,
        vandalism: |_| json!({"metadata": {"labels": {"app": "nobody"}, "annotations": {VERSION: "0"}}}),
    },
];

/// The kind of a name.
pub(crate) fn pods() -> &'static Kind {
    let [.., pods] = &KINDS;
    pods
}
