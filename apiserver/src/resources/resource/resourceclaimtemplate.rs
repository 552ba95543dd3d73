//! ResourceClaimTemplates.

use super::super::core::persistentvolumeclaim::validate_template_metadata;
use super::super::shared::{cells, internal};
use super::resourceclaim::immutable_spec;
use super::{admin_access, request};
use crate::registry::columns::Columns;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Privilege, Strategy};
use machinery::field::{ErrorList, Path};
use machinery::meta;
use serde_json::Value;

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, cells::AGE],
    cells: |obj, now| vec![cells::name(obj), cells::age(obj, now)],
};

struct Template;

impl Strategy for Template {
    fn default(&self, obj: &mut Value) {
        if let Some(spec) = obj.pointer_mut("/spec/spec") {
            request::default(spec);
        }
    }

    fn privilege(&self, new: &Value, old: Option<&Value>) -> Option<Privilege> {
        let spec = meta::at(new, &["spec", "spec"]).filter(|_| old.is_none())?;
        admin_access::of_requests(spec)
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let metadata = meta::at(obj, &["spec", "metadata"]).unwrap_or(&Value::Null);
        let mut errors = validate_template_metadata(metadata, &path.child("metadata"));
        let spec = meta::at(obj, &["spec", "spec"]).unwrap_or(&Value::Null);
        errors.extend(request::validate(spec, &path.child("spec")));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        errors.extend(immutable_spec(new, old, |spec| {
            internal::template("ResourceClaimSpec", spec)
        }));
        errors
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        ("resource.k8s.io", "v1", "ResourceClaimTemplate"),
        ("resourceclaimtemplates", "resourceclaimtemplate"),
        "io.k8s.api.resource.v1.ResourceClaimTemplate",
        Template,
        &COLUMNS,
    )
}
