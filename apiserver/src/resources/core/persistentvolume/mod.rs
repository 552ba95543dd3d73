//! PersistentVolumes.

pub(in super::super) mod inline;
mod sources;

use super::super::shared::cells::{self, UNSET};
use super::super::shared::checks::{self, amounts, complaints, immutable, text};
use super::super::shared::pod_defaults::{round_up, set_text, volume_source};
use super::super::shared::{diff, internal};
use super::persistentvolumeclaim::{VOLUME_MODES, abbreviated, validate_modes};
use super::pod_template::affinity;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Map, Value, json};

const TYPE: &str = "io.k8s.api.core.v1.PersistentVolume";
const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeSpec";
const STATUS: &str = "io.k8s.api.core.v1.PersistentVolumeStatus";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Capacity", "string", SPEC, "capacity"),
        Column::of_field("Access Modes", "string", SPEC, "accessModes"),
        Column::of_field("Reclaim Policy", "string", SPEC, "persistentVolumeReclaimPolicy"),
        Column::of_field("Status", "string", STATUS, "phase"),
        Column::of_field("Claim", "string", SPEC, "claimRef"),
        Column::new("StorageClass", "string", "StorageClass of the pv"),
        Column::new("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
        Column::of_field("Reason", "string", STATUS, "reason"),
        cells::AGE,
        Column::of_field("VolumeMode", "string", SPEC, "volumeMode").wide(),
    ],
    cells: row,
};

fn row(obj: &Value, now: i64) -> Vec<Value> {
    let spec = |field: &str| text(obj, &["spec", field]);
    let claim = meta::at(obj, &["spec", "claimRef"]);
    let claim = claim.map(|claim| format!("{}/{}", text(claim, &["namespace"]), text(claim, &["name"])));
    let phase = if meta::is_deleting(obj) {
        "Terminating"
    } else {
        text(obj, &["status", "phase"])
    };
    let class = meta::str_at(obj, &["metadata", "annotations", BETA_CLASS]);
    let unset = |field: &str| meta::str_at(obj, &["spec", field]).unwrap_or(UNSET);
    vec![
        cells::name(obj),
        meta::str_at(obj, &["spec", "capacity", "storage"])
            .unwrap_or("0")
            .into(),
        abbreviated(meta::list_at(obj, &["spec", "accessModes"])).into(),
        spec("persistentVolumeReclaimPolicy").into(),
        phase.into(),
        claim.unwrap_or_default().into(),
        class.unwrap_or_else(|| spec("storageClassName")).into(),
        unset("volumeAttributesClassName").into(),
        text(obj, &["status", "reason"]).into(),
        cells::age(obj, now),
        unset("volumeMode").into(),
    ]
}

fn default(obj: &mut Value) {
    set_text(obj, &["status", "phase"], "Pending");
    let Some(spec) = obj.get_mut("spec").filter(|spec| spec.is_object()) else {
        return;
    };
    set_text(spec, &["persistentVolumeReclaimPolicy"], "Retain");
    meta::set_default(spec, &["volumeMode"], "Filesystem");
    volume_source(spec);
    round_up(spec, &["capacity"]);
}

struct Volume;

impl Strategy for Volume {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, cx: &Context<'_>, obj: &mut Value) {
        let status = json!({"phase": "Pending", "lastPhaseTransitionTime": cx.now});
        meta::set(obj, &["status"], status);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate_spec(obj);
        errors.extend(validate_mount_options(obj));
        errors
    }

    /// Upstream checks the whole object, and then once more as an update.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        errors.extend(validate_spec(new));
        errors.extend(validate_change(new, old));
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings(new)
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `ValidatePersistentVolumeSpec`.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = ErrorList::new();
    errors.extend(checks::present(spec, "accessModes", &path));
    let modes = meta::list_at(spec, &["accessModes"]);
    errors.extend(validate_modes(modes, &path.child("accessModes")));
    errors.extend(validate_capacity(spec, &path.child("capacity")));
    let policy = text(spec, &["persistentVolumeReclaimPolicy"]);
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        errors.extend(checks::one_of(policy, &["Delete", "Recycle", "Retain"], &policy_path));
    }
    if let Some(affinity) = spec.get("nodeAffinity") {
        let path = path.child("nodeAffinity").child("required");
        match affinity.get("required") {
            Some(required) => errors.extend(affinity::validate_node_selector(required, &path)),
            None => errors.push(Error::required(&path, "must specify required node constraints")),
        }
    }
    errors.extend(sources::validate(spec, meta::name(obj), &path));
    let root = meta::str_at(spec, &["hostPath", "path"]).is_some_and(is_root);
    if root && policy == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(Error::forbidden(&policy_path, detail));
    }
    let class = text(spec, &["storageClassName"]);
    if !class.is_empty() {
        let path = path.child("storageClassName");
        errors.extend(complaints(&path, class, names::dns1123_subdomain(class)));
    }
    errors.extend(checks::one_of_if_set(spec, "volumeMode", &VOLUME_MODES, &path));
    if let Some(class) = meta::str_at(spec, &["volumeAttributesClassName"]) {
        let class_path = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(Error::required(&class_path, "an empty string is disallowed"));
        } else {
            errors.extend(complaints(&class_path, class, names::dns1123_subdomain(class)));
        }
        if spec.get("csi").is_none() {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.push(Error::required(&path.child("csi"), detail));
        }
    }
    errors
}

fn validate_capacity(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let capacity = meta::map_at(spec, &["capacity"]);
    if capacity.is_none_or(Map::is_empty) {
        errors.push(Error::required(path, ""));
    }
    if capacity.is_none_or(|map| map.len() != 1 || !map.contains_key("storage")) {
        let value = spec.get("capacity").cloned().unwrap_or_default();
        errors.push(Error::not_supported(path, value, &["storage"]));
    }
    for (name, amount) in amounts(spec, &["capacity"]) {
        let path = path.key(name);
        if amount.units() < 0 {
            errors.push(Error::invalid(
                &path,
                amount.units(),
                "must be a valid resource quantity",
            ));
        }
        if amount.sign() <= 0 {
            errors.push(Error::invalid(&path, amount.to_string(), "must be greater than zero"));
        }
    }
    errors
}

/// Whether a path means the root of the file system, however it is written.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

/// The older annotation is only for volumes that are mounted with options (`pkg/volume/validation`).
fn validate_mount_options(obj: &Value) -> Option<Error> {
    let annotated = meta::at(obj, &["metadata", "annotations", MOUNT_OPTIONS]).is_some();
    let mountable = sources::MOUNTABLE
        .iter()
        .any(|source| meta::at(obj, &["spec", source]).is_some());
    let path = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
    (annotated && !mountable).then(|| Error::forbidden(&path, "may not specify mount options for this volume type"))
}

/// The part of a spec that says where the volume is.
fn source(obj: &Value) -> Value {
    let spec = meta::map_at(obj, &["spec"]).into_iter().flatten();
    let source = spec.filter(|(field, _)| sources::ORDER.iter().any(|(name, _)| name == *field));
    source
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// `ValidatePersistentVolumeUpdate`: a volume stays where it is; a driver may only learn a secret for growing it.
fn validate_change(new: &Value, old: &Value) -> ErrorList {
    const EXPAND: [&str; 3] = ["spec", "csi", "controllerExpandSecretRef"];
    let mut errors = ErrorList::new();
    let mut changed = new.clone();
    if meta::at(old, &["spec", "csi"]).is_some() && meta::at(old, &EXPAND).is_none() {
        meta::remove(&mut changed, &EXPAND);
    }
    let (before, after) = (source(old), source(&changed));
    if before != after {
        let shown = |source: &Value| internal::pretty("PersistentVolumeSource", source);
        let detail = format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            diff::unified(&shown(&before), &shown(&after))
        );
        let path = Path::new("spec").child("persistentvolumesource");
        errors.push(Error::forbidden(&path, detail));
    }
    let spec = |obj, field: &str| meta::at(obj, &["spec", field]);
    errors.extend(immutable(
        spec(new, "volumeMode"),
        spec(old, "volumeMode"),
        &Path::new("volumeMode"),
    ));
    if let Some(affinity) = spec(old, "nodeAffinity") {
        let path = Path::new("nodeAffinity");
        let is = spec(new, "nodeAffinity");
        if is.is_none_or(|is| renamed_like(is, affinity) != *is) {
            let value = is.cloned().unwrap_or_default();
            let shown = is.map(|is| internal::show("VolumeNodeAffinity", is));
            let detail = "field is immutable, except for updating from beta label to GA";
            let mut error = Error::invalid(&path, value, detail);
            error.shown = shown;
            errors.push(error);
        }
    }
    if spec(old, "volumeAttributesClassName").is_some() && spec(new, "volumeAttributesClassName").is_none() {
        let path = Path::new("spec").child("volumeAttributesClassName");
        errors.push(Error::forbidden(&path, "update from non-nil value to nil is forbidden"));
    }
    errors
}

/// An old node affinity with the names that a new one has for labels that were called otherwise while they were beta:
/// replacing these is no change (`validatePvNodeAffinity`). A label that was never beta has no name as its new one, so one
/// that loses its name is the same to upstream.
fn renamed_like(new: &Value, old: &Value) -> Value {
    const RENAMED: [(&str, &str); 5] = [
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        (
            "failure-domain.beta.kubernetes.io/region",
            "topology.kubernetes.io/region",
        ),
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    const TERMS: &str = "/required/nodeSelectorTerms";
    let mut renamed = old.clone();
    let terms = renamed.pointer_mut(TERMS).and_then(Value::as_array_mut);
    for (t, term) in terms.into_iter().flatten().enumerate() {
        for list in ["matchExpressions", "matchFields"] {
            let requirements = term.get_mut(list).and_then(Value::as_array_mut);
            for (r, requirement) in requirements.into_iter().flatten().enumerate() {
                let is = new
                    .pointer(&format!("{TERMS}/{t}/{list}/{r}/key"))
                    .and_then(Value::as_str);
                let found = RENAMED.iter().find(|(beta, _)| requirement["key"] == *beta);
                if is.unwrap_or_default() == found.map_or("", |(_, name)| name) {
                    meta::set(requirement, &["key"], is);
                }
            }
        }
    }
    renamed
}

/// `pkg/api/persistentvolume`, `GetWarningsForPersistentVolume`.
fn warnings(obj: &Value) -> Vec<String> {
    const DEPRECATED: [(&str, &str); 6] = [
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    let annotations = Path::new("metadata").child("annotations");
    let mut warnings = Vec::new();
    for (key, why) in [
        (
            BETA_CLASS,
            r#"deprecated since v1.8; use "storageClassName" attribute instead"#,
        ),
        (
            MOUNT_OPTIONS,
            r#"deprecated since v1.31; use "mountOptions" attribute instead"#,
        ),
    ] {
        if meta::at(obj, &["metadata", "annotations", key]).is_some() {
            warnings.push(format!("{}: {why}", annotations.key(key)));
        }
    }
    if text(obj, &["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    for (source, why) in DEPRECATED {
        if meta::at(obj, &["spec", source]).is_some() {
            warnings.push(format!("spec.{source}: {why}"));
        }
    }
    warnings
}

struct Status;

impl Strategy for Status {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    /// Notes when the phase has changed, unless the client does.
    fn prepare_for_update(&self, cx: &Context<'_>, new: &mut Value, old: &Value) {
        const TIME: [&str; 2] = ["status", "lastPhaseTransitionTime"];
        meta::copy(new, old, &["spec"]);
        let phase = |obj| meta::at(obj, &["status", "phase"]);
        if phase(new) == phase(old) {
            if meta::at(new, &TIME).is_none() {
                meta::copy(new, old, &TIME);
            }
        } else if meta::at(new, &TIME).is_none() || meta::at(new, &TIME) == meta::at(old, &TIME) {
            meta::set(new, &TIME, cx.now);
        }
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["spec"]
    }
}

pub(super) fn resource() -> Resource {
    let volume = Resource {
        short_names: ["pv"].into(),
        ..Resource::cluster_kind(
            ("", "v1", "PersistentVolume"),
            ("persistentvolumes", "persistentvolume"),
            TYPE,
            Volume,
            &COLUMNS,
        )
    };
    volume.with_object_subresource("status", Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(spec: Value) -> Vec<String> {
        let volume = json!({"metadata": {"name": "v"}, "spec": spec});
        validate_spec(&volume).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_volume_is_somewhere_and_has_a_size() {
        assert_eq!(
            texts(json!({})),
            [
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: null: supported values: \"storage\"",
                "spec: Required value: must specify a volume type",
            ]
        );
        let spec = |more: Value| {
            let mut spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}});
            for (key, value) in more.as_object().unwrap() {
                spec[key] = value.clone();
            }
            texts(spec)
        };
        for (more, expected) in [
            (json!({"hostPath": {"path": "/x"}}), vec![]),
            (
                json!({"hostPath": {"path": "/./"}, "persistentVolumeReclaimPolicy": "Recycle"}),
                vec!["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
            ),
            (
                json!({"local": {"path": "/x"}}),
                vec!["spec.nodeAffinity: Required value: Local volume requires node affinity"],
            ),
            (
                json!({"hostPath": {"path": "/x"}, "nfs": {"server": "s", "path": "/"}}),
                vec!["spec.nfs: Forbidden: may not specify more than 1 volume type"],
            ),
            (
                json!({"csi": {"driver": "d"}, "volumeAttributesClassName": ""}),
                vec![
                    "spec.csi.volumeHandle: Required value",
                    "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                ],
            ),
        ] {
            assert_eq!(spec(more), expected);
        }
    }

    #[test]
    fn beta_labels_may_be_renamed_but_not_changed() {
        let volume = |key: &str| {
            json!({"spec": {"hostPath": {"path": "/x"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": key, "operator": "Exists"}]}]}}}})
        };
        let old = volume("failure-domain.beta.kubernetes.io/zone");
        assert_eq!(
            validate_change(&volume("topology.kubernetes.io/zone"), &old),
            ErrorList::new()
        );
        assert_eq!(validate_change(&volume("other"), &old)[0].field, "nodeAffinity");
        let back = validate_change(&old, &volume("topology.kubernetes.io/zone"));
        assert_eq!(back[0].field, "nodeAffinity");
        let other_one = validate_change(&volume("topology.kubernetes.io/region"), &old);
        assert_eq!(other_one[0].field, "nodeAffinity");
        assert_eq!(validate_change(&volume(""), &volume("other")), ErrorList::new());
        assert_eq!(validate_change(&volume(""), &old)[0].field, "nodeAffinity");
    }
}
