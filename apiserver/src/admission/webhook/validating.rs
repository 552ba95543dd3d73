//! ValidatingAdmissionWebhook (`validating/dispatcher.go`): all webhooks are asked at once.

use super::super::equivalent::Versioned;
use super::super::{Attributes, Lookup, Plugin, Rights};
use super::call::Failure;
use super::hook::Source;
use super::matching::Chooser;
use super::metrics::Kind;
use super::{Webhooks, is_exempt};
use futures::future::{BoxFuture, join_all};
use machinery::gvk::GroupVersionKind;
use machinery::status::Status;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

pub(crate) const NAME: &str = "ValidatingAdmissionWebhook";

/// Lets webhooks refuse what is written.
pub(crate) struct Validating {
    source: Source,
    webhooks: Option<Arc<Webhooks>>,
    rights: Option<Arc<dyn Rights>>,
}

impl Default for Validating {
    fn default() -> Self {
        Validating {
            source: Source::new("validatingwebhookconfigurations"),
            webhooks: None,
            rights: None,
        }
    }
}

impl Validating {
    async fn check(&self, lookup: &dyn Lookup, attributes: &mut Attributes<'_>, object: &Value) -> Result<(), Status> {
        let Some(webhooks) = &self.webhooks else { return Ok(()) };
        let mut hooks = webhooks.fixed.validating.all();
        if !is_exempt(attributes) {
            hooks.extend(self.source.hooks(lookup).await?);
        }
        let chooser = Chooser {
            lookup,
            rights: self.rights.as_ref(),
            metrics: &webhooks.metrics,
            kind: Kind::Validating,
        };
        let mut invocations = Vec::new();
        let mut versions: HashMap<GroupVersionKind, Versioned> = HashMap::new();
        for hook in &hooks {
            let Some(invocation) = chooser.invocation(hook, attributes, object).await? else {
                continue;
            };
            let kind = &invocation.target.kind;
            if !versions.contains_key(kind) {
                let versioned = Versioned::new(lookup, attributes, object, kind).await;
                versions.insert(kind.clone(), versioned.map_err(Status::internal)?);
            }
            invocations.push(invocation);
        }
        let asked = &*attributes;
        let answers = invocations.iter().filter_map(|invocation| {
            let versions = versions.get(&invocation.target.kind)?;
            Some(async move {
                let since = Instant::now();
                let mut warnings = Vec::new();
                let answered = webhooks.ask(Kind::Validating, invocation, asked, versions).await;
                let decided = answered.and_then(|response| {
                    warnings.extend(response.warnings.iter().cloned());
                    match response.allowed {
                        true => Ok(()),
                        false => Err(Failure::Denied(Box::new(response.refusal(&invocation.hook.name)))),
                    }
                });
                let decided = webhooks.account(Kind::Validating, invocation, asked.operation, since, decided);
                (decided.map(drop), warnings)
            })
        });
        let (results, warnings): (Vec<_>, Vec<_>) = join_all(answers).await.into_iter().unzip();
        attributes.warnings.extend(warnings.into_iter().flatten());
        results.into_iter().collect()
    }
}

impl Plugin for Validating {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inform(&mut self, rights: &Arc<dyn Rights>) {
        self.rights = Some(rights.clone());
    }

    fn connect(&mut self, webhooks: &Arc<Webhooks>) {
        self.webhooks = Some(webhooks.clone());
    }

    fn validate<'a>(
        &'a self,
        lookup: &'a dyn Lookup,
        attributes: &'a mut Attributes<'_>,
        object: &'a Value,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(self.check(lookup, attributes, object))
    }
}
