//! What expressions know about a write: the values of their variables.

use super::super::equivalent::Versioned;
use super::super::{Attributes, Equivalent, Rights};
use super::compiled::{Expression, Policy};
use super::{BUDGET, CALL_LIMIT, CONDITIONS_BUDGET, OUT_OF_BUDGET};
use cel::{Authorize, Authorizer, Decision, Failure, Question, Value, Variables};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::schema;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The values that are the same for all policies.
pub(in crate::admission) struct Facts {
    object: Value,
    old_object: Value,
    request: Value,
    /// The request as match conditions see it: with the resource that was written to.
    asked: Value,
    namespace: Value,
    authorizer: Value,
    resource_authorizer: Value,
}

/// Who asks, for questions about rights.
struct Asker {
    rights: Arc<dyn Rights>,
    user: String,
    groups: Vec<String>,
}

impl Authorize for Asker {
    fn decide(&self, question: &Question) -> Decision {
        let allowed = match &question.service_account {
            Some((namespace, name)) => {
                let groups = [
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ];
                let user = format!("system:serviceaccount:{namespace}:{name}");
                self.rights.may(&user, &groups, question)
            }
            None => self.rights.may(&self.user, &self.groups, question),
        };
        Decision {
            allowed,
            ..Decision::default()
        }
    }
}

impl Facts {
    /// What is known about a write in one of its forms; `namespace` is the object's, if it lies in one.
    pub(in crate::admission) fn new(
        attributes: &Attributes<'_>,
        form: &Equivalent,
        versions: &Versioned,
        namespace: Option<&Json>,
        rights: Option<&Arc<dyn Rights>>,
    ) -> Facts {
        let asker = rights.map(|rights| {
            let asker: Arc<dyn Authorize> = Arc::new(Asker {
                rights: rights.clone(),
                user: attributes.user.to_owned(),
                groups: attributes.groups.to_vec(),
            });
            asker
        });
        let question = Question {
            group: attributes.resource.group.clone(),
            resource: attributes.resource.resource.clone(),
            subresource: attributes.subresource.to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            ..Question::default()
        };
        let value = |object: &Json| match object {
            Json::Null => Value::Null,
            object => Value::from_json(&typed(object, &form.kind)),
        };
        let own = Equivalent {
            kind: form.kind.clone(),
            ..Equivalent::own(attributes)
        };
        let request = |form: &Equivalent| Value::from_json(&request(attributes, form, &versions.object));
        let matched = request(form);
        Facts {
            object: value(&versions.object),
            old_object: versions.old.as_ref().map_or(Value::Null, value),
            asked: if own == *form { matched.clone() } else { request(&own) },
            request: matched,
            namespace: namespace.map_or(Value::Null, Value::from_json),
            authorizer: asker.clone().map_or(Value::Null, Authorizer::value),
            resource_authorizer: asker.map_or(Value::Null, |asker| Authorizer::for_resource(asker, question)),
        }
    }

    /// The same write after its object was changed.
    pub(super) fn with_object(&mut self, kind: &GroupVersionKind, object: &Json) {
        self.object = Value::from_json(&typed(object, kind));
    }
}

/// The object as it is encoded (`ConvertToUnstructured`).
pub(super) fn encoded(object: &Json, kind: &GroupVersionKind) -> Json {
    let mut object = object.clone();
    schema::leave_out_empty(kind, &mut object);
    object
}

/// The object as it is encoded, with its kind.
fn typed(object: &Json, kind: &GroupVersionKind) -> Json {
    let mut object = encoded(object, kind);
    if let Some(fields) = object.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        fields.entry("kind").or_insert_with(|| kind.kind.clone().into());
    }
    object
}

/// The AdmissionRequest about a write in one of its forms (`CreateAdmissionRequest`); what is empty is left out.
pub(in crate::admission) fn request(attributes: &Attributes<'_>, form: &Equivalent, object: &Json) -> Json {
    let kind = |GroupVersionKind { group, version, kind }: &GroupVersionKind| json!({"group": group, "version": version, "kind": kind});
    let resource = |GroupResource { group, resource }: &GroupResource, version: &str| json!({"group": group, "version": version, "resource": resource});
    let mut user = json!({});
    for (field, text) in [("username", attributes.user), ("uid", attributes.uid)] {
        if !text.is_empty() {
            user[field] = text.into();
        }
    }
    if !attributes.groups.is_empty() {
        user["groups"] = json!(attributes.groups);
    }
    if !attributes.extra.is_empty() {
        user["extra"] = json!(attributes.extra);
    }
    let mut request = json!({
        "uid": "",
        "kind": kind(&form.kind),
        "resource": resource(&form.resource, &form.version),
        "requestKind": kind(&attributes.kind),
        "requestResource": resource(&attributes.resource, attributes.version),
        "operation": attributes.operation.as_str(),
        "userInfo": user,
        "object": null,
        "oldObject": null,
        "dryRun": attributes.dry_run,
        "options": attributes.options,
    });
    let given = machinery::meta::name(object);
    let name = if attributes.name.is_empty() {
        given
    } else {
        attributes.name
    };
    for (field, text) in [
        ("subResource", attributes.subresource),
        ("requestSubResource", attributes.subresource),
        ("name", name),
        ("namespace", attributes.namespace),
    ] {
        if !text.is_empty() {
            request[field] = text.into();
        }
    }
    request
}

/// Evaluates the expressions of a policy for one parameter.
pub(in crate::admission) struct Evaluator<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    parameter: Value,
    /// The variables that were asked for already.
    found: RefCell<BTreeMap<String, Result<Value, Failure>>>,
    /// What is left to spend.
    budget: RefCell<u64>,
    /// Match conditions do not see the namespace.
    is_condition: bool,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(policy: &'a Policy, facts: &'a Facts, parameter: Option<&Json>) -> Self {
        Evaluator {
            policy,
            facts,
            parameter: parameter.map_or(Value::Null, Value::from_json),
            found: RefCell::default(),
            budget: RefCell::new(BUDGET),
            is_condition: false,
        }
    }

    pub(in crate::admission) fn for_conditions(policy: &'a Policy, facts: &'a Facts, parameter: Option<&Json>) -> Self {
        Evaluator {
            budget: RefCell::new(CONDITIONS_BUDGET),
            is_condition: true,
            ..Evaluator::new(policy, facts, parameter)
        }
    }

    /// The value of an expression, in upstream's words if there is none. The outer error ends the policy.
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Result<Value, String>, String> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(error) => return Ok(Err(format!("compilation error: {error}"))),
        };
        let evaluation = program.evaluate(self, CALL_LIMIT);
        self.spend(evaluation.cost)?;
        let text = &expression.text;
        let failed = |failure| format!("expression '{text}' resulted in error: {failure}");
        Ok(evaluation.result.map_err(failed))
    }

    fn spend(&self, cost: u64) -> Result<(), String> {
        let mut budget = self.budget.borrow_mut();
        *budget = budget.checked_sub(cost).ok_or_else(|| OUT_OF_BUDGET.to_owned())?;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<Result<Value, Failure>> {
        if let Some(found) = self.found.borrow().get(name) {
            return Some(found.clone());
        }
        let (_, expression) = self.policy.variables.iter().find(|(known, _)| known == name)?;
        let found = match &expression.program {
            Err(error) => Err(Failure::new(format!(
                "composited variable \"{name}\" fails to compile: {error}"
            ))),
            Ok(program) => {
                let evaluation = program.evaluate(self, CALL_LIMIT);
                let failed =
                    |why: String| Failure::new(format!("composited variable \"{name}\" fails to evaluate: {why}"));
                let result = evaluation.result.map_err(|failure| failed(failure.to_string()));
                self.spend(evaluation.cost).map_err(failed).and(result)
            }
        };
        self.found.borrow_mut().insert(name.to_owned(), found.clone());
        Some(found)
    }
}

impl Variables for Evaluator<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        let facts = self.facts;
        Some(match name {
            "object" => facts.object.clone(),
            "oldObject" => facts.old_object.clone(),
            "request" if self.is_condition => facts.asked.clone(),
            "request" => facts.request.clone(),
            "params" => self.parameter.clone(),
            "namespaceObject" if self.is_condition => Value::Null,
            "namespaceObject" => facts.namespace.clone(),
            "authorizer" => facts.authorizer.clone(),
            "authorizer.requestResource" => facts.resource_authorizer.clone(),
            _ => return None,
        })
    }

    fn field(&self, name: &str, field: &str) -> Option<Result<Value, Failure>> {
        (name == "variables").then(|| self.find(field)).flatten()
    }
}

/// Whether the conditions of a policy let it apply (`matchconditions.Match`); an error if that cannot be told.
pub(in crate::admission) fn conditions_hold(evaluator: &Evaluator<'_>) -> Result<bool, String> {
    let mut errors = Vec::new();
    for condition in &evaluator.policy.conditions {
        match evaluator.evaluate(condition)? {
            Ok(Value::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    match errors.as_slice() {
        [] => Ok(true),
        _ if !evaluator.policy.fails => Ok(false),
        [error] => Err(error.clone()),
        errors => Err(format!("[{}]", errors.join(", "))),
    }
}
