//! Where a PersistentVolume is (`ValidatePersistentVolumeSpec` and the functions for each source).

use super::super::super::shared::checks::{csi_driver_name, one_of_if_set, present, required, secret_reference, text};
use super::super::pod_template::paths::without_backsteps;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

type Rule = fn(source: &Value, name: &str, path: &Path) -> ErrorList;

/// The sources in the order in which upstream looks at them, with their rules; the first one that is there counts.
pub(super) const ORDER: [(&str, Rule); 22] = [
    ("hostPath", |s, _, path| {
        let mut errors = needed(s, &["path"], path);
        errors.extend(without_backsteps(text(s, &["path"]), &path.child("path")));
        errors.extend(one_of_if_set(s, "type", &HOST_PATH_TYPES, path));
        errors
    }),
    ("gcePersistentDisk", |s, _, path| disk(s, "pdName", path)),
    ("awsElasticBlockStore", |s, _, path| disk(s, "volumeID", path)),
    ("glusterfs", glusterfs),
    ("flocker", flocker),
    ("nfs", |s, _, path| {
        let mut errors = needed(s, &["server", "path"], path);
        if !text(s, &["path"]).starts_with('/') {
            let detail = "must be an absolute path";
            errors.push(Error::invalid(&path.child("path"), text(s, &["path"]), detail));
        }
        errors
    }),
    ("rbd", |s, _, path| needed(s, &["monitors", "image"], path)),
    ("quobyte", quobyte),
    ("cephfs", |s, _, path| needed(s, &["monitors"], path)),
    ("iscsi", iscsi),
    ("cinder", |s, _, path| {
        let mut errors = needed(s, &["volumeID"], path);
        errors.extend(secret(s, &["name", "namespace"], path));
        errors
    }),
    ("fc", fibre_channel),
    ("flexVolume", flex),
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
    ("azureDisk", azure_disk),
    ("scaleIO", |s, _, path| {
        needed(s, &["gateway", "system", "volumeName"], path)
    }),
    ("local", |s, _, path| match text(s, &["path"]) {
        "" => vec![Error::required(&path.child("path"), "")],
        local => without_backsteps(local, &path.child("path")).into_iter().collect(),
    }),
    ("storageos", |s, _, path| {
        let mut errors = required(
            &path.child("volumeName"),
            text(s, &["volumeName"]),
            names::dns1123_label,
        );
        if !text(s, &["volumeNamespace"]).is_empty() {
            let path = path.child("volumeNamespace");
            errors.extend(required(&path, text(s, &["volumeNamespace"]), names::dns1123_label));
        }
        errors.extend(secret(s, &["name", "namespace"], path));
        errors
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

fn needed(source: &Value, fields: &[&str], path: &Path) -> ErrorList {
    fields.iter().filter_map(|field| present(source, field, path)).collect()
}

fn secret(source: &Value, fields: &[&str], path: &Path) -> ErrorList {
    let reference = source.get("secretRef");
    reference.map_or_else(ErrorList::new, |reference| {
        needed(reference, fields, &path.child("secretRef"))
    })
}

fn disk(source: &Value, id: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &[id], path);
    if let Some(partition) = meta::i64_at(source, &["partition"])
        && !(0..=255).contains(&partition)
    {
        let detail = names::inclusive_range(1, 255);
        errors.push(Error::invalid(&path.child("partition"), partition, detail));
    }
    errors
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

fn flocker(source: &Value, _name: &str, path: &Path) -> ErrorList {
    let (name, id) = (text(source, &["datasetName"]), text(source, &["datasetUUID"]));
    let mut errors = ErrorList::new();
    match (name.is_empty(), id.is_empty()) {
        (true, true) => {
            let detail = "one of datasetName and datasetUUID is required";
            errors.push(Error::required(path, detail));
        }
        (false, false) => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(Error::invalid(path, "resource", detail));
        }
        _ => {}
    }
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
    errors
}

fn quobyte(source: &Value, _name: &str, path: &Path) -> ErrorList {
    const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";
    let mut errors = ErrorList::new();
    let registry = text(source, &["registry"]);
    if registry.is_empty() {
        errors.push(Error::required(&path.child("registry"), REGISTRY));
    } else if text(source, &["tenant"]).len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(&path.child("tenant"), detail));
    } else {
        let bad = registry.split(',').filter(|pair| !is_host_and_port(pair));
        errors.extend(bad.map(|_| Error::invalid(&path.child("registry"), registry, REGISTRY)));
    }
    errors.extend(present(source, "volume", path));
    errors
}

/// What Go's `net.SplitHostPort` takes.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = !host.contains(['[', ']', ':']);
    (plain || bracketed.is_some_and(|inner| !inner.contains(['[', ']']))) && !port.contains(['[', ']'])
}

/// Names of initiators and targets: a date, a domain and more, or sixteen or thirty-two characters.
fn is_iscsi_name(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("iqn.") else {
        // Upstream's expressions do not insist on the dot.
        let length = match name.get(..3) {
            Some("eui") => 16,
            Some("naa") => 32,
            _ => return false,
        };
        let mut number = name[3..].chars();
        return number.next().is_some_and(|c| c != '\n')
            && number.clone().count() == length
            && number.all(|c| c.is_ascii_alphanumeric());
    };
    let Some((head, more)) = rest.split_once(':') else {
        return false;
    };
    let (date, domain) = head.split_once('.').unwrap_or((head, ""));
    let digit_or_dash = |(i, b): (usize, u8)| if i == 4 { b == b'-' } else { b.is_ascii_digit() };
    let in_domain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let forbidden = |c: char| ",;*&$|".contains(c) || c.is_ascii_whitespace();
    date.len() == 7
        && date.bytes().enumerate().all(digit_or_dash)
        && !domain.is_empty()
        && domain.bytes().all(in_domain)
        && !more.is_empty()
        && !more.contains(forbidden)
}

fn iscsi(source: &Value, name: &str, path: &Path) -> ErrorList {
    const FORMAT: &str = "must be valid format";
    const KINDS: [&str; 3] = ["iqn", "eui", "naa"];
    let mut errors = needed(source, &["targetPortal"], path);
    let (portal, iqn) = (text(source, &["targetPortal"]), text(source, &["iqn"]));
    let initiator = meta::str_at(source, &["initiatorName"]);
    if initiator.is_some() && name.len() + 1 + portal.len() > 64 {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                      iscsi.initiatorName is specified.";
        errors.push(Error::invalid(&path.child("targetportal"), portal, detail));
    }
    if iqn.is_empty() {
        errors.push(Error::required(&path.child("iqn"), ""));
    } else if !is_iscsi_name(iqn) {
        errors.push(Error::invalid(&path.child("iqn"), iqn, FORMAT));
    }
    let lun = meta::i64_at(source, &["lun"]).unwrap_or_default();
    if !(0..=255).contains(&lun) {
        let detail = names::inclusive_range(0, 255);
        errors.push(Error::invalid(&path.child("lun"), lun, detail));
    }
    let authenticated = ["chapAuthDiscovery", "chapAuthSession"]
        .iter()
        .any(|field| meta::bool_at(source, &[field]) == Some(true));
    match source.get("secretRef") {
        None if authenticated => errors.push(Error::required(&path.child("secretRef"), "")),
        _ => errors.extend(secret(source, &["name"], path)),
    }
    if let Some(initiator) = initiator {
        let path = path.child("initiatorname");
        if !KINDS.iter().any(|kind| initiator.starts_with(kind)) || !is_iscsi_name(initiator) {
            errors.push(Error::invalid(&path, initiator, FORMAT));
        }
    }
    errors
}

fn fibre_channel(source: &Value, _name: &str, path: &Path) -> ErrorList {
    let (names, ids) = (
        meta::list_at(source, &["targetWWNs"]),
        meta::list_at(source, &["wwids"]),
    );
    let field = path.child("targetWWNs");
    let mut errors = ErrorList::new();
    match (names.is_empty(), ids.is_empty()) {
        (true, true) => {
            let detail = "must specify either targetWWNs or wwids, but not both";
            errors.push(Error::required(&field, detail));
        }
        (false, false) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(Error::invalid(&field, names.to_vec(), detail));
        }
        _ => {}
    }
    if !names.is_empty() {
        let field = path.child("lun");
        match meta::i64_at(source, &["lun"]) {
            None => errors.push(Error::required(&field, "lun is required if targetWWNs is specified")),
            Some(lun) if !(0..=255).contains(&lun) => {
                let detail = machinery::names::inclusive_range(0, 255);
                errors.push(Error::invalid(&field, lun, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

fn flex(source: &Value, _name: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["driver"], path);
    for key in meta::map_at(source, &["options"])
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(&path.child("options").key(key), key.as_str(), detail));
        }
    }
    errors
}

fn azure_disk(source: &Value, _name: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["diskName", "diskURI"], path);
    errors.extend(one_of_if_set(
        source,
        "cachingMode",
        &["None", "ReadOnly", "ReadWrite"],
        path,
    ));
    errors.extend(one_of_if_set(source, "kind", &["Dedicated", "Managed", "Shared"], path));
    let uri = text(source, &["diskURI"]);
    let (prefix, form) = match meta::str_at(source, &["kind"]) {
        None => return errors,
        Some("Managed") => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        Some(_) => (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        ),
    };
    if !uri.starts_with(prefix) {
        errors.push(Error::not_supported(&path.child("diskURI"), uri, &[form]));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_initiators() {
        for (name, fine) in [
            ("iqn.2000-01.com.example:x", true),
            ("iqn.2000-01.com.example", false),
            ("iqn.2000-01.com.example:a b", false),
            ("iqn.2000.com.example:x", false),
            ("eui.0123456789ABCDEF", true),
            ("eui.0123", false),
            ("naa.62004567BA64678D0123456789ABCDEF", true),
            ("foo", false),
        ] {
            assert_eq!(is_iscsi_name(name), fine, "{name}");
        }
    }

    #[test]
    fn every_source_says_what_it_misses() {
        for (field, count) in [
            ("hostPath", 1),
            ("nfs", 3),
            ("iscsi", 2),
            ("rbd", 2),
            ("scaleIO", 3),
            ("csi", 3),
            ("quobyte", 2),
            ("fc", 1),
            ("flocker", 1),
            ("azureFile", 2),
        ] {
            let errors = validate(&json!({field: {}}), "v", &Path::new("spec"));
            assert_eq!(errors.len(), count, "{field}: {errors:?}");
        }
    }

    #[test]
    fn pairs_of_hosts_and_ports() {
        for (pair, fine) in [
            ("a:1", true),
            ("[::1]:1", true),
            ("a", false),
            ("::1:1", false),
            ("[a:1", false),
        ] {
            assert_eq!(is_host_and_port(pair), fine, "{pair}");
        }
    }
}
