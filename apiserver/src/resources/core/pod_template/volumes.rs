//! Volumes (`ValidateVolumes`, `validateVolumeSource`).

use super::paths::{projected, without_backsteps};
use super::{complaints, env, unique};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The volumes of a pod by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// The texts and lists that a source must have, in upstream's order.
const REQUIRED: [(&str, &[&str]); 23] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("configMap", &["name"]),
    ("csi", &["driver"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("image", &["reference"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("secret", &["secretName"]),
    ("vsphereVolume", &["volumePath"]),
];

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// Checks the volumes of a pod spec; answers them by name.
pub(super) fn validate<'a>(spec: &'a Value, path: &Path) -> (Volumes<'a>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    let mut volumes = Volumes::new();
    for (i, volume) in meta::list_at(spec, &["volumes"]).iter().enumerate() {
        let path = path.index(i);
        let name = meta::str_at(volume, &["name"]).unwrap_or_default();
        let name_path = path.child("name");
        errors.extend(validate_source(volume, &path));
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
            continue;
        }
        errors.extend(complaints(&name_path, name, names::dns1123_label(name)));
        errors.extend(unique(name, &mut seen, &name_path));
        volumes.entry(name).or_insert(volume);
    }
    (volumes, errors)
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

fn validate_source(volume: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let sources = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| *field != "name" && !value.is_null());
    for (i, (kind, source)) in sources.enumerate() {
        let path = path.child(kind);
        if i > 0 {
            errors.push(Error::forbidden(&path, "may not specify more than 1 volume type"));
            continue;
        }
        let required = REQUIRED
            .iter()
            .find(|(name, _)| name == kind)
            .map(|(_, fields)| *fields);
        for field in required.unwrap_or_default() {
            if is_empty(source.get(*field)) {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
        errors.extend(validate_mode(source, "defaultMode", &path));
        match kind.as_str() {
            "downwardAPI" => errors.extend(validate_downward(source, &path)),
            "projected" => errors.extend(validate_projected(source, &path)),
            _ => {
                errors.extend(validate_items(source, &path));
                errors.extend(validate_details(kind, source, &path));
            }
        }
    }
    errors
}

/// The rules that only one kind of source has.
fn validate_details(kind: &str, source: &Value, path: &Path) -> ErrorList {
    let text = |field: &str| meta::str_at(source, &[field]).unwrap_or_default();
    let mut errors = ErrorList::new();
    match kind {
        "hostPath" => {
            errors.extend(without_backsteps(text("path"), &path.child("path")));
            if !HOST_PATH_TYPES.contains(&text("type")) {
                let path = path.child("type");
                errors.push(Error::not_supported(&path, text("type"), &HOST_PATH_TYPES));
            }
        }
        "nfs" if !text("path").is_empty() && !text("path").starts_with('/') => {
            let detail = "must be an absolute path";
            errors.push(Error::invalid(&path.child("path"), text("path"), detail));
        }
        "gitRepo" => errors.extend(super::paths::descending(text("directory"), &path.child("directory"))),
        "image" => {
            let policy = text("pullPolicy");
            if !policy.is_empty() && !PULL_POLICIES.contains(&policy) {
                let path = path.child("pullPolicy");
                errors.push(Error::not_supported(&path, policy, &PULL_POLICIES));
            }
        }
        "ephemeral" if source.get("volumeClaimTemplate").is_none() => {
            errors.push(Error::required(&path.child("volumeClaimTemplate"), ""));
        }
        _ => {}
    }
    errors
}

fn validate_mode(source: &Value, field: &str, path: &Path) -> Option<Error> {
    let mode = meta::i64_at(source, &[field])?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    (!(0..=0o777).contains(&mode)).then(|| Error::invalid(&path.child(field), mode, detail))
}

/// Keys that become files (`validateKeyToPath`).
fn validate_items(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, item) in meta::list_at(source, &["items"]).iter().enumerate() {
        let path = path.child("items").index(i);
        if meta::str_at(item, &["key"]).unwrap_or_default().is_empty() {
            errors.push(Error::required(&path.child("key"), ""));
        }
        let target = meta::str_at(item, &["path"]).unwrap_or_default();
        errors.extend(projected(target, &path.child("path")));
        errors.extend(validate_mode(item, "mode", &path));
    }
    errors
}

/// Fields that become files (`validateDownwardAPIVolumeFile`); upstream's paths leave the item out.
fn validate_downward(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for item in meta::list_at(source, &["items"]) {
        let target = meta::str_at(item, &["path"]).unwrap_or_default();
        errors.extend(projected(target, &path.child("path")));
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(field), other) => {
                errors.extend(env::validate_field(field, &env::VOLUME_FIELDS, &path.child("fieldRef")));
                if other.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(Error::invalid(path, "resource", detail));
                }
            }
            (None, Some(resource)) => {
                errors.extend(env::validate_resource(resource, true, &path.child("resourceFieldRef")));
            }
            (None, None) => errors.push(Error::required(path, "either fieldRef or resourceFieldRef is required")),
        }
        errors.extend(validate_mode(item, "mode", path));
    }
    errors
}

fn validate_projected(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, projection) in meta::list_at(source, &["sources"]).iter().enumerate() {
        let item = path.child("sources").index(i);
        for field in ["secret", "configMap"] {
            if let Some(inner) = projection.get(field) {
                if meta::str_at(inner, &["name"]).unwrap_or_default().is_empty() {
                    errors.push(Error::required(&item.child(field).child("name"), ""));
                }
                errors.extend(validate_items(inner, &item.child(field)));
            }
        }
        if let Some(inner) = projection.get("downwardAPI") {
            errors.extend(validate_downward(inner, &item.child("downwardAPI")));
        }
        if let Some(token) = projection.get("serviceAccountToken") {
            let seconds_path = item.child("serviceAccountToken").child("expirationSeconds");
            let seconds = meta::i64_at(token, &["expirationSeconds"]).unwrap_or(3600);
            if seconds < 600 {
                let detail = "may not specify a duration less than 10 minutes";
                errors.push(Error::invalid(&seconds_path, seconds, detail));
            } else if seconds > 1 << 32 {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.push(Error::invalid(&seconds_path, seconds, detail));
            }
            // Upstream reports the path of the token at the volume.
            let target = meta::str_at(token, &["path"]).unwrap_or_default();
            errors.extend(projected(target, &path.child("path")));
        }
    }
    errors
}
