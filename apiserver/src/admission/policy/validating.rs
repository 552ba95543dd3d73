//! ValidatingAdmissionPolicies: what they refuse, and in which words.

use super::super::equivalent::Versioned;
use super::super::{Attributes, Equivalent, Lookup, Plugin, Rights};
use super::bound::{blame, bound};
use super::compiled::{Policy, Validation};
use super::facts::{Evaluator, Facts, conditions_hold};
use super::hooks::{Compiled, Kind, namespace, needs_namespace};
use super::matching::Write;
use futures::future::BoxFuture;
use machinery::meta;
use machinery::status::{Cause, Status};
use serde_json::Value;
use std::sync::Arc;

pub(crate) const NAME: &str = "ValidatingAdmissionPolicy";
const KIND: Kind = Kind {
    policies: "validatingadmissionpolicies",
    bindings: "validatingadmissionpolicybindings",
};
/// Longer messages are not shown, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// Refuses what policies refuse.
#[derive(Default)]
pub(crate) struct Validating {
    compiled: Compiled,
    rights: Option<Arc<dyn Rights>>,
}

/// What a policy has against a write.
struct Refusal {
    /// The reason of the answer; empty for errors.
    reason: String,
    message: String,
}

impl Refusal {
    fn error(message: String) -> Refusal {
        Refusal {
            reason: String::new(),
            message,
        }
    }
}

impl Validating {
    async fn check(&self, lookup: &dyn Lookup, attributes: &mut Attributes<'_>, object: &Value) -> Result<(), Status> {
        let hooks = self.compiled.hooks(&KIND, lookup, attributes).await?;
        if hooks.is_empty() {
            return Ok(());
        }
        let namespace = namespace(lookup, attributes).await?;
        let mut denied: Option<(String, Refusal)> = None;
        let mut warnings = Vec::new();
        let write = Write {
            attributes,
            object,
            namespace: namespace.as_ref(),
            lookup,
        };
        let bound = bound(&hooks, &write).await;
        if !bound.is_empty() {
            needs_namespace(attributes, namespace.as_ref())?;
        }
        let mut forms: Vec<(Equivalent, Result<Facts, String>)> = Vec::new();
        for bound in bound {
            let (policy, binding) = (bound.policy, bound.binding);
            let named = format!("{NAME} '{}' with binding '{}'", policy.name, meta::name(binding));
            let parameters = match bound.parameters {
                Ok(parameters) => parameters,
                Err(missing) => {
                    let (named, message) = blame(missing, format!("{NAME} '{}'", policy.name), named);
                    if policy.fails {
                        denied.get_or_insert((named, Refusal::error(message)));
                    }
                    continue;
                }
            };
            if parameters.is_empty() {
                continue;
            }
            let place = forms.iter().position(|(form, _)| *form == bound.form);
            let place = match place {
                Some(place) => place,
                None => {
                    let versions = Versioned::new(lookup, attributes, object, &bound.form.kind).await;
                    let facts = versions.map(|versions| {
                        let (namespace, rights) = (namespace.as_ref(), self.rights.as_ref());
                        Facts::new(attributes, &bound.form, &versions, namespace, rights)
                    });
                    forms.push((bound.form, facts));
                    forms.len() - 1
                }
            };
            let facts = match forms.get(place) {
                Some((_, Ok(facts))) => facts,
                Some((_, Err(why))) if policy.fails => {
                    let message = format!("failed to configure binding: failed to convert object version: {why}");
                    denied.get_or_insert((named, Refusal::error(message)));
                    continue;
                }
                _ => continue,
            };
            for parameter in parameters {
                for refusal in refusals(policy, facts, parameter.as_ref()) {
                    for action in meta::list_at(binding, &["spec", "validationActions"]) {
                        match action.as_str() {
                            Some("Warn") => {
                                warnings.push(format!("Validation failed for {named}: {}", refusal.message));
                            }
                            Some("Deny") if denied.is_none() => {
                                let Refusal { reason, message } = &refusal;
                                let (reason, message) = (reason.clone(), message.clone());
                                denied = Some((named.clone(), Refusal { reason, message }));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        attributes.warnings.extend(warnings);
        match denied {
            None => Ok(()),
            Some((named, refusal)) => Err(status(attributes, object, &named, refusal)),
        }
    }
}

/// What a policy has against a write, with one parameter (`validator.Validate`).
fn refusals(policy: &Policy, facts: &Facts, parameter: Option<&Value>) -> Vec<Refusal> {
    let error = |message: String| {
        if policy.fails {
            vec![Refusal::error(message)]
        } else {
            Vec::new()
        }
    };
    let conditions = Evaluator::for_conditions(policy, facts, parameter);
    match conditions_hold(&conditions) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(message) => return error(message),
    }
    let evaluator = Evaluator::new(policy, facts, parameter);
    let mut found = Vec::new();
    for validation in &policy.validations {
        let Validation {
            expression,
            message,
            message_expression,
            reason,
        } = validation;
        match evaluator.evaluate(expression) {
            Err(message) => return error(message),
            Ok(Ok(cel::Value::Bool(true))) => {}
            Ok(Err(message)) => found.extend(error(message)),
            Ok(Ok(_)) => {
                let own = message_expression
                    .as_ref()
                    .and_then(|expression| evaluator.evaluate(expression).ok()?.ok());
                let own = match &own {
                    Some(cel::Value::String(text)) => text.trim(),
                    _ => "",
                };
                let own = if own.len() > MAX_MESSAGE || own.contains('\n') {
                    ""
                } else {
                    own
                };
                let message = match (own, message.trim()) {
                    ("", "") => format!("failed expression: {}", expression.text.trim()),
                    ("", fixed) => fixed.to_owned(),
                    (own, _) => own.to_owned(),
                };
                let reason = if reason.is_empty() { "Invalid" } else { reason }.to_owned();
                found.push(Refusal { reason, message });
            }
        }
    }
    let annotations = Evaluator::new(policy, facts, parameter);
    for annotation in &policy.annotations {
        match annotations.evaluate(annotation) {
            Err(message) => return error(message),
            Ok(Err(message)) => found.extend(error(message)),
            Ok(Ok(_)) => {}
        }
    }
    found
}

fn status(attributes: &Attributes<'_>, object: &Value, named: &str, refusal: Refusal) -> Status {
    let message = format!("{named} denied request: {}", refusal.message);
    let mut status = attributes.forbidden(object, &message);
    let reason = if refusal.reason.is_empty() {
        "Invalid"
    } else {
        &refusal.reason
    };
    status.code = match reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    status.reason = reason.to_owned();
    let cause = Cause {
        message,
        ..Cause::default()
    };
    status.details.get_or_insert_default().causes.push(cause);
    status
}

impl Plugin for Validating {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inform(&mut self, rights: &Arc<dyn Rights>) {
        self.rights = Some(rights.clone());
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
