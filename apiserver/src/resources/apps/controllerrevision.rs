//! ControllerRevisions: the history of StatefulSets and DaemonSets.

use super::super::shared::cells::{self, NONE};
use super::super::shared::checks::non_negative;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::{GroupKind, GroupVersion};
use machinery::meta;
use serde_json::Value;

const TYPE: &str = "io.k8s.api.apps.v1.ControllerRevision";

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Controller", "string", "Controller of the object"),
        Column::of_field("Revision", "string", TYPE, "revision"),
        cells::AGE,
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            controller(obj).into(),
            cells::number(obj, &["revision"]).into(),
            cells::age(obj, now),
        ]
    },
};

/// The controlling owner, such as `statefulset.apps/web`.
fn controller(obj: &Value) -> String {
    let owners = meta::list_at(obj, &["metadata", "ownerReferences"]);
    let Some(owner) = owners.iter().find(|o| meta::bool_at(o, &["controller"]) == Some(true)) else {
        return NONE.to_owned();
    };
    let text = |field: &str| meta::str_at(owner, &[field]).unwrap_or_default();
    let group = GroupVersion::parse(text("apiVersion")).unwrap_or_default().group;
    let kind = GroupKind {
        group,
        kind: text("kind").to_owned(),
    };
    format!("{}/{}", kind.to_string().to_lowercase(), text("name"))
}

struct ControllerRevision;

impl Strategy for ControllerRevision {
    /// `ValidateControllerRevisionCreate`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors: ErrorList = non_negative(obj, "revision", &Path::root()).into_iter().collect();
        let detail = match obj.get("data") {
            None | Some(Value::Null) => "data is mandatory",
            Some(Value::Object(_)) => return errors,
            Some(_) => "data must be a valid JSON object",
        };
        errors.push(Error::required(&Path::new("data"), detail));
        errors
    }

    /// `ValidateControllerRevisionUpdate`.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors: ErrorList = non_negative(new, "revision", &Path::root()).into_iter().collect();
        if meta::at(new, &["data"]) != meta::at(old, &["data"]) {
            let value = meta::at(new, &["data"]).cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::new("data"), value, "field is immutable"));
        }
        errors
    }
}

pub(super) fn resource() -> Resource {
    let names = ("controllerrevisions", "controllerrevision");
    Resource::namespaced_kind(
        ("apps", "v1", "ControllerRevision"),
        names,
        TYPE,
        ControllerRevision,
        &COLUMNS,
    )
}
