//! The rules with which policies and webhooks choose writes (k8s.io/apiserver
//! `pkg/admission/plugin/webhook/predicates/rules`).

use super::Attributes;
use machinery::gvk::GroupResource;
use machinery::meta;
use serde_json::Value;

/// Whether a rule covers a write to a version of `resource`. That need not be the one that was written to, but another one
/// with the same objects.
pub(super) fn covers(rule: &Value, attributes: &Attributes<'_>, resource: &GroupResource, version: &str) -> bool {
    let any = |field: &str, fits: &dyn Fn(&str) -> bool| {
        let mut listed = meta::list_at(rule, &[field]).iter().filter_map(Value::as_str);
        listed.any(|each| each == "*" || fits(each))
    };
    let scope = match meta::str_at(rule, &["scope"]) {
        None | Some("*") => true,
        Some("Namespaced") => !attributes.namespace.is_empty() && !is_namespace(attributes),
        Some("Cluster") => attributes.namespace.is_empty() || is_namespace(attributes),
        Some(_) => false,
    };
    // A star alone is for all resources, but not for what is below them.
    let named = |each: &str| {
        let (name, below) = each.split_once('/').unwrap_or((each, ""));
        (name == "*" || name == resource.resource) && (below == "*" || below == attributes.subresource)
    };
    let mut resources = meta::list_at(rule, &["resources"]).iter().filter_map(Value::as_str);
    scope
        && any("operations", &|each| each == attributes.operation.as_str())
        && any("apiGroups", &|each| each == resource.group)
        && any("apiVersions", &|each| each == version)
        && resources.any(named)
}

/// Whether a namespace itself is written: it counts as cluster-scoped although the attributes name it as the namespace.
pub(super) fn is_namespace(attributes: &Attributes<'_>) -> bool {
    attributes.resource.group.is_empty() && attributes.resource.resource == "namespaces"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Operation;
    use crate::admission::testing::attributes;
    use serde_json::json;

    #[test]
    fn rules_cover_operations_versions_resources_and_scopes() {
        let rule = |field: &str, value: Value| {
            let mut rule =
                json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
            rule[field] = value;
            rule
        };
        for (field, value, subresource, namespace, expected) in [
            ("operations", json!(["CREATE", "UPDATE"]), "", "n", true),
            ("operations", json!(["*"]), "", "n", true),
            ("operations", json!(["DELETE"]), "", "n", false),
            ("apiGroups", json!(["apps", "*"]), "", "n", true),
            ("apiGroups", json!(["apps"]), "", "n", false),
            ("apiVersions", json!(["v2"]), "", "n", false),
            ("apiVersions", json!(["*"]), "", "n", true),
            ("resources", json!(["*"]), "", "n", true),
            ("resources", json!(["*"]), "status", "n", false),
            ("resources", json!(["*/*"]), "status", "n", true),
            ("resources", json!(["*/*"]), "", "n", true),
            ("resources", json!(["pods/*"]), "exec", "n", true),
            ("resources", json!(["*/status"]), "exec", "n", false),
            ("resources", json!(["pods/status"]), "status", "n", true),
            ("resources", json!(["services"]), "", "n", false),
            ("scope", json!("Namespaced"), "", "n", true),
            ("scope", json!("Namespaced"), "", "", false),
            ("scope", json!("Cluster"), "", "", true),
            ("scope", json!("Cluster"), "", "n", false),
            ("scope", json!("*"), "", "", true),
        ] {
            let mut warnings = Vec::new();
            let mut asked = attributes(Operation::Create, "pods", namespace, "a", &mut warnings);
            asked.subresource = subresource;
            let rule = rule(field, value);
            let found = covers(&rule, &asked, &asked.resource, "v1");
            assert_eq!(found, expected, "{rule} {subresource}");
        }
        let mut warnings = Vec::new();
        let namespace = attributes(Operation::Create, "namespaces", "n", "n", &mut warnings);
        let of = |scope: &str| {
            let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": scope});
            covers(&rule, &namespace, &namespace.resource, "v1")
        };
        assert!(of("Cluster") && !of("Namespaced"));
    }
}
