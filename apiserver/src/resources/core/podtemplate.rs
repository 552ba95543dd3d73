//! PodTemplates.

use super::super::shared::{cells, generation, pod_defaults};
use super::pod_template;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{ErrorList, Path};
use machinery::meta;
use serde_json::Value;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Containers", "string", "Names of each container in the template."),
        Column::new(
            "Images",
            "string",
            "Images referenced by each container in the template.",
        ),
        Column::new("Pod Labels", "string", "The labels for the pod template."),
    ],
    cells: |obj, _| {
        let [names, images] = cells::container_names_and_images(obj, &["template"]);
        let labels = cells::labels(meta::at(obj, &["template", "metadata", "labels"]));
        vec![cells::name(obj), names, images, labels]
    },
};

struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, obj: &mut Value) {
        if let Some(spec) = obj.pointer_mut("/template/spec") {
            pod_defaults::pod_spec(spec);
        }
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        generation::follow(new, old, &[&["template"]]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let template = meta::at(obj, &["template"]).cloned().unwrap_or_default();
        pod_template::validate(&template, &Path::new("template"))
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let template = |obj| meta::at(obj, &["template"]);
        if old.is_some_and(|old| template(old) == template(new)) {
            return Vec::new();
        }
        template(new).map_or_else(Vec::new, |t| pod_template::warnings::of(t, &Path::new("template")))
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

pub(super) fn resource() -> Resource {
    Resource::namespaced_kind(
        ("", "v1", "PodTemplate"),
        ("podtemplates", "podtemplate"),
        "io.k8s.api.core.v1.PodTemplate",
        PodTemplate,
        &COLUMNS,
    )
}
