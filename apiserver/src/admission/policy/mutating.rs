//! MutatingAdmissionPolicies: what they change.

use super::super::equivalent::Versioned;
use super::super::{Attributes, Equivalent, Lookup, Operation, Plugin, Rights};
use super::bound::{blame, bound};
use super::compiled::{Expression, Mutation, Policy};
use super::facts::{Evaluator, Facts, conditions_hold, encoded};
use super::hooks::{Compiled, Kind, namespace, needs_namespace};
use super::matching::Write;
use super::parameters::Missing;
use futures::future::BoxFuture;
use machinery::gvk::GroupVersionKind;
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
            lookup,
        };
        let mut invocations = Vec::new();
        let mut forms: Vec<Form> = Vec::new();
        let bound = bound(&hooks, &write).await;
        if !bound.is_empty() {
            needs_namespace(attributes, namespace.as_ref())?;
        }
        for bound in bound {
            let policy = bound.policy;
            let named = format!("policy '{}' with binding '{}'", policy.name, meta::name(bound.binding));
            let place = match forms.iter().position(|form| form.of == bound.form) {
                Some(place) => Ok(place),
                None => {
                    let versions = Versioned::new(lookup, attributes, object, &bound.form.kind).await;
                    versions.map(|versions| {
                        let rights = self.rights.as_ref();
                        forms.push(Form {
                            facts: Facts::new(attributes, &bound.form, &versions, namespace.as_ref(), rights),
                            of: bound.form,
                            object: versions.object,
                            dirty: false,
                        });
                        forms.len() - 1
                    })
                }
            };
            let parameters = match place {
                Ok(place) => bound.parameters.map(|parameters| (place, parameters)),
                Err(why) => Err(Missing::Policy(why)),
            };
            match parameters {
                Ok((place, parameters)) => invocations.push((policy, named, place, parameters)),
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
        let mut reinvocation = attributes.reinvocation.clone();
        let mut last = None;
        let mut each = Vec::new();
        for (policy, named, place, parameters) in &invocations {
            each.extend(
                parameters
                    .iter()
                    .map(|parameter| (*policy, named, *place, parameter.as_ref())),
            );
        }
        for (policy, named, place, parameter) in each {
            let Some(form) = forms.get_mut(place) else { continue };
            let given =
                parameter.map(|object| format!(" and parameter '{}/{}'", meta::namespace(object), meta::name(object)));
            let key = format!("{named}{}", given.unwrap_or_default());
            let skipped = reinvocation.again && !reinvocation.repeated.contains(&key);
            let done = mutate(policy, skipped, form, parameter, attributes, lookup)?;
            if !skipped && done.applies {
                if meta::str_at(&policy.spec, &["reinvocationPolicy"]) == Some("IfNeeded") {
                    reinvocation.repeated.insert(key);
                }
                if !policy.mutations.is_empty() {
                    last = Some(place);
                }
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
        // Forms do not see each other's changes: those of the last one count, as upstream's `lastVersionedAttr`.
        if let Some(form) = last
            .and_then(|place| forms.into_iter().nth(place))
            .filter(|form| form.dirty)
        {
            *object = match form.of.kind == attributes.kind {
                true => form.object,
                false => {
                    let converted = lookup.convert(form.object, &form.of.kind, &attributes.kind).await;
                    converted.map_err(|why| Status::internal(format!("failed to convert object: {why}")))?
                }
            };
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

/// A write in one of its forms, and what has become of it there.
struct Form {
    of: Equivalent,
    facts: Facts,
    object: Value,
    /// Whether anything was changed.
    dirty: bool,
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
    form: &mut Form,
    parameter: Option<&Value>,
    attributes: &Attributes<'_>,
    lookup: &dyn Lookup,
) -> Result<Done, Status> {
    let mut done = Done::default();
    match conditions_hold(&Evaluator::for_conditions(policy, &form.facts, parameter)) {
        Ok(true) => done.applies = true,
        Ok(false) => return Ok(done),
        Err(message) => {
            done.problems.push(message);
            return Ok(done);
        }
    }
    if skipped || !form.object.is_object() {
        return Ok(done);
    }
    for mutation in &policy.mutations {
        let kind = &form.of.kind;
        match changed(policy, mutation, form, parameter, lookup)? {
            // Upstream takes results back to the version that was asked for, but knows no such way for built-in kinds.
            Ok(_) if *kind != attributes.kind && is_builtin(kind) => done.problems.push(format!(
                "converting ({}.{}) to ({}.{}): unknown conversion",
                kind.version, kind.kind, attributes.kind.version, attributes.kind.kind
            )),
            Ok(changed) => {
                form.object = changed;
                lookup.default(kind, &mut form.object);
                form.facts.with_object(kind, &form.object);
                form.dirty = true;
                done.changes += 1;
            }
            Err(problem) => done.problems.push(problem),
        }
    }
    Ok(done)
}

/// What a mutation makes of an object; the inner error says why it cannot.
fn changed(
    policy: &Policy,
    mutation: &Mutation,
    form: &Form,
    parameter: Option<&Value>,
    lookup: &dyn Lookup,
) -> Result<Result<Value, String>, Status> {
    let kind = &form.of.kind;
    let mut is_known = false;
    lookup.with_type(kind, &mut |_| is_known = true);
    if !is_known {
        let kind = format!("{}, Kind={}", kind.api_version(), kind.kind);
        let why = format!(
            "Resource kind {kind} not found. There can be a delay between when CustomResourceDefinitions are created and \
             when they are available."
        );
        return Err(Status::failure(503, "ServiceUnavailable", why));
    }
    let evaluator = Evaluator::new(policy, &form.facts, parameter);
    let value = |expression: &Expression| match &expression.program {
        Err(error) => Err(error.clone()),
        Ok(_) => evaluator.evaluate(expression)?,
    };
    match mutation {
        Mutation::JsonPatch(expression) => match value(expression) {
            Ok(value) => json_patch(kind, &form.object, &value),
            Err(problem) => Ok(Err(problem)),
        },
        Mutation::Apply(expression) => {
            Ok(value(expression).and_then(|value| configuration(kind, &form.object, &value, lookup)))
        }
    }
}

fn is_builtin(kind: &GroupVersionKind) -> bool {
    schema::by_gvk(&kind.group, &kind.version, &kind.kind).is_some()
}

/// The patched object, or why it cannot be patched. A result that is no object of the kind is an error of the server.
fn json_patch(kind: &GroupVersionKind, object: &Value, value: &cel::Value) -> Result<Result<Value, String>, Status> {
    let patch = match operations(value) {
        Ok(patch) => patch.to_string(),
        Err(problem) => return Ok(Err(problem)),
    };
    let ty = schema::by_gvk(&kind.group, &kind.version, &kind.kind);
    match patch::json::apply(&encoded(object, kind), patch.as_bytes(), ty, FieldValidation::Strict) {
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
fn configuration(
    kind: &GroupVersionKind,
    object: &Value,
    value: &cel::Value,
    lookup: &dyn Lookup,
) -> Result<Value, String> {
    names_match(value, OBJECT).map_err(|why| format!("type mismatch: {why}"))?;
    let mut config = value
        .to_json()
        .ok_or("invalid return type: the configuration is no JSON object")?;
    meta::set(&mut config, &["apiVersion"], kind.api_version());
    meta::set(&mut config, &["kind"], kind.kind.as_str());
    let object = encoded(object, kind);
    let mut merged = Err(format!(
        "failed to convert patch object to typed object: no corresponding type for {}, Kind={}",
        kind.api_version(),
        kind.kind
    ));
    lookup.with_type(kind, &mut |ty| {
        if let Some(ty) = ty {
            merged = apply::overlay(&object, &config, Some(ty));
        }
    });
    merged.map_err(|why| format!("error applying patch: {why}"))
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
