//! VolumeAttributesClasses: properties of volumes that can be changed while they are used.

use super::GROUP;
use super::class::{self, validate_parameters, validate_provisioner};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use crate::resources::shared::cells;
use crate::resources::shared::checks::{same, text};
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const TYPE: &str = "io.k8s.api.storage.v1.VolumeAttributesClass";
/// What makes a class the default.
const DEFAULT: [&str; 1] = ["volumeattributesclass.alpha.kubernetes.io/is-default-class"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("DriverName", "string", TYPE, "driverName"),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            class::name(obj, &DEFAULT),
            text(obj, &["driverName"]).into(),
            cells::age(obj, now),
        ]
    },
};

struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = validate_provisioner(text(obj, &["driverName"]), &Path::new("driverName"));
        errors.extend(validate_parameters(obj, false));
        errors
    }

    /// `ValidateVolumeAttributesClassUpdate`.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors: ErrorList = ["driverName", "parameters"]
            .into_iter()
            .filter(|field| !same(new.get(field), old.get(field)))
            .map(|field| Error::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")))
            .collect();
        errors.extend(self.validate(cx, new));
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::UpdateThenWhole
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["vac"].into(),
        ..Resource::cluster_kind(
            (GROUP, "v1", "VolumeAttributesClass"),
            ("volumeattributesclasses", "volumeattributesclass"),
            TYPE,
            VolumeAttributesClass,
            &COLUMNS,
        )
    }
}
