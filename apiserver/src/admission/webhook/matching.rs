//! Which webhooks a write concerns (`generic/webhook.go`, `ShouldCallHook`).

use super::super::equivalent::Versioned;
use super::super::policy::facts::{Evaluator, Facts, conditions_hold};
use super::super::{Attributes, Equivalent, Lookup, Operation, Rights};
use super::hook::Hook;
use super::metrics::{Kind, Metrics};
use machinery::gvk::GroupResource;
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
        let covered = Equivalent::covered(&hook.rules, attributes, self.lookup, hook.equivalent, |_| true);
        let Some(target) = covered else {
            return Ok(None);
        };
        selected?;
        if !self.conditions_hold(hook, attributes, object, &target).await? {
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

    async fn conditions_hold(
        &self,
        hook: &Hook,
        attributes: &Attributes<'_>,
        object: &Value,
        target: &Equivalent,
    ) -> Result<bool, Status> {
        let Some(conditions) = &hook.conditions else {
            return Ok(true);
        };
        let versions = Versioned::new(self.lookup, attributes, object, &target.kind).await;
        let versions = versions.map_err(Status::internal)?;
        let facts = Facts::new(attributes, target, &versions, None, self.rights);
        let evaluator = Evaluator::for_conditions(conditions, &facts, None);
        conditions_hold(&evaluator).map_err(|why| Status::forbidden(&attributes.resource, attributes.name, why))
    }
}

fn object_fits(selector: &Selector, attributes: &Attributes<'_>, object: &Value) -> bool {
    let fits =
        |object: &Value| object.is_object() && selector.matches_labels(meta::at(object, &["metadata", "labels"]));
    selector.is_empty() || fits(object) || attributes.old.is_some_and(fits)
}
