//! MutatingAdmissionWebhook (`mutating/dispatcher.go`): one webhook after the other changes the object.

use super::super::equivalent::Versioned;
use super::super::{Attributes, Lookup, Plugin, Rights};
use super::call::Failure;
use super::hook::Source;
use super::matching::{Chooser, Invocation};
use super::metrics::Kind;
use super::review::encoded;
use super::{Webhooks, is_exempt, patch};
use futures::future::BoxFuture;
use machinery::status::Status;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

pub(crate) const NAME: &str = "MutatingAdmissionWebhook";

/// Lets webhooks change what is written.
pub(crate) struct Mutating {
    source: Source,
    webhooks: Option<Arc<Webhooks>>,
    rights: Option<Arc<dyn Rights>>,
}

impl Default for Mutating {
    fn default() -> Self {
        Mutating {
            source: Source::new("mutatingwebhookconfigurations"),
            webhooks: None,
            rights: None,
        }
    }
}

impl Mutating {
    async fn change(
        &self,
        lookup: &dyn Lookup,
        attributes: &mut Attributes<'_>,
        object: &mut Value,
    ) -> Result<(), Status> {
        let Some(webhooks) = &self.webhooks else { return Ok(()) };
        let mut hooks = webhooks.fixed.mutating.all();
        if !is_exempt(attributes) {
            hooks.extend(self.source.hooks(lookup).await?);
        }
        if hooks.is_empty() {
            return Ok(());
        }
        let mut rounds = std::mem::take(&mut attributes.reinvocation.webhooks);
        let again = attributes.reinvocation.again;
        if again {
            rounds.begin_again(object);
        }
        let chooser = Chooser {
            lookup,
            rights: self.rights.as_ref(),
            metrics: &webhooks.metrics,
            kind: Kind::Mutating,
        };
        for hook in &hooks {
            let Some(invocation) = chooser.invocation(hook, attributes, object).await? else {
                continue;
            };
            if again && !rounds.repeats(&hook.uid) {
                continue; // nobody is asked for the first time in the second round
            }
            let since = Instant::now();
            let changed = one(webhooks, &invocation, lookup, attributes, object).await;
            let changed = webhooks.account(Kind::Mutating, &invocation, attributes.operation, since, changed)?;
            if changed == Some(true) {
                rounds.changed();
                attributes.reinvocation.wanted = true;
            }
            if hook.reinvoked {
                rounds.called(&hook.uid);
            }
        }
        rounds.end(object);
        attributes.reinvocation.webhooks = rounds;
        Ok(())
    }
}

/// Lets one webhook change the object. Answers whether it did.
async fn one(
    webhooks: &Webhooks,
    invocation: &Invocation,
    lookup: &dyn Lookup,
    attributes: &mut Attributes<'_>,
    object: &mut Value,
) -> Result<bool, Failure> {
    let internal = |why: String| Failure::Refused(Box::new(Status::internal(why)));
    let Invocation { hook, target } = invocation;
    let versions = Versioned::new(lookup, attributes, object, &target.kind)
        .await
        .map_err(internal)?;
    let response = webhooks.ask(Kind::Mutating, invocation, attributes, &versions).await?;
    attributes.warnings.extend(response.warnings.iter().cloned());
    if !response.allowed {
        return Err(Failure::Denied(Box::new(response.refusal(&hook.name))));
    }
    let Some(mut patched) = patch::apply(&response, &hook.name, &versions.object, &target.kind)? else {
        return Ok(false);
    };
    let changed = encoded(&patched, &target.kind) != encoded(&versions.object, &target.kind);
    lookup.default(&target.kind, &mut patched);
    *object = if target.kind == attributes.kind {
        patched
    } else {
        lookup
            .convert(patched, &target.kind, &attributes.kind)
            .await
            .map_err(internal)?
    };
    Ok(changed)
}

impl Plugin for Mutating {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inform(&mut self, rights: &Arc<dyn Rights>) {
        self.rights = Some(rights.clone());
    }

    fn connect(&mut self, webhooks: &Arc<Webhooks>) {
        self.webhooks = Some(webhooks.clone());
    }

    fn admit<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a mut Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.change(lookup, attributes, object))
    }
}
