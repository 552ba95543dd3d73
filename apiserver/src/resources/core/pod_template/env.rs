//! Environment variables (`ValidateEnv`, `ValidateEnvFrom`) and the references to fields and resources that they share
//! with downward volumes.

use super::complaints;
use super::paths::without_backsteps;
use crate::resources::shared::checks::{present, required, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;

/// The fields of a pod that a variable may show.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The fields of a pod that a file may show.
pub(super) const VOLUME_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
/// The labels that are fields at all (`ConvertDownwardAPIFieldLabel`), besides the ones above.
const OTHER_FIELDS: [&str; 4] = ["spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HUGE_PAGES: [&str; 2] = ["limits.hugepages-", "requests.hugepages-"];
/// What amounts of a kind of resource may be divided by, and how the kind is called.
const DIVISORS: [(&str, &str, &[&str]); 4] = [
    ("cpu", "cpu", &["1m", "1"]),
    ("memory", "memory", &BYTES),
    ("ephemeral-storage", "local ephemeral storage", &BYTES),
    ("hugepages-", "hugepages", &BYTES),
];
const BYTES: [&str; 13] = [
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
];
const SOURCES: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];
const NOT_TOGETHER: &str = "may not have more than one field specified at a time";

/// Checks `env` and `envFrom` of a container.
pub(super) fn validate(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, variable) in meta::list_at(container, &["env"]).iter().enumerate() {
        let path = path.child("env").index(i);
        let name = meta::str_at(variable, &["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.extend(complaints(&path.child("name"), name, names::env_var_name(name)));
        }
        if let Some(from) = variable.get("valueFrom") {
            errors.extend(validate_value_from(variable, from, &path.child("valueFrom")));
        }
    }
    let path = path.child("envFrom");
    for (i, from) in meta::list_at(container, &["envFrom"]).iter().enumerate() {
        errors.extend(validate_env_from(from, &path, &path.index(i)));
    }
    errors
}

fn validate_value_from(variable: &Value, from: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(field) = from.get("fieldRef") {
        errors.extend(validate_field(field, &ENV_FIELDS, &path.child("fieldRef")));
    }
    if let Some(resource) = from.get("resourceFieldRef") {
        errors.extend(validate_resource(resource, false, &path.child("resourceFieldRef")));
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = from.get(source) {
            errors.extend(validate_key(reference, &path.child(source)));
        }
    }
    if let Some(file) = from.get("fileKeyRef") {
        errors.extend(validate_file_key(file, &path.child("fileKeyRef")));
    }
    let sources = SOURCES.iter().filter(|s| from.get(**s).is_some()).count();
    let has_value = !meta::str_at(variable, &["value"]).unwrap_or_default().is_empty();
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(Error::invalid(path, "", detail));
    } else if has_value {
        let detail = "may not be specified when `value` is not empty";
        errors.push(Error::invalid(path, "", detail));
    } else if sources > 1 {
        errors.push(Error::invalid(path, "", NOT_TOGETHER));
    }
    errors
}

/// A key of a ConfigMap or Secret.
fn validate_key(reference: &Value, path: &Path) -> ErrorList {
    let text = |field: &str| meta::str_at(reference, &[field]).unwrap_or_default();
    let name = text("name");
    let mut errors = complaints(&path.child("name"), name, names::dns1123_subdomain(name));
    let path = path.child("key");
    if text("key").is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        errors.extend(complaints(&path, text("key"), names::config_map_key(text("key"))));
    }
    errors
}

/// A key of a file in a volume (`validateFileKeySelector`).
fn validate_file_key(reference: &Value, path: &Path) -> ErrorList {
    let mut errors = required(&path.child("key"), text(reference, &["key"]), names::env_var_name);
    let volume = text(reference, &["volumeName"]);
    errors.extend(required(&path.child("volumeName"), volume, names::dns1123_label));
    errors.extend(present(reference, "path", path));
    errors.extend(without_backsteps(text(reference, &["path"]), &path.child("path")));
    errors
}

/// The volumes of such files are empty directories (`validateFileKeyRefVolumes`).
pub(super) fn validate_files(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in meta::list_at(spec, &[list]).iter().enumerate() {
            for (j, variable) in meta::list_at(container, &["env"]).iter().enumerate() {
                let Some(reference) = meta::at(variable, &["valueFrom", "fileKeyRef"]) else {
                    continue;
                };
                let path = path.child(list).index(i).child("env").index(j);
                let path = path.child("valueFrom").child("fileKeyRef").child("volumeName");
                let name = text(reference, &["volumeName"]);
                let mut volumes = meta::list_at(spec, &["volumes"]).iter().rev();
                match volumes.find(|volume| text(volume, &["name"]) == name) {
                    None => errors.push(Error::not_found(&path, name)),
                    Some(volume) if volume.get("emptyDir").is_none_or(Value::is_null) => {
                        let detail = "referenced volume must be of type emptyDir";
                        errors.push(Error::invalid(&path, name, detail));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    errors
}

/// Upstream reports the number of sources without the index of the item.
fn validate_env_from(from: &Value, list: &Path, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let prefix = meta::str_at(from, &["prefix"]).unwrap_or_default();
    if !prefix.is_empty() {
        errors.extend(complaints(&path.child("prefix"), prefix, names::env_var_name(prefix)));
    }
    let mut sources = 0;
    for source in ["configMapRef", "secretRef"] {
        let Some(reference) = from.get(source) else { continue };
        sources += 1;
        let path = path.child(source).child("name");
        match meta::str_at(reference, &["name"]).unwrap_or_default() {
            "" => errors.push(Error::required(&path, "")),
            name => errors.extend(complaints(&path, name, names::dns1123_subdomain(name))),
        }
    }
    match sources {
        0 => {
            let detail = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(Error::invalid(list, "", detail));
        }
        1 => {}
        _ => errors.push(Error::invalid(list, "", NOT_TOGETHER)),
    }
    errors
}

/// `validateObjectFieldSelector`.
pub(super) fn validate_field(reference: &Value, known: &[&str], path: &Path) -> ErrorList {
    let version = meta::str_at(reference, &["apiVersion"]).unwrap_or_default();
    if version.is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    let field_path = path.child("fieldPath");
    let field = meta::str_at(reference, &["fieldPath"]).unwrap_or_default();
    if field.is_empty() {
        return vec![Error::required(&field_path, "")];
    }
    let unconvertible = |why: String| {
        let detail = format!("error converting fieldPath: {why}");
        vec![Error::invalid(&field_path, field, detail)]
    };
    if version != "v1" {
        return unconvertible(format!("unsupported pod version: {version}"));
    }
    if let Some((map, key)) = field.strip_suffix("']").and_then(|f| f.split_once("['")) {
        return match map {
            "metadata.annotations" => complaints(path, key, names::qualified_name(&key.to_lowercase())),
            "metadata.labels" => complaints(path, key, names::qualified_name(key)),
            _ => unconvertible(format!("field label does not support subscript: {field}")),
        };
    }
    if ![&ENV_FIELDS[..], &VOLUME_FIELDS, &OTHER_FIELDS]
        .concat()
        .contains(&field)
    {
        return unconvertible(format!("field label not supported: {field}"));
    }
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    if known.contains(&field) {
        ErrorList::new()
    } else {
        vec![Error::not_supported(&field_path, field, known)]
    }
}

/// `validateContainerResourceFieldSelector`; a file has to name its container.
pub(super) fn validate_resource(reference: &Value, in_volume: bool, path: &Path) -> ErrorList {
    let text = |field: &str| meta::str_at(reference, &[field]).unwrap_or_default();
    let resource = text("resource");
    if in_volume && text("containerName").is_empty() {
        return vec![Error::required(&path.child("containerName"), "")];
    }
    if resource.is_empty() {
        return vec![Error::required(&path.child("resource"), "")];
    }
    if !RESOURCES.contains(&resource) && !HUGE_PAGES.iter().any(|p| resource.starts_with(p)) {
        return vec![Error::not_supported(&path.child("resource"), resource, &RESOURCES)];
    }
    let divisor = Quantity::parse(text("divisor")).ok().filter(|q| q.sign() != 0);
    let kind = resource.split_once('.').map_or("", |(_, kind)| kind);
    let rule = DIVISORS.iter().find(|(prefix, ..)| kind.starts_with(prefix));
    match (divisor, rule) {
        (Some(divisor), Some((_, called, allowed))) if !allowed.contains(&divisor.to_string().as_str()) => {
            let listed = match allowed {
                [one, other] => format!("{one} and {other}"),
                many => many.join(", "),
            };
            let detail = format!("only divisor's values {listed} are supported with the {called} resource");
            vec![Error::invalid(&path.child("divisor"), resource, detail)]
        }
        _ => ErrorList::new(),
    }
}
