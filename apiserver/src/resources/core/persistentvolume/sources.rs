//! Where a PersistentVolume is (`ValidatePersistentVolumeSpec` and the functions for each source).

use super::super::super::shared::checks::{csi_driver_name, present, required, secret_reference, text};
use super::super::pod_template::paths::without_backsteps;
use super::super::volume_sources::{self as shared, disk, needed, secret};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

type Rule = fn(source: &Value, name: &str, path: &Path) -> ErrorList;

/// The sources in the order in which upstream looks at them, with their rules; the first one that is there counts.
pub(super) const ORDER: [(&str, Rule); 22] = [
    ("hostPath", |s, _, path| shared::host_path(s, path)),
    ("gcePersistentDisk", |s, _, path| disk(s, "pdName", path)),
    ("awsElasticBlockStore", |s, _, path| disk(s, "volumeID", path)),
    ("glusterfs", glusterfs),
    ("flocker", |s, _, path| shared::flocker(s, path)),
    ("nfs", |s, _, path| shared::nfs(s, path)),
    ("rbd", |s, _, path| needed(s, &["monitors", "image"], path)),
    ("quobyte", |s, _, path| shared::quobyte(s, path)),
    ("cephfs", |s, _, path| needed(s, &["monitors"], path)),
    ("iscsi", iscsi),
    ("cinder", |s, _, path| {
        let mut errors = needed(s, &["volumeID"], path);
        errors.extend(secret(s, &["name", "namespace"], path));
        errors
    }),
    ("fc", |s, _, path| shared::fibre_channel(s, path)),
    ("flexVolume", |s, _, path| shared::flex(s, path)),
    ("azureFile", |s, _, path| {
        let mut errors = needed(s, &["secretName", "shareName"], path);
        if meta::str_at(s, &["secretNamespace"]) == Some("") {
            errors.push(Error::required(&path.child("secretNamespace"), ""));
        }
        errors
    }),
    ("vsphereVolume", |s, _, path| needed(s, &["volumePath"], path)),
    ("photonPersistentDisk", |s, _, path| needed(s, &["pdID"], path)),
    ("portworxVolume", |s, _, path| needed(s, &["volumeID"], path)),
    ("azureDisk", |s, _, path| shared::azure_disk(s, path)),
    ("scaleIO", |s, _, path| {
        needed(s, &["gateway", "system", "volumeName"], path)
    }),
    ("local", |s, _, path| match text(s, &["path"]) {
        "" => vec![Error::required(&path.child("path"), "")],
        local => without_backsteps(local, &path.child("path")).into_iter().collect(),
    }),
    ("storageos", |s, _, path| {
        shared::storage_os(s, &["name", "namespace"], path)
    }),
    ("csi", |s, _, path| {
        let mut errors = csi_driver_name(text(s, &["driver"]), &path.child("driver"));
        errors.extend(present(s, "volumeHandle", path));
        for field in [
            "controllerPublishSecretRef",
            "controllerExpandSecretRef",
            "nodePublishSecretRef",
            "nodeExpandSecretRef",
        ] {
            if let Some(reference) = s.get(field) {
                errors.extend(secret_reference(reference, &path.child(field)));
            }
        }
        errors
    }),
];

/// The sources that are mounted with options.
pub(super) const MOUNTABLE: [&str; 13] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "cinder",
    "cephfs",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
];

/// Checks that there is one source, and that it is complete. `name` is the volume's.
pub(super) fn validate(spec: &Value, name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut found = false;
    for (field, rule) in ORDER {
        let Some(source) = spec.get(field).filter(|source| !source.is_null()) else {
            continue;
        };
        // Upstream does not mind a flexible volume beside another.
        if found && field != "flexVolume" {
            let detail = "may not specify more than 1 volume type";
            errors.push(Error::forbidden(
                &path.child(misnamed(field, "cephfs", "cephFS")),
                detail,
            ));
            continue;
        }
        found = true;
        let place = misnamed(field, "gcePersistentDisk", "persistentDisk");
        errors.extend(rule(source, name, &path.child(place)));
        if field == "local" && spec.get("nodeAffinity").is_none() {
            let detail = "Local volume requires node affinity";
            errors.push(Error::required(&path.child("nodeAffinity"), detail));
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

/// Upstream calls two fields otherwise than they are served.
fn misnamed<'a>(field: &'a str, served: &str, called: &'a str) -> &'a str {
    if field == served { called } else { field }
}

fn glusterfs(source: &Value, _name: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["endpoints", "path"], path);
    let field = path.child("endpointsNamespace");
    match meta::str_at(source, &["endpointsNamespace"]) {
        None => {}
        Some("") => {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(Error::invalid(&field, "", detail));
        }
        Some(namespace) => errors.extend(required(&field, namespace, names::dns1123_label)),
    }
    errors
}

fn iscsi(source: &Value, name: &str, path: &Path) -> ErrorList {
    const FORMAT: &str = "must be valid format";
    let mut errors = shared::iscsi(source, FORMAT, path);
    let portal = text(source, &["targetPortal"]);
    if shared::is_long_portal(source, name) {
        let path = path.child("targetportal");
        errors.insert(
            usize::from(portal.is_empty()),
            Error::invalid(&path, portal, shared::LONG_PORTAL),
        );
    }
    errors.extend(secret(source, &["name"], path));
    if let Some(initiator) = meta::str_at(source, &["initiatorName"]) {
        errors.extend(shared::iscsi_name(initiator, FORMAT, &path.child("initiatorname")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_source_says_what_it_misses() {
        for (field, count) in [
            ("hostPath", 1),
            ("nfs", 3),
            ("iscsi", 2),
            ("rbd", 2),
            ("scaleIO", 3),
            ("csi", 2),
            ("quobyte", 2),
            ("fc", 1),
            ("flocker", 1),
            ("azureFile", 2),
        ] {
            let errors = validate(&json!({field: {}}), "v", &Path::new("spec"));
            assert_eq!(errors.len(), count, "{field}: {errors:?}");
        }
    }
}
