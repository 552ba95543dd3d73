//! Every field of a pod's spec and every source of a volume (Kubernetes 1.36), and what becomes of it on the host.

use super::tests::{ready_world, spec};
use super::*;

/// Fields that go down as they are: they name nothing, or what has the same name on both sides.
fn kept() -> Value {
    json!({
        "activeDeadlineSeconds": 5,
        "hostIPC": true,
        "hostNetwork": true,
        "hostPID": true,
        "hostUsers": false,
        "hostname": "h",
        "hostnameOverride": "o",
        "nodeName": "n",
        "nodeSelector": {"zone": "a"},
        "os": {"name": "linux"},
        "readinessGates": [{"conditionType": "example.com/ready"}],
        "resources": {"limits": {"cpu": "1"}},
        "restartPolicy": "Never",
        "runtimeClassName": "sandbox",
        "schedulerName": "other",
        "schedulingGates": [{"name": "example.com/gate"}],
        "securityContext": {"runAsUser": 1000},
        "setHostnameAsFQDN": true,
        "shareProcessNamespace": true,
        "terminationGracePeriodSeconds": 1,
    })
}

/// Fields that stay behind: the host has its own, or only the virtual cluster knows what they name.
fn left_out() -> Value {
    json!({
        "ephemeralContainers": [{"name": "debug", "image": "i"}],
        "overhead": {"cpu": "1"},
        "preemptionPolicy": "Never",
        "priority": 2_000_000_000,
        "priorityClassName": "system-node-critical",
        "schedulingGroup": {"podGroupName": "g"},
        "serviceAccount": "admin",
        "subdomain": "web",
    })
}

/// Fields whose value is another one on the host, and that value.
fn changed() -> Vec<(&'static str, Value, Value)> {
    let alias = json!({"ip": "10.0.0.1", "hostnames": [
        "kubernetes.default.svc.cluster.local", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    ]});
    vec![
        ("automountServiceAccountToken", json!(true), json!(false)),
        ("enableServiceLinks", json!(true), json!(false)),
        ("serviceAccountName", json!("admin"), json!("vc-workload-vc")),
        ("hostAliases", json!([]), json!([alias])),
        (
            "imagePullSecrets",
            json!([{"name": "p"}]),
            json!([{"name": "p-x-team-x-vc"}]),
        ),
        ("dnsPolicy", json!("ClusterFirstWithHostNet"), json!("None")),
    ]
}

/// Volume sources with what they name, in the virtual cluster and on the host.
fn translated_sources() -> Vec<(Value, Value)> {
    let secret = |source: &str| {
        let of = |name: &str| json!({source: {"secretRef": {"name": name}}});
        (of("s"), of("s-x-team-x-vc"))
    };
    let mut sources: Vec<(Value, Value)> = ["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"]
        .map(secret)
        .into();
    sources.extend([
        (json!({"configMap": {"name": "c"}}), json!({"configMap": {"name": "c-x-team-x-vc"}})),
        (json!({"secret": {"secretName": "s"}}), json!({"secret": {"secretName": "s-x-team-x-vc"}})),
        (
            json!({"persistentVolumeClaim": {"claimName": "d"}}),
            json!({"persistentVolumeClaim": {"claimName": "d-x-team-x-vc"}}),
        ),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {}}}),
            json!({"persistentVolumeClaim": {"claimName": "web-0-v-x-team-x-vc"}}),
        ),
        (json!({"azureFile": {"secretName": "s"}}), json!({"azureFile": {"secretName": "s-x-team-x-vc"}})),
        (
            json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}),
            json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "s-x-team-x-vc"}}}),
        ),
        (json!({"glusterfs": {"endpoints": "e"}}), json!({"glusterfs": {"endpoints": "e-x-team-x-vc"}})),
        (json!({"hostPath": {"path": "/var/log"}}), json!({"hostPath": {"path": "/tmp/vcluster/host/vc/log"}})),
        (
            json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
            json!({"downwardAPI": {"items": [
                {"path": "n", "fieldRef": {"fieldPath": "metadata.annotations['vcluster.loft.sh/name']"}},
            ]}}),
        ),
        (
            json!({"projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}}),
            json!({"projected": {"sources": [{"secret": {"name": "s-x-team-x-vc"}}, {"configMap": {"name": "c-x-team-x-vc"}}]}}),
        ),
    ]);
    sources
}

/// Volume sources that name nothing of a cluster.
const KEPT_SOURCES: [&str; 14] = [
    "awsElasticBlockStore",
    "azureDisk",
    "emptyDir",
    "fc",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "image",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "vsphereVolume",
    "hostPath",
];

#[test]
fn fields_that_name_nothing_go_down_as_they_are() {
    let wanted = kept();
    let host = spec(&ready_world(), wanted.clone());
    for (field, value) in wanted.as_object().expect("fields") {
        assert_eq!(&host[field], value, "{field}");
    }
}

#[test]
fn fields_that_are_not_the_tenants_stay_behind() {
    let host = spec(&ready_world(), left_out());
    for field in left_out().as_object().expect("fields").keys() {
        assert_eq!(host.get(field), None, "{field}");
    }
}

#[test]
fn identity_and_names_are_those_of_the_host() {
    for (field, virtual_, expected) in changed() {
        assert_eq!(
            spec(&ready_world(), json!({field: virtual_}))[field],
            expected,
            "{field}"
        );
    }
}

#[test]
fn sources_of_volumes_name_copies() {
    for (mut virtual_, mut expected) in translated_sources() {
        virtual_["name"] = json!("v");
        expected["name"] = json!("v");
        let host = spec(&ready_world(), json!({"volumes": [virtual_]}));
        assert_eq!(host["volumes"][0], expected);
    }
    for source in KEPT_SOURCES {
        let volume = json!({"name": "v", source: {"path": "/srv", "anything": "else"}});
        let host = spec(&ready_world(), json!({"volumes": [volume]}));
        assert_eq!(host["volumes"][0], volume, "{source}");
    }
}
