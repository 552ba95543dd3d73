//! PriorityClasses: names for the numbers that pods are scheduled by.

use super::super::shared::cells;
use super::super::shared::checks::{immutable, one_of, text};
use super::super::shared::generation;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use serde_json::Value;

const TYPE: &str = "io.k8s.api.scheduling.v1.PriorityClass";
/// Names that begin like this are upstream's.
const SYSTEM_PREFIX: &str = "system-";
/// Upstream's classes and their values.
const SYSTEM: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];
/// The highest value of other classes.
const HIGHEST: i64 = 1_000_000_000;
const PREEMPTION: [&str; 2] = ["PreemptLowerPriority", "Never"];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::of_field("Value", "integer", TYPE, "value"),
        Column::of_field("Global-Default", "boolean", TYPE, "globalDefault"),
        cells::AGE,
        Column::of_field("PreemptionPolicy", "string", TYPE, "preemptionPolicy"),
    ],
    cells: |obj, now| {
        vec![
            cells::name(obj),
            cells::number(obj, &["value"]).into(),
            is_default(obj).into(),
            cells::age(obj, now),
            text(obj, &["preemptionPolicy"]).into(),
        ]
    },
};

fn is_default(obj: &Value) -> bool {
    meta::bool_at(obj, &["globalDefault"]).unwrap_or_default()
}

struct PriorityClass;

impl Strategy for PriorityClass {
    fn default(&self, obj: &mut Value) {
        meta::set_default(obj, &["preemptionPolicy"], "PreemptLowerPriority");
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        generation::first(obj);
    }

    /// `ValidatePriorityClass`.
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let value = cells::number(obj, &["value"]);
        if meta::name(obj).starts_with(SYSTEM_PREFIX) {
            errors.extend(not_of_the_system(obj).map(|why| {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                Error::forbidden(&Path::new("metadata").child("name"), detail)
            }));
        } else if value > HIGHEST {
            let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            errors.push(Error::forbidden(&Path::new("value"), detail));
        }
        let path = Path::new("preemptionPolicy");
        match meta::str_at(obj, &["preemptionPolicy"]) {
            Some("") => errors.push(Error::required(&path, "")),
            Some(policy) => errors.extend(one_of(policy, &PREEMPTION, &path)),
            None => {}
        }
        errors
    }

    /// `ValidatePriorityClassUpdate`.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let value = |obj| cells::number(obj, &["value"]);
        if value(new) != value(old) {
            errors.push(Error::forbidden(
                &Path::new("value"),
                "may not be changed in an update.",
            ));
        }
        let policy = |obj| meta::at(obj, &["preemptionPolicy"]);
        errors.extend(immutable(policy(new), policy(old), &Path::new("preemptionPolicy")));
        errors
    }
}

/// Why a class is none of upstream's, if it is none (`IsKnownSystemPriorityClass`).
fn not_of_the_system(obj: &Value) -> Option<String> {
    let name = meta::name(obj);
    match SYSTEM.iter().find(|(known, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, value)) if cells::number(obj, &["value"]) != *value => {
            Some(format!("value of {name} PriorityClass must be {value}"))
        }
        Some(_) if is_default(obj) => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["pc"].into(),
        ..Resource::cluster_kind(
            ("scheduling.k8s.io", "v1", "PriorityClass"),
            ("priorityclasses", "priorityclass"),
            TYPE,
            PriorityClass,
            &COLUMNS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn system_names_are_for_system_classes() {
        let class =
            |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"});
        let cx = Context {
            namespace: "",
            now: "",
            user: "",
        };
        for (class, expected) in [
            (class("mine", 1_000_000_000), None),
            (
                class("mine", 1_000_000_001),
                Some("value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
            ),
            (class("system-node-critical", 2_000_001_000), None),
            (
                class("system-node-critical", 5),
                Some(
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
                ),
            ),
        ] {
            let errors = PriorityClass.validate(&cx, &class);
            assert_eq!(errors.first().map(ToString::to_string).as_deref(), expected);
        }
    }
}
