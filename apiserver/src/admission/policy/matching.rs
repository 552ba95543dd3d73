//! Which writes a policy or binding looks at (k8s.io/apiserver `pkg/admission/plugin/policy/matching`).

use super::super::{Attributes, Equivalent, Lookup, rules};
use machinery::meta;
use machinery::selector::label::Selector;
use serde_json::Value;

/// A write, as far as rules and selectors look at it.
pub(super) struct Write<'a> {
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) object: &'a Value,
    pub(super) namespace: Option<&'a Value>,
    pub(super) lookup: &'a dyn Lookup,
}

impl Write<'_> {
    /// The form in which `matchConstraints` or `matchResources` cover the write; all is covered where there are none.
    pub(super) fn fits(&self, resources: Option<&Value>) -> Option<Equivalent> {
        let Some(resources) = resources.filter(|resources| resources.is_object()) else {
            return Some(Equivalent::own(self.attributes));
        };
        let exchangeable = meta::str_at(resources, &["matchPolicy"]) == Some("Equivalent");
        let covered = |field: &str| {
            let rules = meta::list_at(resources, &[field]);
            Equivalent::covered(rules, self.attributes, self.lookup, exchangeable, |rule| {
                self.is_named(rule)
            })
        };
        if !self.namespace_fits(resources) || !self.object_fits(resources) || covered("excludeResourceRules").is_some()
        {
            return None;
        }
        if meta::list_at(resources, &["resourceRules"]).is_empty() {
            return Some(Equivalent::own(self.attributes));
        }
        covered("resourceRules")
    }

    fn namespace_fits(&self, resources: &Value) -> bool {
        let selector = Selector::of(resources.get("namespaceSelector"));
        if resources.get("namespaceSelector").is_none() || selector.is_empty() || self.attributes.namespace.is_empty() {
            return true;
        }
        let is_namespace = rules::is_namespace(self.attributes);
        let about = match (is_namespace, self.object) {
            (true, Value::Null) => self.attributes.old,
            (true, object) => Some(object),
            (false, _) => self.namespace,
        };
        about.is_some_and(|namespace| selector.matches_labels(meta::at(namespace, &["metadata", "labels"])))
    }

    fn object_fits(&self, resources: &Value) -> bool {
        let selector = Selector::of(resources.get("objectSelector"));
        if resources.get("objectSelector").is_none() || selector.is_empty() {
            return true;
        }
        let labelled =
            |object: &Value| object.is_object() && selector.matches_labels(meta::at(object, &["metadata", "labels"]));
        labelled(self.object) || self.attributes.old.is_some_and(labelled)
    }

    /// Whether a rule is about objects of this name.
    fn is_named(&self, rule: &Value) -> bool {
        let names = meta::list_at(rule, &["resourceNames"]);
        let name = match self.attributes.name {
            "" => meta::name(self.object),
            name => name,
        };
        names.is_empty() || names.iter().any(|each| *each == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Operation;
    use crate::admission::testing::{Objects, attributes};
    use serde_json::json;

    #[test]
    fn rules_and_selectors_choose_writes() {
        let rule = |operation: &str, resource: &str| json!({"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]});
        let object = json!({"metadata": {"name": "a", "labels": {"app": "x"}}});
        let namespace = json!({"metadata": {"name": "n", "labels": {"env": "prod"}}});
        for (resources, expected) in [
            (json!({}), true),
            (json!({"resourceRules": [rule("CREATE", "configmaps")]}), true),
            (json!({"resourceRules": [rule("*", "*")]}), true),
            (json!({"resourceRules": [rule("UPDATE", "configmaps")]}), false),
            (json!({"resourceRules": [rule("CREATE", "configmaps/status")]}), false),
            (json!({"excludeResourceRules": [rule("CREATE", "configmaps")]}), false),
            (json!({"objectSelector": {"matchLabels": {"app": "x"}}}), true),
            (json!({"objectSelector": {"matchLabels": {"app": "y"}}}), false),
            (json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}), true),
            (json!({"namespaceSelector": {"matchLabels": {"env": "test"}}}), false),
        ] {
            let mut warnings = Vec::new();
            let mut attributes = attributes(Operation::Create, "configmaps", "n", "a", &mut warnings);
            attributes.kind.version = "v1".to_owned();
            let write = Write {
                attributes: &attributes,
                object: &object,
                namespace: Some(&namespace),
                lookup: &Objects::of(&[]),
            };
            assert_eq!(write.fits(Some(&resources)).is_some(), expected, "{resources}");
        }
    }
}
