//! MutatingAdmissionPolicies: what they change.

use super::super::{Attributes, Lookup, Operation, Plugin, Rights};
use super::bound::{blame, bound};
use super::compiled::{Expression, Mutation, Policy};
use super::facts::{Evaluator, Facts, conditions_hold, encoded};
use super::hooks::{Compiled, Kind, namespace, needs_namespace};
use super::matching::Write;
use super::{BUDGET, CONDITIONS_BUDGET};
use futures::future::BoxFuture;
use machinery::patch::{self, FieldValidation};
use machinery::status::{Cause, Status};
use machinery::{apply, meta, schema};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const NAME: &str = "MutatingAdmissionPolicy";
const KIND: Kind = Kind {
    policies: "mutatingadmissionpolicies",
    bindings: "mutatingadmissionpolicybindings",
};
/// The type of objects that configurations are written as.
const OBJECT: &str = "Object";

/// Changes what policies change.
#[derive(Default)]
pub(crate) struct Mutating {
    compiled: Compiled,
    rights: Option<Arc<dyn Rights>>,
}

/// Something that went wrong, with the reason it gives the answer.
struct Problem {
    message: String,
    invalid: bool,
}

impl Mutating {
    async fn change(
        &self,
        lookup: &dyn Lookup,
        attributes: &mut Attributes<'_>,
        object: &mut Value,
    ) -> Result<(), Status> {
        if attributes.operation == Operation::Delete {
            return Ok(()); // there is nothing to change
        }
        let hooks = self.compiled.hooks(&KIND, lookup, attributes).await?;
        if hooks.is_empty() {
            return Ok(());
        }
        let namespace = namespace(lookup, attributes).await?;
        let mut problems: Vec<Problem> = Vec::new();
        let write = Write {
            attributes,
            object,
            namespace: namespace.as_ref(),
        };
        let mut invocations = Vec::new();
        let bound = bound(&hooks, &write, lookup).await;
        if !bound.is_empty() {
            needs_namespace(attributes, namespace.as_ref())?;
        }
        for bound in bound {
            let policy = bound.policy;
            let named = format!("policy '{}' with binding '{}'", policy.name, meta::name(bound.binding));
            match bound.parameters {
                Ok(parameters) => invocations.push((policy, named, parameters)),
                Err(_) if !policy.fails => {}
                Err(missing) => {
                    let (named, why) = blame(missing, format!("policy \"{}\"", policy.name), named);
                    problems.push(Problem {
                        message: format!("{named} denied request: {why}"),
                        invalid: false,
                    });
                }
            }
        }
        let mut facts = Facts::new(attributes, object, namespace.as_ref(), self.rights.as_ref());
        let defaults = |object: &mut Value| lookup.default(&attributes.kind, object);
        let mut reinvocation = attributes.reinvocation.clone();
        let each = invocations.iter().flat_map(|(policy, named, parameters)| {
            let parameters = parameters.iter();
            parameters.map(move |parameter| (*policy, named, parameter.as_ref()))
        });
        for (policy, named, parameter) in each {
            let given =
                parameter.map(|object| format!(" and parameter '{}/{}'", meta::namespace(object), meta::name(object)));
            let key = format!("{named}{}", given.unwrap_or_default());
            let skipped = reinvocation.again && !reinvocation.repeated.contains(&key);
            let done = mutate(policy, skipped, &mut facts, parameter, attributes, object, &defaults)?;
            if !skipped && done.applies && meta::str_at(&policy.spec, &["reinvocationPolicy"]) == Some("IfNeeded") {
                reinvocation.repeated.insert(key);
            }
            reinvocation.wanted |= done.changes > 0;
            let found = done.problems;
            let problem = |why: String| Problem {
                message: format!("{named} denied request: {why}"),
                invalid: true,
            };
            if policy.fails {
                problems.extend(found.into_iter().map(problem));
            }
        }
        attributes.reinvocation = reinvocation;
        match problems.first() {
            None => Ok(()),
            Some(first) => {
                let mut status = attributes.forbidden(object, "");
                status.message = first.message.clone();
                if first.invalid {
                    status.reason = "Invalid".to_owned();
                }
                let causes = problems.iter().map(|problem| Cause {
                    message: problem.message.clone(),
                    ..Cause::default()
                });
                status.details.get_or_insert_default().causes.extend(causes);
                Err(status)
            }
        }
    }
}

/// What came of a policy.
#[derive(Default)]
struct Done {
    /// Whether its conditions let it apply.
    applies: bool,
    /// How many of its mutations were carried out, even if they left the object as it was.
    changes: usize,
    problems: Vec<String>,
}

/// Applies the mutations of a policy one after the other, unless only its conditions are to be looked at; what goes wrong
/// is said and left out.
fn mutate(
    policy: &Policy,
    skipped: bool,
    facts: &mut Facts,
    parameter: Option<&Value>,
    attributes: &Attributes<'_>,
    object: &mut Value,
    defaults: &dyn Fn(&mut Value),
) -> Result<Done, Status> {
    let mut done = Done::default();
    let conditions = Evaluator::new(policy, facts, parameter, CONDITIONS_BUDGET).without_namespace();
    match conditions_hold(&conditions) {
        Ok(true) => done.applies = true,
        Ok(false) => return Ok(done),
        Err(message) => {
            done.problems.push(message);
            return Ok(done);
        }
    }
    if skipped || !object.is_object() {
        return Ok(done);
    }
    for mutation in &policy.mutations {
        let evaluator = Evaluator::new(policy, facts, parameter, BUDGET);
        let value = |expression: &Expression| match &expression.program {
            Err(error) => Err(error.clone()),
            Ok(_) => evaluator.evaluate(expression)?,
        };
        let changed = match mutation {
            Mutation::JsonPatch(expression) => match value(expression) {
                Ok(value) => json_patch(attributes, object, &value)?,
                Err(problem) => Err(problem),
            },
            Mutation::Apply(expression) => {
                value(expression).and_then(|value| configuration(attributes, object, &value))
            }
        };
        match changed {
            Ok(changed) => {
                *object = changed;
                defaults(object);
                facts.with_object(attributes, object);
                done.changes += 1;
            }
            Err(problem) => done.problems.push(problem),
        }
    }
    Ok(done)
}

/// The patched object, or why it cannot be patched. A result that is no object of the kind is an error of the server.
fn json_patch(
    attributes: &Attributes<'_>,
    object: &Value,
    value: &cel::Value,
) -> Result<Result<Value, String>, Status> {
    let patch = match operations(value) {
        Ok(patch) => patch.to_string(),
        Err(problem) => return Ok(Err(problem)),
    };
    let kind = &attributes.kind;
    let ty = schema::by_gvk(&kind.group, &kind.version, &kind.kind);
    match patch::json::apply(
        &encoded(object, attributes),
        patch.as_bytes(),
        ty,
        FieldValidation::Strict,
    ) {
        Ok(patched) => Ok(Ok(patched.value)),
        // A test that fails means that there is nothing to change.
        Err(patch::Error::Rejected(why)) if why.starts_with("testing ") => Ok(Ok(object.clone())),
        Err(patch::Error::Invalid { detail, .. }) => Err(Status::internal(detail)),
        Err(error) => Ok(Err(format!("JSON Patch: {error}"))),
    }
}

/// The operations that an expression made.
fn operations(value: &cel::Value) -> Result<Value, String> {
    let cel::Value::List(operations) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut patch = Vec::new();
    for operation in operations.iter() {
        let cel::Value::Object(operation) = operation else {
            return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned());
        };
        let mut fields = json!({"op": "", "path": ""});
        for (name, value) in &operation.1 {
            if name == "value" {
                names_match(value, OBJECT).map_err(|why| format!("type mismatch: {why}"))?;
            }
            let shown = value.to_json().ok_or_else(|| {
                "JSONPath valueExpression evaluated to a type that could not marshal to JSON".to_owned()
            })?;
            if name != "from" || shown != "" {
                fields[name] = shown;
            }
        }
        patch.push(fields);
    }
    Ok(Value::Array(patch))
}

/// Applies a configuration (`ApplyStructuredMergeDiff`).
fn configuration(attributes: &Attributes<'_>, object: &Value, value: &cel::Value) -> Result<Value, String> {
    names_match(value, OBJECT).map_err(|why| format!("type mismatch: {why}"))?;
    let config = value
        .to_json()
        .ok_or("invalid return type: the configuration is no JSON object")?;
    let kind = &attributes.kind;
    let ty = schema::by_gvk(&kind.group, &kind.version, &kind.kind);
    apply::overlay(&encoded(object, attributes), &config, ty).map_err(|why| format!("error applying patch: {why}"))
}

/// The types that objects are written as tell where they stand (`CheckTypeNamesMatchFieldPathNames`).
fn names_match(value: &cel::Value, path: &str) -> Result<(), String> {
    match value {
        cel::Value::Object(object) => {
            if object.0 != path {
                return Err(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    object.0
                ));
            }
            object
                .1
                .iter()
                .try_for_each(|(name, value)| names_match(value, &format!("{path}.{name}")))
        }
        cel::Value::List(values) => values.iter().try_for_each(|value| names_match(value, path)),
        cel::Value::Map(entries) => entries.values().try_for_each(|value| names_match(value, path)),
        _ => Ok(()),
    }
}

impl Plugin for Mutating {
    fn name(&self) -> &'static str {
        NAME
    }

    fn inform(&mut self, rights: &Arc<dyn Rights>) {
        self.rights = Some(rights.clone());
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
