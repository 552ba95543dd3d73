//! Files that volumes make of keys, fields and tokens (`validateKeyToPath`, `validateDownwardAPIVolumeFile`,
//! `validateProjectionSources`).

use super::env;
use super::paths::projected;
use crate::resources::shared::checks::{present, text};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;

const CONFLICT: &str = "conflicting duplicate paths";
/// How long a token may be good for, in seconds.
const TOKEN_SECONDS: std::ops::RangeInclusive<i64> = 600..=1 << 32;

pub(super) fn validate_mode(source: &Value, field: &str, path: &Path) -> Option<Error> {
    let mode = meta::i64_at(source, &[field])?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    (!(0..=0o777).contains(&mode)).then(|| Error::invalid(&path.child(field), mode, detail))
}

/// Keys that become files.
pub(super) fn validate_items(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, item) in meta::list_at(source, &["items"]).iter().enumerate() {
        errors.extend(validate_item(item, &path.child("items").index(i)));
    }
    errors
}

fn validate_item(item: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = present(item, "key", path).into_iter().collect();
    errors.extend(projected(text(item, &["path"]), &path.child("path")));
    errors.extend(validate_mode(item, "mode", path));
    errors
}

/// Fields that become files; upstream's paths leave the item out.
pub(super) fn validate_downward(source: &Value, path: &Path) -> ErrorList {
    let items = meta::list_at(source, &["items"]);
    items.iter().flat_map(|item| validate_file(item, path)).collect()
}

fn validate_file(item: &Value, path: &Path) -> ErrorList {
    let mut errors = projected(text(item, &["path"]), &path.child("path"));
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
        (None, None) => errors.push(Error::required(
            path,
            "one of fieldRef and resourceFieldRef is required",
        )),
    }
    errors.extend(validate_mode(item, "mode", path));
    errors
}

/// The sources of a projected volume, whose files must not be at the same place.
pub(super) fn validate_projected(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut taken = BTreeSet::new();
    for (i, projection) in meta::list_at(source, &["sources"]).iter().enumerate() {
        let place = path.child("sources").index(i);
        let mut sources = 0;
        for field in ["secret", "configMap"] {
            let Some(inner) = projection.get(field) else { continue };
            sources += 1;
            let place = place.child(field);
            errors.extend(present(inner, "name", &place));
            for (j, item) in meta::list_at(inner, &["items"]).iter().enumerate() {
                errors.extend(validate_item(item, &place.child("items").index(j)));
                if is_taken(item, &mut taken) {
                    errors.push(Error::invalid(path, text(inner, &["name"]), CONFLICT));
                }
            }
        }
        if let Some(inner) = projection.get("downwardAPI") {
            sources += 1;
            for item in meta::list_at(inner, &["items"]) {
                errors.extend(validate_file(item, &place.child("downwardAPI")));
                if is_taken(item, &mut taken) {
                    errors.push(Error::invalid(path, text(item, &["path"]), CONFLICT));
                }
            }
        }
        if let Some(token) = projection.get("serviceAccountToken") {
            sources += 1;
            errors.extend(validate_seconds(token, &place.child("serviceAccountToken")));
            // Upstream reports the path of the token at the volume.
            errors.extend(projected(text(token, &["path"]), &path.child("path")));
        }
        if sources > 1 {
            let detail = "may not specify more than 1 volume type per source";
            errors.push(Error::forbidden(&place, detail));
        }
    }
    errors
}

fn is_taken<'a>(item: &'a Value, taken: &mut BTreeSet<&'a str>) -> bool {
    let path = text(item, &["path"]);
    !path.is_empty() && !taken.insert(path)
}

fn validate_seconds(token: &Value, path: &Path) -> Option<Error> {
    let seconds = meta::i64_at(token, &["expirationSeconds"])?;
    let detail = if seconds < *TOKEN_SECONDS.start() {
        "may not specify a duration less than 10 minutes"
    } else {
        "may not specify a duration larger than 2^32 seconds"
    };
    let bad = !TOKEN_SECONDS.contains(&seconds);
    bad.then(|| Error::invalid(&path.child("expirationSeconds"), seconds, detail))
}
