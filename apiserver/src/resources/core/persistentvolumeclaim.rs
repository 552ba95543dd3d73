//! PersistentVolumeClaims.

use super::super::shared::cells::{self, UNSET};
use super::super::shared::checks::{complaints, immutable, one_of_if_set, present, text};
use super::super::shared::pod_defaults::{round_up, set_text};
use super::super::shared::status::Status;
use super::super::shared::{diff, internal};
use super::pod_template::{validate_label_selector, validate_labels, warnings};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
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
/// Where the class was named before it had a field.
const CLASS_ANNOTATION: [&str; 3] = ["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"];
/// The two fields for the source of the data.
const OLDER_SOURCE: [&str; 2] = ["spec", "dataSource"];
const NEWER_SOURCE: [&str; 2] = ["spec", "dataSourceRef"];
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];
/// What the metadata of a template cannot have, in the order of upstream's type.
const NOT_IN_TEMPLATES: [&str; 13] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

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
                meta::str_at(obj, &["status", "capacity", "storage"])
                    .unwrap_or("0")
                    .into()
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

/// Alone, the older field for the source of the data may only name a claim or a snapshot; what else it says is dropped
/// (`EnforceDataSourceBackwardsCompatibility`).
fn drop_data_source(obj: &mut Value) {
    let text = |source: &Value, field: &str| meta::str_at(source, &[field]).unwrap_or_default().to_owned();
    let fits = |source: &Value| {
        let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
        matches!(
            (group.as_str(), kind.as_str()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    };
    if meta::at(obj, &NEWER_SOURCE).is_none() && meta::at(obj, &OLDER_SOURCE).is_some_and(|source| !fits(source)) {
        meta::remove(obj, &OLDER_SOURCE);
    }
}

/// Either field for the source of the data says what the other does, as long as the older one can: it knows no
/// namespaces (`NormalizeDataSources`).
fn share_data_source(obj: &mut Value) {
    let (older, newer) = (OLDER_SOURCE, NEWER_SOURCE);
    let text = |source: &Value, field: &str| meta::str_at(source, &[field]).unwrap_or_default().to_owned();
    match (meta::at(obj, &older).cloned(), meta::at(obj, &newer).cloned()) {
        (Some(source), None) => meta::set(obj, &newer, source),
        (None, Some(source)) if text(&source, "namespace").is_empty() => meta::set(obj, &older, source),
        _ => {}
    }
}

/// Whether the source of the data is named with its group, which then is not checked again.
fn has_group(spec: &Value) -> bool {
    ["dataSource", "dataSourceRef"]
        .iter()
        .any(|source| meta::str_at(spec, &[source, "apiGroup"]).is_some())
}

/// The source of the data, in either field (`validateDataSource`, `validateDataSourceRef`).
fn validate_source(source: &Value, any_group: bool, path: &Path) -> ErrorList {
    let (group, kind) = (text(source, &["apiGroup"]), text(source, &["kind"]));
    let mut errors: ErrorList = ["name", "kind"]
        .iter()
        .filter_map(|field| present(source, field, path))
        .collect();
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, kind, detail));
    }
    if !group.is_empty() && !any_group {
        errors.extend(complaints(
            &path.child("apiGroup"),
            group,
            names::dns1123_subdomain(group),
        ));
    }
    let namespace = text(source, &["namespace"]);
    if !namespace.is_empty() {
        errors.extend(complaints(
            &path.child("namespace"),
            namespace,
            names::dns1123_label(namespace),
        ));
    }
    errors
}

/// `ValidatePersistentVolumeClaimSpec`; `any_group` when the group of the source is not checked.
pub(in super::super) fn validate_spec(spec: &Value, any_group: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let modes = meta::list_at(spec, &["accessModes"]);
    let modes_path = path.child("accessModes");
    if modes.is_empty() {
        errors.push(Error::required(&modes_path, "at least 1 access mode is required"));
    }
    if let Some(selector) = meta::at(spec, &["selector"]) {
        errors.extend(validate_label_selector(selector, &path.child("selector")));
    }
    errors.extend(validate_modes(modes, &modes_path));
    let storage = path.child("resources").key("storage");
    match meta::str_at(spec, &["resources", "requests", "storage"]) {
        None => errors.push(Error::required(&storage, "")),
        Some(size) if !Quantity::parse(size).is_ok_and(|size| size.sign() > 0) => {
            errors.push(Error::invalid(&storage, size, "must be greater than zero"));
        }
        Some(_) => {}
    }
    let class = |field: &str| match text(spec, &[field]) {
        "" => ErrorList::new(),
        name => complaints(&path.child(field), name, names::dns1123_subdomain(name)),
    };
    errors.extend(class("storageClassName"));
    errors.extend(one_of_if_set(spec, "volumeMode", &VOLUME_MODES, path));
    let sources = ["dataSource", "dataSourceRef"].map(|field| meta::at(spec, &[field]).map(|source| (field, source)));
    for (field, source) in sources.into_iter().flatten() {
        errors.extend(validate_source(source, any_group, &path.child(field)));
    }
    if let [Some((_, older)), Some((_, newer))] = sources {
        let elsewhere = !text(newer, &["namespace"]).is_empty();
        let equal = ["apiGroup", "kind", "name"]
            .iter()
            .all(|field| older.get(field) == newer.get(field));
        let detail = if elsewhere {
            "may not be specified when dataSourceRef.namespace is specified"
        } else {
            "must match dataSourceRef"
        };
        if elsewhere || !equal {
            // Upstream shows a path as the value, which has no fields to show.
            errors.push(Error::invalid(path, Value::Null, detail).showing("{}".to_owned()));
        }
    }
    errors.extend(class("volumeAttributesClassName"));
    errors
}

/// A claim that is made with its owner (`ValidatePersistentVolumeClaimTemplate`).
pub(super) fn validate_template(template: &Value, path: &Path) -> ErrorList {
    let metadata = meta::at(template, &["metadata"]).unwrap_or(&Value::Null);
    let mut errors = validate_template_metadata(metadata, &path.child("metadata"));
    let spec = meta::at(template, &["spec"]).unwrap_or(&Value::Null);
    errors.extend(validate_spec(spec, has_group(spec), &path.child("spec")));
    errors
}

/// What is made of a template takes over labels and annotations, and nothing else (`ValidateTemplateObjectMeta`).
pub(in super::super) fn validate_template_metadata(metadata: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for key in meta::map_at(metadata, &["annotations"])
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        let found = names::qualified_name(&key.to_lowercase());
        errors.extend(complaints(&path.child("annotations"), key.as_str(), found));
    }
    errors.extend(validate_labels(metadata.get("labels"), &path.child("labels")));
    for field in NOT_IN_TEMPLATES {
        let value = metadata.get(field);
        let number = field != "deletionGracePeriodSeconds";
        let zero = value.is_none_or(|value| value.is_null() || *value == "" || (number && *value == 0));
        if !zero {
            // Upstream spells one field as its Go name begins.
            let called = if field == "uid" { "uID" } else { field };
            errors.push(Error::forbidden(&path.child(called), "cannot be set"));
        }
    }
    errors
}

/// The annotation for the class stays as it is.
fn validate_class_annotation(new: &Value, old: &Value) -> Option<Error> {
    let (was, is) = (text(old, &CLASS_ANNOTATION), text(new, &CLASS_ANNOTATION));
    let class = meta::str_at(new, &["spec", "storageClassName"]);
    let replaced = meta::str_at(old, &CLASS_ANNOTATION).is_some()
        && meta::at(old, &["spec", "storageClassName"]).is_none()
        && class == Some(was)
        && (meta::at(new, &CLASS_ANNOTATION).is_none() || was == is);
    let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION[2]);
    (was != is && !replaced).then(|| Error::invalid(&path, is, "field is immutable"))
}

/// A claim may not ask for less than it has.
fn validate_shrinking(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    const SIZE: [&str; 4] = ["spec", "resources", "requests", "storage"];
    let size = |obj: &Value, path: &[&str]| Quantity::parse(meta::str_at(obj, path).unwrap_or("0")).ok();
    let (was, is) = (size(old, &SIZE)?, size(new, &SIZE)?);
    let has = size(old, &["status", "capacity", "storage"])?;
    let path = SIZE[1..].iter().fold(path.clone(), |path, part| path.child(part));
    (is < was && is <= has).then(|| Error::forbidden(&path, "field can not be less than status.capacity"))
}

/// A claim whose class of attributes is in effect always has one.
fn validate_attributes_class(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    const CLASS: [&str; 2] = ["spec", "volumeAttributesClassName"];
    meta::at(old, &["status", "currentVolumeAttributesClassName"])?;
    let is = meta::str_at(new, &CLASS);
    if is == meta::str_at(old, &CLASS) {
        return None;
    }
    let to = match is {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return None,
    };
    let detail = format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
    Some(Error::forbidden(&path.child(CLASS[1]), detail))
}

/// `ValidatePersistentVolumeClaimStatusUpdate`.
fn validate_status(new: &Value, _old: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    if meta::str_at(new, &["metadata", "resourceVersion"])
        .unwrap_or_default()
        .is_empty()
    {
        errors.push(Error::required(&Path::new("resourceVersion"), ""));
    }
    let amount = |field: &str, name: &str| {
        let amount = text(new, &["status", field, name]);
        let units = Quantity::parse(amount).ok()?.units();
        let path = path.child(field).key(name);
        (units < 0).then(|| Error::invalid(&path, units, "must be a valid resource quantity"))
    };
    let keys = |field: &'static str| {
        let map = meta::map_at(new, &["status", field]);
        map.into_iter().flat_map(serde_json::Map::keys)
    };
    errors.extend(keys("capacity").filter_map(|name| amount("capacity", name)));
    let statuses = path.child("allocatedResourceStatuses");
    for name in keys("allocatedResourceStatuses") {
        errors.extend(validate_key(name, &statuses));
        let state = text(new, &["status", "allocatedResourceStatuses", name]);
        if !RESIZE_STATES.contains(&state) {
            // Upstream shows the key, not the value.
            errors.push(Error::not_supported(&statuses, name.as_str(), &RESIZE_STATES));
        }
    }
    for name in keys("allocatedResources") {
        let found = validate_key(name, &path.child("allocatedResources"));
        if found.is_empty() {
            errors.extend(amount("allocatedResources", name));
        }
        errors.extend(found);
    }
    errors
}

/// What can be allocated to a claim: storage, and what has a domain.
fn validate_key(name: &str, path: &Path) -> ErrorList {
    let errors = complaints(path, name, names::qualified_name(name));
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.is_empty() && native && name != "storage" {
        return vec![Error::not_supported(path, name, &["storage"])];
    }
    errors
}

struct Claim;

impl Strategy for Claim {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({"phase": "Pending"}));
        drop_data_source(obj);
        share_data_source(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
        if [OLDER_SOURCE, NEWER_SOURCE]
            .iter()
            .all(|source| meta::at(old, source).is_none())
        {
            drop_data_source(new);
        }
        share_data_source(new);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
        validate_spec(spec, false, &Path::new("spec"))
    }

    /// `ValidatePersistentVolumeClaimUpdate`: the volume may be set once, and the size of a bound claim may change.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let none = Value::Null;
        let before = meta::at(old, &["spec"]).unwrap_or(&none);
        let path = Path::new("spec");
        let spec = meta::at(new, &["spec"]).unwrap_or(&none);
        let mut errors = validate_spec(spec, has_group(before), &path);
        errors.extend(validate_class_annotation(new, old));
        let mut fixed = new.clone();
        let class = |obj: &Value| meta::str_at(obj, &["spec", "storageClassName"]).map(str::to_owned);
        let (was, is) = (meta::str_at(old, &CLASS_ANNOTATION), class(new));
        // The class may be given once, and must be that of the old annotation.
        if class(old).is_none() && is.is_some() && (was.is_none() || was == is.as_deref()) {
            meta::copy(&mut fixed, old, &["spec", "storageClassName"]);
        }
        if meta::str_at(old, &["status", "phase"]) == Some("Bound") {
            meta::copy(&mut fixed, old, &["spec", "resources", "requests", "storage"]);
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
            errors.push(Error::forbidden(&path, detail));
        }
        errors.extend(validate_shrinking(new, old, &path));
        let mode = |obj| meta::at(obj, &["spec", "volumeMode"]);
        errors.extend(immutable(mode(new), mode(old), &Path::new("volumeMode")));
        errors.extend(validate_attributes_class(new, old, &path));
        errors
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if meta::at(new, &CLASS_ANNOTATION).is_some() {
            let path = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION[2]);
            warnings.push(format!(
                "{path}: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        let spec = meta::at(new, &["spec"]).unwrap_or(&Value::Null);
        warnings.extend(warnings::of_claim(spec, &Path::new("spec")));
        warnings
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
        short_names: ["pvc"].into(),
        ..Resource::namespaced_kind(
            ("", "v1", "PersistentVolumeClaim"),
            ("persistentvolumeclaims", "persistentvolumeclaim"),
            TYPE,
            Claim,
            &COLUMNS,
        )
    };
    let status = Status {
        validate: validate_status,
        ..Status::plain(default)
    };
    claim.with_object_subresource("status", status)
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
            drop_data_source(&mut claim);
            share_data_source(&mut claim);
            assert_eq!(claim["spec"], expected);
        }
    }

    #[test]
    fn each_fault_of_a_spec_is_named() {
        let claim = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        let elsewhere = json!({"kind": "PersistentVolumeClaim", "name": "c", "namespace": "n"});
        for (more, expected) in [
            (json!({}), vec![]),
            (
                json!({"accessModes": []}),
                vec!["spec.accessModes: Required value: at least 1 access mode is required"],
            ),
            (
                json!({"resources": {"requests": {"storage": "0"}}}),
                vec!["spec.resources[storage]: Invalid value: \"0\": must be greater than zero"],
            ),
            (
                json!({"volumeMode": "X"}),
                vec!["spec.volumeMode: Unsupported value: \"X\": supported values: \"Block\", \"Filesystem\""],
            ),
            (
                json!({"dataSourceRef": {"kind": "Foo", "name": ""}}),
                vec![
                    "spec.dataSourceRef.name: Required value",
                    "spec.dataSourceRef: Invalid value: \"Foo\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
                ],
            ),
            (
                json!({"dataSource": claim, "dataSourceRef": elsewhere}),
                vec!["spec: Invalid value: {}: may not be specified when dataSourceRef.namespace is specified"],
            ),
        ] {
            let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
            for (key, value) in more.as_object().unwrap() {
                spec[key] = value.clone();
            }
            let found: Vec<String> = validate_spec(&spec, false, &Path::new("spec"))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_claim_keeps_what_it_has() {
        let claim = |size: &str, more: Value| {
            let mut claim = json!({"metadata": {"resourceVersion": "1"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}}, "volumeAttributesClassName": "gold"},
                "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}, "currentVolumeAttributesClassName": "gold"}});
            for (key, value) in more.as_object().unwrap() {
                meta::set(&mut claim, &["spec", key], value.clone());
            }
            claim
        };
        let cx = Context {
            namespace: "n",
            now: "",
            user: "",
        };
        let old = claim("3Gi", json!({}));
        for (new, expected) in [
            (claim("4Gi", json!({})), None),
            (claim("2.5Gi", json!({})), None),
            (
                claim("1Gi", json!({})),
                Some("spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"),
            ),
            (
                claim("3Gi", json!({"volumeAttributesClassName": ""})),
                Some(
                    "spec.volumeAttributesClassName: Forbidden: update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil",
                ),
            ),
        ] {
            let errors = Claim.validate_update(&cx, &new, &old);
            assert_eq!(errors.first().map(ToString::to_string).as_deref(), expected);
        }
        let status =
            json!({"metadata": {"resourceVersion": "1"}, "status": {"allocatedResourceStatuses": {"cpu": "Foo"}}});
        let found: Vec<String> = validate_status(&status, &old).iter().map(|e| e.field.clone()).collect();
        assert_eq!(found, ["status.allocatedResourceStatuses"; 2]);
    }
}
