//! Volumes (`ValidateVolumes`, `validateVolumeSource`).

use super::super::persistentvolumeclaim;
use super::super::volume_sources::{self as shared, disk, needed, secret};
use super::complaints;
use super::paths::descending;
use super::projected::{validate_downward, validate_items, validate_mode, validate_projected};
use crate::resources::shared::checks::{csi_driver_name, one_of, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeMap;

/// The volumes of a pod by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// What a source must be like.
type Rule = fn(source: &Value, path: &Path) -> ErrorList;

/// The sources in the order in which upstream looks at them, with their rules; the first one that is there counts.
const ORDER: [(&str, Rule); 30] = [
    ("emptyDir", |s, path| {
        let limit = meta::str_at(s, &["sizeLimit"]).and_then(|limit| Quantity::parse(limit).ok());
        let detail = "SizeLimit field must be a valid resource quantity";
        let negative = limit.is_some_and(|limit| limit.sign() < 0);
        negative
            .then(|| Error::forbidden(&path.child("sizeLimit"), detail))
            .into_iter()
            .collect()
    }),
    ("hostPath", shared::host_path),
    ("gitRepo", |s, path| {
        let mut errors = needed(s, &["repository"], path);
        errors.extend(descending(text(s, &["directory"]), &path.child("directory")));
        errors
    }),
    ("gcePersistentDisk", |s, path| disk(s, "pdName", path)),
    ("awsElasticBlockStore", |s, path| disk(s, "volumeID", path)),
    ("secret", |s, path| files(s, "secretName", path)),
    ("nfs", shared::nfs),
    ("iscsi", iscsi),
    ("glusterfs", |s, path| needed(s, &["endpoints", "path"], path)),
    ("flocker", shared::flocker),
    ("persistentVolumeClaim", |s, path| needed(s, &["claimName"], path)),
    ("rbd", |s, path| needed(s, &["monitors", "image"], path)),
    ("cinder", |s, path| {
        let mut errors = needed(s, &["volumeID"], path);
        errors.extend(secret(s, &["name"], path));
        errors
    }),
    ("cephfs", |s, path| needed(s, &["monitors"], path)),
    ("quobyte", shared::quobyte),
    ("downwardAPI", |s, path| {
        let mut errors: ErrorList = validate_mode(s, "defaultMode", path).into_iter().collect();
        errors.extend(validate_downward(s, path));
        errors
    }),
    ("fc", shared::fibre_channel),
    ("flexVolume", shared::flex),
    ("configMap", |s, path| files(s, "name", path)),
    ("azureFile", |s, path| needed(s, &["secretName", "shareName"], path)),
    ("vsphereVolume", |s, path| needed(s, &["volumePath"], path)),
    ("photonPersistentDisk", |s, path| needed(s, &["pdID"], path)),
    ("portworxVolume", |s, path| needed(s, &["volumeID"], path)),
    ("azureDisk", shared::azure_disk),
    ("storageos", |s, path| shared::storage_os(s, &["name"], path)),
    ("projected", |s, path| {
        let mut errors: ErrorList = validate_mode(s, "defaultMode", path).into_iter().collect();
        errors.extend(validate_projected(s, path));
        errors
    }),
    ("scaleIO", |s, path| {
        needed(s, &["gateway", "system", "volumeName"], path)
    }),
    ("csi", csi),
    ("ephemeral", |s, path| {
        let path = path.child("volumeClaimTemplate");
        match s.get("volumeClaimTemplate").filter(|template| !template.is_null()) {
            None => vec![Error::required(&path, "")],
            Some(template) => persistentvolumeclaim::validate_template(template, &path),
        }
    }),
    ("image", image),
];

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// What the volumes belong to.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    /// The name of the pod; none in a template.
    pub(super) pod: Option<&'a str>,
}

/// Checks the volumes of a pod spec; answers those without fault by name.
pub(super) fn validate<'a>(spec: &'a Value, owner: Owner<'_>, path: &Path) -> (Volumes<'a>, ErrorList) {
    let list = meta::list_at(spec, &["volumes"]);
    let pod = owner.pod.filter(|name| !name.is_empty());
    let created = |claim: &str| {
        let pod = pod?;
        let makes = |volume: &&Value| {
            volume.get("ephemeral").is_some() && claim == format!("{pod}-{}", text(volume, &["name"]))
        };
        list.iter().find(makes)
    };
    let mut errors = ErrorList::new();
    let mut volumes = Volumes::new();
    for (i, volume) in list.iter().enumerate() {
        let path = path.index(i);
        let name = text(volume, &["name"]);
        let name_path = path.child("name");
        let mut found = validate_source(volume, owner, &path);
        if name.is_empty() {
            found.push(Error::required(&name_path, ""));
        } else {
            found.extend(complaints(&name_path, name, names::dns1123_label(name)));
        }
        if volumes.contains_key(name) {
            found.push(Error::duplicate(&name_path, name));
        }
        if found.is_empty() {
            volumes.insert(name, volume);
        }
        errors.extend(found);
        let claim = text(volume, &["persistentVolumeClaim", "claimName"]);
        if created(claim).is_some() {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.child("persistentVolumeClaim").child("claimName");
            errors.push(Error::invalid(&path, claim, detail));
        }
    }
    (volumes, errors)
}

fn validate_source(volume: &Value, owner: Owner<'_>, path: &Path) -> ErrorList {
    let name = text(volume, &["name"]);
    let mut errors = ErrorList::new();
    let mut found = false;
    for (kind, rule) in ORDER {
        let Some(source) = volume.get(kind).filter(|source| !source.is_null()) else {
            continue;
        };
        if found {
            let detail = "may not specify more than 1 volume type";
            let called = match kind {
                "cephfs" => "cephFS",
                "downwardAPI" => "downwarAPI",
                other => other,
            };
            errors.push(Error::forbidden(&path.child(called), detail));
            continue;
        }
        found = true;
        // Upstream calls two fields otherwise than they are served.
        let place = if kind == "gcePersistentDisk" {
            "persistentDisk"
        } else {
            kind
        };
        errors.extend(rule(source, &path.child(place)));
        if kind == "iscsi" && shared::is_long_portal(source, name) {
            errors.push(Error::invalid(&path.child("name"), name, shared::LONG_PORTAL));
        }
        if kind == "image" && owner.pod.is_some() {
            let missing = needed(source, &["reference"], &path.child(kind));
            errors.splice(0..0, missing);
        }
        if let Some(pod) = owner
            .pod
            .filter(|pod| kind == "ephemeral" && !pod.is_empty() && !name.is_empty())
        {
            let claim = format!("{pod}-{name}");
            let path = path.child("name");
            errors.extend(names::dns1123_subdomain(&claim).into_iter().map(|why| {
                Error::invalid(
                    &path,
                    name,
                    format!("PVC name {}: {why}", machinery::field::go_quote(&claim)),
                )
            }));
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

/// A ConfigMap or Secret whose keys become files; `name` is the field that names it.
fn files(source: &Value, name: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &[name], path);
    errors.extend(validate_mode(source, "defaultMode", path));
    errors.extend(validate_items(source, path));
    errors
}

fn iscsi(source: &Value, path: &Path) -> ErrorList {
    const UNKNOWN: &str = "must be valid format starting with iqn, eui, or naa";
    let mut errors = shared::iscsi(source, UNKNOWN, path);
    if let Some(initiator) = meta::str_at(source, &["initiatorName"]) {
        errors.extend(shared::iscsi_name(initiator, UNKNOWN, &path.child("initiatorname")));
    }
    errors
}

fn csi(source: &Value, path: &Path) -> ErrorList {
    let mut errors = csi_driver_name(text(source, &["driver"]), &path.child("driver"));
    if let Some(reference) = source.get("nodePublishSecretRef") {
        match text(reference, &["name"]) {
            "" => errors.push(Error::required(&path.child("nodePublishSecretRef").child("name"), "")),
            // Upstream reports a malformed name one level up.
            name => errors.extend(complaints(&path.child("name"), name, names::dns1123_subdomain(name))),
        }
    }
    errors
}

fn image(source: &Value, path: &Path) -> ErrorList {
    let path = path.child("pullPolicy");
    match text(source, &["pullPolicy"]) {
        "" => vec![Error::required(&path, "")],
        policy => one_of(policy, &PULL_POLICIES, &path).into_iter().collect(),
    }
}
