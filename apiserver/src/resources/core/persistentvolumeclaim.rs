//! PersistentVolumeClaims.

use super::super::shared::cells::{self, UNSET};
use super::super::shared::pod_defaults::{round_up, set_text};
use super::super::shared::status::Status;
use super::super::shared::{diff, internal};
use super::pod_template::validate_label_selector;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::{Value, json};

const TYPE: &str = "io.k8s.api.core.v1.PersistentVolumeClaim";
const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
const STATUS: &str = "io.k8s.api.core.v1.PersistentVolumeClaimStatus";

/// The access modes and how tables abbreviate them.
pub(super) const ACCESS_MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];

pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Status", "string", STATUS, "phase"),
        Column::of_field("Volume", "string", SPEC, "volumeName"),
        Column::of_field("Capacity", "string", STATUS, "capacity"),
        Column::of_field("Access Modes", "string", STATUS, "accessModes"),
        Column::new("StorageClass", "string", "StorageClass of the pvc"),
        Column::new("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
        cells::AGE,
        Column::of_field("VolumeMode", "string", SPEC, "volumeMode").wide(),
    ],
    cells: |obj, now| {
        let text = |path: &[&str]| meta::str_at(obj, path).unwrap_or_default();
        let phase = if meta::is_deleting(obj) {
            "Terminating"
        } else {
            text(&["status", "phase"])
        };
        let bound = !text(&["spec", "volumeName"]).is_empty();
        let modes = abbreviated(meta::list_at(obj, &["status", "accessModes"]));
        let unset = |path: &[&str]| meta::str_at(obj, path).unwrap_or(UNSET);
        vec![
            cells::name(obj),
            phase.into(),
            text(&["spec", "volumeName"]).into(),
            if bound {
                text(&["status", "capacity", "storage"]).into()
            } else {
                "".into()
            },
            if bound { modes.into() } else { "".into() },
            text(&["spec", "storageClassName"]).into(),
            unset(&["spec", "volumeAttributesClassName"]).into(),
            cells::age(obj, now),
            unset(&["spec", "volumeMode"]).into(),
        ]
    },
};

/// Access modes as tables show them.
pub(super) fn abbreviated(modes: &[Value]) -> String {
    let known = ACCESS_MODES.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode));
    known.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The access modes that a volume or claim names: known ones, and the one for a single pod alone.
pub(super) fn validate_modes(modes: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names: Vec<&str> = ACCESS_MODES.iter().map(|(m, _)| *m).collect();
    names.sort_unstable();
    for mode in modes {
        if !names.iter().any(|known| mode == known) {
            errors.push(Error::not_supported(path, mode.clone(), &names));
        }
    }
    let alone = |mode: &&Value| **mode == "ReadWriteOncePod";
    let others = modes
        .iter()
        .filter(|mode| !alone(mode) && names.iter().any(|known| *mode == known));
    if modes.iter().any(|mode| alone(&mode)) && others.count() > 0 {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn default(obj: &mut Value) {
    set_text(obj, &["status", "phase"], "Pending");
    if meta::at(obj, &["spec"]).is_some() {
        meta::set_default(obj, &["spec", "volumeMode"], "Filesystem");
        meta::set_default(obj, &["spec", "resources"], json!({}));
    }
    for list in ["requests", "limits"] {
        round_up(obj, &["spec", "resources", list]);
    }
}

/// The older field for the source of the data may only name a claim or a snapshot; what else it says is dropped. Then
/// either field says what the other does, as long as the older one can: it knows no namespaces
/// (`EnforceDataSourceBackwardsCompatibility`, `NormalizeDataSources`).
fn share_data_source(obj: &mut Value) {
    let (older, newer) = (["spec", "dataSource"], ["spec", "dataSourceRef"]);
    let text = |source: &Value, field: &str| meta::str_at(source, &[field]).unwrap_or_default().to_owned();
    let fits = |source: &Value| {
        let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
        matches!(
            (group.as_str(), kind.as_str()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    };
    if meta::at(obj, &older).is_some_and(|source| !fits(source)) {
        meta::remove(obj, &older);
    }
    match (meta::at(obj, &older).cloned(), meta::at(obj, &newer).cloned()) {
        (Some(source), None) => meta::set(obj, &newer, source),
        (None, Some(source)) if text(&source, "namespace").is_empty() => meta::set(obj, &older, source),
        _ => {}
    }
}

struct Claim;

impl Strategy for Claim {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"phase": "Pending"}));
        share_data_source(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    /// `ValidatePersistentVolumeClaimSpec`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = ErrorList::new();
        let modes = meta::list_at(obj, &["spec", "accessModes"]);
        if modes.is_empty() {
            errors.push(Error::required(
                &path.child("accessModes"),
                "at least 1 access mode is required",
            ));
        }
        errors.extend(validate_modes(modes, &path.child("accessModes")));
        if let Some(selector) = meta::at(obj, &["spec", "selector"]) {
            errors.extend(validate_label_selector(selector, &path.child("selector")));
        }
        let storage = path.child("resources").key("storage");
        match meta::str_at(obj, &["spec", "resources", "requests", "storage"]) {
            None => errors.push(Error::required(&storage, "")),
            Some(text) => {
                let positive = machinery::quantity::Quantity::parse(text).is_ok_and(|q| q.sign() > 0);
                if !positive {
                    errors.push(Error::invalid(&storage, text, "must be greater than zero"));
                }
            }
        }
        match meta::str_at(obj, &["spec", "volumeMode"]) {
            Some(other) if !VOLUME_MODES.contains(&other) => {
                errors.push(Error::not_supported(&path.child("volumeMode"), other, &VOLUME_MODES));
            }
            _ => {}
        }
        errors
    }

    /// `ValidatePersistentVolumeClaimUpdate`: the volume may be set once, and the size of a bound claim may change.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        let mut fixed = new.clone();
        if meta::str_at(old, &["status", "phase"]) == Some("Bound") {
            meta::copy(&mut fixed, old, &["spec", "resources", "requests"]);
            meta::copy(&mut fixed, old, &["spec", "volumeAttributesClassName"]);
        }
        let unnamed = |obj: &Value| {
            meta::str_at(obj, &["spec", "volumeName"])
                .unwrap_or_default()
                .is_empty()
        };
        if unnamed(old) {
            meta::copy(&mut fixed, old, &["spec", "volumeName"]);
        }
        let spec = |obj: &Value| meta::at(obj, &["spec"]).cloned().unwrap_or_default();
        if spec(&fixed) != spec(old) {
            let shown = |obj| internal::pretty("PersistentVolumeClaimSpec", &spec(obj));
            let detail = format!(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
                diff::unified(&shown(old), &shown(&fixed))
            );
            errors.push(Error::forbidden(&Path::new("spec"), detail));
        }
        let mode = |obj| meta::at(obj, &["spec", "volumeMode"]);
        if mode(new) != mode(old) {
            let value = mode(new).cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::new("volumeMode"), value, "field is immutable"));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    let claim = Resource {
        short_names: &["pvc"],
        ..Resource::namespaced_kind(
            ("", "v1", "PersistentVolumeClaim"),
            ("persistentvolumeclaims", "persistentvolumeclaim"),
            TYPE,
            Claim,
            &COLUMNS,
        )
    };
    claim.with_object_subresource("status", Status::plain(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_for_the_source_say_the_same() {
        let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"});
        let elsewhere = json!({"kind": "PersistentVolumeClaim", "name": "c", "namespace": "n"});
        for (given, expected) in [
            (
                json!({"dataSource": snapshot}),
                json!({"dataSource": snapshot, "dataSourceRef": snapshot}),
            ),
            (
                json!({"dataSourceRef": snapshot}),
                json!({"dataSource": snapshot, "dataSourceRef": snapshot}),
            ),
            (json!({"dataSourceRef": elsewhere}), json!({"dataSourceRef": elsewhere})),
            (json!({"dataSource": {"kind": "Foo", "name": "f"}}), json!({})),
        ] {
            let mut claim = json!({"spec": given});
            share_data_source(&mut claim);
            assert_eq!(claim["spec"], expected);
        }
    }
}
