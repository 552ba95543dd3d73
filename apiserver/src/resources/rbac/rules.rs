//! What a role must look like, in and outside of namespaces (`pkg/apis/rbac/validation/validation.go`).

use super::super::core::pod_template::validate_label_selector;
use crate::registry::strategy::{Context, MetadataChecks, Strategy};
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde_json::Value;

/// The hooks of roles.
pub(super) struct Rules {
    /// Whether the role is one of a namespace: its rules cannot be about paths then.
    pub(super) namespaced: bool,
}

impl Strategy for Rules {
    fn validate(&self, _cx: &Context<'_>, obj: &Value) -> ErrorList {
        let path = Path::new("rules");
        let rules = meta::list_at(obj, &["rules"]).iter().enumerate();
        let mut errors: ErrorList = rules
            .flat_map(|(i, rule)| validate_rule(rule, self.namespaced, &path.index(i)))
            .collect();
        if let Some(rule) = meta::at(obj, &["aggregationRule"]).filter(|rule| !rule.is_null()) {
            errors.extend(validate_aggregation(rule));
        }
        errors
    }

    fn validate_update(&self, cx: &Context<'_>, new: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, new)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn metadata_checks_on_update(&self) -> MetadataChecks {
        MetadataChecks::WholeThenUpdate
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// `ValidatePolicyRule`.
fn validate_rule(rule: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let given = |field: &str| !meta::list_at(rule, &[field]).is_empty();
    if !given("verbs") {
        let detail = "verbs must contain at least one value";
        errors.push(Error::required(&path.child("verbs"), detail));
    }
    if given("nonResourceURLs") {
        let urls = meta::list_at(rule, &["nonResourceURLs"]).to_vec();
        let path = path.child("nonResourceURLs");
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(Error::invalid(&path, urls.clone(), detail));
        }
        if given("apiGroups") || given("resources") || given("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&path, urls, detail));
        }
        return errors;
    }
    for (field, detail) in [
        ("apiGroups", "resource rules must supply at least one api group"),
        ("resources", "resource rules must supply at least one resource"),
    ] {
        if !given(field) {
            errors.push(Error::required(&path.child(field), detail));
        }
    }
    errors
}

/// The selectors of roles whose rules a controller gathers.
fn validate_aggregation(rule: &Value) -> ErrorList {
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = meta::list_at(rule, &["clusterRoleSelectors"]);
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        return vec![Error::required(&path, detail)];
    }
    let mut errors = ErrorList::new();
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        let complaints = validate_label_selector(selector, &path);
        let malformed = !complaints.is_empty();
        errors.extend(complaints);
        if malformed {
            // Upstream shows the selector it could not make.
            errors.push(Error::invalid(&path, Value::Null, "invalid label selector."));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_about_resources_or_paths() {
        for (rule, namespaced, expected) in [
            (
                json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}),
                true,
                vec![],
            ),
            (json!({"nonResourceURLs": ["/x"], "verbs": ["get"]}), false, vec![]),
            (
                json!({"nonResourceURLs": ["/x"], "verbs": ["get"]}),
                true,
                vec!["nonResourceURLs"],
            ),
            (
                json!({"nonResourceURLs": ["/x"], "resources": ["pods"]}),
                false,
                vec!["verbs", "nonResourceURLs"],
            ),
            (json!({"verbs": ["get"]}), true, vec!["apiGroups", "resources"]),
        ] {
            let errors = validate_rule(&rule, namespaced, &Path::new("rules"));
            let fields: Vec<&str> = errors.iter().filter_map(|e| e.field.strip_prefix("rules.")).collect();
            assert_eq!(fields, expected, "{rule}");
        }
    }
}
