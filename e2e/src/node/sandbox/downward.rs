//! The downward API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectFieldSelector, Pod};

/// A field of the pod as the downward API shows it (pkg/fieldpath/fieldpath.go).
pub(super) fn field_value(pod: &Pod, field: &ObjectFieldSelector) -> Result<String, String> {
    let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let owned = |value: Option<&String>| Ok(value.cloned().unwrap_or_default());
    let path = field.field_path.as_str();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return match map {
            "metadata.labels" => owned(meta.labels.as_ref().and_then(|labels| labels.get(key))),
            "metadata.annotations" => owned(meta.annotations.as_ref().and_then(|annotations| annotations.get(key))),
            _ => Err(format!("unsupported fieldPath: {path}")),
        };
    }
    match path {
        "metadata.name" => owned(meta.name.as_ref()),
        "metadata.namespace" => owned(meta.namespace.as_ref()),
        "metadata.uid" => owned(meta.uid.as_ref()),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "spec.nodeName" => owned(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => owned(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => owned(status.and_then(|status| status.host_ip.as_ref())),
        "status.podIP" | "status.podIPs" => owned(status.and_then(|status| status.pod_ip.as_ref())),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}
