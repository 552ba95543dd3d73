//! ComponentStatuses: what is left of a way to ask about other components. Nothing is stored; the `components` module
//! asks them.

use super::super::shared::cells;
use super::super::shared::checks::text;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::Strategy;
use machinery::meta;
use serde_json::Value;

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new("Status", "string", "Status of the component conditions"),
        Column::new("Message", "string", "Message of the component conditions"),
        Column::new("Error", "string", "Error of the component conditions"),
    ],
    cells: |obj, _| {
        let conditions = meta::list_at(obj, &["conditions"]);
        let healthy = conditions.iter().find(|condition| condition["type"] == "Healthy");
        let condition = healthy.unwrap_or(&Value::Null);
        let status = match text(condition, &["status"]) {
            "True" => "Healthy",
            "False" => "Unhealthy",
            _ => "Unknown",
        };
        vec![
            cells::name(obj),
            status.into(),
            text(condition, &["message"]).into(),
            text(condition, &["error"]).into(),
        ]
    },
};

struct ComponentStatus;

impl Strategy for ComponentStatus {}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["cs"].into(),
        verbs: &["get", "list"],
        storage_key: "".into(),
        deprecation: Some("v1 ComponentStatus is deprecated in v1.19+".into()),
        ..Resource::cluster_kind(
            ("", "v1", "ComponentStatus"),
            ("componentstatuses", "componentstatus"),
            "io.k8s.api.core.v1.ComponentStatus",
            ComponentStatus,
            &COLUMNS,
        )
    }
}
