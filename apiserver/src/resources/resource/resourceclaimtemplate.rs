//! ResourceClaimTemplates.

use super::super::shared::checks::complaints;
use super::super::shared::{cells, internal};
use super::request;
use super::resourceclaim::immutable_spec;
use crate::registry::columns::Columns;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
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

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = validate_metadata(obj, &path.child("metadata"));
        let spec = meta::at(obj, &["spec", "spec"]).unwrap_or(&Value::Null);
        errors.extend(request::validate(spec, &path.child("spec")));
        errors
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        immutable_spec(new, old, |spec| internal::template("ResourceClaimSpec", spec))
            .into_iter()
            .collect()
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// Claims take over labels and annotations, and nothing else (`ValidateTemplateObjectMeta`).
fn validate_metadata(obj: &Value, path: &Path) -> ErrorList {
    let metadata = meta::map_at(obj, &["spec", "metadata"]);
    let fields = || metadata.into_iter().flatten();
    let map = |name: &str| meta::map_at(obj, &["spec", "metadata", name]).into_iter().flatten();
    let mut errors = ErrorList::new();
    for (key, _) in map("annotations") {
        let found = names::qualified_name(&key.to_lowercase());
        errors.extend(complaints(&path.child("annotations"), key.as_str(), found));
    }
    for (key, value) in map("labels") {
        let value = value.as_str().unwrap_or_default();
        errors.extend(complaints(
            &path.child("labels"),
            key.as_str(),
            names::qualified_name(key),
        ));
        errors.extend(complaints(&path.child("labels"), value, names::label_value(value)));
    }
    for (field, value) in fields() {
        let empty = value.is_null() || *value == "" || value.as_array().is_some_and(Vec::is_empty);
        if !empty && !matches!(field.as_str(), "annotations" | "labels") {
            errors.push(Error::forbidden(&path.child(field), "cannot be set"));
        }
    }
    errors
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
