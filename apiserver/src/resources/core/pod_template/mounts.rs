//! What containers take of the pod's volumes and of the host's ports (`ValidateVolumeMounts`, `ValidateVolumeDevices`,
//! `checkHostPortConflicts`).

use super::paths::{descending, without_backsteps};
use super::volumes::Volumes;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const RECURSIVE_MODES: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    meta::str_at(item, &[field]).unwrap_or_default()
}

/// Checks `volumeMounts` and `volumeDevices` of a container.
pub(super) fn validate(container: &Value, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let mut errors = validate_mounts(container, volumes, &path.child("volumeMounts"));
    errors.extend(validate_devices(container, volumes, &path.child("volumeDevices")));
    errors
}

fn validate_mounts(container: &Value, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let devices = meta::list_at(container, &["volumeDevices"]);
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, mount) in meta::list_at(container, &["volumeMounts"]).iter().enumerate() {
        let item = path.index(i);
        let (name, mount_path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(Error::required(&item.child("name"), ""));
        }
        if !volumes.contains_key(name) {
            errors.push(Error::not_found(&item.child("name"), name));
        }
        if mount_path.is_empty() {
            errors.push(Error::required(&item.child("mountPath"), ""));
        }
        if !seen.insert(mount_path) {
            errors.push(Error::invalid(&item.child("mountPath"), mount_path, "must be unique"));
        }
        if devices.iter().any(|d| text(d, "name") == name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(Error::invalid(&item.child("name"), name, detail));
        }
        if devices.iter().any(|d| text(d, "devicePath") == mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&item.child("mountPath"), mount_path, detail));
        }
        // Upstream leaves the index out of the paths of the checks below.
        let (plain, expanded) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        errors.extend(descending(plain, &path.child("subPath")));
        if !expanded.is_empty() && !plain.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(Error::invalid(&item.child("subPathExpr"), expanded, detail));
        }
        errors.extend(descending(expanded, &path.child("subPathExpr")));
        errors.extend(validate_propagation(container, mount, &path.child("mountPropagation")));
        errors.extend(validate_recursion(mount, &path.child("recursiveReadOnly")));
    }
    errors
}

fn validate_propagation(container: &Value, mount: &Value, path: &Path) -> Option<Error> {
    let mode = meta::str_at(mount, &["mountPropagation"])?;
    if !PROPAGATIONS.contains(&mode) {
        return Some(Error::not_supported(path, mode, &PROPAGATIONS));
    }
    let privileged = meta::bool_at(container, &["securityContext", "privileged"]) == Some(true);
    let detail = "Bidirectional mount propagation is available only to privileged containers";
    (mode == "Bidirectional" && !privileged).then(|| Error::forbidden(path, detail))
}

fn validate_recursion(mount: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match meta::str_at(mount, &["recursiveReadOnly"]) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if meta::bool_at(mount, &["readOnly"]) != Some(true) {
                let detail = "may only be specified when readOnly is true";
                errors.push(Error::forbidden(path, detail));
            }
            if !matches!(text(mount, "mountPropagation"), "" | "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(path, detail));
            }
        }
        Some(other) => errors.push(Error::not_supported(path, other, &RECURSIVE_MODES)),
    }
    errors
}

fn validate_devices(container: &Value, volumes: &Volumes<'_>, path: &Path) -> ErrorList {
    let mounts = meta::list_at(container, &["volumeMounts"]);
    let mut errors = ErrorList::new();
    let (mut seen, mut seen_paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in meta::list_at(container, &["volumeDevices"]).iter().enumerate() {
        let path = path.index(i);
        let (name, device_path) = (text(device, "name"), text(device, "devicePath"));
        let (name_path, path) = (path.child("name"), path.child("devicePath"));
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::invalid(&name_path, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(Error::not_found(&name_path, name)),
            Some(volume) => {
                let block = ["persistentVolumeClaim", "ephemeral"];
                if !block.iter().any(|source| volume.get(*source).is_some()) {
                    let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                    errors.push(Error::invalid(&name_path, name, detail));
                }
            }
        }
        if device_path.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if seen_paths.contains(device_path) {
            errors.push(Error::invalid(&path, device_path, "must be unique"));
        }
        if without_backsteps(device_path, &path).is_some() {
            let detail = "can not contain backsteps ('..')";
            errors.push(Error::invalid(&path, device_path, detail));
        } else {
            seen_paths.insert(device_path);
        }
        if mounts.iter().any(|m| text(m, "name") == name) {
            let detail = "must not already exist in volumeMounts";
            errors.push(Error::invalid(&name_path, name, detail));
        }
        if mounts.iter().any(|m| text(m, "mountPath") == device_path) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(&path, device_path, detail));
        }
    }
    errors
}

/// Two containers cannot have the same port of the host.
pub(super) fn validate_host_ports(containers: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in meta::list_at(container, &["ports"]).iter().enumerate() {
            let number = meta::i64_at(port, &["hostPort"]).unwrap_or_default();
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if number != 0 && !seen.insert(key.clone()) {
                let path = path.index(i).child("ports").index(j).child("hostPort");
                errors.push(Error::duplicate(&path, key));
            }
        }
    }
    errors
}
