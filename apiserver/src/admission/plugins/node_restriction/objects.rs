//! What the plugin has to know of pods, labels and requests for certificates.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use machinery::field::go_quote;
use machinery::{meta, references};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes that kubelets may set on their nodes.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Prefixes of such labels, each with everything below it.
const KUBELET_LABEL_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Volumes that need nothing of the API.
const LOCAL_VOLUMES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];
/// Volumes that do, and what they need.
const API_VOLUMES: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];
/// The same for the sources of projected volumes.
const API_SOURCES: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];
/// Volumes of old kinds that CSI drivers serve today (`k8s.io/csi-translation-lib`).
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

/// Whether a field has a value.
pub(super) fn is_set(owner: &Value, field: &str) -> bool {
    owner.get(field).is_some_and(|value| !value.is_null())
}

/// The CSI driver that serves a volume, also one of an old kind; empty when there is none.
pub(super) fn driver(source: &Value) -> String {
    let csi = meta::str_at(source, &["csi", "driver"]);
    let migrated = || {
        MIGRATED
            .iter()
            .find(|(kind, _)| is_set(source, kind))
            .map(|(_, driver)| *driver)
    };
    csi.or_else(migrated).unwrap_or_default().to_owned()
}

pub(super) fn of_one_volume(pod: &Value, volume: &Value) -> Value {
    serde_json::json!({"metadata": {"name": meta::name(pod)}, "spec": {"volumes": [volume]}})
}

/// What a pod needs of the API, by upstream's words for it (`podutil.HasAPIObjectReference`).
pub(super) fn used_by(pod: &Value) -> Result<Option<&'static str>, String> {
    if meta::str_at(pod, &["spec", "serviceAccountName"]).is_some_and(|name| !name.is_empty()) {
        return Ok(Some("serviceaccounts"));
    }
    if !references::pod_secrets(pod).is_empty() {
        return Ok(Some("secrets"));
    }
    if !references::pod_config_maps(pod).is_empty() {
        return Ok(Some("configmaps"));
    }
    if !meta::list_at(pod, &["spec", "resourceClaims"]).is_empty() {
        return Ok(Some("resourceclaims"));
    }
    let found = |owner: &Value, table: &'static [(&str, &'static str)]| {
        table
            .iter()
            .find(|(kind, _)| is_set(owner, kind))
            .map(|(_, what)| *what)
    };
    for volume in meta::list_at(pod, &["spec", "volumes"]) {
        let name = go_quote(meta::str_at(volume, &["name"]).unwrap_or_default());
        if LOCAL_VOLUMES.iter().any(|kind| is_set(volume, kind)) {
            continue;
        }
        if let Some(what) = found(volume, &API_VOLUMES) {
            return Ok(Some(what));
        }
        if !is_set(volume, "projected") {
            return Err(format!("unknown volume type for volume  {name}"));
        }
        for source in meta::list_at(volume, &["projected", "sources"]) {
            match found(source, &API_SOURCES) {
                Some(what) => return Ok(Some(what)),
                None if is_set(source, "downwardAPI") => {}
                None => return Err(format!("unknown source for projected volume {name}")),
            }
        }
    }
    Ok(None)
}

/// A value, unless it is null or empty.
pub(super) fn filled<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    meta::at(object, path).filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    })
}

pub(super) fn labels(object: &Value) -> Option<&Map<String, Value>> {
    filled(object, &["metadata", "labels"]).and_then(Value::as_object)
}

/// The labels that differ although a kubelet must not touch them, sorted and joined.
pub(super) fn forbidden_labels(old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>) -> Option<String> {
    let value = |labels: Option<&Map<String, Value>>, key: &str| labels.and_then(|labels| labels.get(key)).cloned();
    let keys: BTreeSet<&str> = [old, new]
        .into_iter()
        .flatten()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let changed = keys.into_iter().filter(|key| value(old, key) != value(new, key));
    let forbidden: Vec<&str> = changed.filter(|key| is_forbidden(key)).collect();
    (!forbidden.is_empty()).then(|| forbidden.join(", "))
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |outer: &&str| {
        domain
            .strip_suffix(*outer)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let of_kubelets = KUBELET_LABELS.contains(&label) || KUBELET_LABEL_DOMAINS.iter().any(&within);
    within(&RESTRICTED) || (["kubernetes.io", "k8s.io"].iter().any(within) && !of_kubelets)
}

/// The common name in a certificate request, which is PEM in base64.
pub(super) fn common_name(request: &str) -> Result<String, String> {
    const LABEL: &str = "CERTIFICATE REQUEST";
    let pem = BASE64_STANDARD.decode(request).unwrap_or_default();
    let block = x509_parser::pem::parse_x509_pem(&pem).map(|(_, block)| block);
    let block = block.ok().filter(|block| block.label == LABEL);
    let block = block.ok_or_else(|| format!("PEM block type must be {LABEL}"))?;
    let parsed = X509CertificationRequest::from_der(&block.contents);
    let (_, request) = parsed.map_err(|_| "x509: malformed certificate request".to_owned())?;
    let subject = &request.certification_request_info.subject;
    // As Go does, the last of several counts.
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    Ok(name.unwrap_or_default().to_owned())
}
