//! ResourceQuotas. What they refuse is the ResourceQuota admission plugin's part.

use super::super::shared::cells;
use super::super::shared::checks::{NEGATIVE, amounts, text};
use super::super::shared::internal;
use super::super::shared::pod_defaults::round_up;
use super::super::shared::status::Status;
use super::pod_template::resources;
use crate::registry::columns::{Column, Columns};
use crate::registry::resource::Resource;
use crate::registry::strategy::{Context, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;
use machinery::quantity::Quantity;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Names without a domain that a quota may limit.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// Those that count objects.
const COUNTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// What pods compute with, which all scopes of pods but `BestEffort` may limit.
const COMPUTE: [&str; 6] = [
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
];
const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
/// Scopes of which only one makes sense.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

static COLUMNS: Columns = Columns {
    columns: &[
        cells::NAME,
        Column::new(
            "Request",
            "string",
            "Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        Column::new(
            "Limit",
            "string",
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
        cells::AGE,
    ],
    cells: |obj, now| {
        let used = |name: &str| match text(obj, &["status", "used", name]) {
            "" => "0".to_owned(),
            amount => amount.to_owned(),
        };
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in amounts(obj, &["status", "hard"]) {
            let list = if name.starts_with("limits.") {
                &mut limits
            } else {
                &mut requests
            };
            list.push(format!("{name}: {}/{hard}", used(name)));
        }
        vec![
            cells::name(obj),
            requests.join(", ").into(),
            limits.join(", ").into(),
            cells::age(obj, now),
        ]
    },
};

fn default(obj: &mut Value) {
    for path in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
        round_up(obj, &path);
    }
}

struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn default(&self, obj: &mut Value) {
        default(obj);
    }

    fn prepare_for_create(&self, _cx: &Context<'_>, obj: &mut Value) {
        meta::set(obj, &["status"], json!({}));
    }

    fn prepare_for_update(&self, _cx: &Context<'_>, new: &mut Value, old: &Value) {
        meta::copy(new, old, &["status"]);
    }

    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        validate_spec(obj)
    }

    /// `ValidateResourceQuotaUpdate`.
    fn validate_update(&self, _cx: &Context<'_>, new: &Value, old: &Value) -> ErrorList {
        let mut errors = validate_spec(new);
        let scopes = |obj| -> BTreeSet<String> { texts(meta::list_at(obj, &["spec", "scopes"])).collect() };
        if scopes(new) != scopes(old) {
            let value = meta::at(new, &["spec", "scopes"]).cloned().unwrap_or_default();
            let path = Path::new("spec").child("scopes");
            errors.push(Error::invalid(&path, value, "field is immutable"));
        }
        errors
    }

    fn reset_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

fn texts(list: &[Value]) -> impl Iterator<Item = String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned)
}

/// `ValidateResourceQuotaSpec`.
fn validate_spec(obj: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = validate_amounts(obj, &["spec", "hard"], &path.child("hard"));
    let hard: Vec<&str> = amounts(obj, &["spec", "hard"]).map(|(name, _)| name).collect();
    errors.extend(validate_scopes(obj, &hard, &path.child("scopes")));
    if let Some(selector) = meta::at(obj, &["spec", "scopeSelector"]) {
        let path = path.child("scopeSelector").child("matchExpressions");
        errors.extend(validate_selector(obj, selector, &hard, &path));
    }
    errors
}

/// The names and amounts of a list.
fn validate_amounts(obj: &Value, list: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (name, amount) in amounts(obj, list) {
        let path = path.key(name);
        errors.extend(validate_name(name, &path));
        errors.extend(validate_amount(name, amount, &path));
    }
    errors
}

/// `ValidateResourceQuotaResourceName`.
fn validate_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = resources::validate_any_name(name, path);
    if !name.contains('/') && !is_standard(name) {
        errors.push(Error::invalid(path, name, "must be a standard resource for quota"));
    }
    errors
}

fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || resources::is_huge_pages_of_quota(name)
}

/// `ValidateResourceQuantityValue`.
fn validate_amount(name: &str, amount: Quantity, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if amount.sign() < 0 {
        errors.push(Error::invalid(path, amount.to_string(), NEGATIVE));
    }
    let whole = COUNTS.contains(&name) || resources::is_extended(name);
    if whole && amount.millis() % 1000 != 0 {
        errors.push(Error::invalid(path, amount.to_string(), "must be an integer"));
    }
    errors
}

/// Whether a scope means anything for a resource (`IsResourceQuotaScopeValidForResource`).
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn conflicting(scopes: &BTreeSet<String>) -> usize {
    OPPOSITES
        .iter()
        .filter(|pair| pair.iter().all(|scope| scopes.contains(*scope)))
        .count()
}

/// `validateResourceQuotaScopes`.
fn validate_scopes(obj: &Value, hard: &[&str], path: &Path) -> ErrorList {
    let scopes = meta::list_at(obj, &["spec", "scopes"]);
    let wrong = |detail: &str| Error::invalid(path, scopes.to_vec(), detail);
    let mut errors = ErrorList::new();
    for scope in texts(scopes) {
        if !SCOPES.contains(&scope.as_str()) {
            errors.push(wrong("unsupported scope"));
        }
        let misfits = hard.iter().filter(|name| is_standard(name) && !fits(&scope, name));
        errors.extend(misfits.map(|_| wrong("unsupported scope applied to resource")));
    }
    let pairs = conflicting(&texts(scopes).collect());
    errors.extend((0..pairs).map(|_| wrong("conflicting scopes")));
    errors
}

/// `validateScopedResourceSelectorRequirement`.
fn validate_selector(obj: &Value, selector: &Value, hard: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut scopes = BTreeSet::new();
    for requirement in meta::list_at(selector, &["matchExpressions"]) {
        let (scope, operator) = (text(requirement, &["scopeName"]), text(requirement, &["operator"]));
        let values = meta::list_at(requirement, &["values"]);
        if !SCOPES.contains(&scope) {
            errors.push(Error::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in hard.iter().filter(|name| is_standard(name) && !fits(scope, name)) {
            let detail = "unsupported scope applied to resource";
            let shown = internal::show("ScopeSelector", selector);
            errors.push(Error::invalid(path, selector.clone(), detail).showing(shown));
        }
        let by_class = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && !by_class && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(Error::invalid(&path.child("operator"), operator, detail));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(Error::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(Error::invalid(&path.child("values"), values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        scopes.insert(scope.to_owned());
    }
    let plain = meta::at(obj, &["spec", "scopes"]).cloned().unwrap_or_default();
    errors.extend((0..conflicting(&scopes)).map(|_| Error::invalid(path, plain.clone(), "conflicting scopes")));
    errors
}

/// `ValidateResourceQuotaStatusUpdate`.
fn validate_status(new: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = validate_amounts(new, &["status", "hard"], &path.child("hard"));
    errors.extend(validate_amounts(new, &["status", "used"], &path.child("used")));
    errors
}

pub(super) fn resource() -> Resource {
    let quota = Resource {
        short_names: ["quota"].into(),
        ..Resource::namespaced_kind(
            ("", "v1", "ResourceQuota"),
            ("resourcequotas", "resourcequota"),
            "io.k8s.api.core.v1.ResourceQuota",
            ResourceQuota,
            &COLUMNS,
        )
    };
    quota.with_object_subresource(
        "status",
        Status {
            validate: |new, _| validate_status(new),
            ..Status::plain(default)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_limit_what_there_is() {
        for (spec, expected) in [
            (
                json!({"hard": {"pods": "1", "count/widgets.example.com": "5", "requests.hugepages-2Mi": "1"}}),
                vec![],
            ),
            (
                json!({"hard": {"pods": "1.5"}}),
                vec!["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"],
            ),
            (
                json!({"hard": {"foo": "1"}}),
                vec![
                    "spec.hard[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
                    "spec.hard[foo]: Invalid value: \"foo\": must be a standard resource for quota",
                ],
            ),
            (
                json!({"hard": {"services": "1"}, "scopes": ["BestEffort"]}),
                vec!["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
            ),
            (
                json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In"}]}}),
                vec![
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                ],
            ),
        ] {
            let texts: Vec<String> = validate_spec(&json!({"spec": spec}))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(texts, expected);
        }
    }
}
