//! LimitRanges. What they do to pods and claims is the LimitRanger admission plugin's part.

use super::super::shared::cells;
use super::super::shared::checks::{amounts, complaints, text};
use super::super::shared::pod_defaults::{items, round_up};
use super::pod_template::resources;
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const CONTAINER: &str = "Container";
const POD: &str = "Pod";
const CLAIM: &str = "PersistentVolumeClaim";

/// The lists of amounts in a limit, in the order in which upstream checks their names.
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

/// `SetDefaults_LimitRangeItem`: the largest amount of a container is its default, that is the default request, and
/// where there is none, the smallest amount is.
fn default(obj: &mut Value) {
    for limit in items(obj, &["spec", "limits"]) {
        if text(limit, &["type"]) == CONTAINER {
            fill(limit, "max", "default");
            fill(limit, "default", "defaultRequest");
            fill(limit, "min", "defaultRequest");
        }
        for list in LISTS {
            round_up(limit, &[list]);
        }
    }
}

fn fill(limit: &mut Value, from: &str, to: &str) {
    let Some(source) = meta::map_at(limit, &[from]).filter(|map| !map.is_empty()).cloned() else {
        return;
    };
    let target = meta::map_mut(limit, &[to]);
    for (name, amount) in source {
        target.entry(name).or_insert(amount);
    }
}

struct LimitRange;

impl Strategy for LimitRange {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    /// A range without a name gets a random one.
    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        if meta::name(obj).is_empty() {
            meta::set(obj, &["metadata", "name"], uuid::Uuid::new_v4().to_string());
        }
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate(obj)
    }

    fn validate_update(&self, _cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        validate(new)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::Whole
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// `ValidateLimitRange`.
fn validate(obj: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut types = BTreeSet::new();
    for (i, limit) in meta::list_at(obj, &["spec", "limits"]).iter().enumerate() {
        let path = Path::new("spec").child("limits").index(i);
        let kind = text(limit, &["type"]);
        errors.extend(validate_type(kind, &path.child("type")));
        if !types.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        errors.extend(validate_limit(limit, kind, &path));
    }
    errors
}

fn validate_type(kind: &str, path: &Path) -> ErrorList {
    let errors = complaints(path, kind, names::qualified_name(kind));
    if errors.is_empty() && !kind.contains('/') && ![POD, CONTAINER, CLAIM].contains(&kind) {
        let detail = "must be a standard limit type or fully qualified";
        return vec![Error::invalid(path, kind, detail)];
    }
    errors
}

fn validate_limit(limit: &Value, kind: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut lists: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    let name_rule = match kind {
        POD | CONTAINER => resources::validate_name,
        _ => resources::validate_any_name,
    };
    for list in LISTS {
        let of_container = matches!(list, "default" | "defaultRequest");
        if kind == POD && of_container {
            if meta::map_at(limit, &[list]).is_some_and(|map| !map.is_empty()) {
                let detail = "may not be specified when `type` is 'Pod'";
                errors.push(Error::forbidden(&path.child(list), detail));
            }
            continue;
        }
        if list == "maxLimitRequestRatio" && kind == CLAIM {
            let bounded = ["min", "max"]
                .iter()
                .any(|list| meta::at(limit, &[list, "storage"]).is_some());
            if !bounded {
                let detail = "either minimum or maximum storage value is required, but neither was provided";
                errors.push(Error::required(&path.child("limits"), detail));
            }
        }
        for (name, amount) in amounts(limit, &[list]) {
            errors.extend(name_rule(name, &path.child(list).key(name)));
            lists.entry(list).or_default().insert(name, amount);
        }
    }
    let names: BTreeSet<&str> = lists.values().flat_map(BTreeMap::keys).copied().collect();
    for name in names {
        let amount = |list: &str| lists.get(list).and_then(|amounts| amounts.get(name)).copied();
        errors.extend(validate_bounds(name, &amount, path));
    }
    errors
}

/// How the amounts of one resource relate: which list, compared to which, is named where, by the value of which, how.
const BOUNDS: [(&str, &str, &str, &str, &str); 6] = [
    ("min", "max", "min", "min value", "max value"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "min value",
        "default request value",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "default request value",
        "max value",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value",
        "default limit value",
    ),
    ("min", "default", "default", "min value", "default value"),
    ("default", "max", "default", "default value", "max value"),
];

fn validate_bounds(name: &str, amount: &dyn Fn(&str) -> Option<Quantity>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (lower, upper, place, lower_text, upper_text) in BOUNDS {
        if let (Some(low), Some(high)) = (amount(lower), amount(upper))
            && low > high
        {
            let detail = format!("{lower_text} {low} is greater than {upper_text} {high}");
            // Upstream shows the request that is out of bounds, but for a default the bound.
            let shown = match place {
                "default" if lower == "default" => high,
                "defaultRequest" if lower == "min" => high,
                _ => low,
            };
            errors.push(Error::invalid(&path.child(place).key(name), shown.to_string(), detail));
        }
    }
    if let Some(ratio) = amount("maxLimitRequestRatio") {
        let path = path.child("maxLimitRequestRatio").key(name);
        if ratio < Quantity::from_units(1) {
            let detail = format!("ratio {ratio} is less than 1");
            errors.push(Error::invalid(&path, ratio.to_string(), detail));
        }
        if let (Some(min), Some(max)) = (amount("min"), amount("max")) {
            let limit = as_float(max) / as_float(min);
            if as_float(ratio) > limit {
                let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
                errors.push(Error::invalid(&path, ratio.to_string(), detail));
            }
        }
    }
    if let (false, Some(default), Some(request)) = (
        resources::may_be_overcommitted(name),
        amount("default"),
        amount("defaultRequest"),
    ) && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        let path = path.child("defaultRequest").key(name);
        errors.push(Error::invalid(&path, request.to_string(), detail));
    }
    errors
}

fn as_float(amount: Quantity) -> f64 {
    amount.millis() as f64 / 1000.0
}

pub(super) fn resource() -> Resource {
    Resource {
        short_names: ["limits"].into(),
        ..Resource::namespaced_kind(
            ("", "v1", "LimitRange"),
            ("limitranges", "limitrange"),
            "io.k8s.api.core.v1.LimitRange",
            LimitRange,
            &cells::NAME_AND_CREATION,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_amounts_of_a_limit_fit_each_other() {
        for (limit, expected) in [
            (
                json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                vec![
                    "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                    "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
                    "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
                ],
            ),
            (
                json!({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}}),
                vec![
                    "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than max value 1",
                    "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1",
                ],
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                vec![
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
                ],
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}, "min": {"cpu": "1"}, "max": {"cpu": "2"},
                    "maxLimitRequestRatio": {"cpu": "4"}}),
                vec![
                    "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                    "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"4\": ratio 4 is greater than max/min = 2.000000",
                ],
            ),
        ] {
            let mut range = json!({"spec": {"limits": [limit]}});
            default(&mut range);
            let texts: Vec<String> = validate(&range).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        }
    }
}
