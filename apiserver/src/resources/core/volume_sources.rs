//! The rules of the volume sources that pods and PersistentVolumes have in common, and of the names that occur in them
//! (upstream `pkg/apis/core/validation/validation.go`, `validate…VolumeSource`).

use super::super::shared::checks::{one_of_if_set, present, required, text};
use super::pod_template::paths::without_backsteps;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

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

pub(super) fn host_path(source: &Value, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["path"], path);
    if errors.is_empty() {
        errors.extend(without_backsteps(text(source, &["path"]), &path.child("path")));
        errors.extend(one_of_if_set(source, "type", &HOST_PATH_TYPES, path));
    }
    errors
}

pub(super) fn nfs(source: &Value, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["server", "path"], path);
    if !text(source, &["path"]).starts_with('/') {
        let detail = "must be an absolute path";
        errors.push(Error::invalid(&path.child("path"), text(source, &["path"]), detail));
    }
    errors
}

/// `secret_fields` are what a reference to a secret must name.
pub(super) fn storage_os(source: &Value, secret_fields: &[&str], path: &Path) -> ErrorList {
    let name = text(source, &["volumeName"]);
    let mut errors = required(&path.child("volumeName"), name, names::dns1123_label);
    let namespace = text(source, &["volumeNamespace"]);
    if !namespace.is_empty() {
        errors.extend(required(
            &path.child("volumeNamespace"),
            namespace,
            names::dns1123_label,
        ));
    }
    errors.extend(secret(source, secret_fields, path));
    errors
}

/// The number of a logical unit.
pub(super) fn unit(source: &Value, path: &Path) -> Option<Error> {
    let number = meta::i64_at(source, &["lun"]).unwrap_or_default();
    let detail = names::inclusive_range(0, 255);
    (!(0..=255).contains(&number)).then(|| Error::invalid(&path.child("lun"), number, detail))
}

/// The longest name of an initiator with the portal it is for.
const PORTAL_MAX: usize = 64;

/// An iSCSI source without what only its initiator and its secret must be like. `unknown` is what upstream says about
/// a kind of name that it does not know.
pub(super) fn iscsi(source: &Value, unknown: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &["targetPortal"], path);
    match text(source, &["iqn"]) {
        "" => errors.push(Error::required(&path.child("iqn"), "")),
        name => errors.extend(iscsi_name(name, unknown, &path.child("iqn"))),
    }
    errors.extend(unit(source, path));
    let authenticated = ["chapAuthDiscovery", "chapAuthSession"]
        .iter()
        .any(|field| meta::bool_at(source, &[field]) == Some(true));
    if authenticated && source.get("secretRef").is_none_or(Value::is_null) {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    errors
}

/// A complaint about the name of an initiator or target.
pub(super) fn iscsi_name(name: &str, unknown: &str, path: &Path) -> Option<Error> {
    let known = ["iqn", "eui", "naa"].iter().any(|kind| name.starts_with(kind));
    let detail = if known { "must be valid format" } else { unknown };
    (!is_iscsi_name(name)).then(|| Error::invalid(path, name, detail))
}

/// What upstream says of `is_long_portal`.
pub(super) const LONG_PORTAL: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                                      iscsi.initiatorName is specified.";

/// Whether the portal of an initiator is too long beside the name of its volume.
pub(super) fn is_long_portal(source: &Value, volume: &str) -> bool {
    let portal = text(source, &["targetPortal"]);
    source.get("initiatorName").is_some() && volume.len() + 1 + portal.len() > PORTAL_MAX
}

pub(super) fn needed(source: &Value, fields: &[&str], path: &Path) -> ErrorList {
    fields.iter().filter_map(|field| present(source, field, path)).collect()
}

pub(super) fn secret(source: &Value, fields: &[&str], path: &Path) -> ErrorList {
    let reference = source.get("secretRef");
    reference.map_or_else(ErrorList::new, |reference| {
        needed(reference, fields, &path.child("secretRef"))
    })
}

pub(super) fn disk(source: &Value, id: &str, path: &Path) -> ErrorList {
    let mut errors = needed(source, &[id], path);
    if let Some(partition) = meta::i64_at(source, &["partition"])
        && !(0..=255).contains(&partition)
    {
        let detail = names::inclusive_range(1, 255);
        errors.push(Error::invalid(&path.child("partition"), partition, detail));
    }
    errors
}

pub(super) fn flocker(source: &Value, path: &Path) -> ErrorList {
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

pub(super) fn quobyte(source: &Value, path: &Path) -> ErrorList {
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

pub(super) fn fibre_channel(source: &Value, path: &Path) -> ErrorList {
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

pub(super) fn flex(source: &Value, path: &Path) -> ErrorList {
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

pub(super) fn azure_disk(source: &Value, path: &Path) -> ErrorList {
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
