//! VolumeAttachments: which volume is to be attached to which node.

use super::GROUP;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::core::persistentvolume::inline;
use crate::resources::shared::checks::{complaints, csi_driver_name, same, text};
use crate::resources::shared::pod_defaults::{round_up, volume_source};
use crate::resources::shared::status::{Metadata, Status};
use crate::resources::shared::{cells, internal};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::{Value, json};

const SPEC: &str = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
const MAX_METADATA_BYTES: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Attacher", "string", SPEC, "attacher").named(),
        Column::of_field(
            "PV",
            "string",
            "io.k8s.api.storage.v1.VolumeAttachmentSource",
            "persistentVolumeName",
        ),
        Column::of_field("Node", "string", SPEC, "nodeName"),
        Column::of_field(
            "Attached",
            "boolean",
            "io.k8s.api.storage.v1.VolumeAttachmentStatus",
            "attached",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            text(obj, &["spec", "attacher"]).into(),
            text(obj, &["spec", "source", "persistentVolumeName"]).into(),
            text(obj, &["spec", "nodeName"]).into(),
            meta::bool_at(obj, &["status", "attached"]).unwrap_or_default().into(),
            cells::age(obj, now),
        ]
    },
};

struct Attachment;

impl Strategy for Attachment {
    /// `SetObjectDefaults_VolumeAttachment`: inline volumes have the defaults of volumes.
    fn default(&self, obj: &mut Value) {
        if let Some(volume) = obj
            .pointer_mut("/spec/source/inlineVolumeSpec")
            .filter(|v| v.is_object())
        {
            volume_source(volume);
            round_up(volume, &["capacity"]);
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        validate_update(new, old)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `ValidateVolumeAttachmentUpdate`.
fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = validate(new);
    let spec = |obj| meta::at(obj, &["spec"]);
    if !same(spec(new), spec(old)) {
        let value = spec(new).cloned().unwrap_or_default();
        let shown = internal::show("VolumeAttachmentSpec", &value);
        errors.push(Error::invalid(&Path::new("spec"), value, "field is immutable").showing(shown));
    }
    errors
}

/// `ValidateVolumeAttachment`.
fn validate(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = csi_driver_name(text(obj, &["spec", "attacher"]), &path.child("attacher"));
    errors.extend(validate_source(obj, &path.child("source")));
    let node = text(obj, &["spec", "nodeName"]);
    errors.extend(complaints(
        &path.child("nodeName"),
        node,
        names::dns1123_subdomain(node),
    ));
    errors.extend(validate_status(obj));
    if let Some(volume) = meta::str_at(obj, &["spec", "source", "persistentVolumeName"]) {
        let path = path.child("source").child("persistentVolumeName");
        errors.extend(complaints(&path, volume, names::dns1123_subdomain(volume)));
    }
    errors
}

fn validate_source(obj: &Value, path: &Path) -> ErrorList {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let part = |field: &str| meta::at(obj, &["spec", "source", field]).filter(|part| !part.is_null());
    match (part("inlineVolumeSpec"), part("persistentVolumeName")) {
        (None, None) => vec![Error::required(path, ONE)],
        (Some(_), Some(_)) => vec![Error::forbidden(path, ONE)],
        (None, Some(name)) if name == "" => {
            let detail = "must specify non empty persistentVolumeName";
            vec![Error::required(&path.child("persistentVolumeName"), detail)]
        }
        (Some(volume), None) => inline::validate(volume, &path.child("inlineVolumeSpec")),
        (None, Some(_)) => ErrorList::new(),
    }
}

fn validate_status(obj: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    let metadata = meta::map_at(obj, &["status", "attachmentMetadata"]);
    let sizes = metadata
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len));
    if sizes.sum::<usize>() > MAX_METADATA_BYTES {
        errors.push(Error::too_long(&path.child("attachmentMetadata"), MAX_METADATA_BYTES));
    }
    for field in ["attachError", "detachError"] {
        let path = path.child(field);
        if text(obj, &["status", field, "message"]).len() > MAX_MESSAGE {
            // Upstream names the limit of the metadata here.
            errors.push(Error::too_long(&path.child("message"), MAX_METADATA_BYTES));
        }
        if let Some(code) = meta::i64_at(obj, &["status", field, "errorCode"])
            && code < 0
        {
            let detail = names::inclusive_range(0, i64::from(i32::MAX));
            errors.push(Error::invalid(&path.child("errorCode"), code, detail));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let attachment = Resource::cluster_kind(
        (GROUP, "v1", "VolumeAttachment"),
        ("volumeattachments", "volumeattachment"),
        "io.k8s.api.storage.v1.VolumeAttachment",
        Attachment,
        &COLUMNS,
    );
    let status = Status {
        metadata: Metadata::Reset,
        metadata_checks: MetadataChecks::Whole,
        validate: validate_update,
        ..Status::plain(|_| {})
    };
    attachment.with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_a_volume_or_inline() {
        let attachment = |source: Value| json!({"spec": {"source": source}});
        for (source, fine) in [
            (json!({"persistentVolumeName": "pv"}), true),
            (json!({"inlineVolumeSpec": {}}), false),
            (json!({"persistentVolumeName": ""}), false),
            (json!({}), false),
            (json!({"persistentVolumeName": "pv", "inlineVolumeSpec": {}}), false),
        ] {
            let errors = validate_source(&attachment(source.clone()), &Path::new("s"));
            assert_eq!(errors.is_empty(), fine, "{source}");
        }
    }
}
