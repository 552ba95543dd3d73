//! PodDisruptionBudgets: how many pods may be evicted at a time.

use super::super::apps::deployment::validate_int_or_percent;
use super::super::core::pod_template::validate_label_selector;
use super::super::shared::checks::{NEGATIVE, one_of_if_set};
use super::super::shared::status::{self, Status};
use super::super::shared::{cells, conditions, internal};
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{intstr, meta, names};
use serde_json::Value;

/// The two fields of which one may be set.
const LIMITS: [&str; 2] = ["minAvailable", "maxUnavailable"];
const UNHEALTHY: [&str; 2] = ["AlwaysAllow", "IfHealthyBudget"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Min Available",
            "string",
            "The minimum number of pods that must be available.",
        ),
        Column::new(
            "Max Unavailable",
            "string",
            "The maximum number of pods that may be unavailable.",
        ),
        Column::new(
            "Allowed Disruptions",
            "integer",
            "Calculated number of pods that may be disrupted at this time.",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        let limit = |field: &str| match meta::at(obj, &["spec", field]) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => "N/A".to_owned(),
        };
        vec![
            cells::name(obj),
            limit(LIMITS[0]).into(),
            limit(LIMITS[1]).into(),
            cells::number(obj, &["status", "disruptionsAllowed"]).into(),
            cells::age(obj, now),
        ]
    },
};

struct Budget;

impl Strategy for Budget {
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        status::begin(obj);
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        status::keep(new, old, &[&["spec"]]);
    }

    /// Upstream checks no more of the name.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    /// `ValidatePodDisruptionBudgetSpec`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("spec");
        let spec = meta::at(obj, &["spec"]).cloned().unwrap_or_default();
        let limits = LIMITS.map(|field| (field, spec.get(field).filter(|limit| !limit.is_null())));
        let mut errors = ErrorList::new();
        if limits.iter().all(|(_, limit)| limit.is_some()) {
            let shown = internal::show("PodDisruptionBudgetSpec", &spec);
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(Error::invalid(&path, spec.clone(), detail).showing(shown));
        }
        for (field, limit) in limits {
            let Some(limit) = limit else { continue };
            let path = path.child(field);
            errors.extend(validate_int_or_percent(limit, &path));
            if limit
                .as_str()
                .and_then(intstr::percent)
                .is_some_and(|percent| percent > 100)
            {
                errors.push(Error::invalid(&path, limit.clone(), "must not be greater than 100%"));
            }
        }
        if let Some(selector) = meta::at(&spec, &["selector"]) {
            errors.extend(validate_label_selector(selector, &path.child("selector")));
        }
        errors.extend(one_of_if_set(&spec, "unhealthyPodEvictionPolicy", &UNHEALTHY, &path));
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::None
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }
}

/// `ValidatePodDisruptionBudgetStatusUpdate`.
fn validate_status(new: &Value, _old: &Value) -> ErrorList {
    let path = Path::new("status");
    let list = meta::list_at(new, &["status", "conditions"]);
    let mut errors = conditions::validate(list, &path.child("conditions"));
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        let number = cells::number(new, &["status", field]);
        if number < 0 {
            errors.push(Error::invalid(&path.child(field), number, NEGATIVE));
        }
    }
    errors
}

pub(super) fn resource() -> Resource {
    let budget = Resource {
        short_names: ["pdb"].into(),
        ..Resource::namespaced_kind(
            ("policy", "v1", "PodDisruptionBudget"),
            ("poddisruptionbudgets", "poddisruptionbudget"),
            "io.k8s.api.policy.v1.PodDisruptionBudget",
            Budget,
            &COLUMNS,
        )
    };
    let status = Status {
        validate: validate_status,
        metadata_checks: MetadataChecks::None,
        ..Status::plain(|_| {})
    };
    budget.with_object_subresource("status", status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_numbers_or_percentages() {
        let cx = Context {
            namespace: "n",
            now: "",
            user: "",
        };
        for (spec, expected) in [
            (json!({}), None),
            (json!({"minAvailable": "50%"}), None),
            (
                json!({"minAvailable": "101%"}),
                Some("spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"),
            ),
            (
                json!({"maxUnavailable": -1}),
                Some("spec.maxUnavailable: Invalid value: -1: must be greater than or equal to 0"),
            ),
            (
                json!({"minAvailable": 1, "maxUnavailable": 1}),
                Some(
                    "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":1,\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
                ),
            ),
        ] {
            let errors = Budget.validate(&cx, &json!({"spec": spec}));
            assert_eq!(errors.first().map(ToString::to_string).as_deref(), expected);
        }
    }
}
