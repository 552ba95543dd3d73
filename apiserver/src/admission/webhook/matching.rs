//! Which webhooks a write concerns (`generic/webhook.go`, `ShouldCallHook`).

use super::super::policy::CONDITIONS_BUDGET;
use super::super::policy::facts::{Evaluator, Facts, conditions_hold};
use super::super::{Attributes, Equivalent, Lookup, Operation, Reinvocation, Rights, rules};
use super::hook::Hook;
use super::metrics::{Kind, Metrics};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::meta;
use machinery::selector::label::Selector;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;

/// A webhook that is to be called, with the resource and kind that it expects.
pub(super) struct Invocation {
    pub(super) hook: Arc<Hook>,
    pub(super) target: Equivalent,
}

/// What webhooks are chosen by, besides the write itself.
pub(super) struct Chooser<'a> {
    pub(super) lookup: &'a dyn Lookup,
    pub(super) rights: Option<&'a Arc<dyn Rights>>,
    pub(super) metrics: &'a Metrics,
    pub(super) kind: Kind,
}

impl Chooser<'_> {
    /// How the webhook is to be called, if it is.
    pub(super) async fn invocation(
        &self,
        hook: &Arc<Hook>,
        attributes: &Attributes<'_>,
        object: &Value,
    ) -> Result<Option<Invocation>, Status> {
        // An error concerns only those whose rules cover the write.
        let selected = self.namespace_fits(&hook.namespaces, attributes, object).await;
        if matches!(selected, Ok(false)) || !object_fits(&hook.objects, attributes, object) {
            return Ok(None);
        }
        let Some(target) = self.target(hook, attributes) else {
            return Ok(None);
        };
        selected?;
        if !self.conditions_hold(hook, attributes, object, &target.kind).await? {
            self.metrics.excluded(self.kind, &hook.name, attributes.operation);
            return Ok(None);
        }
        let hook = hook.clone();
        Ok(Some(Invocation { hook, target }))
    }

    async fn namespace_fits(
        &self,
        selector: &Selector,
        attributes: &Attributes<'_>,
        object: &Value,
    ) -> Result<bool, Status> {
        let is_namespace = attributes.resource.resource == "namespaces";
        if selector.is_empty() || (attributes.namespace.is_empty() && !is_namespace) {
            return Ok(true);
        }
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        if is_namespace && attributes.subresource.is_empty() && written {
            return Ok(selector.matches_labels(meta::at(object, &["metadata", "labels"])));
        }
        let namespaces = GroupResource::new("", "namespaces");
        match self.lookup.find(&namespaces, "", attributes.namespace).await? {
            Some(namespace) => Ok(selector.matches_labels(meta::at(&namespace, &["metadata", "labels"]))),
            None => Err(Status::not_found(&namespaces, attributes.namespace)),
        }
    }

    /// The resource in which a rule covers the write: the one that was written to, or else an equivalent one.
    fn target(&self, hook: &Hook, attributes: &Attributes<'_>) -> Option<Equivalent> {
        let covered = |rule: &Value, resource: &GroupResource, version: &str| {
            rules::covers(rule, attributes, resource, |each| each == version)
        };
        let own = |rule: &&Value| covered(rule, &attributes.resource, attributes.version);
        if hook.rules.iter().any(|rule| own(&rule)) {
            return Some(Equivalent {
                resource: attributes.resource.clone(),
                version: attributes.version.to_owned(),
                kind: attributes.kind.clone(),
            });
        }
        if !hook.equivalent {
            return None;
        }
        let equivalents = self
            .lookup
            .equivalents(&attributes.resource, attributes.version, attributes.subresource);
        let mut each = hook
            .rules
            .iter()
            .flat_map(|rule| equivalents.iter().map(move |other| (rule, other)));
        each.find(|(rule, other)| covered(rule, &other.resource, &other.version))
            .map(|(_, other)| other.clone())
    }

    async fn conditions_hold(
        &self,
        hook: &Hook,
        attributes: &Attributes<'_>,
        object: &Value,
        kind: &GroupVersionKind,
    ) -> Result<bool, Status> {
        let Some(conditions) = &hook.conditions else {
            return Ok(true);
        };
        let versions = Versioned::new(self.lookup, attributes, object, kind).await?;
        let mut warnings = Vec::new();
        let seen = Attributes {
            resource: attributes.resource.clone(),
            kind: kind.clone(),
            old: versions.old.as_ref(),
            reinvocation: Reinvocation::default(),
            warnings: &mut warnings,
            ..*attributes
        };
        let facts = Facts::new(&seen, &versions.object, None, self.rights);
        let evaluator = Evaluator::new(conditions, &facts, None, CONDITIONS_BUDGET).without_namespace();
        conditions_hold(&evaluator).map_err(|why| Status::forbidden(&attributes.resource, attributes.name, why))
    }
}

fn object_fits(selector: &Selector, attributes: &Attributes<'_>, object: &Value) -> bool {
    let fits =
        |object: &Value| object.is_object() && selector.matches_labels(meta::at(object, &["metadata", "labels"]));
    selector.is_empty() || fits(object) || attributes.old.is_some_and(fits)
}

/// What is written, and what it replaces, in the version that a webhook expects.
pub(super) struct Versioned {
    /// Null for deletions.
    pub(super) object: Value,
    pub(super) old: Option<Value>,
}

impl Versioned {
    pub(super) async fn new(
        lookup: &dyn Lookup,
        attributes: &Attributes<'_>,
        object: &Value,
        kind: &GroupVersionKind,
    ) -> Result<Self, Status> {
        let convert = async |object: &Value| match object {
            Value::Null => Ok(Value::Null),
            object if *kind == attributes.kind => Ok(object.clone()),
            object => lookup.convert(object.clone(), &attributes.kind, kind).await,
        };
        let old = match attributes.old {
            Some(old) => Some(convert(old).await?),
            None => None,
        };
        Ok(Versioned {
            object: convert(object).await?,
            old,
        })
    }
}
