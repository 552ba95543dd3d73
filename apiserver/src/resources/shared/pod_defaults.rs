//! The defaults of pods and pod templates (upstream `pkg/apis/core/v1/defaults.go`, `SetDefaults_PodSpec` and what it
//! reaches).

use super::image;
use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::{Map, Value, json};

/// The lists of containers in a pod spec.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The service account's name and its older name; both are served (upstream's conversion).
const ACCOUNT_FIELDS: [&str; 2] = ["serviceAccountName", "serviceAccount"];

/// Volume sources whose files get mode 0644 unless told otherwise.
const SOURCES_WITH_MODE: [&str; 4] = ["secret", "configMap", "downwardAPI", "projected"];

/// Sets the defaults of a pod spec, also of one inside a template.
pub(crate) fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    let given = |field: &&str| {
        meta::str_at(spec, &[field])
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    let account = ACCOUNT_FIELDS.iter().find_map(given);
    if let Some(name) = account {
        for field in ACCOUNT_FIELDS {
            meta::set(spec, &[field], name.clone());
        }
    }
    meta::set_default(spec, &["dnsPolicy"], "ClusterFirst");
    meta::set_default(spec, &["restartPolicy"], "Always");
    meta::set_default(spec, &["securityContext"], json!({}));
    meta::set_default(spec, &["terminationGracePeriodSeconds"], 30);
    meta::set_default(spec, &["schedulerName"], "default-scheduler");
    for list in CONTAINER_LISTS {
        for container in items(spec, &[list]) {
            self::container(container);
        }
    }
    for volume in items(spec, &["volumes"]) {
        self::volume(volume);
    }
    for list in ["limits", "requests"] {
        round_up(spec, &["resources", list]);
    }
    round_up(spec, &["overhead"]);
}

/// Sets the defaults that apply to pods but not to templates (`SetDefaults_Pod`).
pub(crate) fn pod(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, &[list]) {
            requests_from_limits(container);
        }
    }
    meta::set_default(spec, &["enableServiceLinks"], true);
    if meta::bool_at(spec, &["hostNetwork"]) == Some(true) {
        for list in ["containers", "initContainers"] {
            for container in items(spec, &[list]) {
                for port in items(container, &["ports"]) {
                    if meta::i64_at(port, &["hostPort"]).unwrap_or_default() == 0 {
                        let number = port.get("containerPort").cloned().unwrap_or_default();
                        meta::set(port, &["hostPort"], number);
                    }
                }
            }
        }
    }
}

/// The items of a list that can be changed; none when there is no list.
pub(crate) fn items<'a>(value: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> {
    path.iter()
        .try_fold(value, |v, field| v.get_mut(*field))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter(|v| v.is_object())
}

fn container(container: &mut Value) {
    let policy = image::pull_policy(meta::str_at(container, &["image"]).unwrap_or_default());
    set_text(container, &["imagePullPolicy"], policy);
    set_text(container, &["terminationMessagePath"], "/dev/termination-log");
    set_text(container, &["terminationMessagePolicy"], "File");
    meta::set_default(container, &["resources"], json!({}));
    for list in ["limits", "requests"] {
        round_up(container, &["resources", list]);
    }
    for port in items(container, &["ports"]) {
        set_text(port, &["protocol"], "TCP");
    }
    for env in items(container, &["env"]) {
        if let Some(field) = env.pointer_mut("/valueFrom/fieldRef") {
            set_text(field, &["apiVersion"], "v1");
        }
        if let Some(key) = env.pointer_mut("/valueFrom/fileKeyRef").filter(|key| key.is_object()) {
            meta::set_default(key, &["optional"], false);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|p| p.is_object()) {
            self::probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = container.pointer_mut(&format!("/lifecycle/{hook}/httpGet")) {
            http_get(get);
        }
    }
}

fn probe(probe: &mut Value) {
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if meta::i64_at(probe, &[field]).unwrap_or_default() == 0 {
            meta::set(probe, &[field], value);
        }
    }
    if let Some(get) = probe.get_mut("httpGet").filter(|g| g.is_object()) {
        http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc").filter(|g| g.is_object()) {
        meta::set_default(grpc, &["service"], "");
    }
}

fn http_get(action: &mut Value) {
    set_text(action, &["path"], "/");
    set_text(action, &["scheme"], "HTTP");
}

fn volume(volume: &mut Value) {
    let sources = volume
        .as_object()
        .map_or(0, |v| v.keys().filter(|k| *k != "name").count());
    if sources == 0 {
        meta::set(volume, &["emptyDir"], json!({}));
    }
    for source in SOURCES_WITH_MODE {
        if let Some(source) = volume.get_mut(source).filter(|s| s.is_object()) {
            meta::set_default(source, &["defaultMode"], 0o644);
        }
    }
    for item in items(volume, &["downwardAPI", "items"]) {
        downward_item(item);
    }
    for source in items(volume, &["projected", "sources"]) {
        if let Some(token) = source.get_mut("serviceAccountToken").filter(|t| t.is_object()) {
            meta::set_default(token, &["expirationSeconds"], 3600);
        }
        for item in items(source, &["downwardAPI", "items"]) {
            downward_item(item);
        }
    }
    volume_source(volume);
    if let Some(source) = volume.get_mut("image").filter(|i| i.is_object()) {
        let policy = image::pull_policy(meta::str_at(source, &["reference"]).unwrap_or_default());
        set_text(source, &["pullPolicy"], policy);
    }
    if let Some(spec) = volume
        .pointer_mut("/ephemeral/volumeClaimTemplate/spec")
        .filter(|s| s.is_object())
    {
        set_text(spec, &["volumeMode"], "Filesystem");
    }
}

/// Sets the defaults of the sources that volumes of pods and PersistentVolumes share.
pub(crate) fn volume_source(volume: &mut Value) {
    if let Some(path) = volume.get_mut("hostPath").filter(|p| p.is_object()) {
        meta::set_default(path, &["type"], "");
    }
    for (source, defaults) in [
        ("iscsi", &[("iscsiInterface", "default")][..]),
        (
            "rbd",
            &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")],
        ),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
    ] {
        if let Some(source) = volume.get_mut(source).filter(|s| s.is_object()) {
            for (field, value) in defaults {
                set_text(source, &[*field], value);
            }
        }
    }
    if let Some(disk) = volume.get_mut("azureDisk").filter(|d| d.is_object()) {
        for (field, value) in [("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")] {
            meta::set_default(disk, &[field], value);
        }
        meta::set_default(disk, &["readOnly"], false);
    }
}

fn downward_item(item: &mut Value) {
    if let Some(field) = item.get_mut("fieldRef").filter(|f| f.is_object()) {
        set_text(field, &["apiVersion"], "v1");
    }
}

/// Limits without a request become the request.
fn requests_from_limits(container: &mut Value) {
    let Some(limits) = meta::map_at(container, &["resources", "limits"]).cloned() else {
        return;
    };
    let requests: &mut Map<String, Value> = meta::map_mut(container, &["resources", "requests"]);
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// Sets a text that is absent or empty.
pub(crate) fn set_text(value: &mut Value, path: &[&str], text: &str) {
    if meta::str_at(value, path).unwrap_or_default().is_empty() {
        meta::set(value, path, text);
    }
}

/// Amounts finer than a thousandth are rounded up (`SetDefaults_ResourceList`).
pub(crate) fn round_up(value: &mut Value, path: &[&str]) {
    let Some(map) = path
        .iter()
        .try_fold(value, |v, field| v.get_mut(*field))
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for amount in map.values_mut() {
        let Some(quantity) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) else {
            continue;
        };
        let rounded = quantity.rounded_up_to_millis();
        if rounded != quantity {
            *amount = rounded.to_string().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_pod_gets_every_default() {
        let mut spec = json!({"containers": [{"name": "c", "image": "a:1", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]});
        pod_spec(&mut spec);
        pod(&mut spec);
        let again = {
            let mut copy = spec.clone();
            pod_spec(&mut copy);
            pod(&mut copy);
            copy
        };
        assert_eq!(spec, again, "defaulting must be idempotent");
        assert_eq!(
            spec,
            json!({"containers": [{"name": "c", "image": "a:1", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
                "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}]})
        );
    }
}
