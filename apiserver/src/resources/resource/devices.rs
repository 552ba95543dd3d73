//! The devices of a slice (`validateDevice`).

use super::super::shared::checks::text;
use super::policy;
use super::resourceslice::validate_nodes;
use super::rules::{self, label, list, qualified_name, set};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Map, Value};

const MAX_ATTRIBUTES: usize = 32;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMPTIONS: usize = 2;
const MAX_COUNTERS: usize = 32;
const MAX_VALUE: usize = 64;
/// A domain, a slash and an identifier.
const MAX_KEY: usize = 63 + 1 + 32;
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

/// Whether a device has what makes allocation expensive.
pub(super) fn is_advanced(device: &Value) -> bool {
    let has = |field: &str| !meta::list_at(device, &[field]).is_empty();
    let attributes = meta::map_at(device, &["attributes"]).into_iter().flat_map(Map::values);
    has("taints")
        || has("consumesCounters")
        || attributes
            .into_iter()
            .any(|attribute| LISTS.iter().any(|list| attribute.get(list).is_some()))
}

/// Checks a device; what has not changed since `old` is not looked at again.
pub(super) fn validate(device: &Value, old: Option<&Value>, per_device: bool, path: &Path) -> ErrorList {
    let map = |field: &str| meta::map_at(device, &[field]);
    let mut errors = label(text(device, &["name"]), &path.child("name"));
    let total = map("attributes").map_or(0, Map::len) + map("capacity").map_or(0, Map::len);
    if total > MAX_ATTRIBUTES {
        let detail = format!("the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}");
        errors.push(Error::invalid(path, total, detail));
    }
    errors.extend(entries(map("attributes"), &path.child("attributes"), &attribute));
    let changed = |field: &str| old.is_none_or(|old| old.get(field) != device.get(field));
    if changed("capacity") {
        let shared = meta::bool_at(device, &["allowMultipleAllocations"]) == Some(true);
        errors.extend(entries(map("capacity"), &path.child("capacity"), &|capacity, path| {
            policy::validate(capacity, shared, path)
        }));
    }
    if changed("taints") {
        let taints = meta::list_at(device, &["taints"]);
        errors.extend(list(taints, Some(MAX_TAINTS), &path.child("taints"), &rules::taint));
    }
    errors.extend(set(
        meta::list_at(device, &["consumesCounters"]),
        Some(MAX_CONSUMPTIONS),
        &path.child("consumesCounters"),
        &|consumption, path| validate_counters(consumption, "counterSet", path),
        &|consumption| text(consumption, &["counterSet"]).to_owned(),
    ));
    errors.extend(nodes(device, per_device, path));
    errors.extend(rules::binding_conditions(device, path));
    errors
}

/// Attributes or capacities by their names.
fn entries(map: Option<&Map<String, Value>>, path: &Path, item: rules::Item<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in map.into_iter().flatten() {
        if key.len() > MAX_KEY {
            errors.push(Error::too_long(path, MAX_KEY));
        } else {
            errors.extend(qualified_name(key, path));
        }
        errors.extend(item(value, &path.key(key)));
    }
    errors
}

/// `validateDeviceAttribute`.
fn attribute(attribute: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut check = |field: &str, value: &Value, path: &Path| {
        let value = value.as_str().unwrap_or_default();
        if field.starts_with("version") && !is_semantic_version(value) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(Error::invalid(path, value, detail));
        }
        if value.len() > MAX_VALUE {
            errors.push(Error::too_long(path, MAX_VALUE));
        }
    };
    for field in ["string", "version"] {
        if let Some(value) = attribute.get(field) {
            check(field, value, &path.child(field));
        }
    }
    for field in ["strings", "versions"] {
        for (i, value) in meta::list_at(attribute, &[field]).iter().enumerate() {
            check(field, value, &path.child(field).index(i));
        }
    }
    for field in LISTS {
        if attribute
            .get(field)
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
        {
            let detail = "must not be empty if specified";
            errors.push(Error::invalid(&path.child(field), Vec::<Value>::new(), detail));
        }
    }
    let detail = "exactly one value must be specified";
    match attribute.as_object().map_or(0, Map::len) {
        0 => errors.push(Error::invalid(path, "", detail)),
        1 => {}
        _ => errors.push(Error::invalid(path, attribute.clone(), detail)),
    }
    errors
}

/// `MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]`.
fn is_semantic_version(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (version, build) = text.split_once('+').map_or((text, None), |(v, b)| (v, Some(b)));
    let (core, release) = version.split_once('-').map_or((version, None), |(v, r)| (v, Some(r)));
    let numbers: Vec<&str> = core.split('.').collect();
    let identifier = |part: &str| word(part) && (number(part) || part.bytes().any(|b| !b.is_ascii_digit()));
    numbers.len() == 3
        && numbers.into_iter().all(number)
        && release.is_none_or(|release| release.split('.').all(identifier))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// A set of counters, or what a device takes of one; `field` names the set.
pub(super) fn validate_counters(counters: &Value, field: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match text(counters, &[field]) {
        "" => errors.push(Error::required(&path.child(field), "")),
        name => errors.extend(label(name, &path.child(field))),
    }
    let path = path.child("counters");
    match meta::map_at(counters, &["counters"]).filter(|map| !map.is_empty()) {
        None => errors.push(Error::required(&path, "")),
        Some(map) if map.len() > MAX_COUNTERS => errors.push(Error::too_many(&path, map.len(), MAX_COUNTERS)),
        Some(map) => errors.extend(map.keys().flat_map(|name| label(name, &path))),
    }
    errors
}

/// The nodes of a device are its own only where its slice says so.
fn nodes(device: &Value, per_device: bool, path: &Path) -> ErrorList {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    const NONE: &str = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set \
                        to true in the ResourceSlice spec";
    if !per_device {
        let set = ["nodeName", "nodeSelector", "allNodes"]
            .iter()
            .any(|field| device.get(field).is_some());
        return set
            .then(|| Error::invalid(path, Value::Null, NONE))
            .into_iter()
            .collect();
    }
    let (chosen, mut errors) = validate_nodes(device, "must not be empty", path);
    match chosen.len() {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => errors.push(Error::invalid(path, format!("{{{}}}", chosen.join(", ")), ONE)),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for (text, fine) in [
            ("1.2.3", true),
            ("1.2.3-alpha.1+b.2", true),
            ("1.2", false),
            ("01.2.3", false),
            ("1.2.3-01", false),
            ("1.2.3-", false),
        ] {
            assert_eq!(is_semantic_version(text), fine, "{text}");
        }
    }
}
