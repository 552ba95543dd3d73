//! RuntimeClasses: how containers are run, and what that costs.

use super::super::core::pod_template::warnings::deprecated_node_label;
use super::super::core::pod_template::{validate_labels, validate_limits, validate_tolerations};
use super::super::shared::cells;
use super::super::shared::checks::{immutable, required, text};
use super::super::shared::internal;
use super::super::shared::pod_defaults::round_up;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

static COLUMNS: Columns = Columns {
    columns: &[cells::NAME, Column::new("Handler", "string", ""), cells::AGE],
    cells: |obj, now| vec![cells::name(obj), text(obj, &["handler"]).into(), cells::age(obj, now)],
};

struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn default(&self, obj: &mut Value) {
        round_up(obj, &["overhead", "podFixed"]);
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    /// `ValidateRuntimeClass`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let handler = text(obj, &["handler"]);
        let mut errors = required(&Path::new("handler"), handler, names::dns1123_label);
        if let Some(amounts) = meta::at(obj, &["overhead", "podFixed"]) {
            errors.extend(validate_limits(amounts, &Path::new("overhead")));
        }
        if let Some(scheduling) = obj.get("scheduling").filter(|scheduling| !scheduling.is_null()) {
            let path = Path::new("scheduling");
            errors.extend(validate_labels(
                scheduling.get("nodeSelector"),
                &path.child("nodeSelector"),
            ));
            let list = path.child("tolerations");
            errors.extend(validate_tolerations(scheduling, &list));
            let mut seen = Vec::new();
            for (i, toleration) in meta::list_at(scheduling, &["tolerations"]).iter().enumerate() {
                let key = ["key", "operator", "value", "effect"].map(|field| text(toleration, &[field]));
                if seen.contains(&key) {
                    let shown = internal::show("Toleration", toleration);
                    errors.push(Error::duplicate(&list.index(i), toleration.clone()).showing(shown));
                }
                seen.push(key);
            }
        }
        errors
    }

    /// `ValidateRuntimeClassUpdate`.
    fn validate_update(&self, cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(cx, new);
        errors.extend(immutable(new.get("handler"), old.get("handler"), &Path::new("handler")));
        errors
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn warnings(&self, _cx: &Context<'_>, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let selector = meta::map_at(new, &["scheduling", "nodeSelector"]).into_iter().flatten();
        selector
            .filter_map(|(label, _)| deprecated_node_label(label))
            .map(|why| format!("scheduling.nodeSelector: {why}"))
            .collect()
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

pub(super) fn resource() -> Resource {
    Resource::cluster_kind(
        ("node.k8s.io", "v1", "RuntimeClass"),
        ("runtimeclasses", "runtimeclass"),
        "io.k8s.api.node.v1.RuntimeClass",
        RuntimeClass,
        &COLUMNS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_is_checked_as_a_whole() {
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        let old = json!({"handler": "h"});
        for (new, expected) in [
            (json!({"handler": "h"}), vec![]),
            (json!({"handler": ""}), vec!["handler", "handler"]),
            (
                json!({"handler": "h", "scheduling": {"tolerations": [{}]}}),
                vec!["scheduling.tolerations[0].operator"],
            ),
        ] {
            let errors = RuntimeClass.validate_update(&cx, &new, &old);
            assert_eq!(
                errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(),
                expected,
                "{new}"
            );
        }
    }
}
