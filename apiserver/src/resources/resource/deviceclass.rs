//! DeviceClasses.

use super::super::core::pod_template::resources::is_extended;
use super::super::shared::{cells, generation};
use super::rules;
use crate::registry::columns::Columns;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, cells::AGE],
    cells: |obj, now| vec![cells::name(obj), cells::age(obj, now)],
};

struct DeviceClass;

impl Strategy for DeviceClass {
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["spec"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate_spec(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        validate_spec(new)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// `validateDeviceClassSpec`.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = meta::at(obj, &["spec"]).unwrap_or(&Value::Null);
    let mut errors = rules::selectors(spec, &path);
    errors.extend(rules::configurations(spec, 1, &path, &|_, _| ErrorList::new()));
    if let Some(name) = meta::str_at(spec, &["extendedResourceName"]).filter(|name| !is_extended(name)) {
        let detail = "must be a valid extended resource name";
        errors.push(Error::invalid(&path.child("extendedResourceName"), name, detail));
    }
    errors
}

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        ("resource.k8s.io", "v1", "DeviceClass"),
        ("deviceclasses", "deviceclass"),
        "io.k8s.api.resource.v1.DeviceClass",
        DeviceClass,
        &COLUMNS,
    )
}
