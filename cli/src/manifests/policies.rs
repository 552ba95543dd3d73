//! How much the pods of a virtual cluster may ask for.

use config::policies::{LimitRange, Policies, ResourceQuota};
use serde_json::{Map, Value, json};

use super::Tenant;

/// The quota and the limits that are switched on.
pub(super) fn objects(tenant: &Tenant<'_>, policies: &Policies) -> Vec<Value> {
    let quota = policies
        .has_resource_quota()
        .then(|| quota(tenant, &policies.resource_quota));
    let limits = policies
        .has_limit_range()
        .then(|| limits(tenant, &policies.limit_range));
    quota.into_iter().chain(limits).collect()
}

fn name(tenant: &Tenant<'_>) -> String {
    format!("vc-{}", tenant.name)
}

fn quota(tenant: &Tenant<'_>, quota: &ResourceQuota) -> Value {
    let mut spec = json!({"hard": quota.quota});
    let expressions = quota.scope_selector["matchExpressions"].as_array();
    if expressions.is_some_and(|expressions| !expressions.is_empty()) {
        spec["scopeSelector"] = quota.scope_selector.clone();
    }
    if !quota.scopes.is_empty() {
        spec["scopes"] = json!(quota.scopes);
    }
    let content = json!({"spec": spec});
    tenant.object("v1", "ResourceQuota", &name(tenant), &quota.metadata, content)
}

fn limits(tenant: &Tenant<'_>, range: &LimitRange) -> Value {
    let amounts = [
        ("default", &range.default),
        ("defaultRequest", &range.default_request),
        ("max", &range.max),
        ("min", &range.min),
    ];
    let mut limit: Map<String, Value> = amounts
        .into_iter()
        .filter(|(_, amounts)| amounts.as_object().is_some_and(|amounts| !amounts.is_empty()))
        .map(|(field, amounts)| (field.to_owned(), amounts.clone()))
        .collect();
    limit.insert("type".to_owned(), json!("Container"));
    let content = json!({"spec": {"limits": [limit]}});
    tenant.object("v1", "LimitRange", &name(tenant), &range.metadata, content)
}
