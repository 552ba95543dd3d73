//! Volumes (`validateVolumes`, `validateVolumeSource`).

use super::unique;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// The fields that name what a source refers to, for the sources that have just one required field.
const REQUIRED: [(&str, &str); 4] = [
    ("secret", "secretName"),
    ("persistentVolumeClaim", "claimName"),
    ("hostPath", "path"),
    ("configMap", "name"),
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

/// Checks the volumes of a pod spec; answers their names.
pub(super) fn validate<'a>(spec: &'a Value, path: &Path) -> (BTreeSet<&'a str>, ErrorList) {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (i, volume) in meta::list_at(spec, &["volumes"]).iter().enumerate() {
        let path = path.index(i);
        let name = meta::str_at(volume, &["name"]).unwrap_or_default();
        let name_path = path.child("name");
        errors.extend(validate_source(volume, &path));
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
            continue;
        }
        errors.extend(
            names::dns1123_label(name)
                .into_iter()
                .map(|e| Error::invalid(&name_path, name, e)),
        );
        errors.extend(unique(name, &mut seen, &name_path));
    }
    (seen, errors)
}

fn validate_source(volume: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let sources = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| *field != "name" && !value.is_null());
    for (i, (field, source)) in sources.enumerate() {
        let path = path.child(field);
        if i > 0 {
            errors.push(Error::forbidden(&path, "may not specify more than 1 volume type"));
            continue;
        }
        if let Some((_, required)) = REQUIRED.iter().find(|(name, _)| name == field)
            && meta::str_at(source, &[required]).unwrap_or_default().is_empty()
        {
            errors.push(Error::required(&path.child(required), ""));
        }
        errors.extend(validate_mode(source, "defaultMode", &path));
        errors.extend(validate_items(source, &path));
        match field.as_str() {
            "hostPath" => {
                let kind = meta::str_at(source, &["type"]).unwrap_or_default();
                if !HOST_PATH_TYPES.contains(&kind) {
                    errors.push(Error::not_supported(&path.child("type"), kind, &HOST_PATH_TYPES));
                }
            }
            "projected" => errors.extend(validate_projected(source, &path)),
            _ => {}
        }
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
        let downward = ["fieldRef", "resourceFieldRef"].iter().any(|f| item.get(*f).is_some());
        if !downward && meta::str_at(item, &["key"]).unwrap_or_default().is_empty() {
            errors.push(Error::required(&path.child("key"), ""));
        }
        let target = meta::str_at(item, &["path"]).unwrap_or_default();
        errors.extend(validate_relative(target, &path.child("path")));
        errors.extend(validate_mode(item, "mode", &path));
    }
    errors
}

/// A path that stays below where it is put (`ValidateLocalNonReservedPath`).
pub(super) fn validate_relative(target: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if target.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if target.starts_with('/') {
        errors.push(Error::invalid(path, target, "must be a relative path"));
    }
    if target.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(path, target, "must not contain '..'"));
    }
    if target.starts_with("..") && !target.starts_with("../") && target != ".." {
        errors.push(Error::invalid(path, target, "must not start with '..'"));
    }
    errors
}

fn validate_projected(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, projection) in meta::list_at(source, &["sources"]).iter().enumerate() {
        let path = path.child("sources").index(i);
        for field in ["secret", "configMap", "downwardAPI"] {
            if let Some(inner) = projection.get(field) {
                if field != "downwardAPI" && meta::str_at(inner, &["name"]).unwrap_or_default().is_empty() {
                    errors.push(Error::required(&path.child(field).child("name"), ""));
                }
                errors.extend(validate_items(inner, &path.child(field)));
            }
        }
        if let Some(token) = projection.get("serviceAccountToken") {
            let path = path.child("serviceAccountToken");
            let seconds = meta::i64_at(token, &["expirationSeconds"]).unwrap_or(3600);
            if seconds < 600 {
                let detail = "may not specify a duration less than 10 minutes";
                errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
            } else if seconds > 1 << 32 {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
            }
            if meta::str_at(token, &["path"]).unwrap_or_default().is_empty() {
                errors.push(Error::required(&path.child("path"), ""));
            }
        }
    }
    errors
}
